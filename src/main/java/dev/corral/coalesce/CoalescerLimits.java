package dev.corral.coalesce;

import java.time.Duration;

/**
 * The coalescer's bounds.
 *
 * @param leaseTtl             how long a leader may be silent before another takes over; renewed every third of it
 * @param pollInterval         a follower looks again after this long even if nobody rings
 * @param pollJitter           at most this is added to each poll, at random, so that replicas do not look in step
 * @param maxWaitersPerKey     waiters of one key in this replica
 * @param maxWaitersPerReplica waiters of all keys in this replica
 */
public record CoalescerLimits(Duration leaseTtl, Duration pollInterval, Duration pollJitter, int maxWaitersPerKey,
        int maxWaitersPerReplica) {

    /** A second between polls bounds the price of a lost ring; a tenth of it spreads the replicas. */
    private static final Duration DEFAULT_POLL_INTERVAL = Duration.ofSeconds(1);

    /** Rejects a lease too short to be renewed in time, and limits that let nobody in. */
    public CoalescerLimits {
        if (leaseTtl.compareTo(Duration.ofMillis(100)) < 0) {
            throw new IllegalArgumentException(
                    "corral.lease.ttl (" + leaseTtl + ") must be at least 100ms: it is renewed every "
                            + "third of it, over the network");
        }
        if (maxWaitersPerKey < 1 || maxWaitersPerReplica < maxWaitersPerKey) {
            throw new IllegalArgumentException(
                    "corral.waiters.per-key (" + maxWaitersPerKey + ") must be at least 1 and at most "
                            + "corral.waiters.per-replica (" + maxWaitersPerReplica + ")");
        }
    }

    /** The usual poll and jitter. */
    public static CoalescerLimits of(Duration lease, int perKey, int perReplica) {
        return new CoalescerLimits(lease, DEFAULT_POLL_INTERVAL, DEFAULT_POLL_INTERVAL.dividedBy(10), perKey,
                perReplica);
    }
}
