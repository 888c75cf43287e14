package dev.corral.dev;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.slf4j.LoggerFactory;
import org.springframework.boot.logging.LogLevel;
import org.springframework.boot.logging.LoggingSystem;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.utility.DockerImageName;

/** A Redis in a container, for machines with a Docker engine. Testcontainers removes it with this JVM. */
public final class ContainerRedis implements RedisServer {

    private static final int REDIS_PORT = 6379;

    private final String image;
    private final GenericContainer<?> container;

    private ContainerRedis(String image, GenericContainer<?> container) {
        this.image = image;
        this.container = container;
    }

    /**
     * Whether a Docker engine answers. At once and in silence where nothing on the machine hints at one: Testcontainers
     * itself would try every way in and log a page of what it found missing.
     */
    public static boolean engineAnswers() {
        return hinted() && asked();
    }

    static ContainerRedis start(String image) {
        LoggerFactory.getLogger(ContainerRedis.class).info("starting a container of {}", image);
        @SuppressWarnings("resource") // closed by close()
        GenericContainer<?> container = new GenericContainer<>(DockerImageName.parse(image))
                .withExposedPorts(REDIS_PORT)
                .withCommand("redis-server", "--save", "", "--appendonly", "no");
        try {
            container.start();
        } catch (RuntimeException e) {
            container.stop();
            throw e;
        }
        return new ContainerRedis(image, container);
    }

    @Override
    public String host() {
        return container.getHost();
    }

    @Override
    public int port() {
        return container.getMappedPort(REDIS_PORT);
    }

    @Override
    public Map<String, String> settings() {
        return Map.of("spring.data.redis.host", host(), "spring.data.redis.port", Integer.toString(port()));
    }

    @Override
    public String kind() {
        return "a container of " + image;
    }

    @Override
    public void close() {
        container.stop();
    }

    private static boolean hinted() {
        if (System.getenv("DOCKER_HOST") != null || System.getProperty("os.name").startsWith("Windows")) {
            return true;
        }
        Path home = Path.of(System.getProperty("user.home"));
        Stream<Path> sockets = Stream.of(Path.of("/var/run/docker.sock"), home.resolve(".docker/run/docker.sock"),
                home.resolve(".docker/desktop/docker.sock"), home.resolve(".colima/default/docker.sock"),
                home.resolve(".rd/docker.sock"), home.resolve(".testcontainers.properties"));
        Stream<Path> rootless = Optional.ofNullable(System.getenv("XDG_RUNTIME_DIR"))
                .stream()
                .flatMap(dir -> Stream.of(Path.of(dir, "docker.sock"), Path.of(dir, "podman/podman.sock")));
        return Stream.concat(sockets, rootless).anyMatch(Files::exists);
    }

    private static boolean asked() {
        LoggingSystem logging = LoggingSystem.get(ContainerRedis.class.getClassLoader());
        logging.setLogLevel("org.testcontainers", LogLevel.OFF);
        try {
            return DockerClientFactory.instance().isDockerAvailable();
        } finally {
            logging.setLogLevel("org.testcontainers", LogLevel.WARN);
        }
    }
}
