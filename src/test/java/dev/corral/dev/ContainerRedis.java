package dev.corral.dev;

import java.time.Duration;
import java.util.Map;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.utility.DockerImageName;

/** A Redis in a container, for machines with a Docker engine. Testcontainers removes it with this JVM. */
public final class ContainerRedis implements RedisServer {

    /** The default Redis image. */
    static final String IMAGE = "redis:7.4.11-alpine";

    private static final int REDIS_PORT = 6379;

    private final String image;
    private final GenericContainer<?> container;

    private ContainerRedis(String image, GenericContainer<?> container) {
        this.image = image;
        this.container = container;
    }

    /** Whether a Docker engine responds and has or pulls the default image. Bounded in time, without log output. */
    public static boolean engineIsUsable() {
        try {
            DockerEngine.prepare(IMAGE, DockerEngine.PULL_LIMIT);
            return true;
        } catch (DockerEngine.DockerUnusableException e) {
            return false;
        }
    }

    /**
     * Starts a container.
     *
     * @throws DockerEngine.DockerUnusableException when there is no engine, the image is missing and is not pulled in time, or no container
     *         starts
     */
    static ContainerRedis start(String image, Duration pullLimit) throws DockerEngine.DockerUnusableException {
        DockerEngine.prepare(image, pullLimit);
        return DockerEngine.within(DockerEngine.START_LIMIT, "the Docker engine starts no container of " + image,
                () -> startPrepared(image));
    }

    private static ContainerRedis startPrepared(String image) {
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
        if (Thread.interrupted()) {
            // Too late, another Redis was chosen.
            container.stop();
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
}
