package dev.corral.proxy.netty;

import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;

import static org.assertj.core.api.Assertions.assertThat;

/** What clients with open connections see of a server that is about to stop. */
@Timeout(30)
class OpenConnectionsTest {

    private static final Duration TIMEOUT = Duration.ofSeconds(20);

    private final OpenConnections connections = new OpenConnections();
    private final Sinks.Empty<Void> heldResponse = Sinks.empty();
    private final CountDownLatch requestArrived = new CountDownLatch(1);
    private final DisposableServer server = HttpServer.create()
            .host("127.0.0.1")
            .port(0)
            .doOnChannelInit((observer, channel, peer) -> connections.add(channel))
            .route(routes -> routes.get("/", (request, response) -> response.sendString(Mono.just("ok")))
                    .get("/held", (request, response) -> {
                        requestArrived.countDown();
                        return response.sendString(heldResponse.asMono().thenReturn("held"));
                    }))
            .bindNow();

    @AfterEach
    void stop() {
        server.disposeNow();
    }

    /** A client that keeps its connection open and reads whole responses. */
    private final class KeepAliveClient implements AutoCloseable {

        private final Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port());

        KeepAliveClient() throws IOException {
            socket.setSoTimeout((int) TIMEOUT.toMillis());
        }

        KeepAliveClient send(String path) throws IOException {
            socket.getOutputStream()
                    .write(("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n").getBytes(StandardCharsets.ISO_8859_1));
            return this;
        }

        /** The whole response; each has a length. */
        String read() throws IOException {
            var text = new StringBuilder();
            while (text.indexOf("\r\n\r\n") < 0) {
                int next = socket.getInputStream().read();
                if (next < 0) {
                    throw new IOException("closed after: " + text);
                }
                text.append((char) next);
            }
            int length = text.toString()
                    .lines()
                    .filter(line -> line.startsWith("content-length: "))
                    .mapToInt(line -> Integer.parseInt(line.substring("content-length: ".length())))
                    .sum();
            byte[] body = socket.getInputStream().readNBytes(length);
            return text.append(new String(body, StandardCharsets.ISO_8859_1)).toString();
        }

        /** True at the end of the stream; a reset connection is an exception. */
        boolean isAtEndOfStream() throws IOException {
            return socket.getInputStream().read() < 0;
        }

        void disconnect() throws IOException {
            socket.close();
        }

        @Override
        public void close() throws IOException {
            disconnect();
        }
    }

    private void awaitRequestArrival() throws InterruptedException {
        assertThat(requestArrived.await(TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void responseBeforeDrainHasNoConnectionField() throws IOException {
        try (var peer = new KeepAliveClient()) {
            assertThat(peer.send("/").read()).startsWith("HTTP/1.1 200").doesNotContainIgnoringCase("connection:");
            assertThat(peer.send("/").read()).startsWith("HTTP/1.1 200");
        }
    }

    @Test
    void keepAliveConnectionEndsWithTheNextResponseOnDrain() throws IOException {
        try (var peer = new KeepAliveClient()) {
            peer.send("/").read();

            connections.startDraining();

            assertThat(peer.send("/").read()).startsWith("HTTP/1.1 200").contains("connection: close");
            assertThat(peer.isAtEndOfStream()).isTrue();
        }
    }

    @Test
    void responseInProgressAtDrainHasConnectionClose() throws Exception {
        try (var peer = new KeepAliveClient()) {
            peer.send("/held");
            awaitRequestArrival();

            connections.startDraining();
            heldResponse.tryEmitEmpty();

            assertThat(peer.read()).startsWith("HTTP/1.1 200").contains("connection: close");
            assertThat(peer.isAtEndOfStream()).isTrue();
        }
    }

    @Test
    void idleConnectionIsClosedWithoutReset() throws Exception {
        try (var peer = new KeepAliveClient()) {
            peer.send("/").read();

            CompletableFuture<Void> closed = connections.closeIdle(TIMEOUT).toFuture();
            assertThat(peer.isAtEndOfStream()).isTrue();
            // Requests that cross the close: read by the server, never answered, and no reason for a reset.
            for (int i = 0; i < 20; i++) {
                peer.send("/");
            }
            assertThat(peer.isAtEndOfStream()).isTrue();
            assertThat(closed).isNotDone();

            peer.disconnect();
            closed.get(TIMEOUT.toSeconds(), TimeUnit.SECONDS);
        }
    }

    @Test
    void halfClosedConnectionIsNotAwaitedBeyondTheLimit() throws Exception {
        try (var peer = new KeepAliveClient()) {
            peer.send("/").read();

            connections.closeIdle(Duration.ofMillis(200)).toFuture().get(TIMEOUT.toSeconds(), TimeUnit.SECONDS);

            assertThat(peer.isAtEndOfStream()).isTrue();
        }
    }

    @Test
    void connectionWithRequestInProgressIsNotIdle() throws Exception {
        try (var peer = new KeepAliveClient()) {
            peer.send("/").read();
            peer.send("/held");
            awaitRequestArrival();

            connections.closeIdle(TIMEOUT).toFuture().get(TIMEOUT.toSeconds(), TimeUnit.SECONDS);
            heldResponse.tryEmitEmpty();

            assertThat(peer.read()).startsWith("HTTP/1.1 200").endsWith("held");
        }
    }
}
