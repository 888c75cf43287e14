package dev.corral.origin;

import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreaker.State;
import io.github.resilience4j.circuitbreaker.CircuitBreaker.StateTransition;
import io.github.resilience4j.core.IntervalFunction;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;

/**
 * One circuit breaker that also knows how long it stays open, which Resilience4j does not expose. Logs its state transitions.
 * Thread-safe.
 */
final class OriginCircuitBreaker {

    /** Used when the end of the open state is unknown: the breaker is half open, or was forced open. */
    private static final Duration DEFAULT_RETRY_AFTER = Duration.ofSeconds(1);

    private static final Logger log = LoggerFactory.getLogger(OriginAdmission.class);

    private record OpenPeriod(Instant until, int attempt) {}

    private final String name;
    private final CircuitBreaker breaker;
    private final Clock clock;
    private volatile OpenPeriod openPeriod = new OpenPeriod(Instant.MIN, 0);
    /** Counts the breaker's changes of state. */
    private final AtomicLong transitionCount = new AtomicLong();

    /** @param name the route, or the route and the endpoint, for the log */
    OriginCircuitBreaker(String name, CircuitBreaker breaker, Clock clock) {
        this.name = name;
        this.breaker = breaker;
        this.clock = clock;
        breaker.getEventPublisher().onStateTransition(event -> onStateTransition(event.getStateTransition()));
    }

    CircuitBreaker breaker() {
        return breaker;
    }

    /** How long the breaker stays open; positive. */
    Duration remainingOpenTime() {
        Instant now = clock.instant();
        Instant until = openPeriod.until;
        return until.isAfter(now) ? Duration.between(now, until) : DEFAULT_RETRY_AFTER;
    }

    /** Whether an operator disabled the breaker, so that every call passes. */
    boolean isBypassed() {
        return breaker.getState() == State.DISABLED || breaker.getState() == State.METRICS_ONLY;
    }

    /** Resilience4j does not expose the end of the open state; it is computed from its start and the wait interval. */
    private void onStateTransition(StateTransition transition) {
        transitionCount.incrementAndGet();
        // CLOSED -> OPEN needs an operator; the transitions that follow belong to the same incident.
        Level level = transition.getFromState() == State.CLOSED ? Level.WARN : Level.INFO;
        log.atLevel(level)
                .log("Circuit breaker of origin {} changed from {} to {}", name, transition.getFromState(),
                        transition.getToState());
        if (transition.getToState() == State.OPEN) {
            int attempt = transition.getFromState() == State.HALF_OPEN ? openPeriod.attempt + 1 : 1;
            openPeriod = new OpenPeriod(clock.instant().plusMillis(openWaitMillis(attempt)), attempt);
        }
    }

    private long openWaitMillis(int attempt) {
        IntervalFunction intervals = breaker.getCircuitBreakerConfig().getWaitIntervalFunctionInOpenState();
        return intervals instanceof RecordingIntervalFunction recording
                ? recording.lastMillis()
                : intervals.apply(attempt);
    }

    /**
     * The permission for one exchange; empty when the breaker is open. The outcome is reported only while the breaker is in the state
     * in which it gave the permission: the late failure of a request that was sent before an outage was noticed says nothing about
     * the origin's present state.
     */
    Optional<BreakerPermission> tryAcquire() {
        return breaker.tryAcquirePermission() ? Optional.of(new BreakerPermission()) : Optional.empty();
    }

    /** Reports one exchange's outcome. Each method may be called repeatedly, by any thread; only its first call has an effect. */
    final class BreakerPermission {

        private final long startTimestamp = breaker.getCurrentTimestamp();
        private final long startTransitionCount = transitionCount.get();
        private final boolean isTrial = breaker.getState() == State.HALF_OPEN;
        private final AtomicBoolean outcomePending = new AtomicBoolean(true);
        private final AtomicBoolean healthy = new AtomicBoolean(true);

        private BreakerPermission() {}

        private boolean isCurrent() {
            return transitionCount.get() == startTransitionCount;
        }

        /** Whether the outcome of this exchange decides whether the half-open breaker closes. */
        boolean isTrial() {
            return isTrial;
        }

        void onSuccess() {
            if (outcomePending.compareAndSet(true, false) && isCurrent()) {
                breaker.onSuccess(breaker.getCurrentTimestamp() - startTimestamp, breaker.getTimestampUnit());
            }
        }

        void onFailure(OriginFailedException failure) {
            outcomePending.set(false);
            if (healthy.compareAndSet(true, false) && isCurrent()) {
                breaker.onError(breaker.getCurrentTimestamp() - startTimestamp, breaker.getTimestampUnit(), failure);
            }
        }

        /** Returns the permission if the exchange has no outcome yet; it is then not counted. */
        void releaseIfPending() {
            if (outcomePending.compareAndSet(true, false) && isCurrent()) {
                breaker.releasePermission();
            }
        }
    }
}
