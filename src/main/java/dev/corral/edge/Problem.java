package dev.corral.edge;

import dev.corral.http.Failure;
import java.time.Duration;
import java.util.Optional;

/**
 * An error of our own, told to the client as problem+json (RFC 9457). Says which limit or step, and nothing of the inside.
 *
 * @param reason     a stable token for programs, also the {@code detail} of Cache-Status
 * @param detail     one sentence for people
 * @param retryAfter when to come back; empty when nobody knows
 */
record Problem(int status, String title, String reason, String detail, Optional<Duration> retryAfter) {

    /** The reason of an error that the origin itself answered with. */
    static final String ORIGIN_FAILED = "origin-failed";

    /** When to come back after a limit was hit: by then a flight of the usual length has landed. */
    private static final Optional<Duration> SOON = Optional.of(Duration.ofSeconds(1));

    static final Problem NO_ROUTE = new Problem(404, "Not Found", "no-route",
            "No route of this cache matches the path.",
            Optional.empty());

    static final Problem TARGET_TOO_LONG = new Problem(414, "URI Too Long", "target-too-long",
            "The request line is longer than this cache takes.", Optional.empty());

    static final Problem FIELDS_TOO_LARGE = new Problem(431, "Request Header Fields Too Large", "fields-too-large",
            "The request's header fields are larger than this cache takes.", Optional.empty());

    static final Problem AMBIGUOUS_PATH = new Problem(400, "Bad Request", "ambiguous-path",
            "The path's dot segments or encoded slashes could mean another path to the origin.", Optional.empty());

    static final Problem CROWDED = new Problem(503, "Service Unavailable", "too-many-waiters",
            "Too many requests already wait for an answer of the origin.", SOON);

    static final Problem ORIGIN_FULL = new Problem(503, "Service Unavailable", "origin-concurrency",
            "The limit of simultaneous requests to the origin is reached.", SOON);

    static final Problem MEMORY_FULL = new Problem(503, "Service Unavailable", "memory-full",
            "This cache has no memory left for a response of that size.", SOON);

    static final Problem ORIGIN_SHUT = new Problem(503, "Service Unavailable", "origin-shut",
            "The origin has failed too often and is left alone for a while.", SOON);

    static final Problem ORIGIN_UNREACHABLE = new Problem(502, "Bad Gateway", "origin-unreachable",
            "The origin could not be reached.", Optional.empty());

    static final Problem ORIGIN_TIMED_OUT = new Problem(504, "Gateway Timeout", "origin-timed-out",
            "The origin did not answer in time.", Optional.empty());

    static final Problem ORIGIN_CUT_SHORT = new Problem(502, "Bad Gateway", "origin-cut-short",
            "The origin's answer ended before it was complete.", Optional.empty());

    static final Problem ORIGIN_MALFORMED = new Problem(502, "Bad Gateway", "origin-malformed",
            "The origin's answer was not a valid HTTP response to the request.", Optional.empty());

    static final Problem NOT_STORED = new Problem(504, "Gateway Timeout", "only-if-cached",
            "The request wants a stored answer only, and none is usable (RFC 9111 section 5.2.1.7).", Optional.empty());

    static final Problem METHOD_REFUSED = new Problem(501, "Not Implemented", "method-refused",
            "This cache does not take requests of this method.", Optional.empty());

    static final Problem UPGRADE_REFUSED = new Problem(501, "Not Implemented", "upgrade-refused",
            "This cache speaks HTTP only, and does not change to another protocol.", Optional.empty());

    static final Problem BODY_LATE = new Problem(408, "Request Timeout", "body-late",
            "The request's body did not come in time.", Optional.empty());

    static final Problem BODY_BROKEN = new Problem(400, "Bad Request", "body-broken",
            "The request's body is not what its head says.", Optional.empty());

    static final Problem INTERNAL = new Problem(500, "Internal Server Error", "internal",
            "The cache failed; its log says how.", Optional.empty());

    /** The same, with the time that is known to be worth waiting. */
    Problem retryAfter(Optional<Duration> known) {
        return known.isEmpty() ? this : new Problem(status, title, reason, detail, known);
    }

    /** The problem of a failed fetch, as this or another replica has found it. */
    static Problem of(Failure failure) {
        return of(failure.reason(), failure.status()).retryAfter(failure.retryAfter());
    }

    /**
     * A request that is no proper HTTP, or that two servers could read differently.
     *
     * @param what what it has, as a noun
     */
    static Problem badRequest(String what) {
        return new Problem(400, "Bad Request", "bad-request", "The request has " + what + ".", Optional.empty());
    }

    /** The problem of that reason, as another replica has found it. */
    private static Problem of(String reason, int status) {
        return switch (reason) {
            case "origin-concurrency" -> ORIGIN_FULL;
            case "memory-full" -> MEMORY_FULL;
            case "origin-shut" -> ORIGIN_SHUT;
            case "origin-unreachable" -> ORIGIN_UNREACHABLE;
            case "origin-timed-out" -> ORIGIN_TIMED_OUT;
            case "origin-cut-short" -> ORIGIN_CUT_SHORT;
            case "origin-malformed" -> ORIGIN_MALFORMED;
            case ORIGIN_FAILED -> new Problem(status, "Origin Error", ORIGIN_FAILED,
                    "The origin answered with status " + status + ".", Optional.empty());
            default -> INTERNAL;
        };
    }
}
