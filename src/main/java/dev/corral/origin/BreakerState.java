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
final class BreakerState {

    /** When there is no telling how long the breaker stays open: it is trying the origin out, or was forced open. */
    private static final Duration SOON = Duration.ofSeconds(1);

    private static final Logger log = LoggerFactory.getLogger(Gate.class);

    private record Closure(Instant until, int attempt) {}

    private final String name;
    private final CircuitBreaker breaker;
    private final Clock clock;
    private volatile Closure closure = new Closure(Instant.MIN, 0);
    /** Counts the breaker's changes of state. */
    private final AtomicLong epoch = new AtomicLong();

    /** @param name of what the breaker judges, for the log */
    BreakerState(String name, CircuitBreaker breaker, Clock clock) {
        this.name = name;
        this.breaker = breaker;
        this.clock = clock;
        breaker.getEventPublisher().onStateTransition(event -> changed(event.getStateTransition()));
    }

    CircuitBreaker breaker() {
        return breaker;
    }

    /** How long it stays open; positive. */
    Duration remaining() {
        Instant now = clock.instant();
        Instant until = closure.until;
        return until.isAfter(now) ? Duration.between(now, until) : SOON;
    }

    /** Whether it is one that an operator has set to let everything pass. */
    boolean passive() {
        return breaker.getState() == State.DISABLED || breaker.getState() == State.METRICS_ONLY;
    }

    /** The breaker keeps its end to itself; it can be had from when it opened and how long it waits. */
    private void changed(StateTransition transition) {
        epoch.incrementAndGet();
        // Who was well and is left alone from now on wants a human; what follows is the story of it.
        Level level = transition.getFromState() == State.CLOSED ? Level.WARN : Level.INFO;
        log.atLevel(level)
                .log("Origin {}: its circuit breaker was {} and is {}", name, transition.getFromState(),
                        transition.getToState());
        if (transition.getToState() == State.OPEN) {
            int attempt = transition.getFromState() == State.HALF_OPEN ? closure.attempt + 1 : 1;
            closure = new Closure(clock.instant().plusMillis(wait(attempt)), attempt);
        }
    }

    private long wait(int attempt) {
        IntervalFunction waits = breaker.getCircuitBreakerConfig().getWaitIntervalFunctionInOpenState();
        return waits instanceof LastInterval last ? last.millis() : waits.apply(attempt);
    }

    /**
     * The permission to one exchange; empty when the breaker is open. The breaker hears of it only while it is in the state in which
     * it gave the permission: what was sent before an outage was noticed, and fails late, says nothing about the origin of today.
     */
    Optional<Permission> enter() {
        return breaker.tryAcquirePermission() ? Optional.of(new Permission()) : Optional.empty();
    }

    /** What one exchange says to the breaker. Each method may be called again, by any thread; only its first call counts. */
    final class Permission {

        private final long since = breaker.getCurrentTimestamp();
        private final long given = epoch.get();
        private final boolean trial = breaker.getState() == State.HALF_OPEN;
        private final AtomicBoolean undecided = new AtomicBoolean(true);
        private final AtomicBoolean sound = new AtomicBoolean(true);

        private Permission() {}

        private boolean current() {
            return epoch.get() == given;
        }

        /** Whether this exchange is to tell whether the breaker may close. */
        boolean trial() {
            return trial;
        }

        void succeeded() {
            if (undecided.compareAndSet(true, false) && current()) {
                breaker.onSuccess(breaker.getCurrentTimestamp() - since, breaker.getTimestampUnit());
            }
        }

        void failed(OriginFailed failure) {
            undecided.set(false);
            if (sound.compareAndSet(true, false) && current()) {
                breaker.onError(breaker.getCurrentTimestamp() - since, breaker.getTimestampUnit(), failure);
            }
        }

        /** If nothing is known of the exchange yet, the breaker forgets it. */
        void forget() {
            if (undecided.compareAndSet(true, false) && current()) {
                breaker.releasePermission();
            }
        }
    }
}
