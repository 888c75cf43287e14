package dev.corral.origin;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.core.IntervalFunction;
import java.time.Clock;

/**
 * The circuit breakers of one origin's endpoints. An endpoint is the first path segment below the route's path prefix. A breaker
 * that opens stops the requests to its endpoint only. Thread-safe.
 */
final class EndpointBreakers {

    /** Bounded because clients choose paths. The breakers of the most recently used endpoints are kept; others start again closed. */
    private static final int MAX_ENDPOINTS = 64;

    private static final int MAX_SEGMENT_LENGTH = 100;

    private final String originId;
    private final String routePrefix;
    private final CircuitBreakerConfig breakerConfig;
    private final Clock clock;
    // Eviction is quick, so it runs on the caller's thread.
    private final Cache<String, OriginCircuitBreaker> breakers = Caffeine.newBuilder()
            .maximumSize(MAX_ENDPOINTS)
            .executor(Runnable::run)
            .build();

    /**
     * @param routePrefix   the common prefix of the route's paths, such as {@code /shop/}
     * @param breakerConfig the configuration of the route's breaker
     */
    EndpointBreakers(String originId, String routePrefix, CircuitBreakerConfig breakerConfig, Clock clock) {
        this.originId = originId;
        this.routePrefix = routePrefix;
        this.breakerConfig = breakerConfig;
        this.clock = clock;
    }

    OriginCircuitBreaker breakerOf(String target) {
        return breakers.get(firstSegment(target, routePrefix), this::createBreaker);
    }

    private OriginCircuitBreaker createBreaker(String segment) {
        IntervalFunction intervals = breakerConfig.getWaitIntervalFunctionInOpenState();
        // A RecordingIntervalFunction remembers the last interval of one breaker, so breakers must not share one.
        CircuitBreakerConfig endpointConfig = intervals instanceof RecordingIntervalFunction recording
                ? CircuitBreakerConfig.from(breakerConfig).waitIntervalFunctionInOpenState(recording.copy()).build()
                : breakerConfig;
        return new OriginCircuitBreaker(originId + ", /" + segment,
                CircuitBreaker.of(originId + "/" + segment, endpointConfig),
                clock);
    }

    /** Closes all breakers and forgets their counts. */
    void reset() {
        breakers.invalidateAll();
    }

    /** The first path segment after the prefix, at most {@value #MAX_SEGMENT_LENGTH} characters; empty when there is none. */
    static String firstSegment(String target, String prefix) {
        int from = target.startsWith(prefix) ? prefix.length() : 1;
        int end = from;
        while (end < target.length() && target.charAt(end) != '/' && target.charAt(end) != '?'
                && end - from < MAX_SEGMENT_LENGTH) {
            end++;
        }
        return target.substring(Math.min(from, end), end);
    }

    /** The failed calls of all endpoints within their sliding windows. */
    int failedCalls() {
        return breakers.asMap()
                .values()
                .stream()
                .mapToInt(endpoint -> endpoint.breaker().getMetrics().getNumberOfFailedCalls())
                .sum();
    }
}
