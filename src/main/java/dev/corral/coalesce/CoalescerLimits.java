package dev.corral.coalesce;

import java.time.Duration;

/**
 * The time limits and waiter limits of the coalescer.
 *
 * @param leaseTtl             the time without a renewal after which another replica takes over from a leader; renewed every
 *              third of it
 * @param pollInterval         the time after which a follower reads the tier again without a notification
 * @param pollJitter           the maximum of a random time added to each poll, so that the replicas do not poll at the same
 *              moment
 * @param maxWaitersPerKey     waiters of one key in this replica
 * @param maxWaitersPerReplica waiters of all keys in this replica
 */
public record CoalescerLimits(Duration leaseTtl, Duration pollInterval, Duration pollJitter, int maxWaitersPerKey,
        int maxWaitersPerReplica) {

    /** One second limits the delay caused by a lost notification; a tenth of it spreads the replicas. */
    private static final Duration DEFAULT_POLL_INTERVAL = Duration.ofSeconds(1);

    /** Rejects a lease that is too short to be renewed in time, and limits that admit no waiter. */
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

    /** Limits with the default poll interval and jitter. */
    public static CoalescerLimits of(Duration leaseTtl, int maxWaitersPerKey, int maxWaitersPerReplica) {
        return new CoalescerLimits(leaseTtl, DEFAULT_POLL_INTERVAL, DEFAULT_POLL_INTERVAL.dividedBy(10),
                maxWaitersPerKey,
                maxWaitersPerReplica);
    }
}
