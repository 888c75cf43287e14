package dev.corral.edge;

import dev.corral.Application;
import dev.corral.coalesce.Purges;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.dev.RedisServer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * Two replicas over one real Redis before one origin, started once for all test classes that ask for them. Each test takes
 * paths of its own, so that none sees what another has stored.
 */
final class Fleet implements ExtensionContext.Store.CloseableResource {

    /** Gives the fleet to constructors and test methods. */
    static final class Given implements ParameterResolver {

        @Override
        public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
            return parameter.getParameter().getType() == Fleet.class;
        }

        @Override
        public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
            return context.getRoot()
                    .getStore(ExtensionContext.Namespace.create(Fleet.class))
                    .getOrComputeIfAbsent(Fleet.class, start -> new Fleet(), Fleet.class);
        }
    }

    final StubOrigin origin = new StubOrigin();
    final EmbeddedRedis redis = RedisServer.embedded();
    final Replica a = start("a");
    final Replica b = start("b");
    private final AtomicInteger paths = new AtomicInteger();

    private Fleet() {}

    /** A path nobody has used, of the route without settings of its own. */
    String path(String name) {
        return path("t", name);
    }

    /** A path nobody has used, of the route whose paths begin so. */
    String path(String route, String name) {
        return "/" + route + "/" + paths.incrementAndGet() + "/" + name;
    }

    List<Replica> replicas() {
        return List.of(a, b);
    }

    /** Returns when a replica waits for another one: who has boarded there may not even have looked yet. */
    void awaitFollower() {
        Replica.until(() -> !redis.ask("KEYS corral:*:wait").isBlank());
    }

    /** One more replica, to be closed by whoever asked for it: with these settings, {@code name=value}, instead of the usual ones. */
    Replica guest(String id, String... settings) {
        return start(id, List.of(), settings);
    }

    /** One more replica with these beans in place of the usual ones, to be closed by whoever asked for it. */
    Replica guest(String id, Class<?> beans) {
        return start(id, List.of(beans));
    }

    private Replica start(String id, String... settings) {
        return start(id, List.of(), settings);
    }

    private Replica start(String id, List<Class<?>> beans, String... settings) {
        var arguments = new ArrayList<String>();
        redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        // A slow machine is not a lost Redis.
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.replica-id=" + id,
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s"));
        // What one test breaks on a route is not held against the origin in the next.
        String breakers = "--resilience4j.circuitbreaker.configs.default.";
        arguments.addAll(List.of(breakers + "slidingWindowSize=1000", breakers + "minimumNumberOfCalls=1000"));
        route(arguments, 0, "t", origin.url());
        route(arguments, 1, "small", origin.url(), "max-body=1KB");
        route(arguments, 2, "hasty", origin.url(), "timeout=400ms");
        route(arguments, 3, "narrow", origin.url(), "concurrency=2");
        route(arguments, 4, "host-of-client", origin.url(), "host=client");
        route(arguments, 5, "host-of-shop", origin.url(), "host=shop.example:8080");
        route(arguments, 6, "based", origin.url() + "/base/");
        route(arguments, 7, "gone", "http://127.0.0.1:" + FreePort.pick());
        route(arguments, 8, "hostile", origin.url());
        route(arguments, 9, "counted", origin.url(), "query.exclude=utm,session*");
        route(arguments, 10, "trusting", origin.url(), "host=client", "forward.trust=true");
        route(arguments, 11, "cookies", origin.url(), "cache.share-set-cookie=true");
        route(arguments, 12, "special", origin.url() + "/special", "path=/ordered/special/**");
        route(arguments, 13, "ordered", origin.url());
        route(arguments, 14, "early", origin.url(), "cache.early-refresh=100");
        route(arguments, 15, "device", origin.url(), "key.fields=X-Device");
        route(arguments, 16, "few", origin.url(), "cache.variants=3");
        route(arguments, 17, "only", origin.url(), "query.include=id");
        route(arguments, 18, "told", origin.url(), "forward.trust=true");
        route(arguments, 19, "strict", origin.url(), "request-headers.mode=strict", "forward.keep=X-Kept",
                "key.fields=X-Keyed");
        route(arguments, 20, "orders-allowed", origin.url(),
                "allow-methods=PURGE,ban,REFRESH,PURGEALL,SOFTPURGE,BANURL");
        for (String setting : settings) {
            replace(arguments, "--" + setting);
        }
        var run = new SpringApplicationBuilder(Application.class).sources(beans.toArray(Class[]::new))
                .run(arguments.toArray(String[]::new));
        Replica.until(() -> run.getBean(Purges.class).current());
        return new Replica(run, port(run));
    }

    private static void route(List<String> arguments, int number, String id, String origin, String... more) {
        String name = "--corral.routes[" + number + "].";
        arguments.add(name + "id=" + id);
        arguments.add(name + "path=/" + id + "/**");
        arguments.add(name + "origin=" + origin);
        for (String setting : more) {
            replace(arguments, name + setting);
        }
    }

    private static void replace(List<String> arguments, String setting) {
        arguments.removeIf(earlier -> earlier.startsWith(setting.substring(0, setting.indexOf('=') + 1)));
        arguments.add(setting);
    }

    private static int port(ConfigurableApplicationContext context) {
        return context.getEnvironment().getRequiredProperty("local.server.port", Integer.class);
    }

    @Override
    public void close() {
        a.close();
        b.close();
        redis.close();
        origin.close();
    }
}
