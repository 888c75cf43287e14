package dev.corral.edge;

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
class ClientConnectionsTest {

    private static final Duration LONG = Duration.ofSeconds(20);

    private final ClientConnections connections = new ClientConnections();
    private final Sinks.Empty<Void> held = Sinks.empty();
    private final CountDownLatch arrived = new CountDownLatch(1);
    private final DisposableServer server = HttpServer.create()
            .host("127.0.0.1")
            .port(0)
            .doOnChannelInit((observer, channel, peer) -> connections.add(channel))
            .route(routes -> routes.get("/", (request, response) -> response.sendString(Mono.just("ok")))
                    .get("/held", (request, response) -> {
                        arrived.countDown();
                        return response.sendString(held.asMono().thenReturn("held"));
                    }))
            .bindNow();

    @AfterEach
    void stop() {
        server.disposeNow();
    }

    /** A client that keeps its connection open and reads whole responses. */
    private final class Peer implements AutoCloseable {

        private final Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port());

        Peer() throws IOException {
            socket.setSoTimeout((int) LONG.toMillis());
        }

        Peer send(String path) throws IOException {
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
        boolean ended() throws IOException {
            return socket.getInputStream().read() < 0;
        }

        void hangUp() throws IOException {
            socket.close();
        }

        @Override
        public void close() throws IOException {
            hangUp();
        }
    }

    private void awaitArrival() throws InterruptedException {
        assertThat(arrived.await(LONG.toSeconds(), TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void aResponseSaysNothingOfTheConnectionBeforeTheDrain() throws IOException {
        try (var peer = new Peer()) {
            assertThat(peer.send("/").read()).startsWith("HTTP/1.1 200").doesNotContainIgnoringCase("connection:");
            assertThat(peer.send("/").read()).startsWith("HTTP/1.1 200");
        }
    }

    @Test
    void aKeptAliveConnectionEndsWithItsNextResponse() throws IOException {
        try (var peer = new Peer()) {
            peer.send("/").read();

            connections.drain();

            assertThat(peer.send("/").read()).startsWith("HTTP/1.1 200").contains("connection: close");
            assertThat(peer.ended()).isTrue();
        }
    }

    @Test
    void aResponseThatIsUnderWayWhenTheDrainBeginsSaysSoToo() throws Exception {
        try (var peer = new Peer()) {
            peer.send("/held");
            awaitArrival();

            connections.drain();
            held.tryEmitEmpty();

            assertThat(peer.read()).startsWith("HTTP/1.1 200").contains("connection: close");
            assertThat(peer.ended()).isTrue();
        }
    }

    @Test
    void anIdleConnectionIsClosedWithoutAReset() throws Exception {
        try (var peer = new Peer()) {
            peer.send("/").read();

            CompletableFuture<Void> closed = connections.closeIdle(LONG).toFuture();
            assertThat(peer.ended()).isTrue();
            // Requests that cross the close: read by the server, never answered, and no reason for a reset.
            for (int i = 0; i < 20; i++) {
                peer.send("/");
            }
            assertThat(peer.ended()).isTrue();
            assertThat(closed).isNotDone();

            peer.hangUp();
            closed.get(LONG.toSeconds(), TimeUnit.SECONDS);
        }
    }

    @Test
    void aClientThatDoesNotCloseItsSideIsNotWaitedForLongerThanTheLimit() throws Exception {
        try (var peer = new Peer()) {
            peer.send("/").read();

            connections.closeIdle(Duration.ofMillis(200)).toFuture().get(LONG.toSeconds(), TimeUnit.SECONDS);

            assertThat(peer.ended()).isTrue();
        }
    }

    @Test
    void aConnectionWithARequestInProgressIsNotIdle() throws Exception {
        try (var peer = new Peer()) {
            peer.send("/").read();
            peer.send("/held");
            awaitArrival();

            connections.closeIdle(LONG).toFuture().get(LONG.toSeconds(), TimeUnit.SECONDS);
            held.tryEmitEmpty();

            assertThat(peer.read()).startsWith("HTTP/1.1 200").endsWith("held");
        }
    }
}
