package dev.corral.dev;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.slf4j.LoggerFactory;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.env.Environment;
import org.springframework.core.env.SimpleCommandLinePropertySource;
import org.springframework.core.env.StandardEnvironment;

/**
 * A real Redis for development and tests: the configured one, otherwise a container if a Docker engine can create one, otherwise the
 * embedded redis-server binary. Closing it stops only what was started here.
 */
public sealed interface RedisServer extends AutoCloseable permits ExternalRedis, ContainerRedis, EmbeddedRedis {

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
     * The Redis of {@code spring.data.redis.*} or {@code REDIS_URL}, otherwise a new one. {@code dev.redis.kind} selects its kind
     * ({@code docker}, {@code embedded}; {@code auto} by default), {@code dev.redis.image} the image, {@code dev.redis.pull-timeout} the time
     * limit of its pull. One log line says what was chosen and why.
     */
    static RedisServer start(Environment environment) {
        Map<String, String> spring = Binder.get(environment)
                .bind("spring.data.redis", Bindable.mapOf(String.class, String.class))
                .orElse(Map.of());
        Optional<ExternalRedis> given = ExternalRedis.of(spring,
                Optional.ofNullable(environment.getProperty("REDIS_URL")).filter(url -> !url.isBlank()));
        return given.isPresent()
                ? chosen(given.get(), "spring.data.redis.* or REDIS_URL names it")
                : startNew(environment);
    }

    /** A new embedded server with these arguments after its own, {@code --maxmemory 1mb} for one. */
    static EmbeddedRedis embedded(String... args) {
        return EmbeddedRedis.start(args);
    }

    private static RedisServer startNew(Environment environment) {
        String image = environment.getProperty("dev.redis.image", ContainerRedis.IMAGE);
        String kind = environment.getProperty("dev.redis.kind", "auto");
        Duration pull = Binder.get(environment)
                .bind("dev.redis.pull-timeout", Duration.class)
                .orElse(DockerEngine.PULL_LIMIT);
        return switch (kind) {
            case "docker" -> container(image, pull);
            case "embedded" -> chosen(EmbeddedRedis.start(), "dev.redis.kind=embedded");
            case "auto" -> containerElseEmbedded(image, pull);
            default -> throw new IllegalArgumentException(
                    "dev.redis.kind (" + kind + ") must be auto, docker or embedded");
        };
    }

    private static RedisServer container(String image, Duration pull) {
        try {
            return chosen(ContainerRedis.start(image, pull), "dev.redis.kind=docker");
        } catch (DockerEngine.DockerUnusableException e) {
            throw new IllegalStateException("dev.redis.kind=docker, but " + e.getMessage(), e);
        }
    }

    private static RedisServer containerElseEmbedded(String image, Duration pull) {
        try {
            return chosen(ContainerRedis.start(image, pull), "a Docker engine answers");
        } catch (DockerEngine.DockerUnusableException e) {
            return chosen(EmbeddedRedis.start(), String.valueOf(e.getMessage()));
        }
    }

    /** Says, in one line, which Redis it is and why. */
    private static RedisServer chosen(RedisServer server, String why) {
        LoggerFactory.getLogger(RedisServer.class)
                .info("Redis: {} on {}:{} ({})", server.kind(), server.host(), server.port(), why);
        return server;
    }
}
