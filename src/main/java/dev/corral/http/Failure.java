package dev.corral.http;

import java.util.Optional;

/**
 * A failed fetch, for everybody who was waiting when it failed, and for nobody later.
 *
 * @param reason a token such as {@code server-error}, {@code unreachable}, {@code timed-out}
 * @param status the origin's status; for an origin that gave none 502, 503 or 504
 * @param answer what the origin said, when that is fit for others
 */
public record Failure(String key, String reason, int status, Optional<Answer> answer, long position,
        String trace)
        implements
            Entry {

    /** Not traced. */
    public Failure(String key, String reason, int status, Optional<Answer> answer, long position) {
        this(key, reason, status, answer, position, "");
    }

    @Override
    public Failure traced(String fetch) {
        return new Failure(key, reason, status, answer, position, fetch);
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
