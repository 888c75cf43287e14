package dev.corral.config;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.CorralApplication;
import dev.corral.cache.Entry;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.CoalescerLimits;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.dev.StubResponse;
import dev.corral.dev.TestCertificate;
import dev.corral.near.NearCache;
import dev.corral.origin.OriginAddressResolverGroup;
import dev.corral.proxy.AwaitedInvalidation;
import dev.corral.proxy.CacheController;
import dev.corral.redis.RedisTier;
import dev.corral.redis.purge.RedisPurgeRegistry;
import dev.corral.testkit.InProcessReplica;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ApplicationContext;
import org.springframework.context.ConfigurableApplicationContext;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** A replica sends itself requests before it is ready. They leave no trace. */
@Timeout(180)
@ExtendWith(OutputCaptureExtension.class)
class WarmUpRunnerTest {

    private static final String OPERATOR = basicAuthorization("olga", "test");

    private static EmbeddedRedis redis;
    private static DemoShop shop;

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
        shop.respondWith("/page", StubResponse.of(200, "page", "Cache-Control", "max-age=60"));
    }

    @AfterAll
    static void stop() {
        shop.close();
        redis.close();
    }

    @BeforeEach
    void clear() {
        redis.execute("FLUSHALL");
        shop.reset();
    }

    private static Map<String, String> settings() {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "olga");
        settings.put("corral.management.users[0].password", "test");
        settings.put("corral.management.users[0].role", "operator");
        settings.put("corral.warm-up.enabled", "true");
        settings.put("corral.warm-up.max", "20s");
        // The test configuration logs warnings only.
        settings.put("logging.level.dev.corral.config.WarmUpRunner", "info");
        return settings;
    }

    @Test
    void warmUpLeavesNoTraceInMetricsOrCache(CapturedOutput output) {
        try (InProcessReplica replica = InProcessReplica.start(settings())) {
            assertThat(output).containsPattern("Warmed up: [1-9]\\d* responses in [1-9]\\d* rounds");
            ApplicationContext context = replica.context();
            assertThat(context.getBean(Coalescer.class).flightCount()).isZero();
            assertThat(context.getBean(NearCache.class).size()).isZero();
            assertThat(context.getBean(CircuitBreakerRegistry.class).getAllCircuitBreakers())
                    .allMatch(breaker -> breaker.getState() == CircuitBreaker.State.CLOSED)
                    .extracting(CircuitBreaker::getName)
                    .containsExactly("shop");
            MeterRegistry registry = context.getBean(MeterRegistry.class);
            assertThat(registry.find("corral.requests").timers()).isEmpty();
            assertThat(registry.find("corral.origin.fetches").timers()).isEmpty();
            assertThat(registry.get("corral.fills").counter().count()).isZero();
            assertThat(registry.get("corral.follower.wait").timer().count()).isZero();
            assertThat(replica.requestManagement("GET", "/actuator/prometheus").body()).doesNotContain("warm-up",
                    "warm_up");
            assertThat(replica.requestManagement("GET", "/actuator/circuitbreakers", "Authorization", OPERATOR).body())
                    .doesNotContain("warm-up");
            assertThat(shop.count()).isZero();

            // Stored entries expire on their own.
            assertThat(keys()).allSatisfy(key -> assertThat(Long.parseLong(redis.execute("PTTL " + key)))
                    .as(key)
                    // -2: the key expired between the two commands.
                    .satisfiesAnyOf(ttl -> assertThat(ttl).isBetween(1L, 30_000L),
                            ttl -> assertThat(ttl).isEqualTo(-2)));

            assertThat(replica.request("GET", "/page").headers().firstValue("Cache-Status").orElse(""))
                    .contains("fwd=uri-miss");
            await().until(() -> context.getBean(Coalescer.class).flightCount() == 0);
            assertThat(replica.request("GET", "/page").headers().firstValue("Cache-Status").orElse(""))
                    .startsWith("Corral; hit");
        }
    }

    /** The keys of the cache. Keys of the fleet, such as heartbeats, have no hash tag of a resource. */
    private static List<String> keys() {
        return redis.execute("KEYS corral*:{??????????????????????}*").lines().filter(key -> !key.isEmpty()).toList();
    }

    @Test
    void warmUpRoundExercisesEveryOutcome() {
        Map<String, String> settings = settings();
        settings.put("corral.warm-up.enabled", "false");
        String prefix = "/a-secret/";
        try (InProcessReplica replica = InProcessReplica.start(settings);
                var origin = new WarmUpOrigin(prefix);
                WarmUpPipeline first = pipeline(replica, prefix, origin);
                WarmUpPipeline second = pipeline(replica, prefix, origin);
                var load = new WarmUpClient(prefix,
                        new InetSocketAddress(InetAddress.getLoopbackAddress(), replica.port()), false)) {
            replica.context()
                    .getBean(CacheController.class)
                    .overrideController(request -> request.getPath().value().startsWith(prefix)
                            ? Optional.of(
                                    (request.getURI().getRawQuery() != null ? second : first).controller())
                            : Optional.empty());

            String purges = purgePosition();
            for (int i = 0; i < 10; i++) {
                load.runRound(i).block(Duration.ofSeconds(60));
            }

            assertThat(load.responseCount()).isPositive();
            assertThat(requestCounts(first, second)).containsKeys("hit", "miss", "collapsed", "bypass", "pass",
                    "failed");
            await().until(() -> first.isIdle() && second.isIdle());
            // One pipeline has waited for the fetch of the other and was notified.
            assertThat(sum(first, second, "corral.follower.wait")).isPositive();
            assertThat(sum(first, second, "corral.fills")).isGreaterThanOrEqualTo(10);
            assertThat(origin.notModifiedCount()).isPositive();
            assertThat(purgePosition()).isNotEmpty().isEqualTo(purges);
        }
    }

    /** The position of the last purge in Redis. */
    private static String purgePosition() {
        return redis.execute("GET " + redis.execute("KEYS *{purge}:seq").strip());
    }

    private static WarmUpPipeline pipeline(InProcessReplica replica, String prefix, WarmUpOrigin origin) {
        ApplicationContext context = replica.context();
        @SuppressWarnings("unchecked")
        RedisTier<Entry> tier = context.getBean(RedisTier.class);
        return new WarmUpPipeline(prefix, origin.url(), context.getBean(CorralProperties.class), tier,
                context.getBean(RedisPurgeRegistry.class), context.getBean(AwaitedInvalidation.class),
                context.getBean(OriginAddressResolverGroup.class), context.getBean(CoalescerLimits.class),
                context.getBean(ObjectMapper.class),
                context.getBean(SslBundles.class));
    }

    private static Map<String, Long> requestCounts(WarmUpPipeline... pipelines) {
        var counts = new HashMap<String, Long>();
        for (WarmUpPipeline pipeline : pipelines) {
            for (Timer timer : pipeline.meterRegistry().find("corral.requests").timers()) {
                counts.merge(String.valueOf(timer.getId().getTag("outcome")), timer.count(), Long::sum);
            }
        }
        return counts;
    }

    private static double sum(WarmUpPipeline first, WarmUpPipeline second, String meter) {
        return Stream.of(first, second).mapToDouble(one -> {
            Counter counter = one.meterRegistry().find(meter).counter();
            Timer timer = one.meterRegistry().find(meter).timer();
            return (counter == null ? 0 : counter.count()) + (timer == null ? 0 : timer.count());
        }).sum();
    }

    /** Requests before readiness are served, although load balancers do not send any. */
    @Test
    void replicaServesButIsNotReadyDuringWarmUp() throws Exception {
        List<Integer> ports = FreePort.pick(2);
        Map<String, String> settings = settings();
        settings.put("corral.warm-up.max", "1m");
        settings.put("server.port", ports.getFirst().toString());
        settings.put("management.server.port", ports.getLast().toString());
        String[] arguments = settings.entrySet()
                .stream()
                .map(setting -> "--" + setting.getKey() + "=" + setting.getValue())
                .toArray(String[]::new);
        var started = new CompletableFuture<ConfigurableApplicationContext>();
        Thread.ofPlatform()
                .start(() -> started.complete(new SpringApplicationBuilder(CorralApplication.class).run(arguments)));

        await().atMost(Duration.ofSeconds(60))
                .pollInterval(Duration.ofMillis(10))
                .until(() -> status(ports.getFirst(), "/page") == 200
                        && status(ports.getLast(), "/actuator/health/readiness") == 503);

        try (ConfigurableApplicationContext context = started.get()) {
            assertThat(context.isRunning()).isTrue();
            assertThat(status(ports.getLast(), "/actuator/health/readiness")).isEqualTo(200);
        }
    }

    /** The status; 0 while the port is not listening. */
    private static int status(int port, String path) {
        try {
            var connection = (HttpURLConnection) URI.create("http://127.0.0.1:" + port + path).toURL().openConnection();
            connection.setReadTimeout(10_000);
            return connection.getResponseCode();
        } catch (IOException notYet) {
            return 0;
        }
    }

    @Test
    void warmUpRunsWithoutRedis(CapturedOutput output) {
        Map<String, String> settings = settings();
        settings.put("spring.data.redis.port", Integer.toString(FreePort.pick()));
        try (InProcessReplica replica = InProcessReplica.start(settings)) {
            assertThat(output).containsPattern("Warmed up: [1-9]\\d* responses in [1-9]\\d* rounds");
            assertThat(replica.request("GET", "/page").statusCode()).isEqualTo(200);
        }
    }

    @Test
    void warmUpRunsOverTls(@TempDir Path directory, CapturedOutput output) {
        Map<String, String> settings = settings();
        settings.putAll(TestCertificate.make(directory, "clients")
                .bundle("clients",
                        TestCertificate.make(directory, "clients")));
        settings.put("server.ssl.bundle", "clients");
        try (InProcessReplica replica = InProcessReplica.start(settings)) {
            assertThat(replica.port()).isPositive();
            assertThat(output).containsPattern("Warmed up: [1-9]\\d* responses in [1-9]\\d* rounds");
        }
    }

    @Test
    void warmUpEndsWhenRoundsStopImproving() {
        List<Duration> falling = IntStream.range(0, 40).mapToObj(i -> Duration.ofMillis(2_000 - 45L * i)).toList();
        List<Duration> level = Collections.nCopies(16, Duration.ofMillis(50));

        assertThat(IntStream.rangeClosed(0, 40).filter(count -> WarmUpRunner.hasConverged(falling.subList(0, count))))
                .isEmpty();
        assertThat(WarmUpRunner.hasConverged(level.subList(0, 15))).isFalse();
        assertThat(WarmUpRunner.hasConverged(level)).isTrue();
        // One slow round among many is no trend.
        assertThat(WarmUpRunner.hasConverged(
                Stream.concat(Stream.of(Duration.ofSeconds(2)), level.stream()).toList())).isTrue();
    }
}
