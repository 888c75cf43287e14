package dev.corral.management;

import dev.corral.coalesce.CoalescerListener;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.springframework.boot.actuate.autoconfigure.metrics.MetricsProperties;
import org.springframework.boot.actuate.autoconfigure.metrics.PropertiesMeterFilter;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.MapConfigurationPropertySource;
import org.springframework.core.io.ClassPathResource;
import org.springframework.core.io.support.PropertiesLoaderUtils;

import static org.assertj.core.api.Assertions.assertThat;

final class CorralMetricsTest {

    private static final List<String> TIMERS = List.of("corral.requests", "corral.origin.fetches",
            "corral.follower.wait");

    @Test
    void timersHaveTwelveBucketsByDefault() throws Exception {
        String scrape = scrape(Map.of());

        for (String timer : TIMERS) {
            assertThat(bounds(scrape, timer)).as(timer)
                    .containsExactly(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0);
        }
    }

    /** Configured by Spring's properties, with the application's default bounds. */
    @Test
    void percentileHistogramSettingAddsBuckets() throws Exception {
        for (String timer : TIMERS) {
            String scrape = scrape(
                    Map.of("management.metrics.distribution.percentiles-histogram." + timer, "true"));

            List<Double> bounds = bounds(scrape, timer);

            assertThat(bounds).as(timer).hasSizeBetween(50, 100);
            assertThat(bounds.getFirst()).isLessThanOrEqualTo(0.0002);
            assertThat(bounds.getLast()).isEqualTo(30);
        }
    }

    private static List<Double> bounds(String scrape, String timer) {
        return scrape.lines()
                .filter(line -> line.startsWith(timer.replace('.', '_') + "_seconds_bucket")
                        && !line.contains("+Inf"))
                .map(line -> Double.parseDouble(line.replaceAll(".*le=\"([^\"]+)\".*", "$1")))
                .toList();
    }

    private static String scrape(Map<String, String> settings) throws Exception {
        var registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
        var all = PropertiesLoaderUtils.loadProperties(new ClassPathResource("application.properties"));
        all.putAll(settings);
        var properties = new Binder(new MapConfigurationPropertySource(all))
                .bindOrCreate("management.metrics", MetricsProperties.class);
        registry.config().meterFilter(new PropertiesMeterFilter(properties));
        var meters = new CorralMetrics(registry);
        meters.recordRequest("shop", "hit", Duration.ofNanos(150_000));
        meters.recordFetch("shop", "answered", Duration.ofMillis(120));
        meters.onFollowerWaitEnd(Duration.ofMillis(130));
        meters.onReleased(CoalescerListener.ReleaseReason.NOT_SHAREABLE);
        return registry.scrape();
    }
}
