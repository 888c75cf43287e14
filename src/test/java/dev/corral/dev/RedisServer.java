package dev.corral.dev;

import java.util.Map;
import java.util.Optional;
import org.slf4j.LoggerFactory;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.env.Environment;
import org.springframework.core.env.SimpleCommandLinePropertySource;
import org.springframework.core.env.StandardEnvironment;

/**
 * A real Redis for development and tests: the one that was given, else a container where a Docker engine answers, else the
 * embedded redis-server binary. Closing it stops what was started, and never what was given.
 */
public sealed interface RedisServer extends AutoCloseable permits GivenRedis, ContainerRedis, EmbeddedRedis {

    /** The host of the server. */
    String host();

    /** The port of the server. */
    int port();

    /** What Spring (and so Corral) must be told to reach this server: {@code spring.data.redis.*}. */
    Map<String, String> settings();

    /** One word or two on what this is, for people. */
    String kind();

    /** The address as a URL. */
    default String url() {
        return "redis://" + host() + ":" + port();
    }

    @Override
    void close();

    /** Chooses by environment variables, system properties and these {@code --name=value} arguments. */
    static RedisServer start(String... args) {
        var environment = new StandardEnvironment();
        environment.getPropertySources().addFirst(new SimpleCommandLinePropertySource(args));
        return start(environment);
    }

    /**
     * The Redis of {@code spring.data.redis.*} or {@code REDIS_URL}; without these a new one. {@code dev.redis.kind} says
     * which ({@code docker}, {@code embedded}; {@code auto} by default), {@code dev.redis.image} from which image.
     */
    static RedisServer start(Environment environment) {
        Map<String, String> spring = Binder.get(environment)
                .bind("spring.data.redis", Bindable.mapOf(String.class, String.class))
                .orElse(Map.of());
        Optional<GivenRedis> given = GivenRedis.of(spring,
                Optional.ofNullable(environment.getProperty("REDIS_URL")).filter(url -> !url.isBlank()));
        return given.isPresent() ? given.get() : startNew(environment);
    }

    /** A new embedded server with these arguments after its own, {@code --maxmemory 1mb} for one. */
    static EmbeddedRedis embedded(String... args) {
        return EmbeddedRedis.start(args);
    }

    private static RedisServer startNew(Environment environment) {
        String image = environment.getProperty("dev.redis.image", "redis:7-alpine");
        String kind = environment.getProperty("dev.redis.kind", "auto");
        return switch (kind) {
            case "docker" -> ContainerRedis.start(image);
            case "embedded" -> EmbeddedRedis.start();
            case "auto" -> ContainerRedis.engineAnswers() ? containerElseEmbedded(image) : EmbeddedRedis.start();
            default -> throw new IllegalArgumentException(
                    "dev.redis.kind (" + kind + ") must be auto, docker or embedded");
        };
    }

    private static RedisServer containerElseEmbedded(String image) {
        try {
            return ContainerRedis.start(image);
        } catch (RuntimeException e) {
            // An engine without a way to the image's registry.
            LoggerFactory.getLogger(RedisServer.class)
                    .warn("no container of {} ({}); the embedded redis-server is used", image, e.getMessage());
            return EmbeddedRedis.start();
        }
    }
}
