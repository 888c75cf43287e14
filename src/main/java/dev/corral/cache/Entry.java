package dev.corral.cache;

/**
 * What the shared tier keeps under a key. Immutable.
 *
 * <p>{@code key} is the full canonical cache key, to be compared after reading; {@code position} is the fleet's purge
 * position read before the fetch began.
 */
public sealed interface Entry permits StoredResponse, StaleOnError, VaryMarker, HitForMiss, FailedFill {

    /** The canonical cache key. */
    String cacheKey();

    /** The purge position before the fetch. */
    long purgePosition();

    /** The fetch that made it, as a {@code traceparent} (W3C Trace Context); empty when it was not traced. */
    String traceparent();

    /** The same, made by that fetch. */
    Entry withTraceparent(String fetch);
}
