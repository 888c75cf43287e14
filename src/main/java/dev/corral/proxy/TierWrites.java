package dev.corral.proxy;

import dev.corral.cache.CachePolicy;
import dev.corral.cache.Entry;
import dev.corral.cache.Storability;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.Vary;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.http.Body;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** What a response that may be shared is written as, and where. */
final class TierWrites {

    /** How long waiting requests find a marker where they wait, in seconds: longer than the poll of one second. */
    static final Duration WAITER_ENTRY_TTL = Duration.ofSeconds(3);

    private final ProxyContext context;
    private final ClientRequest request;

    TierWrites(ProxyContext context, ClientRequest request) {
        this.context = context;
        this.request = request;
    }

    /**
     * The response of a shared fetch as it is stored.
     *
     * @param varyNames        the fields that the fetch carried because the resource varies by them
     * @param earlierVaryNames the fields that select among the variants that are stored of the resource
     */
    StoredResponse toStoredResponse(Storability.Store store, Body body, long purgePosition, List<String> varyNames,
            List<String> earlierVaryNames) {
        StoredResponse stored = StoredResponse.of(request.keys().cacheKey(), request.sharedRequestHead(varyNames),
                store, policy(), purgePosition, body);
        return Vary.fieldNames(stored.head()).isEmpty() ? stored.withEarlierVaryNames(earlierVaryNames) : stored;
    }

    /**
     * The response under its variant, the marker that leads to it, and a marker where requests wait under another key. Of too many
     * variants the least used one is removed.
     */
    List<Write<TierKey, Entry>> of(TierKey flightKey, StoredResponse stored) {
        TierKey resource = request.keys().resourceKey();
        TierKey variant = request.keys().variantKey(stored.selectingFields());
        var marker = new VaryMarker(stored.cacheKey(), Vary.fieldNames(stored.head()), stored.purgePosition());
        var writes = new ArrayList<Write<TierKey, Entry>>();
        writes.add(new Write<>(variant, stored, stored.freshness().retention()));
        if (!variant.equals(resource)) {
            // A marker in the place of a variant is nothing that a request could use, and soon gone.
            context.variantLimiter()
                    .admit(resource, variant, policy().maxVariants())
                    .filter(removed -> !removed.equals(flightKey))
                    .ifPresent(removed -> writes.add(new Write<>(removed, marker, WAITER_ENTRY_TTL)));
            // As long as any variant may live: without it the next request would lead for the whole resource again.
            writes.add(new Write<>(resource, marker, policy().maxTtl()));
        }
        if (!flightKey.equals(variant) && !flightKey.equals(resource)) {
            writes.add(new Write<>(flightKey, marker, WAITER_ENTRY_TTL));
        }
        return writes;
    }

    /** The same writes, with the fetch in every entry, for the spans of waiting requests to link to. */
    static List<Write<TierKey, Entry>> withTraceparent(List<Write<TierKey, Entry>> writes, String traceparent) {
        return traceparent.isEmpty()
                ? writes
                : writes.stream()
                        .map(write -> new Write<>(write.key(), write.value().withTraceparent(traceparent), write.ttl()))
                        .toList();
    }

    private CachePolicy policy() {
        return request.route().cachePolicy();
    }
}
