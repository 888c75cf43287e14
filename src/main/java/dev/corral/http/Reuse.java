package dev.corral.http;

import java.time.Duration;
import java.time.Instant;

/** May this stored answer serve this request (RFC 9111 section 4)? The caller has matched key, variant and purges. */
public sealed interface Reuse {

    /** Yes, without a word to the origin. */
    record Serve(Duration age, boolean stale) implements Reuse {}

    /** Yes, and one refresh for the fleet begins. */
    record ServeAndRefresh(Duration age, boolean stale) implements Reuse {}

    /** Only after the origin was asked. */
    record Validate(Fallback fallback) implements Reuse {}

    /** No, and the client forbids to ask the origin ({@code only-if-cached}): 504. */
    record Refuse() implements Reuse {}

    /**
     * What the stored answer may stand in for.
     *
     * @param onError for an answer that {@link #error} holds for
     * @param whenUnreachable for an origin that cannot be reached or does not answer in time
     */
    record Fallback(boolean onError, boolean whenUnreachable) {

        /** Nothing. */
        public static final Fallback NONE = new Fallback(false, false);
    }

    /** Decides; never refreshes early. */
    static Reuse decide(Asked asked, Stored stored, Policy policy, Instant now) {
        return decide(asked, stored, policy, now, 1.0);
    }

    /**
     * Decides; a fresh answer may be refreshed early if the policy says so.
     *
     * @param random uniform in (0, 1], drawn for this request
     */
    static Reuse decide(Asked asked, Stored stored, Policy policy, Instant now, double random) {
        Terms terms = stored.terms();
        Duration age = terms.age(now);
        boolean asksOrigin = asked.cacheControl().onlyIfCached();
        boolean stale = !terms.fresh(now);
        if (!terms.noCache() && !reload(asked, terms, policy, now)) {
            if (!stale) {
                return early(terms, policy, now, random) && !asksOrigin
                        ? new ServeAndRefresh(age, false)
                        : new Serve(age, false);
            }
            if (acceptsStale(asked, terms, now)) {
                return new Serve(age, true);
            }
            if (terms.within(terms.staleWhileRevalidate(), now) && !limitsStaleness(asked, policy) && !asksOrigin) {
                return new ServeAndRefresh(age, true);
            }
        }
        return asksOrigin ? new Refuse() : new Validate(fallback(asked, terms, now));
    }

    /** Whether an answer counts as the error of stale-if-error: 500, 502, 503, 504 (RFC 5861 section 4) or unknown 5xx. */
    static boolean error(int status) {
        return switch (status) {
            case 501, 505, 506, 507, 508, 510, 511 -> false;
            default -> status >= 500;
        };
    }

    /** By how much the clocks of two replicas may differ: each is off by half a round trip to Redis, which is short. */
    Duration CLOCKS = Duration.ofMillis(100);

    /**
     * Whether the answer had come before a request that began to wait then: whoever boarded a flight whose replica had not heard
     * yet that another one has landed. It is no answer to that request, unless {@link #decide} says so.
     */
    static boolean late(Stored stored, Instant since) {
        return since.isAfter(stored.terms().at().plus(CLOCKS));
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
    static boolean sharedWhileWaiting(Asked asked, Stored stored, Policy policy, Instant since, Instant now) {
        Terms terms = stored.terms();
        if (late(stored, since)) {
            return false;
        }
        if (terms.open() || (terms.fresh(now) && !terms.noCache())) {
            return true;
        }
        return !asked.authorized() && (!asked.cookied() || policy.shareWithCookies());
    }

    /**
     * Whether this stale answer stands in for a fetch that failed (RFC 9111 section 4.2.4, RFC 5861 section 4).
     *
     * @param answered whether the origin answered, with {@code status}; else it could not be reached
     */
    static boolean standsIn(Asked asked, Stored stored, Policy policy, boolean answered, int status, Instant now) {
        return switch (decide(asked, stored, policy, now)) {
            case Serve serve -> true;
            case ServeAndRefresh again -> true;
            case Validate(Fallback fallback) -> answered
                    ? error(status) && fallback.onError()
                    : fallback.whenUnreachable();
            case Refuse refuse -> false;
        };
    }

    /** XFetch (Vattani, Chierichetti, Lowenstein, VLDB 2015): now - delta * beta * ln(random) >= expiry. */
    static boolean early(Terms terms, Policy policy, Instant now, double random) {
        if (policy.earlyRefreshBeta().isEmpty()) {
            return false;
        }
        double ahead = -terms.took().toMillis() * policy.earlyRefreshBeta().get() * Math.log(random);
        return ahead >= terms.ttl(now).toMillis();
    }

    private static boolean reload(Asked asked, Terms terms, Policy policy, Instant now) {
        if (!policy.honourReload()) {
            return false;
        }
        CacheControl directives = asked.cacheControl();
        if (asked.noCache()) {
            return true;
        }
        // RFC 8246 section 2: what does not change while fresh need not be asked for on a plain reload.
        boolean tooOld = directives.maxAge().isPresent() && terms.age(now).compareTo(directives.maxAge().get()) > 0
                && !(terms.immutable() && terms.fresh(now));
        boolean tooShort = directives.minFresh().isPresent()
                && terms.ttl(now).compareTo(directives.minFresh().get()) < 0;
        return tooOld || tooShort;
    }

    private static boolean limitsStaleness(Asked asked, Policy policy) {
        // RFC 9111 section 5.2.1.1: with max-age the client does not want stale, with max-stale no staler than that.
        return (policy.honourReload() && asked.cacheControl().maxAge().isPresent())
                || asked.cacheControl().maxStale().isPresent();
    }

    private static boolean acceptsStale(Asked asked, Terms terms, Instant now) {
        return !terms.mustRevalidate()
                && asked.cacheControl().maxStale().filter(most -> terms.within(most, now)).isPresent();
    }

    private static Fallback fallback(Asked asked, Terms terms, Instant now) {
        if (terms.noCache()) {
            return Fallback.NONE;
        }
        if (terms.fresh(now)) {
            // Only the client's wish for a validated one is in the way, and section 5.2.1.4 calls that a preference.
            return new Fallback(true, true);
        }
        // RFC 5861 section 4: the client too may ask for stale-if-error, unless staleness is forbidden.
        boolean asks = !terms.mustRevalidate()
                && asked.cacheControl().staleIfError().filter(most -> terms.within(most, now)).isPresent();
        boolean onError = asks || terms.within(terms.staleIfError(), now);
        return new Fallback(onError, onError || terms.within(terms.staleIfUnreachable(), now));
    }
}
