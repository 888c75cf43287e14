package dev.corral.config;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.StubResponse;
import dev.corral.testkit.InProcessReplica;
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

/** A stopping replica is not ready, continues to serve, and closes connections with each response. */
@Timeout(120)
class ShutdownDrainTest {

    private static EmbeddedRedis redis;
    private static DemoShop shop;

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
        shop.respondWith("/fresh", StubResponse.of(200, "fresh", "Cache-Control", "max-age=60"));
        shop.respondWith("/private", StubResponse.of(200, "private", "Cache-Control", "private"));
        shop.respondWith("/fails", StubResponse.of(500, "no", "Cache-Control", "no-store"));
    }

    @AfterAll
    static void stop() {
        shop.close();
        redis.close();
    }

    private static InProcessReplica replica(String drain) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].path", "/{*any}");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.shutdown.drain", drain);
        return InProcessReplica.start(settings);
    }

    /** A keep-alive connection. */
    private record KeepAliveConnection(Socket socket, InputStream in) implements AutoCloseable {

        static KeepAliveConnection to(InProcessReplica replica) throws IOException {
            var socket = new Socket(InetAddress.getLoopbackAddress(), replica.port());
            socket.setSoTimeout(30_000);
            return new KeepAliveConnection(socket, new BufferedInputStream(socket.getInputStream()));
        }

        /** Reads a response and returns the status line and fields in lower case, without the body. */
        String request(String method, String target, String version, String... lines) throws IOException {
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

        boolean isClosedByServer() throws IOException {
            return in.read() < 0;
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    @Test
    void drainingReplicaServesWithConnectionClose() throws Exception {
        // Much longer than the test; the interruption ends it.
        InProcessReplica replica = replica("5m");
        Thread closing = Thread.ofPlatform().unstarted(replica.context()::close);
        try (KeepAliveConnection kept = KeepAliveConnection.to(replica);
                KeepAliveConnection idle = KeepAliveConnection.to(replica)) {
            assertThat(kept.request("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200")
                    .doesNotContain("connection: close");
            assertThat(idle.request("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200");
            assertThat(replica.requestManagement("GET", "/actuator/health/readiness").statusCode()).isEqualTo(200);

            closing.start();
            await().atMost(Duration.ofSeconds(30))
                    .until(() -> replica.requestManagement("GET", "/actuator/health/readiness").statusCode() == 503);

            assertThat(kept.request("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200")
                    .contains("cache-status: corral; hit", "connection: close");
            assertThat(kept.isClosedByServer()).isTrue();
            assertClose(replica, "GET", "/private", "HTTP/1.1", 200);
            assertClose(replica, "GET", "/products/1", "HTTP/1.1", 200);
            assertClose(replica, "HEAD", "/fresh", "HTTP/1.1", 200);
            assertClose(replica, "GET", "/fails", "HTTP/1.1", 500);
            assertClose(replica, "TRACE", "/fresh", "HTTP/1.1", 501);
            assertClose(replica, "OPTIONS", "/private", "HTTP/1.1", 200);
            // HTTP/1.0 closes the connection without a Connection field.
            try (KeepAliveConnection old = KeepAliveConnection.to(replica)) {
                assertThat(old.request("GET", "/fresh", "HTTP/1.0", "Connection: keep-alive"))
                        .startsWith("http/1.0 200")
                        .doesNotContain("keep-alive");
                assertThat(old.isClosedByServer()).isTrue();
            }
            // Malformed: Reactor Netty responds with 400.
            assertClose(replica, "GET", "/fresh", "HTTP/1.1", 400, "Transfer-Encoding: gzip");
            assertThat(closing.isAlive()).isTrue();
        } finally {
            closing.interrupt();
            closing.join();
            replica.close();
        }
    }

    private static void assertClose(InProcessReplica replica, String method, String target, String version, int status,
            String... lines) throws IOException {
        try (KeepAliveConnection connection = KeepAliveConnection.to(replica)) {
            assertThat(connection.request(method, target, version, lines)).startsWith("http/1.1 " + status)
                    .contains("connection: close");
            assertThat(connection.isClosedByServer()).isTrue();
        }
    }

    @Test
    void idleConnectionIsClosedWhenDrainEnds() throws Exception {
        InProcessReplica replica = replica("100ms");
        try (KeepAliveConnection idle = KeepAliveConnection.to(replica)) {
            assertThat(idle.request("GET", "/fresh", "HTTP/1.1")).startsWith("http/1.1 200");

            Thread closing = Thread.ofPlatform().start(replica.context()::close);

            // The end of the stream. A reset would be an exception.
            assertThat(idle.isClosedByServer()).isTrue();
            closing.join();
        } finally {
            replica.close();
        }
    }

    @Test
    void zeroDrainStopsImmediately() {
        InProcessReplica replica = replica("0s");
        long start = System.nanoTime();

        replica.close();

        // Much less than the five minutes of the other test and than any default.
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(30));
    }
}
