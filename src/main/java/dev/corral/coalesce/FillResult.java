package dev.corral.coalesce;

import java.util.List;

/** What one fetch from the origin gave, and who may have it. */
public sealed interface FillResult<K, V> {

    /**
     * Everybody who waits may have it.
     *
     * @param value  for the waiters of this replica
     * @param writes for all others; the one under the flight's own key must be among them, for they look there
     * @param isReusable whether it serves later requests too. Else nobody is told before it is stored, or cannot be: whoever had
     *               heard of it and asked again elsewhere would be taken for one who had waited
     */
    record Shared<K, V>(V value, List<SharedTier.Write<K, V>> writes, boolean isReusable) implements FillResult<K, V> {}

    /**
     * Exactly the request that fetched it may have it, and has it by now; everybody else is released, each to a fetch of its
     * own.
     *
     * @param writes the hit-for-miss marker; empty when none is to be left
     */
    record NotShareable<K, V>(List<SharedTier.Write<K, V>> writes) implements FillResult<K, V> {}

    /** The fetch failed; everybody who waits is told, and nobody later. */
    record FillFailed<K, V>(V failure) implements FillResult<K, V> {}
}
