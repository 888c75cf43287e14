package dev.corral.origin;

import dev.corral.http.HeaderFields;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLHandshakeException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DefaultDataBufferFactory;
import org.springframework.web.reactive.function.client.WebClient;
import org.springframework.web.reactive.function.client.WebClientRequestException;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import static dev.corral.origin.OriginFixture.getRequest;
import static dev.corral.origin.OriginFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

/**
 * An origin that closes kept-alive connections whenever it likes: no GET fails by it, nothing that may have arrived is sent twice
 * unless it is safe, and nothing that never left fails.
 */
@Timeout(120)
@ExtendWith(LeakGuard.class)
class ClosedConnectionTest {

    private static final String OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private static final String REQUEST_TIMEOUT = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    private static final int REQUESTS = 1_000;

    enum CloseKind {
        FIN, RST
    }

    /** Responds once on each connection and closes it at that, when the client has the response; notes what came how often. */
    private static final class OneResponsePerConnection implements ScriptedOrigin.ConnectionScript {

        private final CloseKind closeKind;
        private final Map<String, Semaphore> responseReceived = new ConcurrentHashMap<>();
        private final Map<String, Integer> arrivals = new ConcurrentHashMap<>();

        OneResponsePerConnection(CloseKind close) {
            this.closeKind = close;
        }

        /** The client has the response to that. */
        void responseReceived(String target) {
            responseReceived.computeIfAbsent(target, first -> new Semaphore(0)).release();
        }

        @Override
        public void run(ScriptedOrigin.ScriptedConnection peer) throws Exception {
            String head = peer.readRequest();
            if (head.isEmpty()) {
                return;
            }
            count(head);
            peer.write(OK);
            if (closeKind == CloseKind.FIN) {
                // As soon as possible: what comes on this connection now is lost.
                peer.halfClose().forEach(this::count);
            } else {
                // A reset takes a response with it that has not been read.
                responseReceived.computeIfAbsent(target(head), first -> new Semaphore(0))
                        .tryAcquire(10, TimeUnit.SECONDS);
                peer.reset();
            }
        }

        private void count(String head) {
            arrivals.merge(target(head), 1, Integer::sum);
        }

        int arrivals(String target) {
            return arrivals.getOrDefault(target, 0);
        }

        private static String target(String head) {
            return head.split(" ", 3)[1];
        }
    }

    private static OriginRequest post(String target) {
        return new OriginRequest("POST", target, HeaderFields.of("Content-Length", "0"), Optional.empty());
    }

    private static OriginRequest postWithBody(String target, String body) {
        return OriginFixture.postRequest(target, Flux.defer(() -> Flux.just(buffer(body))), "Content-Length",
                String.valueOf(body.length()));
    }

