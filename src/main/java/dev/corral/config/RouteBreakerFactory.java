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
 * The routes' circuit breakers, and those of their endpoints, which are like them. What {@code resilience4j.circuitbreaker.*}
 * says, for a route or for all, is as it says; the rest is decided here for a cache, where one fetch stands for many requests: a
 * few failures tell that an origin is away, and one fetch tells that it is back.
 */
final class RouteBreakerFactory {

    /** Failures are counted over this many seconds: as many as an origin may be broken before it is left alone. */
    private static final int WINDOW_SECONDS = 10;

    /** So many fetches must have ended within the window, half of them failed: a cache asks an origin seldom. */
    private static final int MIN_CALLS = 5;

    /** The first wait. Each further one is twice as long, so that all of them together are of the order of the outage. */
    private static final Duration INITIAL_OPEN_DURATION = Duration.ofSeconds(1);

    private static final double OPEN_DURATION_MULTIPLIER = 2;

    /** The longest wait: a trial costs an origin that is away for an hour next to nothing. */
    private static final Duration MAX_OPEN_DURATION = Duration.ofSeconds(30);

    /** Of each wait, up to this part more or less: replicas do not try an origin all at once. */
    private static final double JITTER_RATIO = 0.2;

    /** One fetch tells whether the origin is back. */
    private static final int HALF_OPEN_CALLS = 1;

    /** A trial that tells nothing for that long, such as a slow upload, does not keep the route shut: then failures count again. */
    private static final Duration MAX_HALF_OPEN_DURATION = Duration.ofSeconds(10);

    private final CircuitBreakerRegistry registry;
    private final CommonCircuitBreakerConfigurationProperties properties;

    /** @param settings what the registry was made of */
    RouteBreakerFactory(CircuitBreakerRegistry registry, CommonCircuitBreakerConfigurationProperties settings) {
        this.registry = registry;
        this.properties = settings;
    }

    /** The breaker of a route. */
    CircuitBreaker create(String route) {
        CircuitBreakerConfig given = registry.remove(route)
                .map(CircuitBreaker::getCircuitBreakerConfig)
                .orElseGet(registry::getDefaultConfig);
        InstanceProperties set = properties.findCircuitBreakerProperties(route).orElseGet(InstanceProperties::new);
        CircuitBreakerConfig.Builder config = CircuitBreakerConfig.from(given)
                // Settings cannot say it: it counts on event loops.
                .slidingWindowSynchronizationStrategy(SlidingWindowSynchronizationStrategy.LOCK_FREE)
                .waitIntervalFunctionInOpenState(new RecordingIntervalFunction(hasOpenDuration(set)
                        ? given.getWaitIntervalFunctionInOpenState()
                        : IntervalFunction.ofExponentialRandomBackoff(INITIAL_OPEN_DURATION, OPEN_DURATION_MULTIPLIER,
                                JITTER_RATIO, MAX_OPEN_DURATION)));
        if (areUnset(set.getSlidingWindowType(), set.getSlidingWindowSize())) {
            config.slidingWindowType(SlidingWindowType.TIME_BASED).slidingWindowSize(WINDOW_SECONDS);
        }
        if (areUnset(set.getMinimumNumberOfCalls())) {
            config.minimumNumberOfCalls(MIN_CALLS);
        }
        if (areUnset(set.getPermittedNumberOfCallsInHalfOpenState())) {
            config.permittedNumberOfCallsInHalfOpenState(HALF_OPEN_CALLS);
        }
        if (areUnset(set.getAutomaticTransitionFromOpenToHalfOpenEnabled())) {
            config.automaticTransitionFromOpenToHalfOpenEnabled(true);
        }
        if (areUnset(set.getMaxWaitDurationInHalfOpenState(), set.getTransitionToStateAfterWaitDuration())) {
            config.maxWaitDurationInHalfOpenState(MAX_HALF_OPEN_DURATION)
                    .transitionToStateAfterWaitDuration(State.CLOSED);
        }
        return registry.circuitBreaker(route, config.build());
    }

    private static boolean hasOpenDuration(InstanceProperties set) {
        return !areUnset(set.getWaitDurationInOpenState(), set.getEnableExponentialBackoff(),
                set.getExponentialBackoffMultiplier(), set.getExponentialMaxWaitDurationInOpenState(),
                set.getEnableRandomizedWait(), set.getRandomizedWaitFactor());
    }

    private static boolean areUnset(@Nullable Object... settings) {
        return Stream.of(settings).allMatch(Objects::isNull);
    }
}
