package dev.corral.coalesce;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

import reactor.core.publisher.Mono;

/**
 * The storage that all replicas share: values, and the leases that allow a replica to fill them. The tier is authoritative; a
 * {@link FillNotification} is only a hint.
 *
 * <p>No method waits for another replica, and nothing is written without a lease. A method waits for a slow tier: its callers
 * limit the wait and cancel. Every method errors with {@link TierUnavailableException} as soon as the tier is known to be
 * unavailable, and with no other error. Thread-safe.
 *
 * @param <K> a key; all keys of one {@link #publish} belong to the same resource
 * @param <V> a value
 */
public interface SharedTier<K, V> {

    /**
     * A value and the version that its write gave it.
     *
     * @param version      unique for each write, so that two reads can be compared for a change
     * @param isFromMemory true when the value comes from the memory of this process. The tier may already have had another
     *              value for a while, so a different version does not mean a change since the read
     */
    record Versioned<V>(V value, String version, boolean isFromMemory) {

        /** A value that was read from the tier. */
        public Versioned(V value, String version) {
            this(value, version, false);
        }

        /** The same value and version, marked as read from memory. */
        public Versioned<V> asFromMemory() {
            return new Versioned<>(value, version, true);
        }
    }

    /**
     * The right to fill {@code key}. The next holder of the lease fences this one out.
     *
     * @param holder unique for each lease, for all time
     */
    record Lease<K>(K key, String holder) {}

    /**
     * A value to store.
     *
     * @param ttl how long to keep the value; at least one millisecond
     */
    record Write<K, V>(K key, V value, Duration ttl) {}

    /** The result of {@link #tryLead}. */
    sealed interface LeaseAttempt<K> {

        /** The caller is the leader until the lease expires. */
        record Acquired<K>(Lease<K> lease) implements LeaseAttempt<K> {}

        /**
         * Another flight holds the lease.
         *
         * @param observedAt the tier's time of this reply, for {@link #follow}; opaque
         */
        record HeldByOther<K>(long observedAt) implements LeaseAttempt<K> {}
    }

    /**
     * The state that a leader reads before it fills: the second read of the value, and the purge position, both before the
     * request to the origin.
     *
     * @param current       the stored value; empty when the key is absent, or its format is unknown to this process
     * @param version       the version of the stored value, readable or not; empty when the key is absent
     * @param purgePosition the fleet's last purge position; microseconds
     * @param isLeaseHeld   whether the tier has the lease; if not, it has expired, or locks and values are on different servers
     */
    record LeaderSnapshot<V>(Optional<Versioned<V>> current, Optional<String> version, long purgePosition,
            boolean isLeaseHeld) {}

    /** The result of {@link #follow}. */
    sealed interface FollowResult<V> {

        /** The stored value differs from the one read before. */
        record Changed<V>(Versioned<V> current) implements FollowResult<V> {}

        /** The leader's fill has failed after the wait began. */
        record LeaderFailed<V>(V failure) implements FollowResult<V> {}

        /** No flight holds the lease. */
        record Unlocked<V>() implements FollowResult<V> {}

        /**
         * Another flight holds the lease, and this replica is registered for a notification. The lease expires after {@code
         * remainingTtl} unless it is renewed.
         */
        record Locked<V>(Duration remainingTtl) implements FollowResult<V> {}
    }

    /** The result of {@link #publish}. */
    enum PublishResult {
        /** All values are stored, the lease is released, the waiting replicas are notified. */
        STORED,
        /** The lease had been lost, or the stored value is not the one of the leader's snapshot: nothing was written. */
        FENCED,
        /**
         * The tier is out of memory: nothing was stored, the lease is released, the waiting replicas got {@link
         * FillNotification#NOT_SHAREABLE}.
         */
        OUT_OF_MEMORY
    }

    /** A message to the replicas that wait for a key. */
    enum FillNotification {
        /** The state of the key has changed: read it again. */
        STATE_CHANGED,
        /** Stop waiting: each request fetches for itself. */
        NOT_SHAREABLE
    }

    /** A subscription to the notifications of one key, active from its creation. Must be closed. */
    interface FillSubscription extends AutoCloseable {

        /** The first notification since the creation; never completes without one. */
        Mono<FillNotification> notification();

        @Override
        void close();
    }

    /** The value of the key; empty when the key is absent. */
    Mono<Versioned<V>> find(K key);

    /** The value of the key, as {@link #find(Object)}, without reading the whole value again if it is still the known one. */
    default Mono<Versioned<V>> find(K key, Versioned<V> known) {
        return find(key);
    }

    /**
     * Takes the lease of the key if it is free. The lease expires after {@code ttl}, released or not. An attempt that is
     * cancelled or errors may have been granted; the tier then releases the lease by itself.
     */
    Mono<LeaseAttempt<K>> tryLead(K key, Duration ttl);

    /** Reads the value again, the purge position no later than the value, and whether the lease is held. */
    Mono<LeaderSnapshot<V>> snapshot(Lease<K> lease);

    /** Extends the lease to {@code ttl} from now; false when the lease is lost. */
    Mono<Boolean> renew(Lease<K> lease, Duration ttl);

    /**
     * Stores the values, releases the lease and notifies the waiting replicas: all of it if the lease is still held and the key
     * still has the version of the snapshot, nothing otherwise. Repeating it is harmless, however late: an attempt that arrives
     * a second time may hold the lease again, but by then the key has another version.
     *
     * @param expectedVersion the version from {@link LeaderSnapshot}; a value that has expired since then does not matter
     */
    Mono<PublishResult> publish(Lease<K> lease, Optional<String> expectedVersion, List<Write<K, V>> writes);

    /** Releases the lease without a value and notifies the waiting replicas; no effect when the lease is lost. */
    Mono<Void> release(Lease<K> lease, FillNotification notification);

    /**
     * Releases the lease and passes the failure to the current waiters, never to later ones; no effect when the lease is lost.
     */
    Mono<Void> publishFailure(Lease<K> lease, V failure);

    /**
     * Compares the state of the key with the known one, and registers this replica for a notification if nothing has changed.
     * This is one atomic step, so that no change is missed in between.
     *
     * @param version    the version read before; empty when the key was absent
     * @param observedAt from {@link LeaseAttempt.HeldByOther}
     */
    Mono<FollowResult<V>> follow(K key, Optional<String> version, long observedAt);

    /** Subscribes to the notifications of the key. Must be called before {@link #follow}. */
    FillSubscription subscribe(K key);

    /** Keeps a value that could not be published, for this replica only. A tier without local memory ignores it. */
    default void keepLocally(Write<K, V> write) {}
}
