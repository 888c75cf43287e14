package dev.corral.proxy;

import dev.corral.http.Body;
import dev.corral.memory.ByteBudget;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.LongPredicate;

/** Limits the memory of this process that responses in transit use, in bytes. Thread-safe. */
public final class ResponseMemory {

    /** Compares bodies by identity, because two equal bodies use memory twice. */
    private record BodyIdentity(Body body) {

        @Override
        @SuppressWarnings("ReferenceEquality") // compares by identity on purpose
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
     * @param bufferedBodies bodies that are being received from the origin, until they are stored
     * @param unreadBodies   long bodies that are being sent; each is counted once, however many clients read it
     * @param directBuffers  copies of the next pieces of these bodies, per client
     */
    public ResponseMemory(ByteBudget bufferedBodies, ByteBudget unreadBodies, ByteBudget directBuffers) {
        this.bufferedBodies = bufferedBodies;
        this.unreadBodies = unreadBodies;
        this.directBuffers = directBuffers;
    }

    /** The memory that one fetch reserves for the body it receives. */
    final class FetchMemory implements LongPredicate, AutoCloseable {

        private long reservedBytes; // guarded by this, like isClosed
        private boolean isClosed;

        /** Reserves this many bytes. Returns false if they are not available. */
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

        /** Releases all reserved bytes. */
        @Override
        public synchronized void close() {
            if (!isClosed) {
                isClosed = true;
                bufferedBodies.release(reservedBytes);
            }
        }
    }

    /** The bytes in use now, summed over all three budgets. */
    public long usedBytes() {
        return bufferedBodies.usedBytes() + unreadBodies.usedBytes() + directBuffers.usedBytes();
    }

    /** The memory of one fetch. Close it when the response is stored or discarded. */
    FetchMemory newFetchMemory() {
        return new FetchMemory();
    }

    /**
     * Reserves memory for sending this body to one client.
     *
     * @param queuedBytes the bytes of the body that are queued for the client
     * @return an action that releases the memory; empty if the memory is not available
     */
    Optional<Runnable> tryReserveBody(Body body, long queuedBytes) {
        if (!directBuffers.tryReserve(queuedBytes)) {
            return Optional.empty();
        }
        var key = new BodyIdentity(body);
        // In one atomic step: after a rejection, no other client may find a count for bytes that are not reserved.
        Integer count = readerCounts.compute(key, (identity, readers) -> {
            if (readers != null) {
                return readers + 1;
            }
            return unreadBodies.tryReserve(body.length()) ? 1 : null;
        });
        if (count == null) {
            directBuffers.release(queuedBytes);
            return Optional.empty();
        }
        return Optional.of(() -> {
            directBuffers.release(queuedBytes);
            readerCounts.computeIfPresent(key, (identity, readers) -> {
                if (readers > 1) {
                    return readers - 1;
                }
                unreadBodies.release(body.length());
                return null;
            });
        });
    }
}
