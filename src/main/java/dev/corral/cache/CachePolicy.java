package dev.corral.cache;

import dev.corral.http.RequestHead;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What one route chooses where the RFCs leave a choice. Immutable.
 *
 * @param storeSetCookie an answer with {@code Set-Cookie} may be given to others
 * @param coalesceWithCookies a response that states no freshness may be shared although a {@code Cookie} or another credential was
 *        sent; off, because such responses are often made for the session
 * @param heuristicFreshness without stated freshness, 10 % of the time since {@code Last-Modified} is assumed (RFC 9111 section 4.2.2); not
 *        for a request with a {@code Cookie}, another credential or {@code Authorization}
 * @param maxHeuristicFreshness the most that assumption may give
 * @param honorClientDirectives the client's {@code no-cache}, {@code no-store}, {@code max-age}, {@code min-fresh} and {@code Pragma}
 *        count; {@code max-stale} and {@code only-if-cached} always do
 * @param targetedFields the fields of RFC 9213 that are for this cache, the first that is there wins
 * @param surrogateControl {@code Surrogate-Control} counts after those and before {@code Cache-Control}
 * @param staleWhileRevalidate when the answer says nothing of it
 * @param staleIfError when the answer says nothing of it
 * @param staleIfUnreachable how long stale is served while the origin cannot be reached
 * @param allowStaleWithSharedMaxAge {@code s-maxage} alone does not forbid the stale use that the same answer asks for; off,
 *        because RFC 9111 section 5.2.2.10 makes it imply {@code proxy-revalidate}
 * @param maxTtl the longest anything is kept
 * @param hitForMissTtl how long "do not wait for this key" is remembered
 * @param earlyRefreshBeta refresh before expiry with XFetch's probability; 1 is its authors' choice, more is earlier
 * @param normalizeAcceptEncoding equivalent {@code Accept-Encoding} select one variant: case, order, blanks, weights' form
 * @param normalizeAcceptLanguage likewise; languages of equal weight are sorted (RFC 9110 section 12.5.4 gives order no meaning)
 * @param maxVariants how many variants of one resource a replica stores in ten minutes, what a client may choose being without bound; the
 *        least used one gives way to a new one
 * @param tagFields the fields that carry the origin's tags
 * @param stripTags those fields do not reach clients
 * @param invalidateOnUnsafeMethods a response to a request that may have changed something invalidates what it names (RFC 9111
 *        section 4.4)
 */
