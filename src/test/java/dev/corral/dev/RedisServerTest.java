package dev.corral.dev;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

@Timeout(60)
class RedisServerTest {

    @Test
    void embeddedServerRespondsAndLosesDataOnRestart() {
        try (EmbeddedRedis redis = RedisServer.embedded()) {
            assertThat(redis.execute("SET a 1", "GET a")).isEqualTo("1");
            assertThat(redis.execute("CONFIG GET save")).isEqualTo("save\n");
            assertThat(redis.url()).isEqualTo("redis://127.0.0.1:" + redis.port());

            redis.restart();

            assertThat(redis.execute("GET a")).isEmpty();
        }
    }

    @Test
    void closedServerRemovesItsDirectory() {
        Path directory;
        try (EmbeddedRedis redis = RedisServer.embedded()) {
            directory = Path.of(redis.execute("CONFIG GET dir").lines().toList().getLast());
            assertThat(directory).isDirectory();
        }
        assertThat(directory).doesNotExist();
    }

    @Test
    void argumentsArePassedToTheServer() {
        try (EmbeddedRedis redis = RedisServer.embedded("--maxmemory", "1mb", "--user", "default", "on", "nopass", "~*",
                "&*", "+@all",
                "--user", "reader", "on", ">secret", "~*", "+@read", "+ping")) {
            assertThat(redis.execute("CONFIG GET maxmemory")).endsWith("1048576");
            assertThat(redis.execute("AUTH reader secret", "PING")).isEqualTo("PONG");
            assertThatThrownBy(() -> redis.execute("AUTH reader secret", "SET a 1")).hasMessageContaining("NOPERM");
        }
    }

    @Test
    void passwordProtectedServerStarts() {
        try (EmbeddedRedis redis = RedisServer.embedded("--requirepass", "secret")) {
            assertThat(redis.execute("AUTH secret", "PING")).isEqualTo("PONG");
        }
    }

    @Test
    void invalidArgumentIsReportedWithServerOutput() {
        assertThatThrownBy(() -> RedisServer.embedded("--no-such-setting", "1").close())
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("no-such-setting");
    }

    @Test
    void restartedServerKeepsItsPort() {
        try (EmbeddedRedis redis = RedisServer.embedded()) {
            int port = redis.port();

            redis.stop();
            assertThatThrownBy(() -> redis.execute("PING")).hasMessageContaining("no answer");

            redis.restart();
            assertThat(redis.port()).isEqualTo(port);
            assertThat(redis.execute("PING")).isEqualTo("PONG");
        }
    }

    @Test
    void pausedServerKeepsConnectionsSilent() throws IOException {
        try (EmbeddedRedis redis = RedisServer.embedded(); var socket = new Socket(redis.host(), redis.port())) {
            socket.setSoTimeout(200);
            redis.pause();
            socket.getOutputStream().write("PING\r\n".getBytes(StandardCharsets.UTF_8));
            assertThatThrownBy(() -> socket.getInputStream().read()).isInstanceOf(SocketTimeoutException.class);

            redis.resume();

            socket.setSoTimeout(5_000);
            assertThat(socket.getInputStream().readNBytes(7)).asString().isEqualTo("+PONG\r\n");
        }
    }

    @Test
    void pausedServerCanBeClosed() {
        EmbeddedRedis redis = RedisServer.embedded();
        redis.pause();
        redis.close();
        assertThat(ProcessHandle.of(redis.pid())).isEmpty();
    }

    @Test
    void killedJvmLeavesNoServerAndNoDirectory() throws IOException {
        Process jvm = new ProcessBuilder(ProcessHandle.current().info().command().orElseThrow(), "-cp",
                System.getProperty("java.class.path"), RedisHolderMain.class.getName()).redirectError(
                        ProcessBuilder.Redirect.INHERIT)
                .start();
        try (var lines = new BufferedReader(new InputStreamReader(jvm.getInputStream(), StandardCharsets.UTF_8))) {
            long pid = Long.parseLong(Optional.ofNullable(lines.readLine()).orElseThrow());
            Path home = Path.of(Optional.ofNullable(lines.readLine()).orElseThrow());
            assertThat(ProcessHandle.of(pid)).isPresent();

            jvm.destroyForcibly();

            Eventually.await("redis-server and its directory are gone", Duration.ofSeconds(10),
                    () -> ProcessHandle.of(pid).isEmpty() && Files.notExists(home));
        } finally {
            jvm.destroyForcibly();
        }
    }

