package dev.corral.tier;

import dev.corral.coalesce.Purges;
import dev.corral.coalesce.Purges.Verdict;
import dev.corral.tier.PurgeLog.Name;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.ConcurrentNavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.TimeUnit;

/**
 * The fleet's purges in this replica's memory: the last positions of each name, and floors below which everything is purged.
 * Reading is free of locks. Thread-safe.
 *
 * <p>Bounded: names are forgotten when no entry can be as old as their purge, and beyond {@code limit} names the oldest raise the
 * floor, which purges too much and never too little.
 */
final class PurgeMirror {

    /** The last hard and the last soft purge; 0 where there was none. */
    private record Marks(long hard, long soft) {

        static final Marks NONE = new Marks(0, 0);

        Marks with(boolean isSoft, long at) {
            return isSoft ? new Marks(hard, Math.max(soft, at)) : new Marks(Math.max(hard, at), soft);
        }

        Marks with(Marks other) {
            return new Marks(Math.max(hard, other.hard), Math.max(soft, other.soft));
        }

        long last() {
            return Math.max(hard, soft);
        }

        Verdict verdict(long since) {
            return since < hard
                    ? new Verdict.Gone()
                    : since < soft ? new Verdict.Stale(soft) : Verdict.VALID;
        }
    }

    private record Named(String name, long position) {}

    private final long keep;
    private final int limit;
    private final ConcurrentMap<String, Marks> exact = new ConcurrentHashMap<>();
    private final ConcurrentNavigableMap<String, Marks> prefixes = new ConcurrentSkipListMap<>();
    private final Deque<Named> order = new ArrayDeque<>(); // guarded by this; by position, a name as often as it was purged
    private int names; // guarded by this; of both maps
    private volatile long position;
    private volatile Marks floor = Marks.NONE; // written under this

    /**
     * @param keep  how long a purge matters: the longest life of an entry. Positions are microseconds
     * @param limit of names
     */
    PurgeMirror(Duration keep, int limit) {
        this.keep = TimeUnit.NANOSECONDS.toMicros(keep.toNanos());
        this.limit = limit;
    }

    /** The last position known. Never goes back. */
    long position() {
        return position;
    }

    Verdict verdict(List<String> labels, long since) {
        // Nearly always: nothing at all has been purged since the entry was filled.
        if (since >= position) {
            return Verdict.VALID;
        }
        Marks marks = floor;
        for (String label : labels) {
            if (marks.hard > since) {
                break;
            }
            marks = marks.with(label.startsWith(Purges.PREFIX)
                    ? beginningsOf(label)
                    : exact.getOrDefault(label, Marks.NONE));
        }
        return marks.verdict(since);
    }

    /**
     * All purged prefixes of the label together. Between a prefix of it and itself, in order, lies only what has that prefix too: so
     * the search goes from each name found on to what that has in common with the label, and ends after a few steps.
     */
    private Marks beginningsOf(String label) {
        Marks marks = Marks.NONE;
        String rest = label;
        for (Map.Entry<String, Marks> below = prefixes.floorEntry(rest); below != null;) {
            String found = below.getKey();
            int common = common(found, label);
            if (common == found.length()) {
                marks = marks.with(below.getValue());
                below = prefixes.lowerEntry(found);
            } else {
                rest = label.substring(0, common);
                below = prefixes.floorEntry(rest);
            }
        }
        return marks;
    }

    private static int common(String one, String other) {
        int most = Math.min(one.length(), other.length());
        int length = 0;
        while (length < most && one.charAt(length) == other.charAt(length)) {
            length++;
        }
        return length;
    }

    /** A purge of these names. Repeating it is harmless. */
    synchronized void purge(List<Name> purged, long at) {
        purged.forEach(name -> purge(name, at));
        // Last: who sees the position sees the names.
        position = Math.max(position, at);
        trim();
    }

    /** Everything before this position is purged. */
    synchronized void raise(long at) {
        floor = floor.with(false, at);
        position = Math.max(position, at);
    }

    /** What was last purged after the one position and not after the other. */
    synchronized List<Name> between(long after, long upTo) {
        var between = new ArrayList<Name>();
        add(between, Purges.EVERYTHING, floor, after, upTo);
        exact.forEach((name, marks) -> add(between, name, marks, after, upTo));
        prefixes.forEach((name, marks) -> add(between, name, marks, after, upTo));
        return between;
    }

    private static void add(List<Name> names, String name, Marks marks, long after, long upTo) {
        if (marks.hard > after && marks.hard <= upTo) {
            names.add(new Name(name, false));
        } else if (marks.soft > after && marks.soft <= upTo) {
            names.add(new Name(name, true));
        }
    }

    /** Names remembered. */
    synchronized int size() {
        return names;
    }

    private void purge(Name name, long at) {
        if (name.text().equals(Purges.EVERYTHING)) {
            floor = floor.with(name.soft(), at);
            return;
        }
        ConcurrentMap<String, Marks> all = mapOf(name.text());
        Marks before = all.get(name.text());
        Marks now = (before == null ? Marks.NONE : before).with(name.soft(), at);
        if (!now.equals(before)) {
            all.put(name.text(), now);
            order.addLast(new Named(name.text(), at));
            names += before == null ? 1 : 0;
        }
    }

    private ConcurrentMap<String, Marks> mapOf(String name) {
        return name.startsWith(Purges.PREFIX) ? prefixes : exact;
    }

    private void trim() {
        while (!order.isEmpty() && order.getFirst().position() < position - keep) {
            forget(order.removeFirst());
        }
        while (names > limit) {
            Named oldest = order.removeFirst();
            if (forget(oldest)) {
                floor = floor.with(false, oldest.position());
            }
        }
    }

    /** True unless the name has been purged again later. */
    private boolean forget(Named oldest) {
        ConcurrentMap<String, Marks> all = mapOf(oldest.name());
        Marks marks = all.get(oldest.name());
        if (marks == null || marks.last() != oldest.position()) {
            return false;
        }
        all.remove(oldest.name());
        names--;
        return true;
    }
}
