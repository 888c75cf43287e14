package dev.corral.http;

/**
 * What the shared tier keeps under a key. Immutable.
 *
 * <p>{@code key} is the full canonical cache key, to be compared after reading; {@code position} is the fleet's purge
 * position read before the fetch began.
 */
public sealed interface Entry permits Stored, Ailing, Varies, HitForMiss, Failure {

    /** The canonical cache key. */
    String key();

    /** The purge position before the fetch. */
    long position();

    /** The fetch that made it, as a {@code traceparent} (W3C Trace Context); empty when it was not traced. */
    String trace();

    /** The same, made by that fetch. */
    Entry traced(String fetch);
}
