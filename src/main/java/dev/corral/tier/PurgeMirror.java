package dev.corral.tier;

import dev.corral.coalesce.Purges;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * The fleet's purges in this replica's memory: the last position of each name, and a floor below which everything is purged.
 * Reading is free of locks. Thread-safe.
 *
 * <p>Bounded: names are forgotten when no entry can be as old as their purge, and beyond {@code limit} names the oldest raise the
 * floor, which purges too much and never too little.
 */
final class PurgeMirror {

    private record Named(String name, long position) {}

    private final long keep;
    private final int limit;
    private final Map<String, Long> last = new ConcurrentHashMap<>();
    private final Deque<Named> order = new ArrayDeque<>(); // guarded by this; by position, a name as often as it was purged
    private volatile long position;
    private volatile long floor;

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

    boolean purged(List<String> names, long since) {
        // Nearly always: nothing at all has been purged since the entry was filled.
        if (since >= position) {
            return false;
        }
        return since < floor || names.stream().anyMatch(name -> last.getOrDefault(name, 0L) > since);
    }

    /** A purge of these names. Repeating it is harmless. */
    synchronized void purge(List<String> names, long at) {
        names.forEach(name -> purge(name, at));
        // Last: who sees the position sees the names.
        position = Math.max(position, at);
        trim();
    }

    /** Everything before this position is purged. */
    synchronized void raise(long at) {
        floor = Math.max(floor, at);
        position = Math.max(position, at);
    }

    /** What was last purged after the one position and not after the other. */
    synchronized List<String> between(long after, long upTo) {
        Stream<String> everything = floor > after && floor <= upTo ? Stream.of(Purges.EVERYTHING) : Stream.empty();
        Stream<String> names = last.entrySet()
                .stream()
                .filter(entry -> entry.getValue() > after && entry.getValue() <= upTo)
                .map(Map.Entry::getKey);
        return Stream.concat(everything, names).toList();
    }

    /** Names remembered. */
    int size() {
        return last.size();
    }

    private void purge(String name, long at) {
        if (name.equals(Purges.EVERYTHING)) {
            floor = Math.max(floor, at);
        } else if (last.getOrDefault(name, 0L) < at) {
            last.put(name, at);
            order.addLast(new Named(name, at));
        }
    }

    private void trim() {
        while (!order.isEmpty() && order.getFirst().position() < position - keep) {
            forget(order.removeFirst());
        }
        while (last.size() > limit) {
            Named oldest = order.removeFirst();
            if (forget(oldest)) {
                floor = Math.max(floor, oldest.position());
            }
        }
    }

    /** True unless the name has been purged again later. */
    private boolean forget(Named oldest) {
        return last.remove(oldest.name(), oldest.position());
    }
}
