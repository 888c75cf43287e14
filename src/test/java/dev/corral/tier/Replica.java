package dev.corral.tier;

import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.ByteBudget;
import dev.corral.coalesce.Timing;
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
final class Replica implements AutoCloseable {

    static final Timing TIMING = Timing.of(Duration.ofSeconds(2), 1_000, 10_000);

    /** As the wiring has it. */
    @Configuration(proxyBeanMethods = false)
    static class Customizers {

        @Bean
        ClientResourcesBuilderCustomizer resources() {
            return RedisConnections.resources();
        }

        @Bean
        LettuceClientOptionsBuilderCustomizer options(RedisProperties properties) {
            return RedisConnections.options(properties);
        }

        @Bean
        LettuceClientConfigurationBuilderCustomizer configuration(RedisProperties properties) {
            return RedisConnections.configuration(properties);
        }
    }

    final AnnotationConfigApplicationContext spring = new AnnotationConfigApplicationContext();
    final RedisConnections connections;
    final RedisGate gate;
    final RedisProbes probes;
    final RedisPurges purges;
    final RedisTier<String> tier;

    private Replica(String id, Map<String, String> settings, Scheduler looks) {
        spring.getEnvironment().getPropertySources().addFirst(new MapPropertySource("given", Map.copyOf(settings)));
        spring.register(Customizers.class, SslAutoConfiguration.class, RedisAutoConfiguration.class);
        spring.refresh();
        RedisProperties properties = spring.getBean(RedisProperties.class);
        connections = new RedisConnections(spring.getBean(LettuceConnectionFactory.class),
                spring.getBean(RedisConnectionDetails.class), properties,
                RedisKeys.of(settings.getOrDefault("corral.redis.key-prefix", RedisKeys.DEFAULT_PREFIX),
                        spring.getBean(RedisConnectionDetails.class)));
        gate = RedisGate.of(connections, Clock.systemUTC());
        probes = new RedisProbes(connections, gate, Schedulers.parallel());
        purges = new RedisPurges(connections, gate, id, Duration.ofHours(24), looks, Ticker.systemTicker(),
                Clock.systemUTC());
        tier = new RedisTier<>(connections, gate, text(1), TIMING, purges::position, purges::sync, id,
                ByteBudget.unlimited());
        probes.start();
        connections.start();
        purges.start();
    }

    /** Started, and in step with the fleet. */
    static Replica start(String id, Map<String, String> settings) {
        var replica = new Replica(id, patient(settings), Schedulers.parallel());
        Awaitility.await().until(replica.gate::open);
        return replica;
    }

    /** Started, and looks at the fleet's purges when this clock says so, first at once. */
    static Replica start(String id, Map<String, String> settings, VirtualTimeScheduler looks) {
        var replica = new Replica(id, patient(settings), looks);
        looks.advanceTime();
        Awaitility.await().until(replica.gate::open);
        return replica;
    }

    /** Started with just these settings, without waiting for Redis. */
    static Replica startAlone(String id, Map<String, String> settings) {
        return new Replica(id, settings, Schedulers.parallel());
    }

    /** A cold JVM on a busy machine is slower than Redis ever is. */
    private static Map<String, String> patient(Map<String, String> settings) {
        var patient = new HashMap<>(settings);
        patient.put("spring.data.redis.timeout", "3s");
        return patient;
    }

    @Override
    public void close() {
        probes.close();
        purges.close();
        connections.close();
        spring.close();
    }

    /** Text after a byte that says which format it is; others are unknown. */
    static Codec<String> text(int format) {
        return new Codec<>() {
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
