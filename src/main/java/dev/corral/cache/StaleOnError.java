package dev.corral.cache;

import java.time.Duration;
import java.time.Instant;

/**
 * A stale answer whose origin failed when it was last asked. It stands in where staleness is allowed, and nobody of the fleet
 * asks again before the time given: a failing origin is asked once a period, not once a request.
 *
 * @param staleResponse   the stale answer
 * @param retryAt         when the origin may be asked again
 * @param failureCount    how often it has failed in a row; from 1
 * @param reason          how, as in {@link FailedFill}
 * @param status          as in {@link FailedFill}
 * @param originResponded whether the origin gave an answer, and that was an error; else it could not be reached
 */
public record StaleOnError(StoredResponse staleResponse, Instant retryAt, int failureCount, String reason, int status,
        boolean originResponded)
        implements
            Entry {

    /** After the first failure; the time doubles with each. Long enough that a flash of errors is one attempt. */
    private static final Duration MIN_BACKOFF = Duration.ofSeconds(1);

    /** The most: how long an origin may be up again before it is noticed. */
    private static final Duration MAX_BACKOFF = Duration.ofSeconds(30);

    /** The answer after one more failure, at that time. */
    public static StaleOnError afterFailure(StoredResponse stored, int failuresBefore, FailedFill failure,
            boolean answered, Instant now) {
        int failures = failuresBefore + 1;
        Duration pause = MIN_BACKOFF.multipliedBy(1L << Math.min(failures - 1, 5));
        Instant until = now.plus(pause.compareTo(MAX_BACKOFF) < 0 ? pause : MAX_BACKOFF);
        return new StaleOnError(stored, until, failures, failure.reason(), failure.status(), answered);
    }

    /** Whether the origin is still to be left alone. */
    public boolean isBackedOff(Instant now) {
        return now.isBefore(retryAt);
    }

    @Override
    public String cacheKey() {
        return staleResponse.cacheKey();
    }

    @Override
    public long purgePosition() {
        return staleResponse.purgePosition();
    }

    @Override
    public String traceparent() {
        return staleResponse.traceparent();
    }

    @Override
    public StaleOnError withTraceparent(String fetch) {
        return new StaleOnError(staleResponse.withTraceparent(fetch), retryAt, failureCount, reason, status,
                originResponded);
    }
}
