package dev.corral.http;

import java.time.Duration;
import java.util.Optional;

/**
 * An error that Corral itself reports to the client as problem+json (RFC 9457). It names the limit or step that failed and reveals
 * no internals.
 *
 * @param status     the HTTP status
 * @param title      the reason phrase
 * @param reason     a stable token for programs, also the {@code detail} of Cache-Status
 * @param detail     one sentence for humans
 * @param retryAfter the value of {@code Retry-After}; empty if unknown
 */
public record Problem(int status, String title, String reason, String detail, Optional<Duration> retryAfter) {

    /** The reason if the origin itself responded with an error. */
    public static final String ORIGIN_FAILED_REASON = "origin-failed";

    /** {@code Retry-After} for an exceeded limit: a flight of usual duration has completed by then. */
    private static final Optional<Duration> DEFAULT_RETRY_AFTER = Optional.of(Duration.ofSeconds(1));

    public static final Problem NO_ROUTE = new Problem(404, "Not Found", "no-route",
            "No route of this cache matches the path.",
            Optional.empty());

    public static final Problem TARGET_TOO_LONG = new Problem(414, "URI Too Long", "target-too-long",
            "The request line exceeds the limit of this cache.", Optional.empty());

    public static final Problem FIELDS_TOO_LARGE = new Problem(431, "Request Header Fields Too Large",
            "fields-too-large",
            "The request header fields exceed the limit of this cache.", Optional.empty());

    public static final Problem AMBIGUOUS_PATH = new Problem(400, "Bad Request", "ambiguous-path",
            "The origin could interpret the dot segments or encoded slashes of the path as another path.",
            Optional.empty());

    public static final Problem TOO_MANY_WAITERS = new Problem(503, "Service Unavailable", "too-many-waiters",
            "Too many requests are already waiting for a response from the origin.", DEFAULT_RETRY_AFTER);

    public static final Problem CONCURRENCY_LIMIT = new Problem(503, "Service Unavailable", "origin-concurrency",
            "The limit of concurrent requests to the origin is reached.", DEFAULT_RETRY_AFTER);

    public static final Problem MEMORY_FULL = new Problem(503, "Service Unavailable", "memory-full",
            "This cache does not have enough free memory for a response of that size.", DEFAULT_RETRY_AFTER);

    public static final Problem CIRCUIT_OPEN = new Problem(503, "Service Unavailable", "circuit-open",
            "The circuit breaker for this origin is open.", DEFAULT_RETRY_AFTER);

    public static final Problem ORIGIN_UNREACHABLE = new Problem(502, "Bad Gateway", "origin-unreachable",
            "The origin could not be reached.", Optional.empty());

    public static final Problem ORIGIN_TIMED_OUT = new Problem(504, "Gateway Timeout", "origin-timed-out",
            "The origin did not respond in time.", Optional.empty());

    public static final Problem ORIGIN_TRUNCATED = new Problem(502, "Bad Gateway", "origin-cut-short",
            "The response from the origin ended before it was complete.", Optional.empty());

    public static final Problem ORIGIN_MALFORMED = new Problem(502, "Bad Gateway", "origin-malformed",
            "The origin did not send a valid HTTP response to the request.", Optional.empty());

    public static final Problem NO_USABLE_RESPONSE = new Problem(504, "Gateway Timeout", "only-if-cached",
            "The request accepts a stored response only, and none is usable (RFC 9111 section 5.2.1.7).",
            Optional.empty());

    public static final Problem METHOD_NOT_SUPPORTED = new Problem(501, "Not Implemented", "method-refused",
            "This cache does not support the request method.", Optional.empty());

    public static final Problem UPGRADE_NOT_SUPPORTED = new Problem(501, "Not Implemented", "upgrade-refused",
            "This cache does not support protocol upgrades.", Optional.empty());

    public static final Problem REQUEST_BODY_TIMEOUT = new Problem(408, "Request Timeout", "request-body-timeout",
            "The request body did not arrive in time.", Optional.empty());

    public static final Problem REQUEST_BODY_MISMATCH = new Problem(400, "Bad Request", "request-body-mismatch",
            "The request body does not match the request header fields.", Optional.empty());

    public static final Problem INTERNAL_ERROR = new Problem(500, "Internal Server Error", "internal",
            "The cache failed. See its log for the cause.", Optional.empty());

    /** A copy with this {@code Retry-After}; unchanged if it is empty. */
    public Problem withRetryAfter(Optional<Duration> delay) {
        return delay.isEmpty() ? this : new Problem(status, title, reason, detail, delay);
    }

    /**
     * The problem of a request that is not valid HTTP, or that two servers could interpret differently.
     *
     * @param fault the fault as a noun phrase
     */
    public static Problem badRequest(String fault) {
        return new Problem(400, "Bad Request", "bad-request", "The request has " + fault + ".", Optional.empty());
    }

    /**
     * The problem of a failed fetch. The fetch may have run on another replica, possibly of another release: an unknown reason
     * becomes {@link #INTERNAL_ERROR}.
     *
     * @param status of the origin's response, used for {@link #ORIGIN_FAILED_REASON} only
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
                    "The origin responded with status " + status + ".", Optional.empty());
            default -> INTERNAL_ERROR;
        };
    }
}
