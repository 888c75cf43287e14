package dev.corral.proxy;

import dev.corral.CorralApplication;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.dev.RedisServer;
import dev.corral.purge.PurgeRegistry;
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
final class FleetUnderTest implements ExtensionContext.Store.CloseableResource {

    /** Gives the fleet to constructors and test methods. */
    static final class FleetParameterResolver implements ParameterResolver {

        @Override
        public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
            return parameter.getParameter().getType() == FleetUnderTest.class;
        }

        @Override
        public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
            return context.getRoot()
                    .getStore(ExtensionContext.Namespace.create(FleetUnderTest.class))
                    .getOrComputeIfAbsent(FleetUnderTest.class, start -> new FleetUnderTest(), FleetUnderTest.class);
        }
    }

    final OriginStub origin = new OriginStub();
    final EmbeddedRedis redis = RedisServer.embedded();
    final ReplicaUnderTest a = start("a");
    final ReplicaUnderTest b = start("b");
    private final AtomicInteger pathCounter = new AtomicInteger();

    private FleetUnderTest() {}

    /** A path nobody has used, of the route without settings of its own. */
    String uniquePath(String name) {
        return uniquePath("t", name);
    }

    /** A path nobody has used, of the route whose paths begin so. */
    String uniquePath(String route, String name) {
        return "/" + route + "/" + pathCounter.incrementAndGet() + "/" + name;
    }

    List<ReplicaUnderTest> replicas() {
        return List.of(a, b);
    }

    /** Returns when a replica waits for the other one: who has boarded there may not even have looked yet. */
    void awaitFollower() {
        awaitFollower(redis, replicas());
    }

    /** One of them has a flight that follows, and has said so in Redis: what other flights have left there does not count. */
    static void awaitFollower(EmbeddedRedis redis, List<ReplicaUnderTest> replicas) {
        ReplicaUnderTest.eventually(() -> replicas.stream()
                .flatMap(ReplicaUnderTest::followed)
                .anyMatch(key -> !redis.execute("KEYS corral:{" + key.resource() + "}*:wait").isBlank()));
    }

    /** One more replica, to be closed by whoever asked for it: with these settings, {@code name=value}, instead of the usual ones. */
    ReplicaUnderTest startExtra(String id, String... settings) {
        return start(id, List.of(), settings);
    }

    /** One more replica with these beans in place of the usual ones, to be closed by whoever asked for it. */
    ReplicaUnderTest startExtra(String id, Class<?> beans) {
        return start(id, List.of(beans));
    }

    private ReplicaUnderTest start(String id, String... settings) {
        return start(id, List.of(), settings);
    }

    private ReplicaUnderTest start(String id, List<Class<?>> beans, String... settings) {
        var arguments = new ArrayList<String>();
        redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        // A slow machine is not a lost Redis.
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.replica-id=" + id,
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s"));
        // What one test breaks on a route is not held against the origin in the next.
        String breakers = "--resilience4j.circuitbreaker.configs.default.";
        arguments.addAll(List.of(breakers + "slidingWindowSize=1000", breakers + "minimumNumberOfCalls=1000"));
        addRoute(arguments, 0, "t", origin.url());
        addRoute(arguments, 1, "small", origin.url(), "max-body=1KB");
        addRoute(arguments, 2, "hasty", origin.url(), "timeout=400ms");
        addRoute(arguments, 3, "narrow", origin.url(), "concurrency=2");
        addRoute(arguments, 4, "host-of-client", origin.url(), "host=client");
        addRoute(arguments, 5, "host-of-shop", origin.url(), "host=shop.example:8080");
        addRoute(arguments, 6, "based", origin.url() + "/base/");
        addRoute(arguments, 7, "gone", "http://127.0.0.1:" + FreePort.pick());
        addRoute(arguments, 8, "hostile", origin.url());
        addRoute(arguments, 9, "counted", origin.url(), "query.exclude=utm,session*");
        addRoute(arguments, 10, "trusting", origin.url(), "host=client", "forward.trust=true");
        addRoute(arguments, 11, "cookies", origin.url(), "cache.share-set-cookie=true");
        addRoute(arguments, 12, "special", origin.url() + "/special", "path=/ordered/special/**");
        addRoute(arguments, 13, "ordered", origin.url());
        addRoute(arguments, 14, "early", origin.url(), "cache.early-refresh=100");
        addRoute(arguments, 15, "device", origin.url(), "key.fields=X-Device");
        addRoute(arguments, 16, "few", origin.url(), "cache.variants=3");
        addRoute(arguments, 17, "only", origin.url(), "query.include=id");
        addRoute(arguments, 18, "told", origin.url(), "forward.trust=true");
        addRoute(arguments, 19, "strict", origin.url(), "request-headers.mode=strict", "forward.keep=X-Kept",
                "key.fields=X-Keyed");
        addRoute(arguments, 20, "orders-allowed", origin.url(),
                "allow-methods=PURGE,ban,REFRESH,PURGEALL,SOFTPURGE,BANURL");
        addRoute(arguments, 21, "alive", origin.url(), "timeout=2s");
        for (String setting : settings) {
            replaceSetting(arguments, "--" + setting);
        }
        var run = new SpringApplicationBuilder(CorralApplication.class).sources(beans.toArray(Class[]::new))
                .run(arguments.toArray(String[]::new));
        ReplicaUnderTest.eventually(() -> run.getBean(PurgeRegistry.class).isUpToDate());
        return new ReplicaUnderTest(run, port(run));
    }

    /** Patient: many a test holds an origin's response back until others wait, however long a busy machine takes for that. */
    private static void addRoute(List<String> arguments, int number, String id, String origin, String... more) {
        String name = "--corral.routes[" + number + "].";
        arguments.add(name + "timeout=60s");
        arguments.add(name + "id=" + id);
        arguments.add(name + "path=/" + id + "/**");
        arguments.add(name + "origin=" + origin);
        for (String setting : more) {
            replaceSetting(arguments, name + setting);
        }
    }

    private static void replaceSetting(List<String> arguments, String setting) {
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
