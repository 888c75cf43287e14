package dev.corral.http;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What one route chooses where the RFCs leave a choice. Immutable.
 *
 * @param shareSetCookie an answer with {@code Set-Cookie} may be given to others
 * @param shareWithCookies a response that states no freshness may be shared although a {@code Cookie} or another credential was
 *        sent; off, because such responses are often made for the session
 * @param heuristics without stated freshness, 10 % of the time since {@code Last-Modified} is assumed (RFC 9111 section 4.2.2); not
 *        for a request with a {@code Cookie}, another credential or {@code Authorization}
 * @param heuristicCap the most that assumption may give
 * @param honourReload the client's {@code no-cache}, {@code no-store}, {@code max-age}, {@code min-fresh} and {@code Pragma}
 *        count; {@code max-stale} and {@code only-if-cached} always do
 * @param targetedFields the fields of RFC 9213 that are for this cache, the first that is there wins
 * @param surrogateControl {@code Surrogate-Control} counts after those and before {@code Cache-Control}
 * @param staleWhileRevalidate when the answer says nothing of it
 * @param staleIfError when the answer says nothing of it
 * @param staleIfUnreachable how long stale is served while the origin cannot be reached
 * @param staleWithSharedMaxAge {@code s-maxage} alone does not forbid the stale use that the same answer asks for; off,
 *        because RFC 9111 section 5.2.2.10 makes it imply {@code proxy-revalidate}
 * @param maxLife the longest anything is kept
 * @param hitForMiss how long "do not wait for this key" is remembered
 * @param earlyRefreshBeta refresh before expiry with XFetch's probability; 1 is its authors' choice, more is earlier
 * @param normaliseAcceptEncoding equivalent {@code Accept-Encoding} select one variant: case, order, blanks, weights' form
 * @param normaliseAcceptLanguage likewise; languages of equal weight are sorted (RFC 9110 section 12.5.4 gives order no meaning)
 * @param variants how many variants of one resource a replica stores in ten minutes, what a client may choose being without bound; the
 *        least used one gives way to a new one
 * @param tagFields the fields that carry the origin's tags
 * @param hideTags those fields do not reach clients
 * @param invalidateOnUnsafeMethods a response to a request that may have changed something invalidates what it names (RFC 9111
 *        section 4.4)
 */
