package dev.corral.tier;

import dev.corral.coalesce.TierUnavailable;
import io.github.resilience4j.circuitbreaker.CallNotPermittedException;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowSynchronizationStrategy;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowType;
import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import io.github.resilience4j.reactor.circuitbreaker.operator.CircuitBreakerOperator;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CancellationException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Mono;
import reactor.util.context.Context;

/**
 * What every command to Redis passes: a time limit, then a circuit breaker. Whatever goes wrong comes out as
 * {@link TierUnavailable}; while the breaker is open, at once. Thread-safe.
 *
 * <p>The breaker never tries by itself. It starts open, and only {@link #recovered()} closes it, which the purges call when they
 * are in step with the fleet: nothing stored is trusted before it is known what has been purged.
 */
public final class RedisGate {

    /** Whether Redis serves, and since when. */
    public sealed interface State {

        /** When it became so. */
        Instant since();

        /** Redis serves. */
        record Up(Instant since) implements State {}

        /** Redis is away or slow: this replica is on its own. */
        record Degraded(Instant since, String reason) implements State {}
    }

    private static final Logger log = LoggerFactory.getLogger(RedisGate.class);

    // Two in a row are a second: by then this replica's purges are no longer current either.
    private static final int MISSES = 2;

    // Reactor's name for who hears of an error that comes when nobody waits any more. Lettuce's own time limit ends with ours, so
    // that is every command that is late.
    private static final Context LATE = Context.of("reactor.onErrorDropped.local", (Consumer<Throwable>) late -> {});

    private final CircuitBreaker breaker;
    private final Duration timeout;
    private final Clock clock;
    private final AtomicInteger missed = new AtomicInteger();
    private volatile State state; // written under this

    /**
     * @param registry where the breaker is to be found as {@code redis}
     * @param timeout  of one command
     */
    public RedisGate(CircuitBreakerRegistry registry, Duration timeout, Clock clock) {
        this.breaker = registry.circuitBreaker("redis", configuration());
        this.timeout = timeout;
        this.clock = clock;
        this.state = new State.Degraded(clock.instant(), "not heard from yet");
        breaker.transitionToOpenState();
    }

    /** For health and metrics. */
    public State state() {
        return state;
    }

    /** The command within its bounds. Nothing is sent while the breaker is open. */
    <T> Mono<T> guard(Mono<T> command) {
        return command.timeout(timeout)
                .contextWrite(LATE)
                .transformDeferred(CircuitBreakerOperator.of(breaker))
                .doOnError(this::noticed)
                .onErrorMap(RedisGate::unavailable);
    }

    /** The command within its time limit, sent even while the breaker is open: to see whether Redis is back. */
    <T> Mono<T> probe(Mono<T> command) {
        return command.timeout(timeout).contextWrite(LATE).onErrorMap(RedisGate::unavailable);
    }

    /** Whether commands pass. */
    boolean open() {
        return breaker.getState() == CircuitBreaker.State.CLOSED;
    }

    /** Redis answers and this replica is in step with the fleet: commands may pass. */
    synchronized void recovered() {
        missed.set(0);
        if (breaker.getState() != CircuitBreaker.State.CLOSED) {
            breaker.transitionToClosedState();
        }
        if (state instanceof State.Degraded degraded) {
            state = new State.Up(clock.instant());
            log.info("Redis serves after {} ms", Duration.between(degraded.since(), state.since()).toMillis());
        }
    }

    /** The regular look at Redis failed: without traffic nobody else would notice. */
    void missed(Throwable cause) {
        if (missed.incrementAndGet() >= MISSES) {
            if (breaker.getState() == CircuitBreaker.State.CLOSED) {
                breaker.transitionToOpenState();
            }
            degrade(cause);
        }
    }

    private void noticed(Throwable cause) {
        if (breaker.getState() != CircuitBreaker.State.CLOSED) {
            degrade(cause);
        }
    }

    private synchronized void degrade(Throwable cause) {
        // Not again when it has recovered meanwhile.
        if (state instanceof State.Up && breaker.getState() != CircuitBreaker.State.CLOSED) {
            String reason = reason(cause);
            state = new State.Degraded(clock.instant(), reason);
            log.warn("Redis does not serve ({}): this replica coalesces by itself until it is back", reason);
        }
    }

    /**
     * Half of the last 16 commands, of 8 at least: a single slow one opens nothing, and a Redis that is gone costs 8 commands
     * their time limit, most of them side by side.
     */
    private static CircuitBreakerConfig configuration() {
        return CircuitBreakerConfig.custom()
                .slidingWindow(16, 8, SlidingWindowType.COUNT_BASED)
                // The default holds a lock that an event loop would wait for.
                .slidingWindowSynchronizationStrategy(SlidingWindowSynchronizationStrategy.LOCK_FREE)
                .failureRateThreshold(50)
                .recordException(RedisGate::silent)
                // Only recovered() closes it.
                .waitDurationInOpenState(Duration.ofDays(365))
                .writableStackTraceEnabled(false)
                .build();
    }

    /** A Redis that is full, or does not write because its disk is, still answers: reads go on. */
    private static boolean silent(Throwable error) {
        String message = String.valueOf(error.getMessage());
        return !(error instanceof org.redisson.client.RedisOutOfMemoryException
                || message.startsWith("OOM")
                || message.startsWith("MISCONF"));
    }

    private static Throwable unavailable(Throwable error) {
        return switch (error) {
            case io.lettuce.core.RedisException e -> new TierUnavailable("Redis: " + reason(e), e);
            case org.redisson.client.RedisException e -> new TierUnavailable("Redis: " + reason(e), e);
            case TimeoutException e -> new TierUnavailable("Redis did not answer in time", e);
            case CallNotPermittedException e -> new TierUnavailable("Redis is known to be away", e);
            case CancellationException e -> new TierUnavailable("Redis: the command was cancelled", e);
            case RejectedExecutionException e -> new TierUnavailable("Redis: the client is closed", e);
            default -> error;
        };
    }

    /** What an operator needs of it. */
    static String reason(Throwable error) {
        Throwable cause = error instanceof TierUnavailable && error.getCause() != null ? error.getCause() : error;
        String message = cause instanceof TimeoutException ? "no answer in time" : String.valueOf(cause.getMessage());
        // Redisson appends the command, its connection and advice.
        int end = message.indexOf(". ");
        return end < 0 ? message : message.substring(0, end);
    }
}
