package dev.corral.http;

import java.time.Duration;
import java.util.Optional;

/**
 * An error of our own, told to the client as problem+json (RFC 9457). Says which limit or step, and nothing of the inside.
 *
 * @param reason     a stable token for programs, also the {@code detail} of Cache-Status
 * @param detail     one sentence for people
 * @param retryAfter when to come back; empty when nobody knows
 */
public record Problem(int status, String title, String reason, String detail, Optional<Duration> retryAfter) {

    /** The reason of an error that the origin itself answered with. */
    public static final String ORIGIN_FAILED_REASON = "origin-failed";

    /** When to come back after a limit was hit: by then a flight of the usual length has landed. */
    private static final Optional<Duration> DEFAULT_RETRY_AFTER = Optional.of(Duration.ofSeconds(1));

    public static final Problem NO_ROUTE = new Problem(404, "Not Found", "no-route",
            "No route of this cache matches the path.",
            Optional.empty());

    public static final Problem TARGET_TOO_LONG = new Problem(414, "URI Too Long", "target-too-long",
            "The request line is longer than this cache takes.", Optional.empty());

    public static final Problem FIELDS_TOO_LARGE = new Problem(431, "Request Header Fields Too Large",
            "fields-too-large",
            "The request's header fields are larger than this cache takes.", Optional.empty());

    public static final Problem AMBIGUOUS_PATH = new Problem(400, "Bad Request", "ambiguous-path",
            "The path's dot segments or encoded slashes could mean another path to the origin.", Optional.empty());

    public static final Problem TOO_MANY_WAITERS = new Problem(503, "Service Unavailable", "too-many-waiters",
            "Too many requests already wait for an answer of the origin.", DEFAULT_RETRY_AFTER);

    public static final Problem CONCURRENCY_LIMIT = new Problem(503, "Service Unavailable", "origin-concurrency",
            "The limit of simultaneous requests to the origin is reached.", DEFAULT_RETRY_AFTER);

    public static final Problem MEMORY_FULL = new Problem(503, "Service Unavailable", "memory-full",
            "This cache has no memory left for a response of that size.", DEFAULT_RETRY_AFTER);

    public static final Problem CIRCUIT_OPEN = new Problem(503, "Service Unavailable", "circuit-open",
            "The origin has failed too often and is left alone for a while.", DEFAULT_RETRY_AFTER);

    public static final Problem ORIGIN_UNREACHABLE = new Problem(502, "Bad Gateway", "origin-unreachable",
            "The origin could not be reached.", Optional.empty());

    public static final Problem ORIGIN_TIMED_OUT = new Problem(504, "Gateway Timeout", "origin-timed-out",
            "The origin did not answer in time.", Optional.empty());

    public static final Problem ORIGIN_TRUNCATED = new Problem(502, "Bad Gateway", "origin-cut-short",
            "The origin's answer ended before it was complete.", Optional.empty());

    public static final Problem ORIGIN_MALFORMED = new Problem(502, "Bad Gateway", "origin-malformed",
            "The origin's answer was not a valid HTTP response to the request.", Optional.empty());

    public static final Problem NO_USABLE_RESPONSE = new Problem(504, "Gateway Timeout", "only-if-cached",
            "The request wants a stored answer only, and none is usable (RFC 9111 section 5.2.1.7).", Optional.empty());

    public static final Problem METHOD_NOT_SUPPORTED = new Problem(501, "Not Implemented", "method-refused",
            "This cache does not take requests of this method.", Optional.empty());

    public static final Problem UPGRADE_NOT_SUPPORTED = new Problem(501, "Not Implemented", "upgrade-refused",
            "This cache speaks HTTP only, and does not change to another protocol.", Optional.empty());

    public static final Problem REQUEST_BODY_TIMEOUT = new Problem(408, "Request Timeout", "request-body-timeout",
            "The request's body did not come in time.", Optional.empty());

    public static final Problem REQUEST_BODY_MISMATCH = new Problem(400, "Bad Request", "request-body-mismatch",
            "The request's body is not what its head says.", Optional.empty());

    public static final Problem INTERNAL_ERROR = new Problem(500, "Internal Server Error", "internal",
            "The cache failed; its log says how.", Optional.empty());

    /** The same, with the time that is known to be worth waiting. */
    public Problem withRetryAfter(Optional<Duration> known) {
        return known.isEmpty() ? this : new Problem(status, title, reason, detail, known);
    }

    /**
     * A request that is no proper HTTP, or that two servers could read differently.
     *
     * @param what what it has, as a noun
     */
    public static Problem badRequest(String what) {
        return new Problem(400, "Bad Request", "bad-request", "The request has " + what + ".", Optional.empty());
    }

    /**
     * The problem of a failed fetch, which may have been another replica's.
     *
     * @param status of the response, where the origin sent one
     */
    public static Problem ofReason(String reason, int status) {
        return switch (reason) {
            case "origin-concurrency" -> CONCURRENCY_LIMIT;
            case "memory-full" -> MEMORY_FULL;
            case "circuit-open" -> CIRCUIT_OPEN;
            case "origin-unreachable" -> ORIGIN_UNREACHABLE;
            case "origin-timed-out" -> ORIGIN_TIMED_OUT;
            case "origin-cut-short" -> ORIGIN_TRUNCATED;
            case "origin-malformed" -> ORIGIN_MALFORMED;
            case ORIGIN_FAILED_REASON -> new Problem(status, "Origin Error", ORIGIN_FAILED_REASON,
                    "The origin answered with status " + status + ".", Optional.empty());
            default -> INTERNAL_ERROR;
        };
    }
}
