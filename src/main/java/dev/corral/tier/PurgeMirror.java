package dev.corral.tier;

import dev.corral.coalesce.Purges;
import dev.corral.coalesce.Purges.Verdict;
import dev.corral.tier.PurgeLog.Name;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
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

    private final long keep;
    private final int limit;
    private final ConcurrentMap<String, Marks> exact = new ConcurrentHashMap<>();
    private final ConcurrentNavigableMap<String, Marks> prefixes = new ConcurrentSkipListMap<>();
    // Guarded by this: each name of both maps once, with its last position, the one purged longest ago first.
    private final SequencedMap<String, Long> order = new LinkedHashMap<>();
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
        } else if (marks.soft > marks.hard && marks.soft > after && marks.soft <= upTo) {
            names.add(new Name(name, true));
        }
    }

    /** Names remembered. */
    synchronized int size() {
        return order.size();
    }

    private void purge(Name name, long at) {
        if (name.text().equals(Purges.EVERYTHING)) {
            floor = floor.with(name.soft(), at);
            return;
        }
        Marks marks = mapOf(name.text()).merge(name.text(), Marks.NONE.with(name.soft(), at), Marks::with);
        if (marks.last() == at) {
            order.putLast(name.text(), at);
        }
    }

    private ConcurrentMap<String, Marks> mapOf(String name) {
        return name.startsWith(Purges.PREFIX) ? prefixes : exact;
    }

    private void trim() {
        while (!order.isEmpty() && order.firstEntry().getValue() < position - keep) {
            forgetOldest();
        }
        while (order.size() > limit) {
            floor = floor.with(false, forgetOldest());
        }
    }

    /** Returns the last position at which it was purged. */
    private long forgetOldest() {
        Map.Entry<String, Long> oldest = order.pollFirstEntry();
        mapOf(oldest.getKey()).remove(oldest.getKey());
        return oldest.getValue();
    }
}
