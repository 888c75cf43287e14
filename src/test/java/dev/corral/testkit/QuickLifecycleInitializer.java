package dev.corral.testkit;

import java.util.Map;
import org.springframework.context.ApplicationContextInitializer;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.core.env.MapPropertySource;

/**
 * Defaults of replicas that run in the JVM of a test or of {@code spring-boot:test-run}. No load balancer routes traffic to them, so they
 * neither warm up nor drain. Tests may override this.
 */
public final class QuickLifecycleInitializer implements ApplicationContextInitializer<ConfigurableApplicationContext> {

    @Override
    public void initialize(ConfigurableApplicationContext context) {
        context.getEnvironment()
                .getPropertySources()
                .addLast(new MapPropertySource("quick start and stop",
                        Map.of("corral.shutdown.drain", "0s", "corral.warm-up.enabled", "false")));
    }
}
