package dev.corral.dev;

import dev.corral.dev.DockerEngineStub.DockerFault;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * With an unusable Docker engine the embedded redis-server is used, and one line says why. Each case runs in a separate JVM, because
 * Testcontainers looks for an engine once per JVM, by environment variables.
 */
@Timeout(150)
class DockerEngineTest {

    /** The longest case: the checks, a pull and the start of a container. It would take minutes without these limits. */
    private static final Duration TIMEOUT = Duration.ofSeconds(100);

    @TempDir
    private Path home = Path.of("");

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            PULL_FAILS   | the Docker engine cannot pull redis:7.4.11-alpine: Status 500: .*pull rate limit.*
            PULL_HANGS   | the Docker engine cannot pull redis:7.4.11-alpine within 2.0 s
            CREATE_FAILS | the Docker engine starts no container of redis:7.4.11-alpine: .*ryuk.*
            GARBAGE      | no Docker engine answers: .*
            SILENT       | no Docker engine answers within 8.0 s
            """)
    void unusableDockerEngineFallsBackToEmbeddedRedis(DockerFault fault, String reason) throws Exception {
        try (DockerEngineStub docker = DockerEngineStub.start(fault)) {
            List<String> lines = chooseRedis(Map.of("DOCKER_HOST", docker.host()));

            assertThat(lines).hasSize(2);
            assertThat(lines.getFirst())
                    .matches(".* INFO .*Redis: an embedded redis-server on 127.0.0.1:\\d+ \\(" + reason + "\\)");
            assertThat(lines.getLast()).isEqualTo("PONG");
        }
    }

    @Test
    void explicitRedisKindIsNotReplaced() throws Exception {
        try (DockerEngineStub docker = DockerEngineStub.start(DockerFault.PULL_FAILS)) {
            List<String> lines = chooseRedis(Map.of("DOCKER_HOST", docker.host()), "--dev.redis.kind=docker");

            assertThat(lines.getFirst()).startsWith("Exception in thread")
                    .contains("dev.redis.kind=docker, but the Docker engine cannot pull redis:7.4.11-alpine");
        }
    }

    /** The output of a JVM with this environment when it chooses a Redis. */
    private List<String> chooseRedis(Map<String, String> environment, String... settings) throws IOException {
        // Ignores this user's Testcontainers settings, and sets a log level, because logback-test.xml logs almost nothing.
        var command = new ArrayList<>(
                ReplicaProcess.mainClass(RedisChooserMain.class, "-Duser.home=" + home, "-Dlog.level=INFO",
                        "-XX:TieredStopAtLevel=1"));
        command.add("--dev.redis.pull-timeout=2s");
        command.addAll(List.of(settings));
        Path output = home.resolve("output");
        var builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().remove("TESTCONTAINERS_RYUK_DISABLED");
        builder.environment().putAll(environment);
        Process jvm = builder.start();
        try {
            assertThat(jvm.waitFor(TIMEOUT.toSeconds(), TimeUnit.SECONDS)).as("it has ended in time").isTrue();
            return Files.readAllLines(output, StandardCharsets.UTF_8);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        } finally {
            jvm.destroyForcibly();
        }
    }

    /** Chooses a Redis like the README's first command, and sends a command to it. */
    static final class RedisChooserMain {

        private RedisChooserMain() {}

        /** Settings as arguments. */
        public static void main(String[] args) {
            try (RedisServer redis = RedisServer.start(args)) {
                if (redis instanceof EmbeddedRedis embedded) {
                    System.out.println(embedded.execute("PING"));
                }
            }
        }
    }
}
