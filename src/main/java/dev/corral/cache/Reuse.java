package dev.corral.cache;

import dev.corral.http.CacheControl;
import dev.corral.http.RequestHead;
import java.time.Duration;
import java.time.Instant;

/**
 * Whether a stored response may be used for a request (RFC 9111 section 4). The caller has already checked cache key, variant and
 * purges.
 *
 * <p>{@link #decide} is for a request that finds the response in the cache. {@link #maySatisfyWaiter} is for a request that was
 * waiting while the response was fetched, and {@link #mayServeOnFailure} for a request whose fetch has failed. All are pure functions.
 */
public sealed interface Reuse {

    /** The response may be used without contacting the origin. */
    record Serve(boolean stale) implements Reuse {}

    /** The response may be used, and a background refresh starts: at most one in the fleet. */
    record ServeAndRefresh(boolean stale) implements Reuse {}

    /** The response may be used only after validation by the origin. */
    record Validate(StaleFallback fallback) implements Reuse {}

    /** The response may not be used, and {@code only-if-cached} forbids contacting the origin: 504. */
    record Unsatisfiable() implements Reuse {}

    /**
     * Which failures of the validation the stored response may replace.
     *
     * @param allowedOnError a response with a status of {@link #isStaleIfErrorStatus}
     * @param allowedWhenUnreachable an origin that is unreachable or does not respond in time
     */
    record StaleFallback(boolean allowedOnError, boolean allowedWhenUnreachable) {

        /** No failure. */
        public static final StaleFallback NONE = new StaleFallback(false, false);
    }

    /** The decision without early refresh. */
    static Reuse decide(RequestHead request, StoredResponse stored, CachePolicy policy, Instant now) {
        return decide(request, stored, policy, now, 1.0);
    }

    /**
     * The decision. A fresh response may be refreshed early if the policy has a beta.
     *
     * @param random uniformly distributed in (0, 1], drawn for this request
     */
    static Reuse decide(RequestHead request, StoredResponse stored, CachePolicy policy, Instant now, double random) {
        Freshness freshness = stored.freshness();
        boolean onlyIfCached = request.cacheControl().onlyIfCached();
        boolean stale = !freshness.isFresh(now);
        if (!freshness.noCache() && !isReloadRequested(request, freshness, policy, now)) {
            if (!stale) {
                return shouldRefreshEarly(freshness, policy, now, random) && !onlyIfCached
                        ? new ServeAndRefresh(false)
                        : new Serve(false);
            }
            if (acceptsStale(request, freshness, now)) {
                return new Serve(true);
            }
            if (freshness.isStaleWithin(freshness.staleWhileRevalidate(), now) && !limitsStaleness(request, policy)
                    && !onlyIfCached) {
                return new ServeAndRefresh(true);
            }
        }
        return onlyIfCached ? new Unsatisfiable() : new Validate(staleFallback(request, freshness, now));
    }

    /** Whether stale-if-error covers the status: 500, 502, 503, 504 (RFC 5861 section 4) or an unknown status from 500 on. */
    static boolean isStaleIfErrorStatus(int status) {
        return switch (status) {
            case 501, 505, 506, 507, 508, 510, 511 -> false;
            default -> status >= 500;
        };
    }

    /** The assumed maximum difference of two replicas' clocks. Each is off by half a short round trip to Redis. */
    Duration MAX_CLOCK_DIFFERENCE = Duration.ofMillis(100);

    /**
     * Whether the response was received before the request began to wait, for example because the request joined a flight that had
     * already completed on another replica. Such a response serves the request only if {@link #decide} permits it.
     */
    static boolean receivedBefore(StoredResponse stored, Instant since) {
        return since.isAfter(stored.freshness().responseTime().plus(MAX_CLOCK_DIFFERENCE));
    }

