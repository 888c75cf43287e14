package dev.corral;

import dev.corral.dev.Answer;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** A replica that was told to stop: not ready, still serving, and each response says that its connection ends. */
@Timeout(120)
class ShutdownDrainTest {

    private static EmbeddedRedis redis;
    private static DemoShop shop;

    @BeforeAll
    static void start() {
        redis = TestReplica.redis();
        shop = DemoShop.start(Duration.ZERO);
        shop.answer("/fresh", Answer.of(200, "fresh", "Cache-Control", "max-age=60"));
        shop.answer("/private", Answer.of(200, "private", "Cache-Control", "private"));
        shop.answer("/fails", Answer.of(500, "no", "Cache-Control", "no-store"));
    }

    @AfterAll
    static void stop() {
        shop.close();
        redis.close();
    }

    private static TestReplica replica(String drain) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].path", "/{*any}");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.shutdown.drain", drain);
        return TestReplica.start(settings);
    }

    /** One connection that is kept alive as long as the server lets it. */
    private record Connection(Socket socket, InputStream in) implements AutoCloseable {

        static Connection to(TestReplica replica) throws IOException {
            var socket = new Socket(InetAddress.getLoopbackAddress(), replica.port());
            socket.setSoTimeout(30_000);
            return new Connection(socket, new BufferedInputStream(socket.getInputStream()));
        }

        /** Status line and fields in lower case, without the body, which is read. */
        String ask(String method, String target, String version, String... lines) throws IOException {
            String request = method + " " + target + " " + version + "\r\nHost: a\r\n"
                    + String.join("", List.of(lines).stream().map(line -> line + "\r\n").toList()) + "\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
            var head = new ByteArrayOutputStream();
            while (!head.toString(StandardCharsets.ISO_8859_1).endsWith("\r\n\r\n")) {
                int next = in.read();
                if (next < 0) {
                    throw new IOException("closed after: " + head);
                }
                head.write(next);
            }
            String text = head.toString(StandardCharsets.ISO_8859_1).toLowerCase(Locale.ROOT);
            int length = text.lines()
                    .filter(line -> line.startsWith("content-length: "))
                    .mapToInt(line -> Integer.parseInt(line.substring("content-length: ".length())))
                    .findFirst()
                    .orElse(0);
            in.readNBytes(method.equals("HEAD") ? 0 : length);
            return text;
        }

        boolean ended() throws IOException {
            return in.read() < 0;
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    @Test
    void everyResponseSaysCloseWhileTheReplicaServesOn() throws Exception {
        // Far longer than the test needs; the interruption ends it.
        TestReplica replica = replica("5m");
        Thread closing = Thread.ofPlatform().unstarted(replica.context()::close);
        try (Connection kept = Connection.to(replica); Connection idle = Connection.to(replica)) {
            assertThat(kept.ask("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200")
                    .doesNotContain("connection: close");
            assertThat(idle.ask("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200");
            assertThat(replica.manage("GET", "/actuator/health/readiness").statusCode()).isEqualTo(200);

            closing.start();
            await().atMost(Duration.ofSeconds(30))
                    .until(() -> replica.manage("GET", "/actuator/health/readiness").statusCode() == 503);

            assertThat(kept.ask("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200")
                    .contains("cache-status: corral; hit", "connection: close");
            assertThat(kept.ended()).isTrue();
            assertClose(replica, "GET", "/private", "HTTP/1.1", 200);
            assertClose(replica, "GET", "/products/1", "HTTP/1.1", 200);
            assertClose(replica, "HEAD", "/fresh", "HTTP/1.1", 200);
            assertClose(replica, "GET", "/fails", "HTTP/1.1", 500);
            assertClose(replica, "TRACE", "/fresh", "HTTP/1.1", 501);
            assertClose(replica, "OPTIONS", "/private", "HTTP/1.1", 200);
            // HTTP/1.0 ends a connection by saying nothing of it.
            try (Connection old = Connection.to(replica)) {
                assertThat(old.ask("GET", "/fresh", "HTTP/1.0", "Connection: keep-alive")).startsWith("http/1.0 200")
                        .doesNotContain("keep-alive");
                assertThat(old.ended()).isTrue();
            }
            // Not HTTP as it should be: Reactor Netty's own 400.
            assertClose(replica, "GET", "/fresh", "HTTP/1.1", 400, "Transfer-Encoding: gzip");
            assertThat(closing.isAlive()).isTrue();
        } finally {
            closing.interrupt();
            closing.join();
            replica.close();
        }
    }

    private static void assertClose(TestReplica replica, String method, String target, String version, int status,
            String... lines) throws IOException {
        try (Connection connection = Connection.to(replica)) {
            assertThat(connection.ask(method, target, version, lines)).startsWith("http/1.1 " + status)
                    .contains("connection: close");
            assertThat(connection.ended()).isTrue();
        }
    }

    @Test
    void anIdleConnectionIsClosedAtTheEndOfTheDrain() throws Exception {
        TestReplica replica = replica("100ms");
        try (Connection idle = Connection.to(replica)) {
            assertThat(idle.ask("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200");

            Thread closing = Thread.ofPlatform().start(replica.context()::close);

            // The end of the stream, and no reset, which would be an exception.
            assertThat(idle.ended()).isTrue();
            closing.join();
        } finally {
            replica.close();
        }
    }

    @Test
    void withoutADrainTheReplicaStopsAtOnce() {
        TestReplica replica = replica("0s");
        long start = System.nanoTime();

        replica.close();

        // Far from the five minutes of the other test, and from any default.
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(30));
    }
}
