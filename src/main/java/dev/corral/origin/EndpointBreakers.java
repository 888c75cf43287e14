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
final class EndpointBreakers {

    /** Clients choose paths: the endpoints asked last are judged, the others are forgotten and judged anew. */
    private static final int MAX_ENDPOINTS = 64;

    private static final int MAX_SEGMENT_LENGTH = 100;

    private final String originId;
    private final String routePrefix;
    private final CircuitBreakerConfig breakerConfig;
    private final Clock clock;
    // On the caller's thread: to evict is quick.
    private final Cache<String, OriginCircuitBreaker> breakers = Caffeine.newBuilder()
            .maximumSize(MAX_ENDPOINTS)
            .executor(Runnable::run)
            .build();

    /**
     * @param prefix the part of every path that the route has in common, such as {@code /shop/}
     * @param config of the route's breaker
     */
    EndpointBreakers(String origin, String prefix, CircuitBreakerConfig config, Clock clock) {
        this.originId = origin;
        this.routePrefix = prefix;
        this.breakerConfig = config;
        this.clock = clock;
    }

    OriginCircuitBreaker breakerOf(String target) {
        return breakers.get(firstSegment(target, routePrefix), this::createBreaker);
    }

    private OriginCircuitBreaker createBreaker(String segment) {
        IntervalFunction waits = breakerConfig.getWaitIntervalFunctionInOpenState();
        // It remembers the last interval of one breaker.
        CircuitBreakerConfig own = waits instanceof RecordingIntervalFunction last
                ? CircuitBreakerConfig.from(breakerConfig).waitIntervalFunctionInOpenState(last.copy()).build()
                : breakerConfig;
        return new OriginCircuitBreaker(originId + ", /" + segment, CircuitBreaker.of(originId + "/" + segment, own),
                clock);
    }

    /** All are closed, with nothing counted. */
    void reset() {
        breakers.invalidateAll();
    }

    /** The first segment of the path behind the prefix. */
    static String firstSegment(String target, String prefix) {
        int from = target.startsWith(prefix) ? prefix.length() : 1;
        int end = from;
        while (end < target.length() && target.charAt(end) != '/' && target.charAt(end) != '?'
                && end - from < MAX_SEGMENT_LENGTH) {
            end++;
        }
        return target.substring(Math.min(from, end), end);
    }

    /** Failed calls of all endpoints within their windows. */
    int failedCalls() {
        return breakers.asMap()
                .values()
                .stream()
                .mapToInt(it -> it.breaker().getMetrics().getNumberOfFailedCalls())
                .sum();
    }
}