    /** A JVM that holds a server until it is killed. */
    static final class RedisHolderMain {

        private RedisHolderMain() {}

        /** Prints the server's pid and directory. */
        public static void main(String[] args) throws IOException {
            EmbeddedRedis redis = RedisServer.embedded();
            System.out.println(redis.pid());
            System.out.println(redis.execute("CONFIG GET dir").lines().toList().getLast());
            if (System.in.read() < 0) {
                throw new IllegalStateException("the test was to kill this JVM");
            }
        }
    }

    @Test
    void externalServerIsUsedAndNotStopped() {
        try (EmbeddedRedis running = RedisServer.embedded()) {
            try (RedisServer given = RedisServer.start(settings(Map.of("spring.data.redis.host", "127.0.0.1",
                    "spring.data.redis.port", running.port(), "spring.data.redis.timeout", "1s",
                    "REDIS_URL", "redis://elsewhere:1")))) {
                assertThat(given.port()).isEqualTo(running.port());
                assertThat(given.settings()).containsEntry("spring.data.redis.timeout", "1s");
            }
            assertThat(running.execute("PING")).isEqualTo("PONG");
        }
    }

    @Test
    void redisUrlIsPassedOnUnchanged() {
        try (RedisServer given = RedisServer.start(settings(Map.of("REDIS_URL", "rediss://me:secret@cache.example")))) {
            assertThat(given.host()).isEqualTo("cache.example");
            assertThat(given.port()).isEqualTo(6379);
            assertThat(given.settings()).containsOnly(
                    Map.entry("spring.data.redis.url", "rediss://me:secret@cache.example"));
        }
    }

    @Test
    void clusterNodesSettingNamesAnExternalServer() {
        try (RedisServer given = RedisServer.start("--spring.data.redis.cluster.nodes=10.0.0.1:7000,10.0.0.2:7000")) {
            assertThat(given.host() + ":" + given.port()).isEqualTo("10.0.0.1:7000");
        }
    }

    @Test
    void settingsWithoutAddressStartNewServer() {
        try (RedisServer started = RedisServer.start("--spring.data.redis.timeout=1s", "--dev.redis.kind=embedded")) {
            assertThat(started).isInstanceOf(EmbeddedRedis.class);
        }
    }

    @Test
    void clusterServesAllSlots() {
        try (RedisCluster cluster = RedisCluster.start()) {
            EmbeddedRedis first = cluster.nodes().getFirst();
            assertThat(first.execute("CLUSTER INFO")).contains("cluster_state:ok", "cluster_size:3");
            assertThatThrownBy(() -> first.execute("GET foo")).hasMessageContaining("MOVED 12182 127.0.0.1:");
            assertThat(cluster.nodes().getLast().execute("SET foo bar", "GET foo")).isEqualTo("bar");
        }
    }

    @Test
    void sentinelsPromoteTheReplica() {
        try (RedisSentinels all = RedisSentinels.start()) {
            assertThat(all.masterPort()).isEqualTo(all.first().port());
            all.first().execute("SET a 1", "WAIT 1 5000");

            all.failOver();

            assertThat(all.masterPort()).isEqualTo(all.second().port());
            assertThat(all.second().execute("SET b 2", "GET a")).isEqualTo("1");
        }
    }

    private static StandardEnvironment settings(Map<String, Object> properties) {
        var environment = new StandardEnvironment();
        environment.getPropertySources().addFirst(new MapPropertySource("test", properties));
        return environment;
    }
}
