package dev.corral.cache;

import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * May an answer to a GET be given to others (RFC 9111 section 3)? The reasons are short tokens in the manner of RFC 9211.
 */
public sealed interface Storability {

    /**
     * It may, under the terms.
     *
     * @param head what is to be kept of it
     * @param explicitFreshness whether the origin itself stated the freshness
     */
    record Store(ResponseHead head, Freshness freshness, List<String> tags,
            boolean explicitFreshness) implements Storability {}

    /**
     * It reaches exactly one request.
     *
     * @param markHitForMiss whether to leave a hit-for-miss marker, so that later requests do not wait for the next such answer
     */
    record DoNotStore(String reason, boolean markHitForMiss) implements Storability {}

    /**
     * The fetch failed: told to everybody who waits, remembered by nobody.
     *
     * @param shareable whether the answer itself may be passed on; else only its status
     */
    record FailFill(String reason, boolean shareable) implements Storability {}

    /**
     * Decides about the answer to a POST as a later GET's (RFC 9110 section 9.3.3): only if it states its freshness and says in
     * {@code Content-Location} that it is what a GET of the same URI would get.
     *
     * @param requestUri absolute
     */
    static Storability decidePost(RequestHead asked, String requestUri, ResponseHead head, CachePolicy policy,
            Instant requestTime,
            Instant responseTime) {
        if (!asked.method().equals("POST") || head.status() != 200
                || !Invalidation.referencedUri("Content-Location", requestUri, head).equals(Optional.of(requestUri))) {
            return new DoNotStore("method", false);
        }
        var get = new RequestHead("GET", asked.fields(), asked.cacheControl(), asked.noCache(),
                asked.hasAuthorization(),
                asked.hasCookieOrCredential(), false, false, asked.hasPrecondition(), false);
        return decide(get, head, policy, requestTime, responseTime) instanceof Store share && share.explicitFreshness()
                ? share
                : new DoNotStore("method", false);
    }

    /** Decides, once, when the answer's head is there. Never throws. */
    static Storability decide(RequestHead asked, ResponseHead head, CachePolicy policy, Instant requestTime,
            Instant responseTime) {
        return StorabilityRules.evaluate(asked, head, policy, requestTime, responseTime);
    }
}
