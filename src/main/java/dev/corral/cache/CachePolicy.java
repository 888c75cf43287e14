package dev.corral.cache;

import dev.corral.http.RequestHead;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * The caching choices of one route where the RFCs leave a choice. Immutable.
 *
 * @param storeSetCookie whether a response with {@code Set-Cookie} may be stored and shared
 * @param coalesceWithCookies whether a response without explicit freshness may be shared although the request had a {@code Cookie} or
 *        another credential; off by default because such responses are often made for the session
 * @param heuristicFreshness whether 10 % of the time since {@code Last-Modified} counts as freshness lifetime if the response states
 *        none (RFC 9111 section 4.2.2); never for a request with {@code Cookie}, another credential or {@code Authorization}
 * @param maxHeuristicFreshness the upper limit of heuristic freshness
 * @param honorClientDirectives whether the client's {@code no-cache}, {@code no-store}, {@code max-age}, {@code min-fresh} and
 *        {@code Pragma} apply; {@code max-stale} and {@code only-if-cached} always apply
 * @param targetedFields the targeted fields (RFC 9213) that apply to this cache; the first one present wins
 * @param surrogateControl whether {@code Surrogate-Control} applies, after the targeted fields and before {@code Cache-Control}
 * @param staleWhileRevalidate the default for responses that do not state it
 * @param staleIfError the default for responses that do not state it
 * @param staleIfUnreachable how long a stale response is served while the origin is unreachable
 * @param allowStaleWithSharedMaxAge whether {@code s-maxage} alone permits the stale use that the same response states; off by
 *        default because {@code s-maxage} implies {@code proxy-revalidate} (RFC 9111 section 5.2.2.10)
 * @param maxTtl the longest time for which anything is stored
 * @param hitForMissTtl how long requests for an uncacheable resource are not coalesced
 * @param earlyRefreshBeta the beta of XFetch, which refreshes before expiry with a probability; 1 is the authors' choice, larger
 *        values refresh earlier; empty means no early refresh
 * @param normalizeAcceptEncoding whether equivalent {@code Accept-Encoding} values select one variant: case, order, whitespace and
 *        the notation of weights are ignored
 * @param normalizeAcceptLanguage the same for {@code Accept-Language}; languages of equal weight are sorted because their order has
 *        no meaning (RFC 9110 section 12.5.4)
 * @param maxVariants the number of variants of one resource that a replica stores within ten minutes. The limit exists because a
 *        client can choose any number of field values; a new variant replaces the least used one
 * @param tagFields the fields that contain the origin's surrogate tags
 * @param stripTags whether these fields are removed from responses to clients
 * @param invalidateOnUnsafeMethods whether a response to an unsafe request invalidates the URIs that it names (RFC 9111 section 4.4)
 */
