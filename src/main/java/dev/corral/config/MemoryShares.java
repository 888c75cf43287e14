package dev.corral.config;

/**
 * Divides the memory of the JVM, in bytes of its maximum heap. The remaining 30 % is for Corral's own objects, for small requests,
 * and for everything that is not counted.
 *
 * @param nearCacheBytes    heap for responses kept in the near cache: 10 %
 * @param bufferedBodyBytes heap for bodies from origins, until they are stored: 25 %
 * @param encodingBytes     heap for entries that are being written to Redis: 10 %
 * @param unreadBodyBytes   heap for long bodies that are being sent to clients: 15 %
 * @param directBufferBytes direct memory for the next pieces of these bodies: 25 %
 * @param maxWaiters        requests that may wait, at {@link #BYTES_PER_WAITER} bytes each: 10 % of the heap
 */
record MemoryShares(long nearCacheBytes, long bufferedBodyBytes, long encodingBytes, long unreadBodyBytes,
        long directBufferBytes, int maxWaiters) {

    /** Bytes of heap that a request occupies while it waits for a fetch. */
    static final int BYTES_PER_WAITER = 10 * 1024;

    /** Upper limit of waiting requests: more could not be served before clients give up, whatever the heap. */
    private static final int MAX_WAITERS = 20_000;

    /**
     * @param heap   maximum heap, in bytes
     * @param direct maximum direct memory, in bytes
     */
    static MemoryShares of(long heap, long direct) {
        return new MemoryShares(heap / 10, heap / 4, heap / 10, heap * 15 / 100, direct / 4,
                (int) Math.min(MAX_WAITERS, heap / 10 / BYTES_PER_WAITER));
    }

    /** The shares of this JVM. By default direct memory may be as large as the heap; a larger limit is not used. */
    static MemoryShares ofThisJvm() {
        long heap = Runtime.getRuntime().maxMemory();
        return of(heap, Math.min(heap, io.netty.util.internal.PlatformDependent.maxDirectMemory()));
    }
}
