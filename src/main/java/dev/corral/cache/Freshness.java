package dev.corral.cache;

import java.time.Duration;
import java.time.Instant;

/**
 * The freshness and the stale windows of a stored response. Computed once when the response is received, so that a hit parses
 * nothing. Immutable.
 *
 * <p>If the clock goes back, or is behind the clock of the replica that fetched the response, the age is never smaller than
 * {@code initialAge}.
 *
 * @param responseTime when the response was received
 * @param initialAge the age at that time (RFC 9111 section 4.2.3)
 * @param lifetime the freshness lifetime, counted from age zero (section 4.2.1)
 * @param noCache whether every use requires a successful validation
 * @param mustRevalidate whether stale use is forbidden: {@code must-revalidate}, {@code proxy-revalidate} or {@code s-maxage}
 * @param explicitlyShareable whether the origin permits use for any client: {@code public} or {@code s-maxage}
 * @param immutable whether the response does not change while it is fresh (RFC 8246)
 * @param staleWhileRevalidate how long after expiry the response may be served during a background refresh (RFC 5861 section 3)
 * @param staleIfError how long after expiry the response may replace a 5xx (RFC 5861 section 4)
 * @param staleIfUnreachable how long after expiry the response may be served if the origin is unreachable
 * @param responseDelay the duration of the fetch
 * @param retention how long after {@code responseTime} the response is worth storing
 */
public record Freshness(Instant responseTime, Duration initialAge, Duration lifetime, boolean noCache,
        boolean mustRevalidate,
        boolean explicitlyShareable, boolean immutable, Duration staleWhileRevalidate, Duration staleIfError,
        Duration staleIfUnreachable, Duration responseDelay, Duration retention) {

    /**
     * Checks the durations.
     *
     * @throws IllegalArgumentException if a duration is negative
     */
    public Freshness {
        if (initialAge.isNegative() || lifetime.isNegative() || staleWhileRevalidate.isNegative()
                || staleIfError.isNegative() || staleIfUnreachable.isNegative() || responseDelay.isNegative()
                || retention.isNegative()) {
            throw new IllegalArgumentException("durations must not be negative");
        }
    }

    /** The current age (section 4.2.3). */
    public Duration age(Instant now) {
        return now.isAfter(responseTime) ? initialAge.plus(Duration.between(responseTime, now)) : initialAge;
    }

    /** The remaining freshness lifetime. Zero or negative means stale, for that long. */
    public Duration ttl(Instant now) {
        return lifetime.minus(age(now));
    }

    /** Whether the lifetime exceeds the age (section 4.2). A fresh response may still be unusable: see {@link #noCache}. */
    public boolean isFresh(Instant now) {
        return ttl(now).isPositive();
    }

    /** Whether the response is fresh or at most {@code window} past its expiry. A window of zero never matches. */
    boolean isStaleWithin(Duration window, Instant now) {
        return window.isPositive() && ttl(now).plus(window).compareTo(Duration.ZERO) >= 0;
    }

    /** A copy that only the currently waiting requests may use, for example because the client sent {@code no-store}. */
    public Freshness forWaitersOnly() {
        return new Freshness(responseTime, initialAge, lifetime, true, true,
                explicitlyShareable || (isFresh(responseTime) && !noCache), immutable,
                Duration.ZERO,
                Duration.ZERO, Duration.ZERO, responseDelay, retention);
    }

    /** A copy that expires at this instant, where its stale windows begin. Never extends the freshness. */
    public Freshness staleAsOf(Instant instant) {
        Duration ageAtInstant = age(instant);
        return ageAtInstant.compareTo(lifetime) >= 0
                ? this
                : new Freshness(responseTime, initialAge, ageAtInstant, noCache, mustRevalidate, explicitlyShareable,
                        immutable, staleWhileRevalidate,
                        staleIfError, staleIfUnreachable, responseDelay, retention);
    }
}
