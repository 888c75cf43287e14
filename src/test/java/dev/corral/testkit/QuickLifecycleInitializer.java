package dev.corral.testkit;

import java.util.Map;
import org.springframework.context.ApplicationContextInitializer;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.core.env.MapPropertySource;

/**
 * The defaults of replicas that run in a test's own JVM, or in that of {@code spring-boot:test-run}: nobody routes traffic to
 * them, so they need neither warm up before they are ready nor drain before they stop. A test that wants it sets it.
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
