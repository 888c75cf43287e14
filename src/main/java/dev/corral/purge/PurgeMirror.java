package dev.corral.purge;

import dev.corral.purge.PurgeRegistry.PurgeVerdict;
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
 * names of {@value #MEAN_NAME_LENGTH}, those purged longest ago go on as hashes in a {@link PurgeHashTable}; of a prefix, what has the same
 * directory is purged instead. That purges too much and never too little, and leaves what has nothing to do with it.
 */
public final class PurgeMirror {

    /** The last hard and the last soft purge; 0 where there was none. */
    private record PurgePositions(long hard, long soft) {

        static final PurgePositions NONE = new PurgePositions(0, 0);

        PurgePositions with(boolean isSoft, long at) {
            return isSoft ? new PurgePositions(hard, Math.max(soft, at)) : new PurgePositions(Math.max(hard, at), soft);
        }

        PurgePositions merge(PurgePositions other) {
            return new PurgePositions(Math.max(hard, other.hard), Math.max(soft, other.soft));
        }

        long latest() {
            return Math.max(hard, soft);
        }

        PurgeVerdict verdict(long since) {
            return since < hard
                    ? new PurgeVerdict.Removed()
                    : since < soft ? new PurgeVerdict.Stale(soft) : PurgeVerdict.VALID;
        }
    }

    // Characters of a name on average: most are hashes of URLs, with 24.
    private static final int MEAN_NAME_LENGTH = 64;

    private final long retentionMicros;
    private final int maxNames;
    private final ConcurrentMap<String, PurgePositions> exactNames = new ConcurrentHashMap<>();
    private final ConcurrentNavigableMap<String, PurgePositions> prefixes = new ConcurrentSkipListMap<>();
    // Guarded by this: each name of both maps once, with its last position, the one purged longest ago first.
    private final SequencedMap<String, Long> namesByAge = new LinkedHashMap<>();
    private long totalCharacters; // guarded by this; of the names
    private volatile Optional<PurgeHashTable> hardTable = Optional.empty(); // written under this
    private volatile Optional<PurgeHashTable> softTable = Optional.empty(); // written under this
    private volatile long latestPosition;
    private volatile PurgePositions floorPositions = PurgePositions.NONE; // written under this

    /**
     * @param keep  how long a purge matters: the longest life of an entry. Positions are microseconds
     * @param limit of names
     */
    public PurgeMirror(Duration keep, int limit) {
        this.retentionMicros = TimeUnit.NANOSECONDS.toMicros(keep.toNanos());
        this.maxNames = limit;
    }

    /** The last position known. Never goes back. */
    public long latestPosition() {
        return latestPosition;
    }

    public PurgeVerdict verdict(List<String> labels, long since) {
        // Nearly always: nothing at all has been purged since the entry was filled.
        if (since >= latestPosition) {
            return PurgeVerdict.VALID;
        }
        PurgePositions marks = floorPositions;
        for (String label : labels) {
            if (marks.hard > since) {
                break;
            }
            marks = marks.merge(label.startsWith(PurgeRegistry.PREFIX_NAME_MARKER)
                    ? prefixPositionsOf(label)
                    : positionsOf(label));
        }
        return marks.verdict(since);
    }

    /** In the order in which a name moves: it is in the table before it leaves the map. */
    private PurgePositions positionsOf(String label) {
        PurgePositions marks = exactNames.getOrDefault(label, PurgePositions.NONE);
        return hardTable.isEmpty() && softTable.isEmpty()
                ? marks
                : marks.merge(new PurgePositions(tablePosition(hardTable, label), tablePosition(softTable, label)));
    }

    private static long tablePosition(Optional<PurgeHashTable> table, String label) {
        return table.isPresent() ? table.get().positionOf(label) : 0;
    }

    /**
     * All purged prefixes of the label together. Between a prefix of it and itself, in order, lies only what has that prefix too: so
     * the search goes from each name found on to what that has in common with the label, and ends after a few steps.
     */
    private PurgePositions prefixPositionsOf(String label) {
        PurgePositions marks = PurgePositions.NONE;
        String rest = label;
        for (Map.Entry<String, PurgePositions> below = prefixes.floorEntry(rest); below != null;) {
            String found = below.getKey();
            int common = commonPrefixLength(found, label);
            if (common == found.length()) {
                marks = marks.merge(below.getValue());
                below = prefixes.lowerEntry(found);
            } else {
                rest = label.substring(0, common);
                below = prefixes.floorEntry(rest);
            }
        }
        return marks;
    }

    private static int commonPrefixLength(String one, String other) {
        int most = Math.min(one.length(), other.length());
        int length = 0;
        while (length < most && one.charAt(length) == other.charAt(length)) {
            length++;
        }
        return length;
    }

    /** A purge of these names. Repeating it is harmless. */
    public synchronized void purge(List<PurgedName> purged, long at) {
        purged.forEach(name -> purgeName(name, at));
        // Last: who sees the position sees the names.
        latestPosition = Math.max(latestPosition, at);
        trimToLimits();
    }

    /** Everything before this position is purged. */
    public synchronized void raiseFloor(long at) {
        floorPositions = floorPositions.with(false, at);
        latestPosition = Math.max(latestPosition, at);
    }

    /**
     * What was last purged after the one position and not after the other. Of more than {@code limit} names only the last are known
     * by name.
     */
    public synchronized List<PurgedName> purgedBetween(long after, long upTo) {
        var between = new ArrayList<PurgedName>();
        addIfPurgedBetween(between, PurgeRegistry.ALL_ENTRIES_NAME, floorPositions, after, upTo);
        exactNames.forEach((name, marks) -> addIfPurgedBetween(between, name, marks, after, upTo));
        prefixes.forEach((name, marks) -> addIfPurgedBetween(between, name, marks, after, upTo));
        return between;
    }

    private static void addIfPurgedBetween(List<PurgedName> names, String name, PurgePositions marks, long after,
            long upTo) {
        if (marks.hard > after && marks.hard <= upTo) {
            names.add(new PurgedName(name, false));
        } else if (marks.soft > marks.hard && marks.soft > after && marks.soft <= upTo) {
            names.add(new PurgedName(name, true));
        }
    }

    /** Names remembered. */
    public synchronized int nameCount() {
        return namesByAge.size();
    }

    private void purgeName(PurgedName name, long at) {
        if (name.name().equals(PurgeRegistry.ALL_ENTRIES_NAME)) {
            floorPositions = floorPositions.with(name.isSoft(), at);
            return;
        }
        PurgePositions marks = mapContaining(name.name()).merge(name.name(),
                PurgePositions.NONE.with(name.isSoft(), at), PurgePositions::merge);
        if (marks.latest() == at && namesByAge.putLast(name.name(), at) == null) {
            totalCharacters += name.name().length();
        }
    }

    private ConcurrentMap<String, PurgePositions> mapContaining(String name) {
        return name.startsWith(PurgeRegistry.PREFIX_NAME_MARKER) ? prefixes : exactNames;
    }

    private void trimToLimits() {
        while (!namesByAge.isEmpty() && namesByAge.firstEntry().getValue() < latestPosition - retentionMicros) {
            forgetName(namesByAge.firstEntry().getKey());
        }
        while (namesByAge.size() > maxNames || totalCharacters > (long) maxNames * MEAN_NAME_LENGTH) {
            coarsenName(namesByAge.firstEntry().getKey());
        }
    }

    private void forgetName(String name) {
        namesByAge.remove(name);
        totalCharacters -= name.length();
        mapContaining(name).remove(name);
    }

    private void coarsenName(String name) {
        PurgePositions marks = mapContaining(name).getOrDefault(name, PurgePositions.NONE);
        if (name.startsWith(PurgeRegistry.PREFIX_NAME_MARKER)) {
            widenPrefix(name, marks);
        } else {
            if (marks.hard > 0) {
                hardTable = Optional.of(hardTable.orElseGet(PurgeHashTable::new));
                hardTable.get().put(name, marks.hard);
            }
            if (marks.soft > 0) {
                softTable = Optional.of(softTable.orElseGet(PurgeHashTable::new));
                softTable.get().put(name, marks.soft);
            }
        }
        forgetName(name);
    }

    /** To all that has the prefix's directory; to everything when it has none. */
    private void widenPrefix(String prefix, PurgePositions marks) {
        int slash = prefix.lastIndexOf('/', prefix.length() - 2);
        // A host's own slashes do not end a directory.
        if (slash < 0 || prefix.startsWith("//", slash - 1)) {
            floorPositions = floorPositions.merge(marks);
            return;
        }
        String wider = prefix.substring(0, slash + 1);
        PurgePositions all = prefixes.merge(wider, marks, PurgePositions::merge);
        if (namesByAge.putLast(wider, all.latest()) == null) {
            totalCharacters += wider.length();
        }
    }
}
