package dev.corral.cache;

/**
 * The value that the shared tier stores under a key. Immutable.
 *
 * <p>The shared tier's own key is a hash. Each entry therefore contains the full canonical cache key, which readers compare. The purge
 * position decides whether a purge that is newer than the fetch applies to the entry.
 */
public sealed interface Entry permits StoredResponse, StaleOnError, VaryMarker, HitForMiss, FailedFill {

    /** The full canonical cache key. */
    String cacheKey();

    /** The fleet's purge position, read before the fetch began. */
    long purgePosition();

    /** The {@code traceparent} (W3C Trace Context) of the fetch that created the entry; empty if it was not traced. */
    String traceparent();

    /** A copy with this {@code traceparent}. */
    Entry withTraceparent(String traceparent);
}