public record CachePolicy(boolean storeSetCookie, boolean coalesceWithCookies, boolean heuristicFreshness,
        Duration maxHeuristicFreshness,
        boolean honorClientDirectives, List<String> targetedFields, boolean surrogateControl,
        Optional<Duration> staleWhileRevalidate, Optional<Duration> staleIfError, Duration staleIfUnreachable,
        boolean allowStaleWithSharedMaxAge, Duration maxTtl, Duration hitForMissTtl, Optional<Double> earlyRefreshBeta,
        boolean normalizeAcceptEncoding, boolean normalizeAcceptLanguage, int maxVariants, List<String> tagFields,
        boolean stripTags, boolean invalidateOnUnsafeMethods) {

    /** The policy of a route without settings. */
    public static final CachePolicy DEFAULT = new CachePolicy(false, false, true, Duration.ofHours(24), true,
            List.of("CDN-Cache-Control"), false, Optional.empty(), Optional.empty(), Duration.ofMinutes(10), false,
            Duration.ofHours(24), Duration.ofMinutes(2), Optional.empty(), true, true, 100,
            List.of("Cache-Tag", "Surrogate-Key"), true, true);

    /**
     * Copies the lists.
     *
     * @throws IllegalArgumentException if a duration or the beta is negative, or {@code maxTtl} or {@code maxVariants} is not positive
     */
    public CachePolicy {
        targetedFields = List.copyOf(targetedFields);
        tagFields = List.copyOf(tagFields);
        if (!maxTtl.isPositive()) {
            throw new IllegalArgumentException("the maximum TTL (" + maxTtl + ") must be positive");
        }
        requireNotNegative("the maximum of heuristic freshness", maxHeuristicFreshness);
        requireNotNegative("stale-while-revalidate", staleWhileRevalidate.orElse(Duration.ZERO));
        requireNotNegative("stale-if-error", staleIfError.orElse(Duration.ZERO));
        requireNotNegative("stale-if-unreachable", staleIfUnreachable);
        requireNotNegative("the hit-for-miss TTL", hitForMissTtl);
        if (maxVariants < 1) {
            throw new IllegalArgumentException("the maximum number of variants (" + maxVariants + ") must be positive");
        }
        if (!(earlyRefreshBeta.orElse(0.0) >= 0.0) || earlyRefreshBeta.orElse(0.0).isInfinite()) {
            throw new IllegalArgumentException("the early refresh beta must be a finite number that is not negative");
        }
    }

    private static void requireNotNegative(String name, Duration duration) {
        if (duration.isNegative()) {
            throw new IllegalArgumentException(name + " (" + duration + ") must not be negative");
        }
    }

    /**
     * Whether the response to this request must not be stored because of the client's {@code no-store} (RFC 9111 section 5.2.1.5).
     * The request may still be served from the cache and share a response with requests that are waiting for it.
     */
    public boolean forbidsStoring(RequestHead request) {
        return honorClientDirectives && request.cacheControl().noStore();
    }

    /** A builder with the values of {@link #DEFAULT}. */
    public static Builder builder() {
        return DEFAULT.toBuilder();
    }

    /** A builder with the values of this policy. */
    public Builder toBuilder() {
        return new Builder(this);
    }

    /** Builds a policy. Not thread-safe. */
    public static final class Builder {
        private boolean storeSetCookie;
        private boolean coalesceWithCookies;
        private boolean heuristicFreshness;
        private Duration maxHeuristicFreshness;
        private boolean honorClientDirectives;
        private List<String> targetedFields;
        private boolean surrogateControl;
        private Optional<Duration> staleWhileRevalidate;
        private Optional<Duration> staleIfError;
        private Duration staleIfUnreachable;
        private boolean allowStaleWithSharedMaxAge;
        private Duration maxTtl;
        private Duration hitForMissTtl;
        private Optional<Double> earlyRefreshBeta;
        private boolean normalizeAcceptEncoding;
        private boolean normalizeAcceptLanguage;
        private int maxVariants;
        private List<String> tagFields;
        private boolean stripTags;
        private boolean invalidateOnUnsafeMethods;

        private Builder(CachePolicy policy) {
            storeSetCookie = policy.storeSetCookie;
            coalesceWithCookies = policy.coalesceWithCookies;
            heuristicFreshness = policy.heuristicFreshness;
            maxHeuristicFreshness = policy.maxHeuristicFreshness;
            honorClientDirectives = policy.honorClientDirectives;
            targetedFields = policy.targetedFields;
            surrogateControl = policy.surrogateControl;
            staleWhileRevalidate = policy.staleWhileRevalidate;
            staleIfError = policy.staleIfError;
            staleIfUnreachable = policy.staleIfUnreachable;
            allowStaleWithSharedMaxAge = policy.allowStaleWithSharedMaxAge;
            maxTtl = policy.maxTtl;
            hitForMissTtl = policy.hitForMissTtl;
            earlyRefreshBeta = policy.earlyRefreshBeta;
            normalizeAcceptEncoding = policy.normalizeAcceptEncoding;
            normalizeAcceptLanguage = policy.normalizeAcceptLanguage;
            maxVariants = policy.maxVariants;
            tagFields = policy.tagFields;
            stripTags = policy.stripTags;
            invalidateOnUnsafeMethods = policy.invalidateOnUnsafeMethods;
        }

        /** Sets {@link CachePolicy#storeSetCookie}. */
        public Builder storeSetCookie(boolean storeSetCookie) {
            this.storeSetCookie = storeSetCookie;
            return this;
        }

        /** Sets {@link CachePolicy#coalesceWithCookies}. */
        public Builder coalesceWithCookies(boolean coalesceWithCookies) {
            this.coalesceWithCookies = coalesceWithCookies;
            return this;
        }

        /** Sets {@link CachePolicy#heuristicFreshness}. */
        public Builder heuristicFreshness(boolean heuristicFreshness) {
            this.heuristicFreshness = heuristicFreshness;
            return this;
        }

        /** Sets {@link CachePolicy#maxHeuristicFreshness}. */
        public Builder maxHeuristicFreshness(Duration maxHeuristicFreshness) {
            this.maxHeuristicFreshness = maxHeuristicFreshness;
            return this;
        }

        /** Sets {@link CachePolicy#honorClientDirectives}. */
        public Builder honorClientDirectives(boolean honorClientDirectives) {
            this.honorClientDirectives = honorClientDirectives;
            return this;
        }

        /** Sets {@link CachePolicy#targetedFields}. */
        public Builder targetedFields(List<String> targetedFields) {
            this.targetedFields = targetedFields;
            return this;
        }

        /** Sets {@link CachePolicy#surrogateControl}. */
        public Builder surrogateControl(boolean surrogateControl) {
            this.surrogateControl = surrogateControl;
            return this;
        }

        /** Sets {@link CachePolicy#staleWhileRevalidate}. */
        public Builder staleWhileRevalidate(Duration staleWhileRevalidate) {
            this.staleWhileRevalidate = Optional.of(staleWhileRevalidate);
            return this;
        }

        /** Sets {@link CachePolicy#staleIfError}. */
        public Builder staleIfError(Duration staleIfError) {
            this.staleIfError = Optional.of(staleIfError);
            return this;
        }

        /** Sets {@link CachePolicy#staleIfUnreachable}. */
        public Builder staleIfUnreachable(Duration staleIfUnreachable) {
            this.staleIfUnreachable = staleIfUnreachable;
            return this;
        }

        /** Sets {@link CachePolicy#allowStaleWithSharedMaxAge}. */
        public Builder allowStaleWithSharedMaxAge(boolean allowStaleWithSharedMaxAge) {
            this.allowStaleWithSharedMaxAge = allowStaleWithSharedMaxAge;
            return this;
        }

        /** Sets {@link CachePolicy#maxTtl}. */
        public Builder maxTtl(Duration maxTtl) {
            this.maxTtl = maxTtl;
            return this;
        }

        /** Sets {@link CachePolicy#hitForMissTtl}. */
        public Builder hitForMissTtl(Duration hitForMissTtl) {
            this.hitForMissTtl = hitForMissTtl;
            return this;
        }

        /** Sets {@link CachePolicy#earlyRefreshBeta}. */
        public Builder earlyRefreshBeta(Double earlyRefreshBeta) {
            this.earlyRefreshBeta = Optional.of(earlyRefreshBeta);
            return this;
        }

        /** Sets {@link CachePolicy#normalizeAcceptEncoding}. */
        public Builder normalizeAcceptEncoding(boolean normalizeAcceptEncoding) {
            this.normalizeAcceptEncoding = normalizeAcceptEncoding;
            return this;
        }

        /** Sets {@link CachePolicy#normalizeAcceptLanguage}. */
        public Builder normalizeAcceptLanguage(boolean normalizeAcceptLanguage) {
            this.normalizeAcceptLanguage = normalizeAcceptLanguage;
            return this;
        }

        /** Sets {@link CachePolicy#maxVariants}. */
        public Builder maxVariants(int maxVariants) {
            this.maxVariants = maxVariants;
            return this;
        }

        /** Sets {@link CachePolicy#tagFields}. */
        public Builder tagFields(List<String> tagFields) {
            this.tagFields = tagFields;
            return this;
        }

        /** Sets {@link CachePolicy#stripTags}. */
        public Builder stripTags(boolean stripTags) {
            this.stripTags = stripTags;
            return this;
        }

        /** Sets {@link CachePolicy#invalidateOnUnsafeMethods}. */
        public Builder invalidateOnUnsafeMethods(boolean invalidateOnUnsafeMethods) {
            this.invalidateOnUnsafeMethods = invalidateOnUnsafeMethods;
            return this;
        }

        /**
         * The policy.
         *
         * @throws IllegalArgumentException as the constructor of {@link CachePolicy}
         */
        public CachePolicy build() {
            return new CachePolicy(storeSetCookie, coalesceWithCookies, heuristicFreshness, maxHeuristicFreshness,
                    honorClientDirectives, targetedFields,
                    surrogateControl, staleWhileRevalidate, staleIfError, staleIfUnreachable,
                    allowStaleWithSharedMaxAge,
                    maxTtl, hitForMissTtl, earlyRefreshBeta, normalizeAcceptEncoding, normalizeAcceptLanguage,
                    maxVariants,
                    tagFields, stripTags, invalidateOnUnsafeMethods);
        }
    }
}
