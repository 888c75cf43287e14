package dev.corral.config;

import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.actuate.autoconfigure.logging.OpenTelemetryLoggingAutoConfiguration;
import org.springframework.boot.actuate.autoconfigure.opentelemetry.OpenTelemetryAutoConfiguration;
import org.springframework.boot.actuate.autoconfigure.tracing.MicrometerTracingAutoConfiguration;
import org.springframework.boot.actuate.autoconfigure.tracing.OpenTelemetryTracingAutoConfiguration;
import org.springframework.boot.actuate.autoconfigure.tracing.prometheus.PrometheusExemplarsAutoConfiguration;
import org.springframework.boot.autoconfigure.AutoConfigurationImportFilter;
import org.springframework.boot.autoconfigure.AutoConfigurationMetadata;
import org.springframework.context.EnvironmentAware;
import org.springframework.core.env.Environment;

/**
 * Excludes OpenTelemetry when tracing is off. With {@code management.tracing.enabled=false} alone, Spring Boot creates no spans but
 * starts the exporter threads and looks up the current span at each measurement.
 */
final class TracingAutoConfigurationFilter implements AutoConfigurationImportFilter, EnvironmentAware {

    /** Log lines go to the console or a file in the configured format and are never exported. */
    private static final Set<String> ALWAYS_EXCLUDED = Set.of(OpenTelemetryLoggingAutoConfiguration.class.getName());

    private static final Set<String> TRACING_CONFIGURATIONS = Set.of(OpenTelemetryAutoConfiguration.class.getName(),
            OpenTelemetryTracingAutoConfiguration.class.getName(), MicrometerTracingAutoConfiguration.class.getName(),
            PrometheusExemplarsAutoConfiguration.class.getName());

    private final Set<String> excluded = new HashSet<>(ALWAYS_EXCLUDED);

    @Override
    public void setEnvironment(Environment environment) {
        if (!environment.getProperty("management.tracing.enabled", Boolean.class, true)) {
            excluded.addAll(TRACING_CONFIGURATIONS);
        }
    }

    @Override
    public boolean[] match(@Nullable String[] names, AutoConfigurationMetadata metadata) {
        var included = new boolean[names.length];
        for (int i = 0; i < names.length; i++) {
            included[i] = !excluded.contains(String.valueOf(names[i]));
        }
        return included;
    }
}
