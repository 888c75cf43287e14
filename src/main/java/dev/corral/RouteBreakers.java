package dev.corral;

import dev.corral.origin.LastInterval;
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
final class RouteBreakers {

    /** Failures are counted over this many seconds: as many as an origin may be broken before it is left alone. */
    private static final int WINDOW_SECONDS = 10;

    /** So many fetches must have ended within the window, half of them failed: a cache asks an origin seldom. */
    private static final int CALLS = 5;

    /** The first wait. Each further one is twice as long, so that all of them together are of the order of the outage. */
    private static final Duration WAIT = Duration.ofSeconds(1);

    private static final double GROWTH = 2;

    /** The longest wait: a trial costs an origin that is away for an hour next to nothing. */
    private static final Duration WAIT_AT_MOST = Duration.ofSeconds(30);

    /** Of each wait, up to this part more or less: replicas do not try an origin all at once. */
    private static final double JITTER = 0.2;

    /** One fetch tells whether the origin is back. */
    private static final int TRIALS = 1;

    /** A trial that tells nothing for that long, such as a slow upload, does not keep the route shut: then failures count again. */
    private static final Duration TRIAL_AT_MOST = Duration.ofSeconds(10);

    private final CircuitBreakerRegistry registry;
    private final CommonCircuitBreakerConfigurationProperties settings;

    /** @param settings what the registry was made of */
    RouteBreakers(CircuitBreakerRegistry registry, CommonCircuitBreakerConfigurationProperties settings) {
        this.registry = registry;
        this.settings = settings;
    }

    /** The breaker of a route. */
    CircuitBreaker of(String route) {
        CircuitBreakerConfig given = registry.remove(route)
                .map(CircuitBreaker::getCircuitBreakerConfig)
                .orElseGet(registry::getDefaultConfig);
        InstanceProperties set = settings.findCircuitBreakerProperties(route).orElseGet(InstanceProperties::new);
        CircuitBreakerConfig.Builder config = CircuitBreakerConfig.from(given)
                // Settings cannot say it: it counts on event loops.
                .slidingWindowSynchronizationStrategy(SlidingWindowSynchronizationStrategy.LOCK_FREE)
                .waitIntervalFunctionInOpenState(new LastInterval(waits(set)
                        ? given.getWaitIntervalFunctionInOpenState()
                        : IntervalFunction.ofExponentialRandomBackoff(WAIT, GROWTH, JITTER, WAIT_AT_MOST)));
        if (none(set.getSlidingWindowType(), set.getSlidingWindowSize())) {
            config.slidingWindowType(SlidingWindowType.TIME_BASED).slidingWindowSize(WINDOW_SECONDS);
        }
        if (none(set.getMinimumNumberOfCalls())) {
            config.minimumNumberOfCalls(CALLS);
        }
        if (none(set.getPermittedNumberOfCallsInHalfOpenState())) {
            config.permittedNumberOfCallsInHalfOpenState(TRIALS);
        }
        if (none(set.getAutomaticTransitionFromOpenToHalfOpenEnabled())) {
            config.automaticTransitionFromOpenToHalfOpenEnabled(true);
        }
        if (none(set.getMaxWaitDurationInHalfOpenState(), set.getTransitionToStateAfterWaitDuration())) {
            config.maxWaitDurationInHalfOpenState(TRIAL_AT_MOST).transitionToStateAfterWaitDuration(State.CLOSED);
        }
        return registry.circuitBreaker(route, config.build());
    }

    private static boolean waits(InstanceProperties set) {
        return !none(set.getWaitDurationInOpenState(), set.getEnableExponentialBackoff(),
                set.getExponentialBackoffMultiplier(), set.getExponentialMaxWaitDurationInOpenState(),
                set.getEnableRandomizedWait(), set.getRandomizedWaitFactor());
    }

    private static boolean none(@Nullable Object... settings) {
        return Stream.of(settings).allMatch(Objects::isNull);
    }
}
