package dev.corral.config;

/**
 * How the memory of this process is shared out: in bytes, by what the JVM may have at most. What is not given away, three tenths of
 * the heap, is for Corral itself, for requests that are small, and for what none of these counts.
 *
 * @param nearCacheBytes    responses kept in this process
 * @param bufferedBodyBytes bodies that come from origins, until they are stored
 * @param encodingBytes     entries that are being written to Redis
 * @param unreadBodyBytes   long bodies that are being sent to clients
 * @param directBufferBytes of direct memory: their next pieces
 * @param maxWaiters        how many requests may wait, at {@link #BYTES_PER_WAITER} bytes each
 */
record MemoryShares(long nearCacheBytes, long bufferedBodyBytes, long encodingBytes, long unreadBodyBytes,
        long directBufferBytes, int maxWaiters) {

    /** Bytes of heap that a request costs while it waits for a fetch. */
    static final int BYTES_PER_WAITER = 10 * 1024;

    /** Requests that wait; more would not be served in the time that anybody waits, whatever the heap. */
    private static final int MAX_WAITERS = 20_000;

    /**
     * @param heap   the most the heap may have, in bytes
     * @param direct the same for direct memory
     */
    static MemoryShares of(long heap, long direct) {
        return new MemoryShares(heap / 10, heap / 4, heap / 10, heap * 15 / 100, direct / 4,
                (int) Math.min(MAX_WAITERS, heap / 10 / BYTES_PER_WAITER));
    }

    /** Of this JVM. Direct memory may have as much as the heap unless a flag says otherwise, and here never more. */
    static MemoryShares ofThisJvm() {
        long heap = Runtime.getRuntime().maxMemory();
        return of(heap, Math.min(heap, io.netty.util.internal.PlatformDependent.maxDirectMemory()));
    }
}
