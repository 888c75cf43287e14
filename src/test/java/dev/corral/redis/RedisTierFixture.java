package dev.corral.redis;

import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.CoalescerLimits;
import dev.corral.memory.ByteBudget;
import dev.corral.redis.purge.RedisPurgeRegistry;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.awaitility.Awaitility;
import org.springframework.boot.autoconfigure.data.redis.ClientResourcesBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.LettuceClientConfigurationBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.LettuceClientOptionsBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.RedisAutoConfiguration;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;
import org.springframework.boot.autoconfigure.data.redis.RedisProperties;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.MapPropertySource;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;
import reactor.test.scheduler.VirtualTimeScheduler;

/** One replica's tier, made as the application makes it: from Spring's settings. */
public final class RedisTierFixture implements AutoCloseable {

    static final CoalescerLimits TIMING = CoalescerLimits.of(Duration.ofSeconds(2), 1_000, 10_000);

    /** As the wiring has it. */
    @Configuration(proxyBeanMethods = false)
    static class RedisClientCustomizers {

        @Bean
        ClientResourcesBuilderCustomizer resources() {
            return RedisConnections.clientResources();
        }

        @Bean
        LettuceClientOptionsBuilderCustomizer options(RedisProperties properties) {
            return RedisConnections.clientOptions(properties);
        }

        @Bean
        LettuceClientConfigurationBuilderCustomizer configuration(RedisProperties properties) {
            return RedisConnections.clientConfiguration(properties);
        }
    }

    final AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
    public final RedisConnections connections;
    public final RedisCircuitBreaker circuitBreaker;
    final RedisHealthProbe probes;
    public final RedisPurgeRegistry purges;
    public final RedisTier<String> tier;

    private RedisTierFixture(String id, Map<String, String> settings, Scheduler looks, Ticker ticker) {
        context.getEnvironment().getPropertySources().addFirst(new MapPropertySource("given", Map.copyOf(settings)));
        context.register(RedisClientCustomizers.class, SslAutoConfiguration.class, RedisAutoConfiguration.class);
        context.refresh();
        RedisProperties properties = context.getBean(RedisProperties.class);
        connections = new RedisConnections(context.getBean(LettuceConnectionFactory.class),
                context.getBean(RedisConnectionDetails.class), properties,
                RedisKeys.of(settings.getOrDefault("corral.redis.key-prefix", RedisKeys.DEFAULT_PREFIX),
                        context.getBean(RedisConnectionDetails.class)));
        circuitBreaker = RedisCircuitBreaker.of(connections, Clock.systemUTC());
        probes = new RedisHealthProbe(connections, circuitBreaker, Schedulers.parallel());
        purges = new RedisPurgeRegistry(connections, circuitBreaker, id, Duration.ofHours(24), looks, ticker,
                Clock.systemUTC());
        tier = new RedisTier<>(connections, circuitBreaker, textCodec(1), TIMING, purges::latestPosition, purges::sync,
                id,
                new ByteBudget(Long.MAX_VALUE));
        probes.start();
        connections.start();
        purges.start();
    }

    /** Started, and in step with the fleet. */
    public static RedisTierFixture start(String id, Map<String, String> settings) {
        var replica = new RedisTierFixture(id, withLongTimeout(settings), Schedulers.parallel(), Ticker.systemTicker());
        Awaitility.await().until(replica.circuitBreaker::isAvailable);
        return replica;
    }

    /** Started, and looks at the fleet's purges when this clock says so, first at once. */
    public static RedisTierFixture start(String id, Map<String, String> settings, VirtualTimeScheduler looks) {
        return start(id, settings, looks, Ticker.systemTicker());
    }

    /** Likewise; what is current is told by this ticker. */
    public static RedisTierFixture start(String id, Map<String, String> settings, VirtualTimeScheduler looks,
            Ticker ticker) {
        var replica = new RedisTierFixture(id, withLongTimeout(settings), looks, ticker);
        looks.advanceTime();
        Awaitility.await().until(replica.circuitBreaker::isAvailable);
        return replica;
    }

    /** Started with just these settings, without waiting for Redis. */
    static RedisTierFixture startWithoutWaiting(String id, Map<String, String> settings) {
        return new RedisTierFixture(id, settings, Schedulers.parallel(), Ticker.systemTicker());
    }

    /** A cold JVM on a busy machine is slower than Redis ever is. */
    private static Map<String, String> withLongTimeout(Map<String, String> settings) {
        var patient = new HashMap<>(settings);
        patient.put("spring.data.redis.timeout", "3s");
        return patient;
    }

    @Override
    public void close() {
        probes.close();
        purges.close();
        connections.close();
        context.close();
    }

    /** Text after a byte that says which format it is; others are unknown. */
    static ValueCodec<String> textCodec(int format) {
        return new ValueCodec<>() {
            @Override
            public byte[] encode(String value) {
                byte[] text = value.getBytes(StandardCharsets.UTF_8);
                return ByteBuffer.allocate(1 + text.length).put((byte) format).put(text).array();
            }

            @Override
            public Optional<String> decode(ByteBuffer bytes) {
                return bytes.get() == format
                        ? Optional.of(StandardCharsets.UTF_8.decode(bytes).toString())
                        : Optional.empty();
            }
        };
    }
}
