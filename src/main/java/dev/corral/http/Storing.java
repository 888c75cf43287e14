package dev.corral.http;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * May an answer to a GET be given to others (RFC 9111 section 3)? The reasons are short tokens in the manner of RFC 9211.
 */
public sealed interface Storing {

    /**
     * It may, under the terms.
     *
     * @param head what is to be kept of it
     * @param explicit whether the origin itself stated the freshness
     */
    record Share(Head head, Terms terms, List<String> tags, boolean explicit) implements Storing {}

    /**
     * It reaches exactly one request.
     *
     * @param remember whether to leave a hit-for-miss marker, so that later requests do not wait for the next such answer
     */
    record Withhold(String reason, boolean remember) implements Storing {}

    /**
     * The fetch failed: told to everybody who waits, remembered by nobody.
     *
     * @param shareable whether the answer itself may be passed on; else only its status
     */
    record Fail(String reason, boolean shareable) implements Storing {}

    /**
     * Decides about the answer to a POST as a later GET's (RFC 9110 section 9.3.3): only if it states its freshness and says in
     * {@code Content-Location} that it is what a GET of the same URI would get.
     *
     * @param requestUri absolute
     */
    static Storing decidePost(Asked asked, String requestUri, Head head, Policy policy, Instant requestTime,
            Instant responseTime) {
        if (!asked.method().equals("POST") || head.status() != 200
                || !Invalidation.named("Content-Location", requestUri, head).equals(Optional.of(requestUri))) {
            return new Withhold("method", false);
        }
        var get = new Asked("GET", asked.fields(), asked.cacheControl(), asked.noCache(), asked.authorized(),
                asked.cookied(), false, false, asked.preconditioned(), false);
        return decide(get, head, policy, requestTime, responseTime) instanceof Share share && share.explicit()
                ? share
                : new Withhold("method", false);
    }

    /** Decides, once, when the answer's head is there. Never throws. */
    static Storing decide(Asked asked, Head head, Policy policy, Instant requestTime, Instant responseTime) {
        return Decision.of(asked, head, policy, requestTime, responseTime);
    }
}
