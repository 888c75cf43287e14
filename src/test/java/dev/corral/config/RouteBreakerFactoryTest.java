package dev.corral.config;

import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowType;
import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import io.github.resilience4j.springboot3.circuitbreaker.autoconfigure.CircuitBreakerAutoConfiguration;
import io.github.resilience4j.springboot3.circuitbreaker.autoconfigure.CircuitBreakerProperties;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;

/** The configuration of the routes' circuit breakers: Resilience4j's settings, and defaults for a cache where none are set. */
class RouteBreakerFactoryTest {

    private static final String DEFAULT_CONFIG = "resilience4j.circuitbreaker.configs.default.";
    private static final String SHOP_INSTANCE = "resilience4j.circuitbreaker.instances.shop.";

    private static CircuitBreakerConfig config(String... settings) {
        var config = new ArrayList<CircuitBreakerConfig>();
        new ApplicationContextRunner().withConfiguration(AutoConfigurations.of(CircuitBreakerAutoConfiguration.class))
                .withPropertyValues(settings)
                .run(context -> config.add(new RouteBreakerFactory(context.getBean(CircuitBreakerRegistry.class),
                        context.getBean(CircuitBreakerProperties.class)).create("shop").getCircuitBreakerConfig()));
        return config.getFirst();
    }

    private static List<Long> openDurations(CircuitBreakerConfig config, int attempts) {
        return IntStream.rangeClosed(1, attempts)
                .mapToObj(attempt -> config.getWaitIntervalFunctionInOpenState().apply(attempt))
                .toList();
    }

    @Test
    void breakerWithoutSettingsUsesCacheDefaults() {
        CircuitBreakerConfig config = config();

        assertThat(config.getSlidingWindowType()).isEqualTo(SlidingWindowType.TIME_BASED);
        assertThat(config.getSlidingWindowSize()).isEqualTo(10);
        assertThat(config.getMinimumNumberOfCalls()).isEqualTo(5);
        assertThat(config.getFailureRateThreshold()).isEqualTo(50);
        assertThat(config.getPermittedNumberOfCallsInHalfOpenState()).isEqualTo(1);
        assertThat(config.isAutomaticTransitionFromOpenToHalfOpenEnabled()).isTrue();
        assertThat(config.getMaxWaitDurationInHalfOpenState()).isEqualTo(Duration.ofSeconds(10));
        List<Long> waits = openDurations(config, 8);
        assertThat(waits.get(0)).isBetween(800L, 1_201L);
        assertThat(waits.get(1)).isBetween(1_600L, 2_401L);
        assertThat(waits.get(2)).isBetween(3_200L, 4_801L);
        assertThat(waits.get(3)).isBetween(6_400L, 9_601L);
        assertThat(waits.get(4)).isBetween(12_800L, 19_201L);
        assertThat(waits.subList(5, 8)).allSatisfy(wait -> assertThat(wait).isBetween(24_000L, 30_000L));
    }

    @Test
    void openDurationIsRandomized() {
        CircuitBreakerConfig config = config();

        assertThat(IntStream.range(0, 50).mapToObj(i -> openDurations(config, 1).getFirst()).distinct().count())
                .isGreaterThan(10);
    }

    @Test
    void defaultConfigSettingOverridesCacheDefault() {
        CircuitBreakerConfig config = config(DEFAULT_CONFIG + "wait-duration-in-open-state=60s",
                DEFAULT_CONFIG + "sliding-window-size=100",
                DEFAULT_CONFIG + "permitted-number-of-calls-in-half-open-state=10");

        assertThat(openDurations(config, 8)).containsOnly(60_000L);
        assertThat(config.getSlidingWindowType()).isEqualTo(SlidingWindowType.COUNT_BASED);
        assertThat(config.getSlidingWindowSize()).isEqualTo(100);
        assertThat(config.getPermittedNumberOfCallsInHalfOpenState()).isEqualTo(10);
        assertThat(config.getMinimumNumberOfCalls()).isEqualTo(5);
    }

    @Test
    void instanceSettingOverridesCacheDefault() {
        CircuitBreakerConfig config = config(SHOP_INSTANCE + "wait-duration-in-open-state=7s",
                SHOP_INSTANCE + "minimum-number-of-calls=3",
                SHOP_INSTANCE + "automatic-transition-from-open-to-half-open-enabled=false",
                SHOP_INSTANCE + "sliding-window-type=time_based", SHOP_INSTANCE + "sliding-window-size=5",
                SHOP_INSTANCE + "failure-rate-threshold=80", SHOP_INSTANCE + "max-wait-duration-in-half-open-state=0s");

        assertThat(openDurations(config, 4)).containsOnly(7_000L);
        assertThat(config.getMinimumNumberOfCalls()).isEqualTo(3);
        assertThat(config.isAutomaticTransitionFromOpenToHalfOpenEnabled()).isFalse();
        assertThat(config.getSlidingWindowType()).isEqualTo(SlidingWindowType.TIME_BASED);
        assertThat(config.getSlidingWindowSize()).isEqualTo(5);
        assertThat(config.getFailureRateThreshold()).isEqualTo(80);
        assertThat(config.getMaxWaitDurationInHalfOpenState()).isZero();
    }

    @Test
    void configuredExponentialBackoffIsUsed() {
        CircuitBreakerConfig config = config(SHOP_INSTANCE + "wait-duration-in-open-state=5s",
                SHOP_INSTANCE + "enable-exponential-backoff=true", SHOP_INSTANCE + "exponential-backoff-multiplier=3",
                SHOP_INSTANCE + "exponential-max-wait-duration-in-open-state=20s");

        assertThat(openDurations(config, 3)).containsExactly(5_000L, 15_000L, 20_000L);
    }

    @Test
    void settingOfAnotherRouteIsIgnored() {
        CircuitBreakerConfig config = config("resilience4j.circuitbreaker.instances.other.minimum-number-of-calls=3");

        assertThat(config.getMinimumNumberOfCalls()).isEqualTo(5);
        assertThat(openDurations(config, 1).getFirst()).isLessThan(2_000);
    }
}
