package dev.corral.coalesce;

import java.time.Duration;
import java.util.Optional;

import reactor.core.publisher.Mono;

/**
 * What one caller wants of a key. The first to ask opens the flight: its judgement and its fetch serve all who board.
 *
 * @param <K> a key
 * @param <V> a value
 */
public interface FillRequest<K, V> {

    /** The key the flight is for. */
    K key();

    /** What people call the key. */
    default String displayName() {
        return key().toString();
    }

    /**
     * Whether the value serves this caller.
     *
     * @param awaited true when it was stored after this caller had begun to wait for it
     */
    boolean isUsable(V value, boolean awaited);

    /**
     * One fetch from the origin; called at most once a flight. Bounds itself in time, and never fails for a reason it could
     * express as {@link FillResult.FillFailed}.
     *
     * @param seen     what is there now and did not serve; empty when nothing is
     * @param position the purge position, read before this call
     */
    Mono<FillResult<K, V>> fill(Optional<V> seen, long position);

    /** The flight that this opened for that key has ended, its write included: what its fill has taken may be given back. */
    default void onFlightEnd(K key) {}

    /** How long to wait for other replicas before fetching alone. */
    Duration maxWait();
}
