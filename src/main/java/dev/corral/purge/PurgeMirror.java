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
 * The fleet's purges in the memory of this replica: the last positions of each name, and floors, the positions before which
 * everything is purged. Thread-safe; readers take no lock, writers are synchronized.
 *
 * <p>The memory is bounded. A name is forgotten when no entry can be as old as its purge. Beyond {@code maxNames} names, or the
 * same number of names of {@value #MEAN_NAME_LENGTH} characters, the names purged longest ago are coarsened: an exact name
 * moves as a hash into a {@link PurgeHashTable}, and a prefix is widened to its directory. Coarsening may purge too much and
 * never too little, and does not affect unrelated entries.
 */
public final class PurgeMirror {

    /** The positions of the last hard and the last soft purge; 0 when there was none. */
    private record PurgePositions(long hard, long soft) {

        static final PurgePositions NONE = new PurgePositions(0, 0);

        PurgePositions with(boolean isSoft, long position) {
            return isSoft
                    ? new PurgePositions(hard, Math.max(soft, position))
                    : new PurgePositions(Math.max(hard, position), soft);
        }

        PurgePositions merge(PurgePositions other) {
            return new PurgePositions(Math.max(hard, other.hard), Math.max(soft, other.soft));
        }

        long latest() {
            return Math.max(hard, soft);
        }

        PurgeVerdict verdict(long fillPosition) {
            return fillPosition < hard
                    ? new PurgeVerdict.Removed()
                    : fillPosition < soft ? new PurgeVerdict.Stale(soft) : PurgeVerdict.VALID;
        }
    }

    // The average length of a name in characters: most names are hashes of URLs, with 24 characters.
    private static final int MEAN_NAME_LENGTH = 64;

    private final long retentionMicros;
    private final int maxNames;
    private final ConcurrentMap<String, PurgePositions> exactNames = new ConcurrentHashMap<>();
    private final ConcurrentNavigableMap<String, PurgePositions> prefixes = new ConcurrentSkipListMap<>();
    // Guarded by this: each name of both maps once, with its last position; the name purged longest ago is first.
    private final SequencedMap<String, Long> namesByAge = new LinkedHashMap<>();
    private long totalCharacters; // guarded by this; in all names of namesByAge
    private volatile Optional<PurgeHashTable> hardTable = Optional.empty(); // written under this
    private volatile Optional<PurgeHashTable> softTable = Optional.empty(); // written under this
    private volatile long latestPosition;
    private volatile PurgePositions floorPositions = PurgePositions.NONE; // written under this

    /**
     * @param retention how long a purge is kept: the maximum lifetime of an entry
     * @param maxNames  the maximum number of names that are not coarsened
     */
    public PurgeMirror(Duration retention, int maxNames) {
        this.retentionMicros = TimeUnit.NANOSECONDS.toMicros(retention.toNanos());
        this.maxNames = maxNames;
    }

    /** The last known position. Never decreases. */
    public long latestPosition() {
        return latestPosition;
    }

    /**
     * The verdict on a value with these names that was filled at the position {@code fillPosition}; see {@link
     * PurgeRegistry#verdict}.
     */
    public PurgeVerdict verdict(List<String> names, long fillPosition) {
        // The usual case: there was no purge at all since the entry was filled.
        if (fillPosition >= latestPosition) {
            return PurgeVerdict.VALID;
        }
        PurgePositions positions = floorPositions;
        for (String name : names) {
            if (positions.hard > fillPosition) {
                break;
            }
            positions = positions.merge(name.startsWith(PurgeRegistry.PREFIX_NAME_MARKER)
                    ? prefixPositionsOf(name)
                    : positionsOf(name));
        }
        return positions.verdict(fillPosition);
    }

    /** Reads the map before the tables: a name that moves is in a table before it leaves the map. */
    private PurgePositions positionsOf(String name) {
        PurgePositions positions = exactNames.getOrDefault(name, PurgePositions.NONE);
        return hardTable.isEmpty() && softTable.isEmpty()
                ? positions
                : positions.merge(new PurgePositions(tablePosition(hardTable, name), tablePosition(softTable, name)));
    }

    private static long tablePosition(Optional<PurgeHashTable> table, String name) {
        return table.isPresent() ? table.get().positionOf(name) : 0;
    }

    /**
     * Merges the positions of all purged prefixes of the name. In sort order, only names with the same prefix lie between a
     * prefix of the name and the name. So the search continues from each name found to the part that it has in common with the
     * name, and ends after a few steps.
     */
    private PurgePositions prefixPositionsOf(String name) {
        PurgePositions positions = PurgePositions.NONE;
        String searchFrom = name;
        for (Map.Entry<String, PurgePositions> candidate = prefixes.floorEntry(searchFrom); candidate != null;) {
            String found = candidate.getKey();
            int commonLength = commonPrefixLength(found, name);
            if (commonLength == found.length()) {
                positions = positions.merge(candidate.getValue());
                candidate = prefixes.lowerEntry(found);
            } else {
                searchFrom = name.substring(0, commonLength);
                candidate = prefixes.floorEntry(searchFrom);
            }
        }
        return positions;
    }

    private static int commonPrefixLength(String first, String second) {
        int maxLength = Math.min(first.length(), second.length());
        int length = 0;
        while (length < maxLength && first.charAt(length) == second.charAt(length)) {
            length++;
        }
        return length;
    }

    /** Records a purge of these names. Repeating it is harmless. */
    public synchronized void purge(List<PurgedName> purged, long position) {
        purged.forEach(name -> purgeName(name, position));
        // The position is written last: a reader that sees it also sees the names.
        latestPosition = Math.max(latestPosition, position);
        trimToLimits();
    }

    /** Raises the floor: everything before this position is purged. */
    public synchronized void raiseFloor(long position) {
        floorPositions = floorPositions.with(false, position);
        latestPosition = Math.max(latestPosition, position);
    }

    /**
     * The names whose last purge is after {@code after} and not after {@code upTo}. Coarsened names are not included.
     */
    public synchronized List<PurgedName> purgedBetween(long after, long upTo) {
        var result = new ArrayList<PurgedName>();
        addIfPurgedBetween(result, PurgeRegistry.ALL_ENTRIES_NAME, floorPositions, after, upTo);
        exactNames.forEach((name, positions) -> addIfPurgedBetween(result, name, positions, after, upTo));
        prefixes.forEach((name, positions) -> addIfPurgedBetween(result, name, positions, after, upTo));
        return result;
    }

    private static void addIfPurgedBetween(List<PurgedName> names, String name, PurgePositions positions, long after,
            long upTo) {
        if (positions.hard > after && positions.hard <= upTo) {
            names.add(new PurgedName(name, false));
        } else if (positions.soft > positions.hard && positions.soft > after && positions.soft <= upTo) {
            names.add(new PurgedName(name, true));
        }
    }

    /** The number of names in the mirror, without coarsened ones. */
    public synchronized int nameCount() {
        return namesByAge.size();
    }

    private void purgeName(PurgedName name, long position) {
        if (name.name().equals(PurgeRegistry.ALL_ENTRIES_NAME)) {
            floorPositions = floorPositions.with(name.isSoft(), position);
            return;
        }
        PurgePositions positions = mapContaining(name.name()).merge(name.name(),
                PurgePositions.NONE.with(name.isSoft(), position), PurgePositions::merge);
        if (positions.latest() == position && namesByAge.putLast(name.name(), position) == null) {
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
        PurgePositions positions = mapContaining(name).getOrDefault(name, PurgePositions.NONE);
        if (name.startsWith(PurgeRegistry.PREFIX_NAME_MARKER)) {
            widenPrefix(name, positions);
        } else {
            if (positions.hard > 0) {
                hardTable = Optional.of(hardTable.orElseGet(PurgeHashTable::new));
                hardTable.get().put(name, positions.hard);
            }
            if (positions.soft > 0) {
                softTable = Optional.of(softTable.orElseGet(PurgeHashTable::new));
                softTable.get().put(name, positions.soft);
            }
        }
        forgetName(name);
    }

    /** Widens the prefix to its directory; to everything when it has none. */
    private void widenPrefix(String prefix, PurgePositions positions) {
        int slash = prefix.lastIndexOf('/', prefix.length() - 2);
        // The slashes before a host do not end a directory.
        if (slash < 0 || prefix.startsWith("//", slash - 1)) {
            floorPositions = floorPositions.merge(positions);
            return;
        }
        String wider = prefix.substring(0, slash + 1);
        PurgePositions merged = prefixes.merge(wider, positions, PurgePositions::merge);
        if (namesByAge.putLast(wider, merged.latest()) == null) {
            totalCharacters += wider.length();
        }
    }
}
