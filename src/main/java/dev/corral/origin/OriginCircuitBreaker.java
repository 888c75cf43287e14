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

/** One circuit breaker, and how long it stays open, which Resilience4j does not tell. Logs its states. Thread-safe. */
final class OriginCircuitBreaker {

    /** When there is no telling how long the breaker stays open: it is trying the origin out, or was forced open. */
    private static final Duration DEFAULT_RETRY_AFTER = Duration.ofSeconds(1);

    private static final Logger log = LoggerFactory.getLogger(OriginAdmission.class);

    private record OpenPeriod(Instant until, int attempt) {}

    private final String name;
    private final CircuitBreaker breaker;
    private final Clock clock;
    private volatile OpenPeriod openPeriod = new OpenPeriod(Instant.MIN, 0);
    /** Counts the breaker's changes of state. */
    private final AtomicLong transitionCount = new AtomicLong();

    /** @param name of what the breaker judges, for the log */
    OriginCircuitBreaker(String name, CircuitBreaker breaker, Clock clock) {
        this.name = name;
        this.breaker = breaker;
        this.clock = clock;
        breaker.getEventPublisher().onStateTransition(event -> onStateTransition(event.getStateTransition()));
    }

    CircuitBreaker breaker() {
        return breaker;
    }

    /** How long it stays open; positive. */
    Duration remainingOpenTime() {
        Instant now = clock.instant();
        Instant until = openPeriod.until;
        return until.isAfter(now) ? Duration.between(now, until) : DEFAULT_RETRY_AFTER;
    }

    /** Whether it is one that an operator has set to let everything pass. */
    boolean isBypassed() {
        return breaker.getState() == State.DISABLED || breaker.getState() == State.METRICS_ONLY;
    }

    /** The breaker keeps its end to itself; it can be had from when it opened and how long it waits. */
    private void onStateTransition(StateTransition transition) {
        transitionCount.incrementAndGet();
        // Who was well and is left alone from now on wants a human; what follows is the story of it.
        Level level = transition.getFromState() == State.CLOSED ? Level.WARN : Level.INFO;
        log.atLevel(level)
                .log("Origin {}: its circuit breaker was {} and is {}", name, transition.getFromState(),
                        transition.getToState());
        if (transition.getToState() == State.OPEN) {
            int attempt = transition.getFromState() == State.HALF_OPEN ? openPeriod.attempt + 1 : 1;
            openPeriod = new OpenPeriod(clock.instant().plusMillis(openWaitMillis(attempt)), attempt);
        }
    }

    private long openWaitMillis(int attempt) {
        IntervalFunction waits = breaker.getCircuitBreakerConfig().getWaitIntervalFunctionInOpenState();
        return waits instanceof RecordingIntervalFunction last ? last.lastMillis() : waits.apply(attempt);
    }

    /**
     * The permission to one exchange; empty when the breaker is open. The breaker hears of it only while it is in the state in which
     * it gave the permission: what was sent before an outage was noticed, and fails late, says nothing about the origin of today.
     */
    Optional<BreakerPermission> tryAcquire() {
        return breaker.tryAcquirePermission() ? Optional.of(new BreakerPermission()) : Optional.empty();
    }

    /** What one exchange says to the breaker. Each method may be called again, by any thread; only its first call counts. */
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

        /** Whether this exchange is to tell whether the breaker may close. */
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

        /** If nothing is known of the exchange yet, the breaker forgets it. */
        void releaseIfPending() {
            if (outcomePending.compareAndSet(true, false) && isCurrent()) {
                breaker.releasePermission();
            }
        }
    }
}
