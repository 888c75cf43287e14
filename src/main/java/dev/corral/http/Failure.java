package dev.corral.http;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * A failed fetch, for everybody who was waiting when it failed, and for nobody later.
 *
 * @param reason a token such as {@code server-error}, {@code unreachable}, {@code timed-out}
 * @param status the origin's status; for an origin that gave none 502, 503 or 504
 * @param answer what the origin said, when that is fit for others
 * @param retryAfter when it is worth asking again, for everybody, also where the words are withheld; at most {@link #LATEST}. Empty
 *        when nobody knows
 */
public record Failure(String key, String reason, int status, Optional<Answer> answer, Optional<Duration> retryAfter,
        long position, String trace) implements Entry {

    /** The longest that is passed on: it is a hint about an outage, and nothing that could be told from other such hints. */
    public static final Duration LATEST = Duration.ofDays(1);

    /** Bounds the time. */
    public Failure {
        retryAfter = retryAfter.map(wait -> wait.compareTo(LATEST) < 0 ? wait : LATEST);
    }

    /** Not traced. */
    public Failure(String key, String reason, int status, Optional<Answer> answer, Optional<Duration> retryAfter,
            long position) {
        this(key, reason, status, answer, retryAfter, position, "");
    }

    @Override
    public Failure traced(String fetch) {
        return new Failure(key, reason, status, answer, retryAfter, position, fetch);
    }

    /** What {@code Retry-After} says (RFC 9110 section 10.2.3), from that time on; empty when it says nothing that is valid. */
    public static Optional<Duration> retryAfter(Head head, Instant now) {
        return head.fields()
                .first("Retry-After")
                .map(Syntax::trim)
                .flatMap(text -> CacheControl.deltaSeconds(text)
                        .or(() -> HttpDate.parse(text, now).map(then -> Duration.between(now, then))))
                .filter(wait -> !wait.isNegative());
    }

    /**
     * A failing origin's own words.
     *
     * @param selecting as in {@link Stored}
     */
    public record Answer(Head head, Fields selecting, Body body) {}

    /** The origin's own words, if they are also meant for this request; else only {@code status} and {@code reason} are. */
    public Optional<Answer> answerFor(Asked asked, Policy policy) {
        return answer.filter(said -> Variant.matches(said.selecting(), asked.fields(), policy));
    }
}
