package dev.corral.coalesce;

import java.time.Duration;

/**
 * The coalescer's bounds.
 *
 * @param lease      how long a leader may be silent before another takes over; renewed every third of it
 * @param poll       a follower looks again after this long even if nobody rings
 * @param jitter     at most this is added to each poll, at random, so that replicas do not look in step
 * @param perKey     waiters of one key in this replica
 * @param perReplica waiters of all keys in this replica
 */
public record Timing(Duration lease, Duration poll, Duration jitter, int perKey, int perReplica) {

    /** A second between polls bounds the price of a lost ring; a tenth of it spreads the replicas. */
    private static final Duration POLL = Duration.ofSeconds(1);

    /** Rejects a lease too short to be renewed in time, and limits that let nobody in. */
    public Timing {
        if (lease.compareTo(Duration.ofMillis(100)) < 0) {
            throw new IllegalArgumentException(
                    "corral.lease.ttl (" + lease + ") must be at least 100ms: it is renewed every "
                            + "third of it, over the network");
        }
        if (perKey < 1 || perReplica < perKey) {
            throw new IllegalArgumentException("corral.waiters.per-key (" + perKey + ") must be at least 1 and at most "
                    + "corral.waiters.per-replica (" + perReplica + ")");
        }
    }

    /** The usual poll and jitter. */
    public static Timing of(Duration lease, int perKey, int perReplica) {
        return new Timing(lease, POLL, POLL.dividedBy(10), perKey, perReplica);
    }
}
