package dev.corral.http;

import java.time.Duration;
import java.time.Instant;

/**
 * A stale answer whose origin failed when it was last asked. It stands in where staleness is allowed, and nobody of the fleet
 * asks again before the time given: a failing origin is asked once a period, not once a request.
 *
 * @param stored   the stale answer
 * @param until    when the origin may be asked again
 * @param failures how often it has failed in a row; from 1
 * @param reason   how, as in {@link Failure}
 * @param status   as in {@link Failure}
 * @param answered whether the origin gave an answer, and that was an error; else it could not be reached
 */
public record Ailing(Stored stored, Instant until, int failures, String reason, int status, boolean answered)
        implements
            Entry {

    /** After the first failure; the time doubles with each. Long enough that a flash of errors is one attempt. */
    private static final Duration FIRST = Duration.ofSeconds(1);

    /** The most: how long an origin may be up again before it is noticed. */
    private static final Duration MOST = Duration.ofSeconds(30);

    /** The answer after one more failure, at that time. */
    public static Ailing after(Stored stored, int failuresBefore, Failure failure, boolean answered, Instant now) {
        int failures = failuresBefore + 1;
        Duration pause = FIRST.multipliedBy(1L << Math.min(failures - 1, 5));
        Instant until = now.plus(pause.compareTo(MOST) < 0 ? pause : MOST);
        return new Ailing(stored, until, failures, failure.reason(), failure.status(), answered);
    }

    /** Whether the origin is still to be left alone. */
    public boolean resting(Instant now) {
        return now.isBefore(until);
    }

    @Override
    public String key() {
        return stored.key();
    }

    @Override
    public long position() {
        return stored.position();
    }

    @Override
    public String trace() {
        return stored.trace();
    }

    @Override
    public Ailing traced(String fetch) {
        return new Ailing(stored.traced(fetch), until, failures, reason, status, answered);
    }
}
