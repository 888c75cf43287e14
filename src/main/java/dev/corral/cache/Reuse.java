package dev.corral.cache;

import dev.corral.http.CacheControl;
import dev.corral.http.RequestHead;
import java.time.Duration;
import java.time.Instant;

/** May this stored answer serve this request (RFC 9111 section 4)? The caller has matched key, variant and purges. */
public sealed interface Reuse {

    /** Yes, without a word to the origin. */
    record Serve(Duration age, boolean stale) implements Reuse {}

    /** Yes, and one refresh for the fleet begins. */
    record ServeAndRefresh(Duration age, boolean stale) implements Reuse {}

    /** Only after the origin was asked. */
    record Validate(StaleFallback fallback) implements Reuse {}

    /** No, and the client forbids to ask the origin ({@code only-if-cached}): 504. */
    record Unsatisfiable() implements Reuse {}

    /**
     * What the stored answer may stand in for.
     *
     * @param allowedOnError for an answer that {@link #isStaleIfErrorStatus} holds for
     * @param allowedWhenUnreachable for an origin that cannot be reached or does not answer in time
     */
    record StaleFallback(boolean allowedOnError, boolean allowedWhenUnreachable) {

        /** Nothing. */
        public static final StaleFallback NONE = new StaleFallback(false, false);
    }

    /** Decides; never refreshes early. */
    static Reuse decide(RequestHead asked, StoredResponse stored, CachePolicy policy, Instant now) {
        return decide(asked, stored, policy, now, 1.0);
    }

    /**
     * Decides; a fresh answer may be refreshed early if the policy says so.
     *
     * @param random uniform in (0, 1], drawn for this request
     */
    static Reuse decide(RequestHead asked, StoredResponse stored, CachePolicy policy, Instant now, double random) {
        Freshness terms = stored.freshness();
        Duration age = terms.age(now);
        boolean asksOrigin = asked.cacheControl().onlyIfCached();
        boolean stale = !terms.isFresh(now);
        if (!terms.noCache() && !isReloadRequested(asked, terms, policy, now)) {
            if (!stale) {
                return shouldRefreshEarly(terms, policy, now, random) && !asksOrigin
                        ? new ServeAndRefresh(age, false)
                        : new Serve(age, false);
            }
            if (acceptsStale(asked, terms, now)) {
                return new Serve(age, true);
            }
            if (terms.isStaleWithin(terms.staleWhileRevalidate(), now) && !limitsStaleness(asked, policy)
                    && !asksOrigin) {
                return new ServeAndRefresh(age, true);
            }
        }
        return asksOrigin ? new Unsatisfiable() : new Validate(staleFallback(asked, terms, now));
    }

    /** Whether an answer counts as the error of stale-if-error: 500, 502, 503, 504 (RFC 5861 section 4) or unknown 5xx. */
    static boolean isStaleIfErrorStatus(int status) {
        return switch (status) {
            case 501, 505, 506, 507, 508, 510, 511 -> false;
            default -> status >= 500;
        };
    }

    /** By how much the clocks of two replicas may differ: each is off by half a round trip to Redis, which is short. */
    Duration MAX_CLOCK_DIFFERENCE = Duration.ofMillis(100);

    /**
     * Whether the answer had come before a request that began to wait then: whoever boarded a flight whose replica had not heard
     * yet that another one has landed. It is no answer to that request, unless {@link #decide} says so.
     */
    static boolean receivedBefore(StoredResponse stored, Instant since) {
        return since.isAfter(stored.freshness().responseTime().plus(MAX_CLOCK_DIFFERENCE));
    }

