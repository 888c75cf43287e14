package dev.corral.cache;

import dev.corral.http.CacheStatus.ForwardReason;
import dev.corral.http.RequestHead;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * The meaning of an entry for a request that did not wait for it (RFC 9111 section 4). Decided once per entry, from values only; the
 * caller acts on the decision.
 */
public sealed interface CacheLookup {

    /**
     * The response is served without contacting the origin.
     *
     * @param isStale        whether it is stale
     * @param startsRefresh  whether a background revalidation is due
     * @param detail         for {@code Cache-Status}; empty for an ordinary hit
     */
    record Hit(StoredResponse response, boolean isStale, boolean startsRefresh, Optional<String> detail)
            implements
                CacheLookup {}

    /** The resource varies by these request fields. The response is stored under the key of the request's variant. */
    record OtherVariant(List<String> fieldNames) implements CacheLookup {}

    /** The resource is not shareable. The request is forwarded to the origin and not coalesced with others. */
    record Bypass(String reason) implements CacheLookup {}

    /**
     * The origin must be contacted.
     *
     * @param reason empty if the entry does not concern this request
     */
    record Miss(Optional<ForwardReason> reason) implements CacheLookup {

        /** The entry does not concern this request. */
        public static final Miss UNKNOWN = new Miss(Optional.empty());

        private static Miss because(ForwardReason reason) {
            return new Miss(Optional.of(reason));
        }
    }

    /**
     * The decision. The caller has compared the cache key and applied the purges.
     *
     * @param withinIsolationLimit whether this replica receives purges, or may serve the entry although it does not
     * @param random               uniformly distributed in (0, 1], drawn for this request; see {@link Reuse#decide}
     */
    static CacheLookup decide(Entry entry, RequestHead request, CachePolicy policy, boolean withinIsolationLimit,
            Instant now, double random) {
        return switch (entry) {
            case StoredResponse stored -> ofResponse(stored, request, policy, withinIsolationLimit, now, random);
            case StaleOnError stale -> ofStaleOnError(stale, request, policy, withinIsolationLimit, now);
            case VaryMarker marker ->
                marker.fieldNames().isEmpty() ? Miss.UNKNOWN : new OtherVariant(marker.fieldNames());
            case HitForMiss marker -> new Bypass(marker.reason());
            case FailedFill failure -> Miss.UNKNOWN;
        };
    }

    private static CacheLookup ofResponse(StoredResponse stored, RequestHead request, CachePolicy policy,
            boolean withinIsolationLimit, Instant now, double random) {
        if (!Vary.matches(stored, request, policy)) {
            return Miss.UNKNOWN;
        }
        if (!withinIsolationLimit) {
            return Miss.because(ForwardReason.STALE);
        }
        return switch (Reuse.decide(request, stored, policy, now, random)) {
            case Reuse.Serve serve -> new Hit(stored, serve.stale(), false, Optional.empty());
            case Reuse.ServeAndRefresh serve -> new Hit(stored, serve.stale(), true, Optional.empty());
            case Reuse.Validate validate ->
                Miss.because(stored.freshness().isFresh(now) ? ForwardReason.REQUEST : ForwardReason.STALE);
            case Reuse.Unsatisfiable unsatisfiable -> Miss.UNKNOWN;
        };
    }

    /** While the origin is backed off after an error, a stale response is a hit if it may be served on a failure. */
    private static CacheLookup ofStaleOnError(StaleOnError stale, RequestHead request, CachePolicy policy,
            boolean withinIsolationLimit, Instant now) {
        StoredResponse stored = stale.staleResponse();
        boolean usable = withinIsolationLimit && Vary.matches(stored, request, policy) && stale.isBackedOff(now)
                && Reuse.mayServeOnFailure(request, stored, policy, stale.originResponded(), stale.status(), now);
        return usable
                ? new Hit(stored, true, false, Optional.of(stale.reason()))
                : Miss.because(ForwardReason.STALE);
    }
}
