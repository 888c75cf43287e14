package dev.corral.dev;

import com.github.dockerjava.api.DockerClient;
import com.github.dockerjava.api.exception.NotFoundException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.springframework.boot.logging.LogLevel;
import org.springframework.boot.logging.LoggingSystem;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.dockerclient.DockerClientProviderStrategy;
import org.testcontainers.utility.DockerImageName;
import org.testcontainers.utility.ImageNameSubstitutor;
import org.testcontainers.utility.TestcontainersConfiguration;

/**
 * Checks the Docker engine that Testcontainers finds before Testcontainers relies on it. Testcontainers itself retries a failing pull for
 * minutes and logs a stack trace each time. Here every step has a time limit and every failure is one sentence.
 */
final class DockerEngine {

    /** An engine responds within milliseconds; most of this time is for class loading in a cold JVM. */
    static final Duration CHECK_LIMIT = Duration.ofSeconds(8);

    /** Time limit for pulling an image, about 15 MB. With a slower connection the embedded redis-server is used. */
    static final Duration PULL_LIMIT = Duration.ofSeconds(30);

    /** Time limit for starting two containers from existing images, Ryuk's and the requested one. */
    static final Duration START_LIMIT = Duration.ofSeconds(30);

    // What Testcontainers and its client of the engine log by; the containers' own loggers begin with the last.
    private static final List<String> LOGGERS = List.of("org.testcontainers", "com.github.dockerjava", "tc");

    private final DockerClient client;

    private DockerEngine(DockerClient client) {
        this.client = client;
    }

    /**
     * Checks that a container of this image can be created: an engine responds, and has or pulls the image and the one with which
     * Testcontainers removes containers (Ryuk), within {@code pullLimit} each.
     *
     * @throws DockerUnusableException with the reason, at the latest after {@link #CHECK_LIMIT} and the time limits of the pulls
     */
    static void prepare(String image, Duration pullLimit) throws DockerUnusableException {
        if (!isConfigured()) {
            // Fails at once. Testcontainers would try every connection strategy.
            throw new DockerUnusableException("no Docker engine on this machine");
        }
        DockerEngine engine = within(CHECK_LIMIT, "no Docker engine answers", DockerEngine::find);
        engine.provide(image, pullLimit);
        if (!Boolean.parseBoolean(System.getenv("TESTCONTAINERS_RYUK_DISABLED"))) {
            engine.provide(ryukImage(), pullLimit);
        }
    }

    /**
     * Runs a step that needs the engine in a separate thread, without log output.
     *
     * @throws DockerUnusableException with {@code failure} and the cause's message when the step fails or exceeds the time limit
     */
    static <T> T within(Duration limit, String failure, Callable<T> step) throws DockerUnusableException {
        var task = new FutureTask<T>(step);
        Thread thread = Thread.ofPlatform().daemon().name("docker-engine").unstarted(task);
        log(LogLevel.OFF);
        boolean quiet = true;
        try {
            thread.start();
            T result = task.get(limit.toNanos(), TimeUnit.NANOSECONDS);
            quiet = false;
            return result;
        } catch (TimeoutException e) {
            // The interrupted thread is abandoned: it may hang in an uninterruptible read.
            thread.interrupt();
            throw new DockerUnusableException(failure + " within " + limit.toMillis() / 1000.0 + " s");
        } catch (ExecutionException e) {
            throw new DockerUnusableException(
                    failure + ": " + firstSentence(Optional.ofNullable(e.getCause()).orElse(e)));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        } finally {
            if (!quiet) {
                log(LogLevel.WARN);
            }
        }
    }

    private static DockerEngine find() {
        var config = DockerClientFactory.instance().getTransportConfig();
        var engine = new DockerEngine(DockerClientProviderStrategy.getClientForConfig(config));
        engine.client.pingCmd().exec();
        return engine;
    }

    private void provide(String image, Duration pullLimit) throws DockerUnusableException {
        String name = ImageNameSubstitutor.instance().apply(DockerImageName.parse(image)).asCanonicalNameString();
        if (!within(CHECK_LIMIT, "the Docker engine does not tell whether it has " + name, () -> has(name))) {
            within(pullLimit, "the Docker engine cannot pull " + name,
                    () -> client.pullImageCmd(name).start().awaitCompletion());
        }
    }

    private boolean has(String image) {
        try {
            client.inspectImageCmd(image).exec();
            return true;
        } catch (NotFoundException e) {
            return false;
        }
    }

    @SuppressWarnings("deprecation") // the only source of the version
    private static String ryukImage() {
        return TestcontainersConfiguration.getInstance().getRyukImage();
    }

    private static boolean isConfigured() {
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

    private static String firstSentence(Throwable failure) {
        String text = Optional.ofNullable(failure.getMessage())
                .filter(line -> !line.isBlank())
                .orElse(failure.getClass().getSimpleName());
        // Testcontainers continues with "Please see logs", which are off.
        return text.strip().lines().findFirst().orElse("").split("\\. ", 2)[0].strip();
    }

    private static void log(LogLevel level) {
        LoggingSystem logging = LoggingSystem.get(DockerEngine.class.getClassLoader());
        LOGGERS.forEach(logger -> logging.setLogLevel(logger, level));
    }

    /** There is no usable engine; the message is the reason in one sentence. */
    static final class DockerUnusableException extends Exception {
        private static final long serialVersionUID = 1;

        DockerUnusableException(String reason) {
            super(reason);
        }
    }
}
