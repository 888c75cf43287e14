package dev.corral.cache;

import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Instant;
import java.util.List;

/**
 * Whether the response to a GET may be stored and given to other clients (RFC 9111 section 3). Reasons are short tokens in the style
 * of RFC 9211.
 */
public sealed interface Storability {

    /**
     * The response may be stored.
     *
     * @param head the status and the fields to store
     * @param tags the surrogate tags
     * @param explicitFreshness whether the origin stated the freshness lifetime
     */
    record Store(ResponseHead head, Freshness freshness, List<String> tags,
            boolean explicitFreshness) implements Storability {}

    /**
     * The response serves exactly one request.
     *
     * @param markHitForMiss whether to store a hit-for-miss marker, so that later requests for the key are not coalesced
     */
    record DoNotStore(String reason, boolean markHitForMiss) implements Storability {}

    /**
     * The fetch failed. The failure is delivered to all waiting requests and not stored.
     *
     * @param shareable whether the response may be given to all of them; otherwise only its status
     */
    record FailFill(String reason, boolean shareable) implements Storability {}

    /** The decision, made once when the response head has arrived. Never throws. */
    static Storability decide(RequestHead request, ResponseHead head, CachePolicy policy, Instant requestTime,
            Instant responseTime) {
        return StorabilityRules.evaluate(request, head, policy, requestTime, responseTime);
    }
}