    /**
     * Whether an answer that was stored while this request waited may serve it although {@link #decide} would validate:
     * requests are collapsed (RFC 9111 section 4). The caller vouches for key, variant and purges, and by the order of events
     * for "while it waited"; of a flight's boarders this looks at the clock.
     *
     * <p>What is not fresh is often made for a session, without saying so: with a {@code Cookie} or {@code Authorization} it
     * is not shared unless the origin said it is for anyone.
     *
     * @param since when the request began to wait
     */
    static boolean maySatisfyWaiter(RequestHead asked, StoredResponse stored, CachePolicy policy, Instant since,
            Instant now) {
        Freshness terms = stored.freshness();
        if (receivedBefore(stored, since)) {
            return false;
        }
        if (terms.explicitlyShareable() || (terms.isFresh(now) && !terms.noCache())) {
            return true;
        }
        return !asked.hasAuthorization() && (!asked.hasCookieOrCredential() || policy.coalesceWithCookies());
    }

    /**
     * Whether this stale answer stands in for a fetch that failed (RFC 9111 section 4.2.4, RFC 5861 section 4).
     *
     * @param answered whether the origin answered, with {@code status}; else it could not be reached
     */
    static boolean mayServeOnFailure(RequestHead asked, StoredResponse stored, CachePolicy policy, boolean answered,
            int status, Instant now) {
        return switch (decide(asked, stored, policy, now)) {
            case Serve serve -> true;
            case ServeAndRefresh again -> true;
            case Validate(StaleFallback fallback) -> answered
                    ? isStaleIfErrorStatus(status) && fallback.allowedOnError()
                    : fallback.allowedWhenUnreachable();
            case Unsatisfiable refuse -> false;
        };
    }

    /** XFetch (Vattani, Chierichetti, Lowenstein, VLDB 2015): now - delta * beta * ln(random) >= expiry. */
    static boolean shouldRefreshEarly(Freshness terms, CachePolicy policy, Instant now, double random) {
        if (policy.earlyRefreshBeta().isEmpty()) {
            return false;
        }
        double ahead = -terms.responseDelay().toMillis() * policy.earlyRefreshBeta().get() * Math.log(random);
        return ahead >= terms.ttl(now).toMillis();
    }

    private static boolean isReloadRequested(RequestHead asked, Freshness terms, CachePolicy policy, Instant now) {
        if (!policy.honorClientDirectives()) {
            return false;
        }
        CacheControl directives = asked.cacheControl();
        if (asked.noCache()) {
            return true;
        }
        // RFC 8246 section 2: what does not change while fresh need not be asked for on a plain reload.
        boolean tooOld = directives.maxAge().isPresent() && terms.age(now).compareTo(directives.maxAge().get()) > 0
                && !(terms.immutable() && terms.isFresh(now));
        boolean tooShort = directives.minFresh().isPresent()
                && terms.ttl(now).compareTo(directives.minFresh().get()) < 0;
        return tooOld || tooShort;
    }

    private static boolean limitsStaleness(RequestHead asked, CachePolicy policy) {
        // RFC 9111 section 5.2.1.1: with max-age the client does not want stale, with max-stale no staler than that.
        return (policy.honorClientDirectives() && asked.cacheControl().maxAge().isPresent())
                || asked.cacheControl().maxStale().isPresent();
    }

    private static boolean acceptsStale(RequestHead asked, Freshness terms, Instant now) {
        return !terms.mustRevalidate()
                && asked.cacheControl().maxStale().filter(most -> terms.isStaleWithin(most, now)).isPresent();
    }

    private static StaleFallback staleFallback(RequestHead asked, Freshness terms, Instant now) {
        if (terms.noCache()) {
            return StaleFallback.NONE;
        }
        if (terms.isFresh(now)) {
            // Only the client's wish for a validated one is in the way, and section 5.2.1.4 calls that a preference.
            return new StaleFallback(true, true);
        }
        // RFC 5861 section 4: the client too may ask for stale-if-error, unless staleness is forbidden.
        boolean asks = !terms.mustRevalidate()
                && asked.cacheControl().staleIfError().filter(most -> terms.isStaleWithin(most, now)).isPresent();
        boolean onError = asks || terms.isStaleWithin(terms.staleIfError(), now);
        return new StaleFallback(onError, onError || terms.isStaleWithin(terms.staleIfUnreachable(), now));
    }
}