    /**
     * Whether a response that was stored while this request was waiting may serve it, although {@link #decide} would require
     * validation: the requests are collapsed (RFC 9111 section 4). The caller has checked cache key, variant and purges, and
     * guarantees by the order of events that the response was stored during the wait. For requests that joined a running flight the
     * clock decides ({@link #receivedBefore}).
     *
     * <p>A response that is not fresh is often made for a session without stating it. It is therefore not shared with a request that
     * has a {@code Cookie} or {@code Authorization}, unless the origin permits use for any client.
     *
     * @param since when the request began to wait
     */
    static boolean maySatisfyWaiter(RequestHead request, StoredResponse stored, CachePolicy policy, Instant since,
            Instant now) {
        Freshness freshness = stored.freshness();
        if (receivedBefore(stored, since)) {
            return false;
        }
        if (freshness.explicitlyShareable() || (freshness.isFresh(now) && !freshness.noCache())) {
            return true;
        }
        return !request.hasAuthorization() && (!request.hasCookieOrCredential() || policy.coalesceWithCookies());
    }

    /**
     * Whether this stale response may be served because the fetch failed (RFC 9111 section 4.2.4, RFC 5861 section 4).
     *
     * @param originResponded whether the origin responded with {@code status}; otherwise it was unreachable
     */
    static boolean mayServeOnFailure(RequestHead request, StoredResponse stored, CachePolicy policy,
            boolean originResponded,
            int status, Instant now) {
        return switch (decide(request, stored, policy, now)) {
            case Serve ignored -> true;
            case ServeAndRefresh ignored -> true;
            case Validate(StaleFallback fallback) -> originResponded
                    ? isStaleIfErrorStatus(status) && fallback.allowedOnError()
                    : fallback.allowedWhenUnreachable();
            case Unsatisfiable ignored -> false;
        };
    }

    /** XFetch (Vattani, Chierichetti, Lowenstein, VLDB 2015): now - delta * beta * ln(random) >= expiry. */
    static boolean shouldRefreshEarly(Freshness freshness, CachePolicy policy, Instant now, double random) {
        if (policy.earlyRefreshBeta().isEmpty()) {
            return false;
        }
        double aheadMillis = -freshness.responseDelay().toMillis() * policy.earlyRefreshBeta().get() * Math.log(random);
        return aheadMillis >= freshness.ttl(now).toMillis();
    }

    private static boolean isReloadRequested(RequestHead request, Freshness freshness, CachePolicy policy,
            Instant now) {
        if (!policy.honorClientDirectives()) {
            return false;
        }
        CacheControl directives = request.cacheControl();
        if (request.noCache()) {
            return true;
        }
        // RFC 8246 section 2: an immutable response that is fresh is not validated on a plain reload.
        boolean tooOld = directives.maxAge().isPresent() && freshness.age(now).compareTo(directives.maxAge().get()) > 0
                && !(freshness.immutable() && freshness.isFresh(now));
        boolean tooShort = directives.minFresh().isPresent()
                && freshness.ttl(now).compareTo(directives.minFresh().get()) < 0;
        return tooOld || tooShort;
    }

    private static boolean limitsStaleness(RequestHead request, CachePolicy policy) {
        // RFC 9111 section 5.2.1.1: max-age excludes stale responses, and max-stale limits their staleness.
        return (policy.honorClientDirectives() && request.cacheControl().maxAge().isPresent())
                || request.cacheControl().maxStale().isPresent();
    }

    private static boolean acceptsStale(RequestHead request, Freshness freshness, Instant now) {
        return !freshness.mustRevalidate()
                && request.cacheControl().maxStale().filter(window -> freshness.isStaleWithin(window, now)).isPresent();
    }

    private static StaleFallback staleFallback(RequestHead request, Freshness freshness, Instant now) {
        if (freshness.noCache()) {
            return StaleFallback.NONE;
        }
        if (freshness.isFresh(now)) {
            // Only the client's directives require validation, and section 5.2.1.4 calls them a preference.
            return new StaleFallback(true, true);
        }
        // RFC 5861 section 4: the client may request stale-if-error as well, unless stale use is forbidden.
        boolean requestedByClient = !freshness.mustRevalidate()
                && request.cacheControl()
                        .staleIfError()
                        .filter(window -> freshness.isStaleWithin(window, now))
                        .isPresent();
        boolean onError = requestedByClient || freshness.isStaleWithin(freshness.staleIfError(), now);
        return new StaleFallback(onError, onError || freshness.isStaleWithin(freshness.staleIfUnreachable(), now));
    }
}
