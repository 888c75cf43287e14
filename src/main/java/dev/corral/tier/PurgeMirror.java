package dev.corral.tier;

import dev.corral.coalesce.Purges;
import dev.corral.coalesce.Purges.Verdict;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
 * <p>Bounded: names are forgotten when no entry can be as old as their purge. Beyond {@code limit} names, or as many characters as
 * names of {@value #LENGTH}, those purged longest ago go on as hashes in a {@link PurgeTable}; of a prefix, what has the same
 * directory is purged instead. That purges too much and never too little, and leaves what has nothing to do with it.
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

    // Characters of a name on average: most are hashes of URLs, with 24.
    private static final int LENGTH = 64;

    private final long keep;
    private final int limit;
    private final ConcurrentMap<String, Marks> exact = new ConcurrentHashMap<>();
    private final ConcurrentNavigableMap<String, Marks> prefixes = new ConcurrentSkipListMap<>();
    // Guarded by this: each name of both maps once, with its last position, the one purged longest ago first.
    private final SequencedMap<String, Long> order = new LinkedHashMap<>();
    private long characters; // guarded by this; of the names
    private volatile Optional<PurgeTable> hardTable = Optional.empty(); // written under this
    private volatile Optional<PurgeTable> softTable = Optional.empty(); // written under this
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
                    : marksOf(label));
        }
        return marks.verdict(since);
    }

    /** In the order in which a name moves: it is in the table before it leaves the map. */
    private Marks marksOf(String label) {
        Marks marks = exact.getOrDefault(label, Marks.NONE);
        return hardTable.isEmpty() && softTable.isEmpty()
                ? marks
                : marks.with(new Marks(position(hardTable, label), position(softTable, label)));
    }

    private static long position(Optional<PurgeTable> table, String label) {
        return table.isPresent() ? table.get().position(label) : 0;
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
    synchronized void purge(List<PurgedName> purged, long at) {
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

    /**
     * What was last purged after the one position and not after the other. Of more than {@code limit} names only the last are known
     * by name.
     */
    synchronized List<PurgedName> between(long after, long upTo) {
        var between = new ArrayList<PurgedName>();
        add(between, Purges.EVERYTHING, floor, after, upTo);
        exact.forEach((name, marks) -> add(between, name, marks, after, upTo));
        prefixes.forEach((name, marks) -> add(between, name, marks, after, upTo));
        return between;
    }

    private static void add(List<PurgedName> names, String name, Marks marks, long after, long upTo) {
        if (marks.hard > after && marks.hard <= upTo) {
            names.add(new PurgedName(name, false));
        } else if (marks.soft > marks.hard && marks.soft > after && marks.soft <= upTo) {
            names.add(new PurgedName(name, true));
        }
    }

    /** Names remembered. */
    synchronized int size() {
        return order.size();
    }

    private void purge(PurgedName name, long at) {
        if (name.text().equals(Purges.EVERYTHING)) {
            floor = floor.with(name.soft(), at);
            return;
        }
        Marks marks = mapOf(name.text()).merge(name.text(), Marks.NONE.with(name.soft(), at), Marks::with);
        if (marks.last() == at && order.putLast(name.text(), at) == null) {
            characters += name.text().length();
        }
    }

    private ConcurrentMap<String, Marks> mapOf(String name) {
        return name.startsWith(Purges.PREFIX) ? prefixes : exact;
    }

    private void trim() {
        while (!order.isEmpty() && order.firstEntry().getValue() < position - keep) {
            forget(order.firstEntry().getKey());
        }
        while (order.size() > limit || characters > (long) limit * LENGTH) {
            coarsen(order.firstEntry().getKey());
        }
    }

    private void forget(String name) {
        order.remove(name);
        characters -= name.length();
        mapOf(name).remove(name);
    }

    private void coarsen(String name) {
        Marks marks = mapOf(name).getOrDefault(name, Marks.NONE);
        if (name.startsWith(Purges.PREFIX)) {
            widen(name, marks);
        } else {
            if (marks.hard > 0) {
                hardTable = Optional.of(hardTable.orElseGet(PurgeTable::new));
                hardTable.get().put(name, marks.hard);
            }
            if (marks.soft > 0) {
                softTable = Optional.of(softTable.orElseGet(PurgeTable::new));
                softTable.get().put(name, marks.soft);
            }
        }
        forget(name);
    }

    /** To all that has the prefix's directory; to everything when it has none. */
    private void widen(String prefix, Marks marks) {
        int slash = prefix.lastIndexOf('/', prefix.length() - 2);
        // A host's own slashes do not end a directory.
        if (slash < 0 || prefix.startsWith("//", slash - 1)) {
            floor = floor.with(marks);
            return;
        }
        String wider = prefix.substring(0, slash + 1);
        Marks all = prefixes.merge(wider, marks, Marks::with);
        if (order.putLast(wider, all.last()) == null) {
            characters += wider.length();
        }
    }
}
