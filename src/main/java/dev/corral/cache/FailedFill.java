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
 * A failed fetch, for everybody who was waiting when it failed, and for nobody later.
 *
 * @param reason a token such as {@code server-error}, {@code unreachable}, {@code timed-out}
 * @param status the origin's status; for an origin that gave none 502, 503 or 504
 * @param errorResponse what the origin said, when that is fit for others
 * @param retryAfter when it is worth asking again, for everybody, also where the words are withheld; at most {@link #MAX_RETRY_AFTER}. Empty
 *        when nobody knows
 */
public record FailedFill(String cacheKey, String reason, int status, Optional<OriginErrorResponse> errorResponse,
        Optional<Duration> retryAfter,
        long purgePosition, String traceparent) implements Entry {

    /** The longest that is passed on: it is a hint about an outage, and nothing that could be told from other such hints. */
    public static final Duration MAX_RETRY_AFTER = Duration.ofDays(1);

    /** Bounds the time. */
    public FailedFill {
        retryAfter = retryAfter.map(wait -> wait.compareTo(MAX_RETRY_AFTER) < 0 ? wait : MAX_RETRY_AFTER);
    }

    /** Not traced. */
    public FailedFill(String key, String reason, int status, Optional<OriginErrorResponse> answer,
            Optional<Duration> retryAfter,
            long position) {
        this(key, reason, status, answer, retryAfter, position, "");
    }

    /** What a client is told that gets no response of the origin. */
    public Problem toProblem() {
        return Problem.ofReason(reason, status).withRetryAfter(retryAfter);
    }

    @Override
    public FailedFill withTraceparent(String fetch) {
        return new FailedFill(cacheKey, reason, status, errorResponse, retryAfter, purgePosition, fetch);
    }

    /** What {@code Retry-After} says (RFC 9110 section 10.2.3), from that time on; empty when it says nothing that is valid. */
    public static Optional<Duration> parseRetryAfter(ResponseHead head, Instant now) {
        return head.fields()
                .firstValue("Retry-After")
                .map(FieldSyntax::trim)
                .flatMap(text -> CacheControl.parseDeltaSeconds(text)
                        .or(() -> HttpDate.parse(text, now).map(then -> Duration.between(now, then))))
                .filter(wait -> !wait.isNegative());
    }

    /**
     * A failing origin's own words.
     *
     * @param selectingFields as in {@link StoredResponse}
     */
    public record OriginErrorResponse(ResponseHead head, HeaderFields selectingFields, Body body) {}

    /** The origin's own words, if they are also meant for this request; else only {@code status} and {@code reason} are. */
    public Optional<OriginErrorResponse> errorResponseFor(RequestHead asked, CachePolicy policy) {
        return errorResponse.filter(said -> Vary.matches(said.selectingFields(), asked.fields(), policy));
    }
}
