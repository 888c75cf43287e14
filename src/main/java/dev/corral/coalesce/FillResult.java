package dev.corral.coalesce;

import java.util.List;

/** The result of one fetch from the origin, and which callers may get it. */
public sealed interface FillResult<K, V> {

    /**
     * All waiters may get the value.
     *
     * @param value      the value for the waiters of this replica
     * @param writes     the values for all other replicas; one of them has the flight's own key, because that is the key the
     *              followers read
     * @param isReusable whether the value is usable for later requests, too. If not, it is emitted only after it is stored, or
     *              cannot be stored: a client that got it earlier and repeated its request at another replica would be treated
     *              there as one that had waited for it
     */
    record Shared<K, V>(V value, List<SharedTier.Write<K, V>> writes, boolean isReusable) implements FillResult<K, V> {}

    /**
     * Only the request that fetched the response may have it, and it already has it. All other callers are released, each to a
     * fetch of its own.
     *
     * @param writes the hit-for-miss marker; empty when none is to be stored
     */
    record NotShareable<K, V>(List<SharedTier.Write<K, V>> writes) implements FillResult<K, V> {}

    /** The fetch failed. All current waiters get the failure; later callers do not. */
    record FillFailed<K, V>(V failure) implements FillResult<K, V> {}
}
