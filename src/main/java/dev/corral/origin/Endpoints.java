package dev.corral.origin;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.core.IntervalFunction;
import java.time.Clock;

/**
 * A circuit breaker for each endpoint of one origin: for each first path segment below the route's own path. An endpoint that does
 * not respond is left alone by itself; the others are asked as before. Thread-safe.
 */
final class Endpoints {

    /** Clients choose paths: the endpoints asked last are judged, the others are forgotten and judged anew. */
    private static final int MOST = 64;

    private static final int LONGEST = 100;

    private final String origin;
    private final String prefix;
    private final CircuitBreakerConfig config;
    private final Clock clock;
    // On the caller's thread: to evict is quick.
    private final Cache<String, BreakerState> states = Caffeine.newBuilder()
            .maximumSize(MOST)
            .executor(Runnable::run)
            .build();

    /**
     * @param prefix the part of every path that the route has in common, such as {@code /shop/}
     * @param config of the route's breaker
     */
    Endpoints(String origin, String prefix, CircuitBreakerConfig config, Clock clock) {
        this.origin = origin;
        this.prefix = prefix;
        this.config = config;
        this.clock = clock;
    }

    BreakerState of(String target) {
        return states.get(segment(target, prefix), this::state);
    }

    private BreakerState state(String segment) {
        IntervalFunction waits = config.getWaitIntervalFunctionInOpenState();
        // It remembers the last interval of one breaker.
        CircuitBreakerConfig own = waits instanceof LastInterval last
                ? CircuitBreakerConfig.from(config).waitIntervalFunctionInOpenState(last.copy()).build()
                : config;
        return new BreakerState(origin + ", /" + segment, CircuitBreaker.of(origin + "/" + segment, own), clock);
    }

    /** All are closed, with nothing counted. */
    void reset() {
        states.invalidateAll();
    }

    /** The first segment of the path behind the prefix. */
    static String segment(String target, String prefix) {
        int from = target.startsWith(prefix) ? prefix.length() : 1;
        int end = from;
        while (end < target.length() && target.charAt(end) != '/' && target.charAt(end) != '?'
                && end - from < LONGEST) {
            end++;
        }
        return target.substring(Math.min(from, end), end);
    }

    /** Failed calls of all endpoints within their windows. */
    int failures() {
        return states.asMap()
                .values()
                .stream()
                .mapToInt(it -> it.breaker().getMetrics().getNumberOfFailedCalls())
                .sum();
    }
}
