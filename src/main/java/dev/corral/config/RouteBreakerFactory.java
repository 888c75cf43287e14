package dev.corral.config;

import dev.corral.origin.RecordingIntervalFunction;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreaker.State;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowSynchronizationStrategy;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowType;
import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import io.github.resilience4j.common.circuitbreaker.configuration.CommonCircuitBreakerConfigurationProperties;
import io.github.resilience4j.common.circuitbreaker.configuration.CommonCircuitBreakerConfigurationProperties.InstanceProperties;
import io.github.resilience4j.core.IntervalFunction;
import java.time.Duration;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Creates the circuit breakers of the routes; the breakers of their endpoints have the same configuration. A setting in
 * {@code resilience4j.circuitbreaker.*}, for one route or for all, takes precedence. The other values are chosen here for a cache,
 * where one fetch stands for many requests: a few failures show that an origin is down, and one fetch shows that it has recovered.
 */
final class RouteBreakerFactory {

    /** Seconds over which failures are counted; the longest time for which a failing origin still gets requests. */
    private static final int WINDOW_SECONDS = 10;

    /** Fetches that must have ended within the window before the failure rate (half) counts. Few, because a cache fetches rarely. */
    private static final int MIN_CALLS = 5;

    /** The first open duration. Each further one is twice as long, so that their sum is of the order of the outage. */
    private static final Duration INITIAL_OPEN_DURATION = Duration.ofSeconds(1);

    private static final double OPEN_DURATION_MULTIPLIER = 2;

    /** The longest open duration. One trial fetch per 30 s costs a failed origin next to nothing. */
    private static final Duration MAX_OPEN_DURATION = Duration.ofSeconds(30);

    /** Random part of each open duration, plus or minus, so that the replicas do not try the origin at the same time. */
    private static final double JITTER_RATIO = 0.2;

    /** One fetch shows whether the origin has recovered. */
    private static final int HALF_OPEN_CALLS = 1;

    /** Limit of the trial. A trial without a result, such as a slow upload, does not block the route: the breaker then closes and counts again. */
    private static final Duration MAX_HALF_OPEN_DURATION = Duration.ofSeconds(10);

    private final CircuitBreakerRegistry registry;
    private final CommonCircuitBreakerConfigurationProperties properties;

    /** @param properties the properties from which the registry was created */
    RouteBreakerFactory(CircuitBreakerRegistry registry, CommonCircuitBreakerConfigurationProperties properties) {
        this.registry = registry;
        this.properties = properties;
    }

    /** Creates the breaker of the route and registers it under the route's ID. */
    CircuitBreaker create(String route) {
        CircuitBreakerConfig base = registry.remove(route)
                .map(CircuitBreaker::getCircuitBreakerConfig)
                .orElseGet(registry::getDefaultConfig);
        InstanceProperties configured = properties.findCircuitBreakerProperties(route)
                .orElseGet(InstanceProperties::new);
        CircuitBreakerConfig.Builder config = CircuitBreakerConfig.from(base)
                // Lock-free because it counts on event loops. There is no property for it.
                .slidingWindowSynchronizationStrategy(SlidingWindowSynchronizationStrategy.LOCK_FREE)
                .waitIntervalFunctionInOpenState(new RecordingIntervalFunction(hasOpenDuration(configured)
                        ? base.getWaitIntervalFunctionInOpenState()
                        : IntervalFunction.ofExponentialRandomBackoff(INITIAL_OPEN_DURATION, OPEN_DURATION_MULTIPLIER,
                                JITTER_RATIO, MAX_OPEN_DURATION)));
        if (areUnset(configured.getSlidingWindowType(), configured.getSlidingWindowSize())) {
            config.slidingWindowType(SlidingWindowType.TIME_BASED).slidingWindowSize(WINDOW_SECONDS);
        }
        if (areUnset(configured.getMinimumNumberOfCalls())) {
            config.minimumNumberOfCalls(MIN_CALLS);
        }
        if (areUnset(configured.getPermittedNumberOfCallsInHalfOpenState())) {
            config.permittedNumberOfCallsInHalfOpenState(HALF_OPEN_CALLS);
        }
        if (areUnset(configured.getAutomaticTransitionFromOpenToHalfOpenEnabled())) {
            config.automaticTransitionFromOpenToHalfOpenEnabled(true);
        }
        if (areUnset(configured.getMaxWaitDurationInHalfOpenState(),
                configured.getTransitionToStateAfterWaitDuration())) {
            config.maxWaitDurationInHalfOpenState(MAX_HALF_OPEN_DURATION)
                    .transitionToStateAfterWaitDuration(State.CLOSED);
        }
        return registry.circuitBreaker(route, config.build());
    }

    private static boolean hasOpenDuration(InstanceProperties configured) {
        return !areUnset(configured.getWaitDurationInOpenState(), configured.getEnableExponentialBackoff(),
                configured.getExponentialBackoffMultiplier(), configured.getExponentialMaxWaitDurationInOpenState(),
                configured.getEnableRandomizedWait(), configured.getRandomizedWaitFactor());
    }

    private static boolean areUnset(@Nullable Object... settings) {
        return Stream.of(settings).allMatch(Objects::isNull);
    }
}
