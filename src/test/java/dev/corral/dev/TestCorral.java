package dev.corral.dev;

import dev.corral.CorralApplication;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.springframework.boot.ConfigurableBootstrapContext;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringApplicationRunListener;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.MapPropertySource;

/**
 * Corral with its dependencies for {@code ./mvnw spring-boot:test-run}: a real Redis, the demo shop and a route to it. A Redis or routes
 * in the settings replace what would be started here.
 */
// The annotation only tells spring-boot:test-run which of the mains on the test class path is meant.
@SpringBootApplication
public final class TestCorral {

    private static final int USUAL_SHOP_PORT = 8090;

    private TestCorral() {}

    /** Starts everything; it ends with this JVM. */
    public static void main(String[] args) {
        SpringApplication.withHook(application -> new ServicesListener(), () -> CorralApplication.main(args));
    }

    /** Starts the services once all settings are known, and says what to try once Corral serves. */
    private static final class ServicesListener implements SpringApplicationRunListener {

        private Optional<DemoShop> shop = Optional.empty();
        private String redis = "";

        @Override
        public void environmentPrepared(ConfigurableBootstrapContext context, ConfigurableEnvironment environment) {
            var settings = new HashMap<String, Object>();
            settings.putAll(startRedis(environment));
            if (!hasRoutes(environment)) {
                DemoShop open = startShop(environment);
                settings.putAll(Map.of("corral.routes[0].id", "shop", "corral.routes[0].path", "/**",
                        "corral.routes[0].origin", open.url()));
                shop = Optional.of(open);
            }
            // Last: whatever else is set, wherever, wins.
            environment.getPropertySources().addLast(new MapPropertySource("dev-time services", settings));
        }

        @Override
        public void ready(ConfigurableApplicationContext context, Duration timeTaken) {
            ConfigurableEnvironment environment = context.getEnvironment();
            int port = environment.getRequiredProperty("local.server.port", Integer.class);
            Optional<Integer> management = Optional
                    .ofNullable(environment.getProperty("local.management.port", Integer.class));
            System.out.println(
                    shop.map(open -> StartupHints.forDemoShop(port, management.orElse(port), open.url(), redis))
                            .orElseGet(() -> StartupHints.forConfiguredRoutes(port, management.orElse(port), redis)));
        }

        /** Neither is closed here: they end with this JVM, after Corral has let its last requests finish. */
        private Map<String, String> startRedis(ConfigurableEnvironment environment) {
            RedisServer server = RedisServer.start(environment);
            redis = server.kind() + ", " + server.host() + ":" + server.port();
            return server.settings();
        }

        private static boolean hasRoutes(ConfigurableEnvironment environment) {
            return Binder.get(environment)
                    .bind("corral.routes", Bindable.listOf(Object.class))
                    .map(routes -> !routes.isEmpty())
                    .orElse(false);
        }

        private static DemoShop startShop(ConfigurableEnvironment environment) {
            Duration latency = environment.getProperty("dev.shop.latency", Duration.class, DemoShop.LATENCY);
            int usual = FreePort.isFree(USUAL_SHOP_PORT) ? USUAL_SHOP_PORT : 0;
            return DemoShop.start(environment.getProperty("dev.shop.port", Integer.class, usual), latency);
        }
    }
}
