package dev.corral.proxy;

import dev.corral.cache.StoredResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.function.Supplier;

/**
 * Limits how long a replica that is cut off from Redis, and so does not receive purges, may serve a stored response. Thread-safe.
 *
 * <p>A purge that this replica has not received was made after the replica last had all purges of the fleet. A purge that was made
 * before the origin last confirmed the response does not affect the response. So a response may be served for {@code maxIsolation}
 * after the later of these two times. Then the origin must confirm or replace it.
 *
 * @param maxIsolation {@code corral.purge.max-isolation}
 * @param purgeLag     the time since this replica last had all purges of the fleet
 */
public record IsolationLimit(Duration maxIsolation, Supplier<Duration> purgeLag) {

    /** Whether the response may be served without contacting the origin. */
    boolean mayServe(StoredResponse stored, Instant now) {
        // Counted from the sending of the request: the confirmation does not cover purges made after that.
        Instant confirmed = stored.freshness().responseTime().minus(stored.freshness().responseDelay());
        return mayServe(purgeLag.get(), Duration.between(confirmed, now), maxIsolation);
    }

    /** @param sinceConfirmed negative if the clock went backwards */
    static boolean mayServe(Duration lag, Duration sinceConfirmed, Duration limit) {
        return lag.compareTo(limit) <= 0 || sinceConfirmed.abs().compareTo(limit) <= 0;
    }
}
