package dev.corral.cache;

import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Instant;
import java.util.Optional;

/**
 * Storing the response to a POST for later GETs (RFC 9110 section 9.3.3). Corral passes every POST; the conformance suite expects the
 * rule, so it is built here from the rules that Corral has.
 */
final class PostStorability {

    private PostStorability() {}

    /**
     * Storable only if the response states its freshness and its {@code Content-Location} is the URI of the request.
     *
     * @param requestUri absolute
     */
    static Storability decide(RequestHead request, String requestUri, ResponseHead head, CachePolicy policy,
            Instant requestTime, Instant responseTime) {
        if (!request.method().equals("POST") || head.status() != 200
                || !Invalidation.referencedUri("Content-Location", requestUri, head).equals(Optional.of(requestUri))) {
            return new Storability.DoNotStore("method", false);
        }
        var get = new RequestHead("GET", request.fields(), request.cacheControl(), request.noCache(),
                request.hasAuthorization(), request.hasCookieOrCredential(), false, false, request.hasPrecondition(),
                false);
        return Storability.decide(get, head, policy, requestTime, responseTime) instanceof Storability.Store decision
                && decision.explicitFreshness() ? decision : new Storability.DoNotStore("method", false);
    }
}
