package dev.corral.edge;

import dev.corral.coalesce.ByteBudget;
import dev.corral.http.Body;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.LongPredicate;

/** What responses on their way may take of this process's memory, in bytes. Thread-safe. */
public final class Memory {

    /** Compared as an object: two responses that are equal are two in memory. */
    private record Held(Body body) {

        @Override
        @SuppressWarnings("ReferenceEquality") // that is what it is for
        public boolean equals(Object other) {
            return other instanceof Held held && held.body == body;
        }

        @Override
        public int hashCode() {
            return System.identityHashCode(body);
        }
    }

    private final ByteBudget collecting;
    private final ByteBudget unread;
    private final ByteBudget buffers;
    private final ConcurrentMap<Held, Integer> readers = new ConcurrentHashMap<>();

    /**
     * @param collecting bodies from the origin, until they are stored
     * @param unread     long bodies that are being sent, each counted once however many clients read it
     * @param buffers    copies of their next pieces, for each client
     */
    public Memory(ByteBudget collecting, ByteBudget unread, ByteBudget buffers) {
        this.collecting = collecting;
        this.unread = unread;
        this.buffers = buffers;
    }

    /** What one fetch collects. */
    final class Collected implements LongPredicate, AutoCloseable {

        private long taken; // with over guarded by this
        private boolean over;

        /** Takes that many bytes, or says that there are none. */
        @Override
        public synchronized boolean test(long bytes) {
            if (bytes == 0) {
                return true;
            }
            if (over || !collecting.tryTake(bytes)) {
                return false;
            }
            taken += bytes;
            return true;
        }

        /** Gives all back. */
        @Override
        public synchronized void close() {
            if (!over) {
                over = true;
                collecting.release(taken);
            }
        }
    }

    /** Bytes in use now, of all three. */
    public long used() {
        return collecting.used() + unread.used() + buffers.used();
    }

    /** For one fetch; to be closed when what it brought is stored or given up. */
    Collected collected() {
        return new Collected();
    }

    /**
     * For one client that is sent this body.
     *
     * @param pieces bytes of it that wait for the client
     * @return gives it back; empty when there is no room
     */
    Optional<Runnable> unread(Body body, long pieces) {
        if (!buffers.tryTake(pieces)) {
            return Optional.empty();
        }
        var key = new Held(body);
        // In one step: a refusal leaves nothing that another client could take for bytes that are counted.
        Integer count = readers.compute(key, (same, before) -> {
            if (before != null) {
                return before + 1;
            }
            return unread.tryTake(body.length()) ? 1 : null;
        });
        if (count == null) {
            buffers.release(pieces);
            return Optional.empty();
        }
        return Optional.of(() -> {
            buffers.release(pieces);
            readers.computeIfPresent(key, (same, before) -> {
                if (before > 1) {
                    return before - 1;
                }
                unread.release(body.length());
                return null;
            });
        });
    }
}
