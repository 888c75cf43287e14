package dev.corral.proxy;

import dev.corral.cache.CacheLookup;
import dev.corral.cache.CachePolicy;
import dev.corral.cache.Entry;
import dev.corral.cache.FailedFill;
import dev.corral.cache.HitForMiss;
import dev.corral.cache.Reuse;
import dev.corral.cache.StaleOnError;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.Vary;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.TierKey;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;

/** The rules of {@code cache} applied to one request, with the purges, the clock and the isolation limit of this replica. */
final class EntryRules {

    private final ProxyContext context;
    private final ClientRequest request;
    private final Instant requestTime;

    EntryRules(ProxyContext context, ClientRequest request) {
        this.context = context;
        this.request = request;
        this.requestTime = context.clock().instant();
    }

    /** The entry as the purges have left it; empty if it was purged or is of another resource. */
    Optional<Entry> valid(Entry entry) {
        return request.keys().validEntry(entry, context.purges(), now());
    }

    /** What a valid entry means for the request. */
    CacheLookup lookup(Entry valid) {
        // nextDouble is in [0, 1); the rule wants (0, 1].
        return CacheLookup.decide(valid, request.head(), policy(), isWithinIsolationLimit(valid), now(),
                1 - ThreadLocalRandom.current().nextDouble());
    }

    boolean matchesVariant(StoredResponse stored) {
        return Vary.matches(stored, request.head(), policy());
    }

    /** Where the request's variant is. */
    TierKey variantKey(List<String> names) {
        return request.keys().variantKey(Vary.selectingFields(names, request.head().fields(), policy()));
    }

    /** Whether a response that was stored while the request waited may serve it (RFC 9111 section 4, collapsed requests). */
    boolean maySatisfyWaiter(StoredResponse stored) {
        return isWithinIsolationLimit(stored)
                && Reuse.maySatisfyWaiter(request.head(), stored, policy(), requestTime, now());
    }

    /** Whether the response was received before the request arrived, so that the request has not waited for it. */
    boolean receivedBeforeRequest(StoredResponse stored) {
        return Reuse.receivedBefore(stored, requestTime);
    }

    /**
     * Whether a stale response may be served in place of a failed fetch.
     *
     * @param originResponded whether the origin sent a response, with this status
     */
    boolean mayServeOnFailure(StoredResponse stored, boolean originResponded, int status) {
        return isWithinIsolationLimit(stored)
                && Reuse.mayServeOnFailure(request.head(), stored, policy(), originResponded, status, now());
    }

    /** The stored response that was there before a fetch, if it is of the request's variant. */
    Optional<StoredResponse> previousResponse(Optional<Entry> seen) {
        return seen.flatMap(this::valid).flatMap(entry -> switch (entry) {
            case StoredResponse stored -> Optional.of(stored);
            case StaleOnError stale -> Optional.of(stale.staleResponse());
            case VaryMarker marker -> Optional.<StoredResponse>empty();
            case HitForMiss marker -> Optional.<StoredResponse>empty();
            case FailedFill failure -> Optional.<StoredResponse>empty();
        }).filter(this::matchesVariant);
    }

    /** Nothing that is fetched for this request may be stored: the response is for the requests that wait with it. */
    boolean isStoringForbidden() {
        return policy().forbidsStoring(request.head());
    }

    Instant now() {
        return context.clock().instant();
    }

    private CachePolicy policy() {
        return request.route().cachePolicy();
    }

    /** False when this replica has been cut off from the fleet's purges for too long to serve the entry. */
    private boolean isWithinIsolationLimit(Entry entry) {
        return switch (entry) {
            case StoredResponse stored -> context.isolation().mayServe(stored, now());
            case StaleOnError stale -> context.isolation().mayServe(stale.staleResponse(), now());
            case VaryMarker marker -> true;
            case HitForMiss marker -> true;
            case FailedFill failure -> true;
        };
    }
}
