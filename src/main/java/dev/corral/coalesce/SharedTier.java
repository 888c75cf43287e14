package dev.corral.coalesce;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

import reactor.core.publisher.Mono;

/**
 * What all replicas share: values, and the right to fill them. The tier is the truth; a {@link FillNotification} is only a hint.
 *
 * <p>No method waits for another replica, and nothing is written without a lease in hand. A slow tier is waited for: its callers
 * bound the wait and cancel. Every method errors with {@link TierUnavailableException} as soon as the tier is known not to serve, and with
 * nothing else. Thread-safe.
 *
 * @param <K> a key; all keys of one {@link #publish} belong to the same resource
 * @param <V> a value
 */
public interface SharedTier<K, V> {

    /**
     * A value and the write that made it.
     *
     * @param version      unique for each write, so that "changed since I looked" is a comparison
     * @param isFromMemory true when it comes from this process's memory: the tier may have had another one for a while, and
     *                   "changed since I looked" would be said of what was there before
     */
    record Versioned<V>(V value, String version, boolean isFromMemory) {

        /** As the tier has it. */
        public Versioned(V value, String version) {
            this(value, version, false);
        }

        /** The same, from memory. */
        public Versioned<V> asFromMemory() {
            return new Versioned<>(value, version, true);
        }
    }

    /**
     * The right to fill {@code key}. Whoever takes it next fences this one out.
     *
     * @param holder unique for each lease ever given
     */
    record Lease<K>(K key, String holder) {}

    /**
     * A value to store.
     *
     * @param ttl how long to keep it; at least a millisecond
     */
    record Write<K, V>(K key, V value, Duration ttl) {}

    /** The answer to {@link #tryLead}. */
    sealed interface LeaseAttempt<K> {

        /** The caller leads until the lease lapses. */
        record Acquired<K>(Lease<K> lease) implements LeaseAttempt<K> {}

        /**
         * Somebody else leads.
         *
         * @param observedAt the tier's own time of this answer, for {@link #follow}; opaque
         */
        record HeldByOther<K>(long observedAt) implements LeaseAttempt<K> {}
    }

    /**
     * What a leader stands on when it starts to fill: the second look, and the purge position read before the origin is asked.
     *
     * @param current    empty when the key is absent
     * @param version of what is there, whether this process can read it or not; empty when the key is absent
     * @param isLeaseHeld whether the tier has the lease: if not, it has lapsed, or the lock is elsewhere than the values
     */
    record LeaderSnapshot<V>(Optional<Versioned<V>> current, Optional<String> version, long purgePosition,
            boolean isLeaseHeld) {}

    /** The answer to {@link #follow}. */
    sealed interface FollowResult<V> {

        /** Another value is there than the one seen before. */
        record Changed<V>(Versioned<V> current) implements FollowResult<V> {}

        /** The fill that was awaited has failed, after the wait began. */
        record LeaderFailed<V>(V failure) implements FollowResult<V> {}

        /** Nobody leads. */
        record Unlocked<V>() implements FollowResult<V> {}

        /** Somebody leads and this replica will be rung; the lease lapses after {@code left} unless renewed. */
        record Locked<V>(Duration remainingTtl) implements FollowResult<V> {}
    }

    /** What became of a {@link #publish}. */
    enum PublishResult {
        /** All values are stored, the lease is gone, the waiting replicas are rung. */
        STORED,
        /** The lease had been lost, or another value is there than the leader stood on: nothing was written. */
        FENCED,
        /** The tier has no room: nothing was stored, the lease is gone, the waiting replicas are {@link FillNotification#NOT_SHAREABLE}. */
        OUT_OF_MEMORY
    }

    /** What a waiting replica is told about a key. */
    enum FillNotification {
        /** Look again. */
        STATE_CHANGED,
        /** Do not wait any more: each request is on its own. */
        NOT_SHAREABLE
    }

    /** An ear for one key, open from its creation. To be closed. */
    interface FillSubscription extends AutoCloseable {

        /** The first ring since the creation; never completes without one. */
        Mono<FillNotification> notification();

        @Override
        void close();
    }

    /** The value of the key; empty when absent. */
    Mono<Versioned<V>> find(K key);

    /** As {@link #find(Object)}, without reading again what is still the same. */
    default Mono<Versioned<V>> find(K key, Versioned<V> known) {
        return find(key);
    }

    /**
     * Takes the lease of the key if nobody has it. It lapses after {@code ttl}, released or not. An attempt that is cancelled or
     * errors may have been granted nevertheless; the tier then gives the lease back by itself.
     */
    Mono<LeaseAttempt<K>> tryLead(K key, Duration ttl);

    /** Looks again, reads the purge position no later than that, and whether the lease is held. */
    Mono<LeaderSnapshot<V>> snapshot(Lease<K> lease);

    /** Extends the lease to {@code ttl} from now; false when it is lost. */
    Mono<Boolean> renew(Lease<K> lease, Duration ttl);

    /**
     * Stores the values, gives the lease back and rings: all of it if the lease is still held and the key still has the value the
     * leader stood on, else nothing. Repeating it is harmless, however late: an attempt that arrives a second time may hold the
     * lease again, but by then another value is there.
     *
     * @param stoodOn the version from {@link LeaderSnapshot}; what has lapsed since then does not matter
     */
    Mono<PublishResult> publish(Lease<K> lease, Optional<String> stoodOn, List<Write<K, V>> writes);

    /** Gives the lease back without a value and rings; no effect once lost. */
    Mono<Void> release(Lease<K> lease, FillNotification ring);

    /** Gives the lease back and hands the failure to whoever waits now, and to nobody later; no effect once lost. */
    Mono<Void> publishFailure(Lease<K> lease, V failure);

    /**
     * Compares, and if there is nothing to tell registers this replica to be rung: one step, so that nothing is missed between.
     *
     * @param version what was seen before; empty when the key was absent
     * @param since   from {@link LeaseAttempt.HeldByOther}
     */
    Mono<FollowResult<V>> follow(K key, Optional<String> version, long since);

    /** Opens an ear for the key. To be called before {@link #follow}. */
    FillSubscription subscribe(K key);

    /** Remembers a value that could not be published, for this replica only. A tier without room of its own ignores it. */
    default void keepLocally(Write<K, V> write) {}
}