    private static DataBuffer buffer(String text) {
        return DefaultDataBufferFactory.sharedInstance.wrap(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    @ParameterizedTest
    @CsvSource({"FIN, 1", "RST, 1", "FIN, 4", "RST, 4"})
    void getNeverFailsWhenPooledConnectionsAreClosed(CloseKind close, int abreast) throws Exception {
        var script = new OneResponsePerConnection(close);
        try (var server = new ScriptedOrigin(script); var rig = OriginFixture.forOrigin(server.uri())) {
            List<String> failures = CpuLoad.during(() -> sendAll(rig, script, "GET", abreast));

            assertThat(failures).isEmpty();
            assertThat(rig.failures()).isZero();
            assertThat(rig.freePermits()).isEqualTo(4);
        }
    }

    @ParameterizedTest
    @CsvSource({"FIN, 1", "RST, 1", "FIN, 4", "RST, 4"})
    void postNeverArrivesTwiceWhenConnectionsAreClosed(CloseKind close, int abreast) throws Exception {
        var script = new OneResponsePerConnection(close);
        try (var server = new ScriptedOrigin(script); var rig = OriginFixture.forOrigin(server.uri())) {
            List<String> failures = CpuLoad.during(() -> sendAll(rig, script, "POST", abreast));

            await().untilAsserted(() -> {
                // One that fails has left: the close crossed it, and the origin's socket has it.
                assertThat(failures).allSatisfy(target -> assertThat(script.arrivals(target))
                        .isEqualTo(close == CloseKind.FIN ? 1 : 0));
            });
            for (int i = 0; i < REQUESTS; i++) {
                assertThat(script.arrivals("/" + i)).as("arrivals of request %s", i).isLessThanOrEqualTo(1);
            }
            if (close == CloseKind.FIN) {
                // A reset is made to cross the next request; an end is there first, and seen, nearly always.
                assertThat(failures.size()).as("failures of %s", REQUESTS).isLessThan(REQUESTS / 20);
            }
            assertThat(rig.freePermits()).isEqualTo(4);
        }
    }

    /** Sends all of them, that many at the same time, and returns the targets of those that failed. */
    private static List<String> sendAll(OriginFixture rig, OneResponsePerConnection script, String method,
            int abreast) {
        return Flux.range(0, REQUESTS)
                .map(i -> "/" + i)
                .flatMap(target -> rig.fetch(new OriginRequest(method, target, HeaderFields.EMPTY, Optional.empty()))
                        .doOnNext(answer -> script.responseReceived(target))
                        .then(Mono.<String>empty())
                        .onErrorReturn(OriginFailedException.class, target), abreast)
                .collectList()
                .blockOptional(Duration.ofSeconds(100))
                .orElseThrow();
    }

    /**
     * Responds to what is first on a connection, says and does that, and is then asked for the next by an event loop that has not
     * seen it yet: the response to the first is held up on its way, on the event loop, until the origin has acted.
     */
    private static Mono<OriginResponse> fetchAfterUnseenAction(ScriptedOrigin.ConnectionScript act, OriginRequest next,
            List<String> heads)
            throws Exception {
        var held = new CountDownLatch(1);
        var acted = new AtomicBoolean();
        var server = new ScriptedOrigin(peer -> {
            String head = peer.readRequest();
            if (head.startsWith("GET /first")) {
                peer.write(OK);
                peer.await(held);
                act.run(peer);
                // Nobody hears when the other side's kernel has it; on one machine it takes microseconds, at most.
                Thread.sleep(300);
                acted.set(true);
            } else if (!head.isEmpty()) {
                heads.add(head);
                peer.write(OK);
                // Closed with a body unread, the connection would take the response with it.
                peer.awaitClosed();
            }
        });
        var rig = OriginFixture.forOrigin(server.uri());
        Mono<OriginResponse> second = rig.fetch(getRequest("/first")).flatMap(first -> {
            held.countDown();
            while (!acted.get()) {
                // Not even Thread.onSpinWait(): BlockHound takes it for blocking.
            }
            return rig.fetch(next);
        });
        return second.doFinally(end -> {
            Schedulers.boundedElastic().schedule(() -> {
                rig.close();
                try {
                    server.close();
                } catch (IOException closed) {
                    // It is.
                }
            });
        });
    }

    @ParameterizedTest
    @EnumSource(CloseKind.class)
    void unsentRequestIsSentOnANewConnection(CloseKind close) throws Exception {
        for (OriginRequest next : List.of(getRequest("/next"), post("/next"), postWithBody("/next", "body"),
                OriginFixture.postRequest("/next", Flux.defer(() -> Flux.just(buffer("ab"), buffer("c")))))) {
            List<String> heads = new CopyOnWriteArrayList<>();

            Mono<OriginResponse> second = fetchAfterUnseenAction(peer -> {
                if (close == CloseKind.RST) {
                    peer.reset();
                } else {
                    peer.closeNow();
                }
            }, next, heads);

            assertThat(second.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow().head().status()).isEqualTo(200);
            assertThat(heads).hasSize(1);
        }
    }

    private static WebClient failingClient(IOException failure, AtomicInteger asked) {
        return WebClient.builder().exchangeFunction(request -> {
            asked.incrementAndGet();
            return Mono
                    .error(new WebClientRequestException(failure, request.method(), request.url(), request.headers()));
        }).build();
    }

    /** The pool's error for two dead connections in a row, both found dead before either was an exchange's. */
    @ParameterizedTest
    @ValueSource(strings = {"GET", "POST"})
    void deadPooledConnectionsCauseANewConnection(String method) throws Exception {
        assertThat(newConnectionsAfter(new IOException("Error while acquiring from pool"), method)).isEqualTo(1);
    }

    /** A new connection that could not be had is not tried for again: all addresses have been. */
    @Test
    void failedNewConnectionIsNotRetried() throws Exception {
        assertThat(newConnectionsAfter(new ConnectException("refused"), "GET")).isZero();
        assertThat(newConnectionsAfter(new UnknownHostException("shop"), "GET")).isZero();
        assertThat(newConnectionsAfter(new SSLHandshakeException("untrusted"), "GET")).isZero();
    }

    private static int newConnectionsAfter(IOException failure, String method) throws Exception {
        var asked = new AtomicInteger();
        OriginConfig upstream = OriginFixture.config(URI.create("http://127.0.0.1:1"));
        try (var rig = OriginFixture.forOrigin(upstream)) {
            var gate = new OriginAdmission("shop", "/", rig.breaker, rig.bulkhead, Clock.systemUTC());
            var exchange = new OriginExchange(upstream, OriginFixture.LONG_TIMEOUT,
                    new OriginRequest(method, "/", HeaderFields.EMPTY, Optional.empty()),
                    head -> BodyMode.BUFFER, interim -> {}, bytes -> true, gate.acquire("/"), Clock.systemUTC());

            assertThatThrownBy(() -> exchange.execute(failingClient(failure, new AtomicInteger()),
                    failingClient(new ConnectException("refused"), asked), () -> false)
                    .block(OriginFixture.LONG_TIMEOUT))
                    .isInstanceOf(OriginFailedException.class);
        }
        return asked.get();
    }

    @ParameterizedTest
    @ValueSource(strings = {REQUEST_TIMEOUT, "HTTP/1.0 408 Request Time-out\r\nContent-Length: 3\r\n\r\nbye",
            "HTTP/1.1 200 OK"})
    void responseSentBeforeTheRequestIsIgnored(String early) throws Exception {
        for (OriginRequest next : List.of(getRequest("/next"), post("/next"))) {
            List<String> heads = new CopyOnWriteArrayList<>();

            Mono<OriginResponse> second = fetchAfterUnseenAction(peer -> peer.write(early).closeNow(), next, heads);

            assertThat(second.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow().head().status()).isEqualTo(200);
            assertThat(heads).hasSize(1);
        }
    }

    /** The 408 crosses the second request on a connection. */
    private static ScriptedOrigin originSendingTimeout(String expired) {
        return new ScriptedOrigin(peer -> {
            while (peer.readRequest().startsWith("GET /first")) {
                peer.write(OK);
            }
            peer.write(expired);
        });
    }

    @Test
    void crossing408IsRetriedForGet() throws Exception {
        var fresh = new AtomicBoolean();
        try (var server = new ScriptedOrigin(peer -> {
            if (fresh.get()) {
                peer.readRequest();
                peer.write(OK);
                return;
            }
            peer.readRequest();
            peer.write(OK);
            peer.readRequest();
            fresh.set(true);
            peer.write(REQUEST_TIMEOUT);
        }); var rig = OriginFixture.forOrigin(server.uri())) {
            rig.fetchBuffered(getRequest("/first"));

            assertThat(text(rig.fetchBuffered(getRequest("/second")))).isEqualTo("ok");

            assertThat(server.requests()).hasSize(3);
            assertThat(rig.failures()).isZero();
            assertThat(rig.successes()).isEqualTo(2);
            assertThat(rig.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void crossing408IsPassedOnForPost() throws Exception {
        try (var server = originSendingTimeout(REQUEST_TIMEOUT); var rig = OriginFixture.forOrigin(server.uri())) {
            rig.fetchBuffered(getRequest("/first"));

            assertThat(rig.fetchBuffered(post("/second")).head().status()).isEqualTo(408);

            assertThat(server.requests()).hasSize(2);
        }
    }

    @Test
    void status408OnANewConnectionIsPassedOn() throws Exception {
        try (var server = originSendingTimeout(REQUEST_TIMEOUT); var rig = OriginFixture.forOrigin(server.uri())) {
            rig.fetchBuffered(getRequest("/first"));

            // The first try finds the old connection expired, the second is on a fresh one.
            assertThat(rig.fetchBuffered(getRequest("/second")).head().status()).isEqualTo(408);

            assertThat(server.requests()).filteredOn(head -> head.startsWith("GET /second")).hasSize(2);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"})
    void connectionCloseResponsePreventsReuse(String response) throws Exception {
        var closed = new CountDownLatch(3);
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(response);
            peer.awaitClosed();
            closed.countDown();
        }); var rig = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 3; i++) {
                assertThat(text(rig.fetchBuffered(post("/" + i)))).isEqualTo("ok");
            }
            assertThat(closed.await(10, TimeUnit.SECONDS)).isTrue();
            assertThat(server.connectionCount()).isEqualTo(3);
        }
    }

    /** A body that was asked for cannot be had again. */
    @Test
    void startedRequestBodyIsNotSentAgain() throws Exception {
        try (var server = new ScriptedOrigin(peer -> {
            while (peer.readRequest().startsWith("GET /warm")) {
                peer.write(OK);
            }
        }); var rig = OriginFixture.forOrigin(server.uri())) {
            rig.fetchBuffered(getRequest("/warm"));

            assertThatThrownBy(() -> rig
                    .fetchBuffered(OriginFixture.postRequest("/x", Flux.concat(Mono.just(buffer("ab")), Flux.never()))))
                    .isInstanceOf(OriginFailedException.class);

            assertThat(server.requests()).filteredOn(head -> head.startsWith("POST /x")).hasSize(1);
        }
    }
}
