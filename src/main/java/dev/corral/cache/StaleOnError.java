package dev.corral.cache;

import java.time.Duration;
import java.time.Instant;

/**
 * A stale response whose last fetch failed. It is served where stale use is permitted, and no replica contacts the origin before
 * {@code retryAt}: a failing origin gets one request in each back-off period instead of one for each client request.
 *
 * @param staleResponse   the stale response
 * @param retryAt         when the origin may be contacted again
 * @param failureCount    the number of consecutive failures, from 1
 * @param reason          the reason of the last failure, as in {@link FailedFill}
 * @param status          the status of the last failure, as in {@link FailedFill}
 * @param originResponded whether the origin responded with an error; otherwise it was unreachable
 */
public record StaleOnError(StoredResponse staleResponse, Instant retryAt, int failureCount, String reason, int status,
        boolean originResponded)
        implements
            Entry {

    /** The back-off after the first failure; it doubles with each further one. A short burst of errors is one attempt. */
    private static final Duration MIN_BACKOFF = Duration.ofSeconds(1);

    /** The longest back-off: the time until the recovery of an origin is noticed. */
    private static final Duration MAX_BACKOFF = Duration.ofSeconds(30);

    /** The entry after another failure at this time. */
    public static StaleOnError afterFailure(StoredResponse stored, int previousFailures, FailedFill failure,
            boolean originResponded, Instant now) {
        int failureCount = previousFailures + 1;
        Duration backoff = MIN_BACKOFF.multipliedBy(1L << Math.min(failureCount - 1, 5));
        Instant retryAt = now.plus(backoff.compareTo(MAX_BACKOFF) < 0 ? backoff : MAX_BACKOFF);
        return new StaleOnError(stored, retryAt, failureCount, failure.reason(), failure.status(), originResponded);
    }

    /** Whether the origin must not be contacted yet. */
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
    public StaleOnError withTraceparent(String traceparent) {
        return new StaleOnError(staleResponse.withTraceparent(traceparent), retryAt, failureCount, reason, status,
                originResponded);
    }
}
