package dev.corral.coalesce;

import java.time.Duration;
import java.util.Optional;

import reactor.core.publisher.Mono;

/**
 * A caller's request for the value of a key. The first caller starts the flight: its {@link #isUsable} and its {@link #fill}
 * are used for every caller that joins.
 *
 * @param <K> a key
 * @param <V> a value
 */
public interface FillRequest<K, V> {

    /** The key of the flight. */
    K key();

    /** The key in a form for people. */
    default String displayName() {
        return key().toString();
    }

    /**
     * Whether the value is usable for this caller.
     *
     * @param isNew true when the value was stored after this caller had begun to wait
     */
    boolean isUsable(V value, boolean isNew);

    /**
     * Fetches once from the origin; called at most once per flight. Has a time limit of its own, and never errors for a reason
     * that {@link FillResult.FillFailed} can express.
     *
     * @param current  the stored value, which is not usable; empty when the key is absent
     * @param position the purge position, read before this call; microseconds
     */
    Mono<FillResult<K, V>> fill(Optional<V> current, long position);

    /**
     * Called when the flight that this request started for the key has ended, including its write: resources held by the fill
     * may be released.
     */
    default void onFlightEnd(K key) {}

    /** The maximum wait for other replicas, after which the flight fills without a lease. */
    Duration maxWait();
}
