package dev.corral.proxy;

import dev.corral.cache.StoredResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.function.Supplier;

/**
 * How long a stored response may be served by a replica that is cut off from Redis and so does not hear of purges. Thread-safe.
 *
 * <p>A purge that this replica has not heard of is later than the last time it was in step with the fleet. A response that the
 * origin has confirmed since cannot have been purged before that. So a response may be served for {@code limit} after the later
 * of the two; then the origin confirms it again, or replaces it.
 *
 * @param maxIsolation {@code corral.purge.max-isolation}
 * @param purgeLag     how long ago this replica was last in step with the fleet's purges
 */
public record IsolationLimit(Duration maxIsolation, Supplier<Duration> purgeLag) {

    /** Whether the response may be served without asking the origin. */
    boolean mayServe(StoredResponse stored, Instant now) {
        // From when the request was sent: what was purged after that is not known to be confirmed.
        Instant confirmed = stored.freshness().responseTime().minus(stored.freshness().responseDelay());
        return mayServe(purgeLag.get(), Duration.between(confirmed, now), maxIsolation);
    }

    /** @param sinceConfirmed negative when the clock has gone back */
    static boolean mayServe(Duration lag, Duration sinceConfirmed, Duration limit) {
        return lag.compareTo(limit) <= 0 || sinceConfirmed.abs().compareTo(limit) <= 0;
    }
}
