package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.CacheControl;
import dev.corral.http.FieldSyntax;
import dev.corral.http.HeaderFields;
import dev.corral.http.HttpDate;
import dev.corral.http.Problem;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * The result of a failed fetch. It is delivered to every request that was waiting when the fetch failed, and to no later request.
 *
 * @param reason a {@link Problem} reason such as {@code origin-failed}, {@code origin-unreachable}, {@code origin-timed-out}
 * @param status the origin's status; 502, 503 or 504 if the origin did not respond
 * @param errorResponse the origin's response, if it may be given to all waiting clients
 * @param retryAfter the delay until a retry makes sense, valid for all clients even without {@code errorResponse}; at most
 *        {@link #MAX_RETRY_AFTER}; empty if unknown
 */
public record FailedFill(String cacheKey, String reason, int status, Optional<OriginErrorResponse> errorResponse,
        Optional<Duration> retryAfter,
        long purgePosition, String traceparent) implements Entry {

    /**
     * The longest delay that is passed on. The value is a hint about an outage; the limit keeps an origin from using it as an
     * identifier of one client.
     */
    public static final Duration MAX_RETRY_AFTER = Duration.ofDays(1);

    /** Limits {@code retryAfter} to {@link #MAX_RETRY_AFTER}. */
    public FailedFill {
        retryAfter = retryAfter.map(delay -> delay.compareTo(MAX_RETRY_AFTER) < 0 ? delay : MAX_RETRY_AFTER);
    }

    /** The result of a fetch without a trace. */
    public FailedFill(String cacheKey, String reason, int status, Optional<OriginErrorResponse> errorResponse,
            Optional<Duration> retryAfter,
            long purgePosition) {
        this(cacheKey, reason, status, errorResponse, retryAfter, purgePosition, "");
    }

    /** The problem for a client that does not get the origin's response. */
    public Problem toProblem() {
        return Problem.ofReason(reason, status).withRetryAfter(retryAfter);
    }

    @Override
    public FailedFill withTraceparent(String traceparent) {
        return new FailedFill(cacheKey, reason, status, errorResponse, retryAfter, purgePosition, traceparent);
    }

    /** The delay of {@code Retry-After} from {@code now} on (RFC 9110 section 10.2.3); empty if absent, invalid or in the past. */
    public static Optional<Duration> parseRetryAfter(ResponseHead head, Instant now) {
        return head.fields()
                .firstValue("Retry-After")
                .map(FieldSyntax::trim)
                .flatMap(text -> CacheControl.parseDeltaSeconds(text)
                        .or(() -> HttpDate.parse(text, now).map(date -> Duration.between(now, date))))
                .filter(delay -> !delay.isNegative());
    }

    /**
     * An error response of the origin.
     *
     * @param selectingFields as in {@link StoredResponse}
     */
    public record OriginErrorResponse(ResponseHead head, HeaderFields selectingFields, Body body) {}

    /** The origin's response, if this request selects its variant; otherwise only {@code status} and {@code reason} apply. */
    public Optional<OriginErrorResponse> errorResponseFor(RequestHead request, CachePolicy policy) {
        return errorResponse.filter(response -> Vary.matches(response.selectingFields(), request.fields(), policy));
    }
}