public record Policy(boolean shareSetCookie, boolean shareWithCookies, boolean heuristics, Duration heuristicCap,
        boolean honourReload, List<String> targetedFields, boolean surrogateControl,
        Optional<Duration> staleWhileRevalidate, Optional<Duration> staleIfError, Duration staleIfUnreachable,
        boolean staleWithSharedMaxAge, Duration maxLife, Duration hitForMiss, Optional<Double> earlyRefreshBeta,
        boolean normaliseAcceptEncoding, boolean normaliseAcceptLanguage, int variants, List<String> tagFields,
        boolean hideTags, boolean invalidateOnUnsafeMethods) {

    /** What a route has that chooses nothing. */
    public static final Policy DEFAULT = new Policy(false, false, true, Duration.ofHours(24), true,
            List.of("CDN-Cache-Control"), false, Optional.empty(), Optional.empty(), Duration.ofMinutes(10), false,
            Duration.ofHours(24), Duration.ofMinutes(2), Optional.empty(), true, true, 100,
            List.of("Cache-Tag", "Surrogate-Key"), true, true);

    /**
     * Copies the lists.
     *
     * @throws IllegalArgumentException when a duration or the beta is negative, or the longest life is not positive
     */
    public Policy {
        targetedFields = List.copyOf(targetedFields);
        tagFields = List.copyOf(tagFields);
        if (!maxLife.isPositive()) {
            throw new IllegalArgumentException("the longest life (" + maxLife + ") must be positive");
        }
        refuseNegative("the cap of heuristic freshness", heuristicCap);
        refuseNegative("stale-while-revalidate", staleWhileRevalidate.orElse(Duration.ZERO));
        refuseNegative("stale-if-error", staleIfError.orElse(Duration.ZERO));
        refuseNegative("stale if unreachable", staleIfUnreachable);
        refuseNegative("hit-for-miss", hitForMiss);
        if (variants < 1) {
            throw new IllegalArgumentException("the number of variants (" + variants + ") must be positive");
        }
        if (!(earlyRefreshBeta.orElse(0.0) >= 0.0) || earlyRefreshBeta.orElse(0.0).isInfinite()) {
            throw new IllegalArgumentException("the beta of early refresh must be a number from 0");
        }
    }

    private static void refuseNegative(String what, Duration duration) {
        if (duration.isNegative()) {
            throw new IllegalArgumentException(what + " (" + duration + ") must not be negative");
        }
    }

    /**
     * Whether nothing that is fetched for this request may be stored: the client said {@code no-store} (RFC 9111 section 5.2.1.5). A
     * stored response may serve it, and requests that wait for one response may share it.
     */
    public boolean forbidsStoring(Asked asked) {
        return honourReload && asked.cacheControl().noStore();
    }

    /** The default choices, to be changed. */
    public static Builder builder() {
        return DEFAULT.change();
    }

    /** These choices, to be changed. */
    public Builder change() {
        return new Builder(this);
    }

    /** Choices in the making. Not thread-safe. */
    public static final class Builder {
        private boolean shareSetCookie;
        private boolean shareWithCookies;
        private boolean heuristics;
        private Duration heuristicCap;
        private boolean honourReload;
        private List<String> targetedFields;
        private boolean surrogateControl;
        private Optional<Duration> staleWhileRevalidate;
        private Optional<Duration> staleIfError;
        private Duration staleIfUnreachable;
        private boolean staleWithSharedMaxAge;
        private Duration maxLife;
        private Duration hitForMiss;
        private Optional<Double> earlyRefreshBeta;
        private boolean normaliseAcceptEncoding;
        private boolean normaliseAcceptLanguage;
        private int variants;
        private List<String> tagFields;
        private boolean hideTags;
        private boolean invalidateOnUnsafeMethods;

        private Builder(Policy policy) {
            shareSetCookie = policy.shareSetCookie;
            shareWithCookies = policy.shareWithCookies;
            heuristics = policy.heuristics;
            heuristicCap = policy.heuristicCap;
            honourReload = policy.honourReload;
            targetedFields = policy.targetedFields;
            surrogateControl = policy.surrogateControl;
            staleWhileRevalidate = policy.staleWhileRevalidate;
            staleIfError = policy.staleIfError;
            staleIfUnreachable = policy.staleIfUnreachable;
            staleWithSharedMaxAge = policy.staleWithSharedMaxAge;
            maxLife = policy.maxLife;
            hitForMiss = policy.hitForMiss;
            earlyRefreshBeta = policy.earlyRefreshBeta;
            normaliseAcceptEncoding = policy.normaliseAcceptEncoding;
            normaliseAcceptLanguage = policy.normaliseAcceptLanguage;
            variants = policy.variants;
            tagFields = policy.tagFields;
            hideTags = policy.hideTags;
            invalidateOnUnsafeMethods = policy.invalidateOnUnsafeMethods;
        }

        /** Sets {@link Policy#shareSetCookie}. */
        public Builder shareSetCookie(boolean shareSetCookie) {
            this.shareSetCookie = shareSetCookie;
            return this;
        }

        /** Sets {@link Policy#shareWithCookies}. */
        public Builder shareWithCookies(boolean shareWithCookies) {
            this.shareWithCookies = shareWithCookies;
            return this;
        }

        /** Sets {@link Policy#heuristics}. */
        public Builder heuristics(boolean heuristics) {
            this.heuristics = heuristics;
            return this;
        }

        /** Sets {@link Policy#heuristicCap}. */
        public Builder heuristicCap(Duration heuristicCap) {
            this.heuristicCap = heuristicCap;
            return this;
        }

        /** Sets {@link Policy#honourReload}. */
        public Builder honourReload(boolean honourReload) {
            this.honourReload = honourReload;
            return this;
        }

        /** Sets {@link Policy#targetedFields}. */
        public Builder targetedFields(List<String> targetedFields) {
            this.targetedFields = targetedFields;
            return this;
        }

        /** Sets {@link Policy#surrogateControl}. */
        public Builder surrogateControl(boolean surrogateControl) {
            this.surrogateControl = surrogateControl;
            return this;
        }

        /** Sets {@link Policy#staleWhileRevalidate}. */
        public Builder staleWhileRevalidate(Duration staleWhileRevalidate) {
            this.staleWhileRevalidate = Optional.of(staleWhileRevalidate);
            return this;
        }

        /** Sets {@link Policy#staleIfError}. */
        public Builder staleIfError(Duration staleIfError) {
            this.staleIfError = Optional.of(staleIfError);
            return this;
        }

        /** Sets {@link Policy#staleIfUnreachable}. */
        public Builder staleIfUnreachable(Duration staleIfUnreachable) {
            this.staleIfUnreachable = staleIfUnreachable;
            return this;
        }

        /** Sets {@link Policy#staleWithSharedMaxAge}. */
        public Builder staleWithSharedMaxAge(boolean staleWithSharedMaxAge) {
            this.staleWithSharedMaxAge = staleWithSharedMaxAge;
            return this;
        }

        /** Sets {@link Policy#maxLife}. */
        public Builder maxLife(Duration maxLife) {
            this.maxLife = maxLife;
            return this;
        }

        /** Sets {@link Policy#hitForMiss}. */
        public Builder hitForMiss(Duration hitForMiss) {
            this.hitForMiss = hitForMiss;
            return this;
        }

        /** Sets {@link Policy#earlyRefreshBeta}. */
        public Builder earlyRefreshBeta(Double earlyRefreshBeta) {
            this.earlyRefreshBeta = Optional.of(earlyRefreshBeta);
            return this;
        }

        /** Sets {@link Policy#normaliseAcceptEncoding}. */
        public Builder normaliseAcceptEncoding(boolean normaliseAcceptEncoding) {
            this.normaliseAcceptEncoding = normaliseAcceptEncoding;
            return this;
        }

        /** Sets {@link Policy#normaliseAcceptLanguage}. */
        public Builder normaliseAcceptLanguage(boolean normaliseAcceptLanguage) {
            this.normaliseAcceptLanguage = normaliseAcceptLanguage;
            return this;
        }

        /** Sets {@link Policy#variants}. */
        public Builder variants(int variants) {
            this.variants = variants;
            return this;
        }

        /** Sets {@link Policy#tagFields}. */
        public Builder tagFields(List<String> tagFields) {
            this.tagFields = tagFields;
            return this;
        }

        /** Sets {@link Policy#hideTags}. */
        public Builder hideTags(boolean hideTags) {
            this.hideTags = hideTags;
            return this;
        }

        /** Sets {@link Policy#invalidateOnUnsafeMethods}. */
        public Builder invalidateOnUnsafeMethods(boolean invalidateOnUnsafeMethods) {
            this.invalidateOnUnsafeMethods = invalidateOnUnsafeMethods;
            return this;
        }

        /** The choices made. */
        public Policy build() {
            return new Policy(shareSetCookie, shareWithCookies, heuristics, heuristicCap, honourReload, targetedFields,
                    surrogateControl, staleWhileRevalidate, staleIfError, staleIfUnreachable, staleWithSharedMaxAge,
                    maxLife, hitForMiss, earlyRefreshBeta, normaliseAcceptEncoding, normaliseAcceptLanguage, variants,
                    tagFields, hideTags, invalidateOnUnsafeMethods);
        }
    }
}