public record CachePolicy(boolean storeSetCookie, boolean coalesceWithCookies, boolean heuristicFreshness,
        Duration maxHeuristicFreshness,
        boolean honorClientDirectives, List<String> targetedFields, boolean surrogateControl,
        Optional<Duration> staleWhileRevalidate, Optional<Duration> staleIfError, Duration staleIfUnreachable,
        boolean allowStaleWithSharedMaxAge, Duration maxTtl, Duration hitForMissTtl, Optional<Double> earlyRefreshBeta,
        boolean normalizeAcceptEncoding, boolean normalizeAcceptLanguage, int maxVariants, List<String> tagFields,
        boolean stripTags, boolean invalidateOnUnsafeMethods) {

    /** What a route has that chooses nothing. */
    public static final CachePolicy DEFAULT = new CachePolicy(false, false, true, Duration.ofHours(24), true,
            List.of("CDN-Cache-Control"), false, Optional.empty(), Optional.empty(), Duration.ofMinutes(10), false,
            Duration.ofHours(24), Duration.ofMinutes(2), Optional.empty(), true, true, 100,
            List.of("Cache-Tag", "Surrogate-Key"), true, true);

    /**
     * Copies the lists.
     *
     * @throws IllegalArgumentException when a duration or the beta is negative, or the longest life is not positive
     */
    public CachePolicy {
        targetedFields = List.copyOf(targetedFields);
        tagFields = List.copyOf(tagFields);
        if (!maxTtl.isPositive()) {
            throw new IllegalArgumentException("the longest life (" + maxTtl + ") must be positive");
        }
        requireNotNegative("the cap of heuristic freshness", maxHeuristicFreshness);
        requireNotNegative("stale-while-revalidate", staleWhileRevalidate.orElse(Duration.ZERO));
        requireNotNegative("stale-if-error", staleIfError.orElse(Duration.ZERO));
        requireNotNegative("stale if unreachable", staleIfUnreachable);
        requireNotNegative("hit-for-miss", hitForMissTtl);
        if (maxVariants < 1) {
            throw new IllegalArgumentException("the number of variants (" + maxVariants + ") must be positive");
        }
        if (!(earlyRefreshBeta.orElse(0.0) >= 0.0) || earlyRefreshBeta.orElse(0.0).isInfinite()) {
            throw new IllegalArgumentException("the beta of early refresh must be a number from 0");
        }
    }

    private static void requireNotNegative(String what, Duration duration) {
        if (duration.isNegative()) {
            throw new IllegalArgumentException(what + " (" + duration + ") must not be negative");
        }
    }

    /**
     * Whether nothing that is fetched for this request may be stored: the client said {@code no-store} (RFC 9111 section 5.2.1.5). A
     * stored response may serve it, and requests that wait for one response may share it.
     */
    public boolean forbidsStoring(RequestHead asked) {
        return honorClientDirectives && asked.cacheControl().noStore();
    }

    /** The default choices, to be changed. */
    public static Builder builder() {
        return DEFAULT.toBuilder();
    }

    /** These choices, to be changed. */
    public Builder toBuilder() {
        return new Builder(this);
    }

    /** Choices in the making. Not thread-safe. */
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
        public Builder storeSetCookie(boolean shareSetCookie) {
            this.storeSetCookie = shareSetCookie;
            return this;
        }

        /** Sets {@link CachePolicy#coalesceWithCookies}. */
        public Builder coalesceWithCookies(boolean shareWithCookies) {
            this.coalesceWithCookies = shareWithCookies;
            return this;
        }

        /** Sets {@link CachePolicy#heuristicFreshness}. */
        public Builder heuristicFreshness(boolean heuristics) {
            this.heuristicFreshness = heuristics;
            return this;
        }

        /** Sets {@link CachePolicy#maxHeuristicFreshness}. */
        public Builder maxHeuristicFreshness(Duration heuristicCap) {
            this.maxHeuristicFreshness = heuristicCap;
            return this;
        }

        /** Sets {@link CachePolicy#honorClientDirectives}. */
        public Builder honorClientDirectives(boolean honourReload) {
            this.honorClientDirectives = honourReload;
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
        public Builder allowStaleWithSharedMaxAge(boolean staleWithSharedMaxAge) {
            this.allowStaleWithSharedMaxAge = staleWithSharedMaxAge;
            return this;
        }

        /** Sets {@link CachePolicy#maxTtl}. */
        public Builder maxTtl(Duration maxLife) {
            this.maxTtl = maxLife;
            return this;
        }

        /** Sets {@link CachePolicy#hitForMissTtl}. */
        public Builder hitForMissTtl(Duration hitForMiss) {
            this.hitForMissTtl = hitForMiss;
            return this;
        }

        /** Sets {@link CachePolicy#earlyRefreshBeta}. */
        public Builder earlyRefreshBeta(Double earlyRefreshBeta) {
            this.earlyRefreshBeta = Optional.of(earlyRefreshBeta);
            return this;
        }

        /** Sets {@link CachePolicy#normalizeAcceptEncoding}. */
        public Builder normalizeAcceptEncoding(boolean normaliseAcceptEncoding) {
            this.normalizeAcceptEncoding = normaliseAcceptEncoding;
            return this;
        }

        /** Sets {@link CachePolicy#normalizeAcceptLanguage}. */
        public Builder normalizeAcceptLanguage(boolean normaliseAcceptLanguage) {
            this.normalizeAcceptLanguage = normaliseAcceptLanguage;
            return this;
        }

        /** Sets {@link CachePolicy#maxVariants}. */
        public Builder maxVariants(int variants) {
            this.maxVariants = variants;
            return this;
        }

        /** Sets {@link CachePolicy#tagFields}. */
        public Builder tagFields(List<String> tagFields) {
            this.tagFields = tagFields;
            return this;
        }

        /** Sets {@link CachePolicy#stripTags}. */
        public Builder stripTags(boolean hideTags) {
            this.stripTags = hideTags;
            return this;
        }

        /** Sets {@link CachePolicy#invalidateOnUnsafeMethods}. */
        public Builder invalidateOnUnsafeMethods(boolean invalidateOnUnsafeMethods) {
            this.invalidateOnUnsafeMethods = invalidateOnUnsafeMethods;
            return this;
        }

        /** The choices made. */
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
