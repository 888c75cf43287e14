package dev.corral.proxy;

import dev.corral.http.Body;
import dev.corral.memory.ByteBudget;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.LongPredicate;

/** What responses on their way may take of this process's memory, in bytes. Thread-safe. */
public final class ResponseMemory {

    /** Compared as an object: two responses that are equal are two in memory. */
    private record BodyIdentity(Body body) {

        @Override
        @SuppressWarnings("ReferenceEquality") // that is what it is for
        public boolean equals(Object other) {
            return other instanceof BodyIdentity held && held.body == body;
        }

        @Override
        public int hashCode() {
            return System.identityHashCode(body);
        }
    }

    private final ByteBudget bufferedBodies;
    private final ByteBudget unreadBodies;
    private final ByteBudget directBuffers;
    private final ConcurrentMap<BodyIdentity, Integer> readerCounts = new ConcurrentHashMap<>();

    /**
     * @param collecting bodies from the origin, until they are stored
     * @param unread     long bodies that are being sent, each counted once however many clients read it
     * @param buffers    copies of their next pieces, for each client
     */
    public ResponseMemory(ByteBudget collecting, ByteBudget unread, ByteBudget buffers) {
        this.bufferedBodies = collecting;
        this.unreadBodies = unread;
        this.directBuffers = buffers;
    }

    /** What one fetch collects. */
    final class FetchMemory implements LongPredicate, AutoCloseable {

        private long reservedBytes; // with over guarded by this
        private boolean isClosed;

        /** Takes that many bytes, or says that there are none. */
        @Override
        public synchronized boolean test(long bytes) {
            if (bytes == 0) {
                return true;
            }
            if (isClosed || !bufferedBodies.tryReserve(bytes)) {
                return false;
            }
            reservedBytes += bytes;
            return true;
        }

        /** Gives all back. */
        @Override
        public synchronized void close() {
            if (!isClosed) {
                isClosed = true;
                bufferedBodies.release(reservedBytes);
            }
        }
    }

    /** Bytes in use now, of all three. */
    public long usedBytes() {
        return bufferedBodies.usedBytes() + unreadBodies.usedBytes() + directBuffers.usedBytes();
    }

    /** For one fetch; to be closed when what it brought is stored or given up. */
    FetchMemory newFetchMemory() {
        return new FetchMemory();
    }

    /**
     * For one client that is sent this body.
     *
     * @param pieces bytes of it that wait for the client
     * @return gives it back; empty when there is no room
     */
    Optional<Runnable> tryReserveBody(Body body, long pieces) {
        if (!directBuffers.tryReserve(pieces)) {
            return Optional.empty();
        }
        var key = new BodyIdentity(body);
        // In one step: a refusal leaves nothing that another client could take for bytes that are counted.
        Integer count = readerCounts.compute(key, (same, before) -> {
            if (before != null) {
                return before + 1;
            }
            return unreadBodies.tryReserve(body.length()) ? 1 : null;
        });
        if (count == null) {
            directBuffers.release(pieces);
            return Optional.empty();
        }
        return Optional.of(() -> {
            directBuffers.release(pieces);
            readerCounts.computeIfPresent(key, (same, before) -> {
                if (before > 1) {
                    return before - 1;
                }
                unreadBodies.release(body.length());
                return null;
            });
        });
    }
}
