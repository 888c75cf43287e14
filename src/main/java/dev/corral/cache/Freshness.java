package dev.corral.cache;

import java.time.Duration;
import java.time.Instant;

/**
 * Under which terms a stored answer may be used, decided once when it was fetched, so that a hit parses nothing. Immutable.
 * A clock that goes back, or one that is behind the fetching replica's, never makes an age smaller than it was at the fetch.
 *
 * @param responseTime when the answer was received
 * @param initialAge its age then (RFC 9111 section 4.2.3)
 * @param lifetime how long it is fresh, counted from age zero (section 4.2.1)
 * @param noCache never without successful validation
 * @param mustRevalidate never stale: {@code must-revalidate}, {@code proxy-revalidate} or {@code s-maxage}
 * @param explicitlyShareable the origin said it is for anyone: {@code public} or {@code s-maxage}
 * @param immutable it will not change while it is fresh (RFC 8246)
 * @param staleWhileRevalidate how long after freshness it may be served while one refresh goes on (RFC 5861 section 3)
 * @param staleIfError how long after freshness it stands in for a 5xx (RFC 5861 section 4)
 * @param staleIfUnreachable how long after freshness it stands in for an origin that cannot be reached
 * @param responseDelay how long the fetch took
 * @param retention how long from {@code at} on it is worth keeping
 */
public record Freshness(Instant responseTime, Duration initialAge, Duration lifetime, boolean noCache,
        boolean mustRevalidate,
        boolean explicitlyShareable, boolean immutable, Duration staleWhileRevalidate, Duration staleIfError,
        Duration staleIfUnreachable, Duration responseDelay, Duration retention) {

    /**
     * Refuses nonsense.
     *
     * @throws IllegalArgumentException when a duration is negative
     */
    public Freshness {
        if (initialAge.isNegative() || lifetime.isNegative() || staleWhileRevalidate.isNegative()
                || staleIfError.isNegative() || staleIfUnreachable.isNegative() || responseDelay.isNegative()
                || retention.isNegative()) {
            throw new IllegalArgumentException("no duration of the terms may be negative");
        }
    }

    /** The answer's age (section 4.2.3). */
    public Duration age(Instant now) {
        return now.isAfter(responseTime) ? initialAge.plus(Duration.between(responseTime, now)) : initialAge;
    }

    /** For how much longer it is fresh; negative: for how long it has been stale, zero: stale from now on. */
    public Duration ttl(Instant now) {
        return lifetime.minus(age(now));
    }

    /** Whether its lifetime exceeds its age (section 4.2). Fresh is not yet usable: see {@link #noCache}. */
    public boolean isFresh(Instant now) {
        return ttl(now).isPositive();
    }

    /** Whether it is stale by no more than the window. A window of nothing holds nothing. */
    boolean isStaleWithin(Duration window, Instant now) {
        return window.isPositive() && ttl(now).plus(window).compareTo(Duration.ZERO) >= 0;
    }

    /** The same for those who wait now and for nobody later, such as when the client said {@code no-store}. */
    public Freshness forWaitersOnly() {
        return new Freshness(responseTime, initialAge, lifetime, true, true,
                explicitlyShareable || (isFresh(responseTime) && !noCache), immutable,
                Duration.ZERO,
                Duration.ZERO, Duration.ZERO, responseDelay, retention);
    }

    /** The same terms, but not fresh from that moment on; its stale windows begin there. Never lengthens the freshness. */
    public Freshness staleAsOf(Instant moment) {
        Duration ageThen = age(moment);
        return ageThen.compareTo(lifetime) >= 0
                ? this
                : new Freshness(responseTime, initialAge, ageThen, noCache, mustRevalidate, explicitlyShareable,
                        immutable, staleWhileRevalidate,
                        staleIfError, staleIfUnreachable, responseDelay, retention);
    }
}
