package dev.corral.fleet;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.dev.StubResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.http.HttpClient;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Clients that try to exhaust a replica's memory, each attack on a separate replica with the chart's heap. The replica survives and
 * continues to serve hits.
 */
@Timeout(180)
class HostileClientsIT {

    /** Half of the chart's limit of 768 MB, and what its entry point adds. */
    private static final List<String> CHART_JVM_OPTIONS = List.of("-Xmx384m", "-XX:+ExitOnOutOfMemoryError",
            // As shipped: only watched less closely than other tests watch it.
            "-Dio.netty.leakDetection.samplingInterval=128");

    private static final int MEGABYTE = 1024 * 1024;

    private static final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private static EmbeddedRedis redis;
    private static DemoShop origin;
    /** Takes connections, and reads nothing. */
    private static ServerSocket unreadServer;
    private static int started;
    private final List<AutoCloseable> resources = new ArrayList<>();
    private JarReplica replica;

    @BeforeAll
    static void startOrigin() throws IOException {
        redis = RedisServer.embedded();
        unreadServer = new ServerSocket(0, 100, InetAddress.getLoopbackAddress());
        origin = DemoShop.start(Duration.ZERO);
        origin.respondWith("/hit", StubResponse.of(200, "well", "Cache-Control", "max-age=3600"));
        origin.script("/slow", received -> Mono.never());
    }

    @AfterAll
    static void stopOrigin() throws IOException {
        unreadServer.close();
        origin.close();
        redis.close();
        http.close();
    }

    @BeforeEach
    void start() {
        String name = "hostile-" + ++started;
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.redis.key-prefix", name);
        settings.put("corral.warm-up.enabled", "false");
        settings.put("corral.routes[0].id", "large");
        settings.put("corral.routes[0].path", "/large/**");
        settings.put("corral.routes[0].origin", origin.url());
        settings.put("corral.routes[0].max-body", "16MB");
        settings.put("corral.routes[1].id", "deaf");
        settings.put("corral.routes[1].path", "/deaf/**");
        settings.put("corral.routes[1].origin", "http://127.0.0.1:" + unreadServer.getLocalPort());
        settings.put("corral.routes[2].id", "shop");
        settings.put("corral.routes[2].origin", origin.url());
        settings.put("corral.routes[2].timeout", "60s");
        settings.put("corral.management.users[0].name", JarReplica.OPERATOR);
        settings.put("corral.management.users[0].password", JarReplica.PASSWORD);
        Path logs = Path.of(System.getProperty("corral.jar", "target/corral.jar")).resolveSibling("fleet");
        replica = JarReplica.start(name, logs, CHART_JVM_OPTIONS, settings, http);
        ProcessFleet.await("the replica is ready", Duration.ofMinutes(2), replica::isReady);
        assertThat(get("/hit")).contains(" 200 ", "well");
    }

    @AfterEach
    void stop() throws Exception {
        for (AutoCloseable one : resources) {
            one.close();
        }
        replica.close();
    }

    private void assertReplicaServes() {
        assertThat(replica.process().isAlive()).as(replica.process().logTail()).isTrue();
        assertThat(get("/hit")).contains(" 200 ", "well", "Corral; hit");
        assertThat(replica.getActuator("health/liveness").orElseThrow().statusCode()).isEqualTo(200);
        assertThat(replica.process().logTail()).doesNotContain("OutOfMemory", "OutOfDirectMemory");
    }

