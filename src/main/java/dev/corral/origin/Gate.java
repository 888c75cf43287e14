package dev.corral.origin;

import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreaker.State;
import io.github.resilience4j.circuitbreaker.CircuitBreaker.StateTransition;
import io.github.resilience4j.core.IntervalFunction;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;

/**
 * The way in to one origin: first its circuit breaker, then a place among those under way. Never waits. Thread-safe. Works the
 * two by hand, because their Reactor operators give a permit back at the first signal, long before a streamed body is over.
 */
final class Gate {

    /** When there is no telling how long the breaker stays shut: it is trying the origin out, or was forced open. */
    private static final Duration SOON = Duration.ofSeconds(1);

    private static final Logger log = LoggerFactory.getLogger(Gate.class);

    private record Closure(Instant until, int attempt) {}

    private final String origin;
    private final CircuitBreaker breaker;
    private final Bulkhead bulkhead;
    private final Clock clock;
    private volatile Closure closure = new Closure(Instant.MIN, 0);
    /** Counts the breaker's changes of state. */
    private final AtomicLong epoch = new AtomicLong();

    Gate(String origin, CircuitBreaker breaker, Bulkhead bulkhead, Clock clock) {
        this.origin = origin;
        this.breaker = breaker;
        this.bulkhead = bulkhead;
        this.clock = clock;
        breaker.getEventPublisher().onStateTransition(event -> closed(event.getStateTransition()));
    }

    /**
     * A permit, which must be left.
     *
     * @throws OriginShut when the breaker is open
     * @throws OriginFull when all places are taken
     */
    Permit enter() {
        if (!breaker.tryAcquirePermission()) {
            throw new OriginShut(origin, remaining());
        }
        if (!bulkhead.tryAcquirePermission()) {
            breaker.releasePermission();
            throw new OriginFull(origin);
        }
        return new Permit();
    }

    private Duration remaining() {
        Instant now = clock.instant();
        Instant until = closure.until;
        return until.isAfter(now) ? Duration.between(now, until) : SOON;
    }

    /** The breaker keeps its end to itself; it can be had from when it opened and how long it waits. */
    private void closed(StateTransition transition) {
        epoch.incrementAndGet();
        tell(transition);
        if (transition.getToState() == State.OPEN) {
            int attempt = transition.getFromState() == State.HALF_OPEN ? closure.attempt + 1 : 1;
            closure = new Closure(clock.instant().plusMillis(wait(attempt)), attempt);
        }
    }

    private long wait(int attempt) {
        IntervalFunction waits = breaker.getCircuitBreakerConfig().getWaitIntervalFunctionInOpenState();
        return waits instanceof LastInterval last ? last.millis() : waits.apply(attempt);
    }

    private void tell(StateTransition transition) {
        // Who was well and is left alone from now on wants a human; what follows is the story of it.
        Level level = transition.getFromState() == State.CLOSED ? Level.WARN : Level.INFO;
        log.atLevel(level)
                .log("Origin {}: its circuit breaker was {} and is {}", origin, transition.getFromState(),
                        transition.getToState());
    }

    /**
     * The right to one exchange. Each method may be called again and by any thread; only its first call counts. The breaker hears of
     * it only while it is in the state in which it gave the permit: what was sent before an outage was noticed, and fails late, says
     * nothing about the origin of today.
     */
    final class Permit {

        private final long since;
        private final long given;
        private final AtomicBoolean undecided = new AtomicBoolean(true);
        private final AtomicBoolean sound = new AtomicBoolean(true);
        private final AtomicBoolean inside = new AtomicBoolean(true);

        private Permit() {
            this.since = breaker.getCurrentTimestamp();
            this.given = epoch.get();
        }

        private boolean current() {
            return epoch.get() == given;
        }

        /** The origin answered, whatever the status. */
        void answered() {
            if (undecided.compareAndSet(true, false) && current()) {
                breaker.onSuccess(breaker.getCurrentTimestamp() - since, breaker.getTimestampUnit());
            }
        }

        /**
         * The origin failed: also after it had answered, when a streamed body breaks off. That one then counts as a success and a
         * failure, since a breaker that is half open cannot wait for the end of a long body.
         */
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

        /** Gives the place back. If the exchange ended neither way, the breaker forgets it. */
        void leave() {
            forget();
            if (inside.compareAndSet(true, false)) {
                bulkhead.onComplete();
            }
        }
    }
}