    private String get(String target, String... fields) {
        return exchange(replica.port(), "GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                + String.join("", fields) + "\r\n");
    }

    private static String exchange(int port, String request) {
        try (var socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            socket.setSoTimeout(60_000);
            socket.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Sends as much of it as the other side takes before it takes nothing for a second, or ends the connection. */
    private long push(int port, String first, String again, long most) throws IOException, InterruptedException {
        SocketChannel channel = SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        resources.add(channel);
        channel.write(ByteBuffer.wrap(first.getBytes(StandardCharsets.ISO_8859_1)));
        channel.configureBlocking(false);
        byte[] block = again.repeat(64 * 1024 / again.length()).getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer bytes = ByteBuffer.wrap(block);
        long sent = 0;
        int refused = 0;
        while (sent < most && refused < 50) {
            if (!bytes.hasRemaining()) {
                bytes.rewind();
            }
            int taken;
            try {
                taken = channel.write(bytes);
            } catch (IOException ended) {
                return sent;
            }
            sent += taken;
            refused = taken == 0 ? refused + 1 : 0;
            if (taken == 0) {
                Thread.sleep(20);
            }
        }
        return sent;
    }

    private static final String SLOW = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    private static final String SMALL_HIT = "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n";
    private static final String UNREAD_POST = "POST /deaf/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    private static final String SMALL = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    @Test
    @Tag("faults")
    void pipelinedRequestsBehindSlowResponseAreBounded() throws Exception {
        for (int i = 0; i < 8; i++) {
            // What the kernels keep is megabytes, and no more is taken.
            assertThat(push(replica.port(), SLOW, SMALL, 20L * MEGABYTE)).isLessThan(20L * MEGABYTE);
        }
        assertReplicaServes();
    }

    @Test
    void pipelinedManagementRequestsBeforeLoginAreBounded() throws Exception {
        String stream = "GET /actuator/health HTTP/1.1\r\nHost: a\r\n\r\n";
        for (int i = 0; i < 8; i++) {
            // Answers that nobody reads fill the buffers of the way back.
            push(replica.managementPort(), stream, stream, 20L * MEGABYTE);
        }
        assertReplicaServes();
    }

    @Test
    void longBodyBehindPendingRequestIsNotBuffered() throws Exception {
        for (int i = 0; i < 8; i++) {
            long sent = push(replica.port(),
                    SLOW + "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", "x".repeat(64),
                    60L * MEGABYTE);
            assertThat(sent).isLessThan(60L * MEGABYTE);
        }
        assertReplicaServes();
    }

    /** The first request of a connection is not the only one whose body must wait for its reader. */
    @Test
    @Tag("faults")
    void longBodyUnreadByOriginIsNotBuffered() throws Exception {
        for (int i = 0; i < 8; i++) {
            long sent = push(replica.port(), SMALL_HIT + UNREAD_POST, "x".repeat(64), 60L * MEGABYTE);
            assertThat(sent).isLessThan(60L * MEGABYTE);
        }
        assertReplicaServes();
    }

    @Test
    void simultaneousLargeMissesAreLimitedByMemory() {
        var gate = new CompletableFuture<StubResponse>();
        byte[] large = new byte[1_900_000];
        for (int i = 0; i < 150; i++) {
            origin.script("/miss/" + i, received -> Mono.fromFuture(gate, true));
        }
        List<CompletableFuture<String>> received = IntStream.range(0, 150)
                .mapToObj(i -> async(() -> get("/miss/" + i)))
                .toList();
        ProcessFleet.await("all are asked for", Duration.ofSeconds(30),
                () -> origin.counts().keySet().stream().filter(target -> target.startsWith("/miss/")).count() == 150);
        gate.complete(StubResponse.of(200, large, "Cache-Control", "max-age=3600"));

        long served = 0;
        for (CompletableFuture<String> one : received) {
            String response = one.join();
            assertThat(response.substring(0, 12)).isIn("HTTP/1.1 200", "HTTP/1.1 503");
            if (response.startsWith("HTTP/1.1 503")) {
                assertThat(response).containsIgnoringCase("retry-after: ").contains("memory-full");
            } else {
                served++;
            }
        }
        assertThat(served).as("served").isGreaterThanOrEqualTo(30);
        assertReplicaServes();
        // Nothing of it is kept back: the next one has room.
        assertThat(get("/miss/0")).startsWith("HTTP/1.1 200");
    }

    @Test
    void clientsNotReadingLargeResponseDoNotExhaustMemory() throws Exception {
        origin.respondWith("/large/one",
                StubResponse.of(200, new byte[12 * MEGABYTE], "Cache-Control", "max-age=3600"));
        assertThat(get("/large/one").length()).isGreaterThan(12 * MEGABYTE);
        for (int i = 0; i < 100; i++) {
            var socket = new Socket();
            socket.setReceiveBufferSize(4096);
            socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), replica.port()));
            resources.add(socket);
            socket.getOutputStream()
                    .write("GET /large/one HTTP/1.1\r\nHost: a\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1));
            socket.setSoTimeout(30_000);
            assertThat(socket.getInputStream().read()).isEqualTo('H');
        }
        assertReplicaServes();
        assertThat(get("/large/one").length()).isGreaterThan(12 * MEGABYTE);
    }

    @Test
    @Tag("faults")
    void responsesWithManyTagsDoNotExhaustMemory() {
        String tags = IntStream.range(0, 1_000)
                .mapToObj(i -> "tag-number-" + i)
                .reduce((a, b) -> a + "," + b)
                .orElseThrow();
        origin.script("/tagged", received -> Mono
                .just(StubResponse.of(200, "x", "Cache-Control", "max-age=3600", "Cache-Tag",
                        tags.substring(0, 7_000))));
        for (int i = 0; i < 40; i++) {
            int from = i * 100;
            List<CompletableFuture<String>> some = IntStream.range(from, from + 100)
                    .mapToObj(n -> async(() -> get("/tagged?" + n)))
                    .toList();
            some.forEach(one -> assertThat(one.join()).contains(" 200 "));
        }
        assertReplicaServes();
    }

    private static CompletableFuture<String> async(java.util.function.Supplier<String> call) {
        var result = new CompletableFuture<String>();
        Thread.ofVirtual().start(() -> {
            try {
                result.complete(call.get());
            } catch (RuntimeException e) {
                result.complete("failed: " + e);
            }
        });
        return result;
    }
}
