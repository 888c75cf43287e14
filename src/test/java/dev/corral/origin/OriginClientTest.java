package dev.corral.origin;

import dev.corral.http.HeaderFields;
import dev.corral.http.HeaderFields.FieldLine;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.core.io.buffer.NettyDataBufferFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;
import reactor.test.StepVerifier;

import static dev.corral.origin.OriginFixture.getRequest;
import static dev.corral.origin.OriginFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** Requests are sent and responses are returned unchanged. */
@ExtendWith(LeakGuard.class)
class OriginClientTest {

    private static final String EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    private static final NettyDataBufferFactory BUFFERS = new NettyDataBufferFactory(PooledByteBufAllocator.DEFAULT);

    private static DataBuffer buffer(String text) {
        return BUFFERS.allocateBuffer(text.length()).write(text, StandardCharsets.ISO_8859_1);
    }

    /** An endless body of pieces of this size, generated and counted on demand. */
    private static Flux<DataBuffer> endlessBuffers(int size, AtomicLong made) {
        return Flux.generate(sink -> {
            made.incrementAndGet();
            sink.next(buffer("x".repeat(size)));
        });
    }

    private static DisposableServer serve(HttpServer server) {
        return server.host("127.0.0.1").port(0).bindNow();
    }

    private static URI uri(DisposableServer server) {
        return URI.create("http://127.0.0.1:" + server.port());
    }

    private static String requestHeadSent(OriginRequest request) throws IOException {
        try (var server = ScriptedOrigin.respondingWith(EMPTY); var fixture = OriginFixture.forOrigin(server.uri())) {
            fixture.fetchBuffered(request);
            return server.requests().getFirst();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "M-SEARCH", "PURGE",
            "propfind", "X!#$%&'*+.^_`|~-1"})
    void methodIsSentUnchanged(String method) throws IOException {
        assertThat(requestHeadSent(new OriginRequest(method, "/", HeaderFields.EMPTY, Optional.empty())))
                .startsWith(method + " / HTTP/1.1\r\n");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/", "//", "//a//b/", "/a%2Fb", "/a%2fb", "/%7e/~", "/a;b=1;c", "/?", "/a?", "/a??b=?",
            "/a?x=1&x=1&&y", "/a?x=%20+%2B", "/./a/../b", "/a/%2E%2E/b", "/a?b=/../c", "/:8080/@x", "/a,b!$&'()*+=:@",
            "/?http://other/", "/%00", "/%C3%A4%ff"})
    void targetIsSentByteForByte(String target) throws IOException {
        assertThat(requestHeadSent(getRequest(target))).startsWith("GET " + target + " HTTP/1.1\r\n");
    }

    @Test
    void basePathIsPrependedToTheTarget() throws IOException {
        try (var server = ScriptedOrigin.respondingWith(EMPTY);
                var fixture = OriginFixture.forOrigin(URI.create(server.uri() + "/api/v1/"));
                var bare = OriginFixture.forOrigin(URI.create(server.uri() + "/api"))) {
            fixture.fetchBuffered(getRequest("//a?b"));
            bare.fetchBuffered(getRequest("/"));

            assertThat(server.requests().get(0)).startsWith("GET /api/v1//a?b HTTP/1.1\r\n");
            assertThat(server.requests().get(1)).startsWith("GET /api/ HTTP/1.1\r\n");
        }
    }

    @Test
    void fieldsAreSentInOrderAndCaseWithoutAdditions() throws IOException {
        var fields = HeaderFields.of("x-lower", "1", "X-UPPER", "2", "Accept-Encoding", "br;q=1, gzip", "X-Two", "b",
                "Cookie",
                "a=b", "X-Two", "a", "X-Empty", "", "X-Latin", "caf\u00e9");
        try (var server = ScriptedOrigin.respondingWith(EMPTY); var fixture = OriginFixture.forOrigin(server.uri())) {
            fixture.fetchBuffered(new OriginRequest("GET", "/", fields, Optional.empty()));

            assertThat(server.requests().getFirst()).isEqualTo("GET / HTTP/1.1\r\nHost: " + server.uri().getAuthority()
                    + "\r\nx-lower: 1\r\nX-UPPER: 2\r\nAccept-Encoding: br;q=1, gzip\r\nX-Two: b\r\nCookie: a=b\r\nX-Two: a"
                    + "\r\nX-Empty: \r\nX-Latin: caf\u00e9\r\n\r\n");
        }
    }

    @Test
    void hostFieldReplacesTheHostOfTheOrigin() throws IOException {
        String head = requestHeadSent(
                new OriginRequest("GET", "/", HeaderFields.of("Host", "shop.example"), Optional.empty()));

        assertThat(head).isEqualTo("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    }

    @Test
    void contentLengthWithoutBodyIsNotSent() throws IOException {
        var fields = HeaderFields.of("Content-Length", "5", "Transfer-Encoding", "chunked");

        assertThat(requestHeadSent(new OriginRequest("GET", "/", fields, Optional.empty())))
                .doesNotContainIgnoringCase("content-length")
                .doesNotContainIgnoringCase("transfer-encoding");
    }

    /** A conditional range request, so that 206 and 304 are possible responses. */
    private static final OriginRequest CONDITIONAL_RANGE_REQUEST = new OriginRequest("GET", "/",
            HeaderFields.of("Range", "bytes=0-1", "If-None-Match", "\"x\""), Optional.empty());

    @ParameterizedTest
    @ValueSource(ints = {200, 201, 203, 206, 226, 299, 301, 302, 303, 307, 308, 400, 401, 404, 407, 408, 421, 429, 499,
            500, 503, 599, 600, 999})
    void everyFinalStatusIsAResponse(int status) throws IOException {
        try (var server = ScriptedOrigin.respondingWith("HTTP/1.1 " + status + " Whatever\r\nLocation: /other\r\n"
                + "Set-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 2; i++) {
                OriginResponse.Buffered response = fixture.fetchBuffered(CONDITIONAL_RANGE_REQUEST);
                assertThat(response.head().status()).isEqualTo(status);
                assertThat(text(response)).isEqualTo("ok");
            }
            assertThat(server.requests()).hasSize(2).noneMatch(request -> request.contains("Cookie"));
            assertThat(server.connectionCount()).isEqualTo(1);
            assertThat(fixture.successes()).isEqualTo(2);
        }
    }

    /** RFC 9110 sections 15.3.7, 15.4.5, 15.5.13, 15.5.17, 15.5.18: such a status matches no request, so the connection is closed. */
    @ParameterizedTest
    @ValueSource(ints = {206, 304, 412, 416, 417})
    void unsolicitedStatusIsMalformed(int status) throws IOException {
        try (var server = ScriptedOrigin.respondingWith("HTTP/1.1 " + status + " X\r\nContent-Length: 2\r\n\r\nok");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/"))).isInstanceOfSatisfying(
                        OriginFailedException.class,
                        failure -> assertThat(failure.reason()).isEqualTo(OriginFailedException.Reason.MALFORMED));
            }
            assertThat(server.connectionCount()).isEqualTo(2);
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {204, 304})
    void bodilessStatusHasNoBodyDespiteContentLength(int status) throws IOException {
        try (var server = ScriptedOrigin.respondingWith("HTTP/1.1 " + status + " X\r\nContent-Length: 5000000\r\n\r\n");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 2; i++) {
                OriginResponse.Buffered response = fixture.fetchBuffered(CONDITIONAL_RANGE_REQUEST);
                assertThat(response.body().length()).isZero();
                assertThat(response.head().fields().firstValue("Content-Length")).contains("5000000");
            }
            assertThat(server.connectionCount()).isEqualTo(1);
        }
    }

    @Test
    void headResponseKeepsContentLengthAndHasNoBody() throws IOException {
        try (var server = ScriptedOrigin.respondingWith("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 2; i++) {
                OriginResponse.Buffered response = fixture
                        .fetchBuffered(new OriginRequest("HEAD", "/", HeaderFields.EMPTY, Optional.empty()));
                assertThat(response.body().length()).isZero();
                assertThat(response.head().fields().firstValue("Content-Length")).contains("5000000");
            }
            assertThat(server.connectionCount()).isEqualTo(1);
        }
    }

    @Test
    void responseFieldsAreKeptUnchanged() throws IOException {
        try (var server = ScriptedOrigin
                .respondingWith("HTTP/1.1 200 OK\r\nx-b: 2\r\nX-A: 1\r\nVary: a\r\nX-A:  3  \r\n"
                        + "vary: b\r\nContent-Encoding: gzip\r\nX-Latin: caf\u00e9\r\nConnection: X-A\r\nContent-Length: 3\r\n\r\n\1\2\3");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Buffered response = fixture.fetchBuffered(getRequest("/"));

            assertThat(response.head().fields())
                    .isEqualTo(HeaderFields.of("x-b", "2", "X-A", "1", "Vary", "a", "X-A", "3", "vary",
                            "b", "Content-Encoding", "gzip", "X-Latin", "caf\u00e9", "Connection", "X-A",
                            "Content-Length", "3"));
            assertThat(response.body().bytes()).containsExactly(1, 2, 3);
        }
    }

    @Test
    void trailersAreDropped() throws IOException {
        String chunks = "2;ext=1\r\nok\r\n0\r\nX: 1\r\nSet-Cookie: a=b\r\n\r\n";
        try (var server = ScriptedOrigin
                .respondingWith("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n" + chunks);
                var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Buffered response = fixture.fetchBuffered(getRequest("/"));

            assertThat(text(response)).isEqualTo("ok");
            assertThat(response.head().fields().lines()).extracting(FieldLine::name)
                    .containsExactly("Transfer-Encoding", "Trailer");
        }
    }

    @Test
    void requestAndResponseTimesComeFromTheClock() throws IOException {
        var now = Instant.parse("2026-11-23T00:00:00Z");
        try (var server = ScriptedOrigin.respondingWith(EMPTY);
                var fixture = OriginFixture.forOrigin(OriginFixture.config(server.uri()),
                        Clock.fixed(now, ZoneOffset.UTC),
                        breaking -> breaking)) {
            OriginResponse.Buffered response = fixture.fetchBuffered(getRequest("/"));

            assertThat(List.of(response.requestTime(), response.responseTime())).containsOnly(now);
        }
    }

    // Response bodies. The fixture collects up to 64 KB.

    private static HttpServer serverSending(int bytes, boolean declared) {
        byte[] body = body(bytes);
        return HttpServer.create().handle((request, response) -> {
            if (declared) {
                response.header("Content-Length", String.valueOf(bytes));
            }
            Flux<ByteBuf> pieces = Flux.range(0, (bytes + 999) / 1000)
                    .map(i -> PooledByteBufAllocator.DEFAULT.buffer(1000)
                            .writeBytes(body, i * 1000, Math.min(1000, bytes - i * 1000)));
            return response.send(pieces);
        });
    }

    private static byte[] body(int bytes) {
        byte[] body = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            body[i] = (byte) (i * 31 + i / 256);
        }
        return body;
    }

    private static Stream<Boolean> both() {
        return Stream.of(true, false);
    }

    @ParameterizedTest
    @MethodSource("both")
    void bodyOfTheMaximumSizeIsBuffered(boolean declared) {
        DisposableServer server = serve(serverSending(65_536, declared));
        try (var fixture = OriginFixture.forOrigin(uri(server))) {
            assertThat(fixture.fetchBuffered(getRequest("/")).body().bytes()).isEqualTo(body(65_536));
            assertThat(fixture.freePermits()).isEqualTo(4);
        } finally {
            server.disposeNow();
        }
    }

    @ParameterizedTest
    @MethodSource("both")
    void oversizedBodyIsStreamedWithoutLoss(boolean declared) {
        DisposableServer server = serve(serverSending(65_537, declared));
        try (var fixture = OriginFixture.forOrigin(uri(server))) {
            var response = (OriginResponse.Streaming) fixture.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            byte[] body = DataBufferUtils.join(response.body())
                    .map(OriginClientTest::bytes)
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            assertThat(body).isEqualTo(body(65_537));
            assertThat(fixture.freePermits()).isEqualTo(4);
            assertThat(fixture.successes()).isEqualTo(1);
        } finally {
            server.disposeNow();
        }
    }

    @Test
    void oversizedBodyIsStreamedOnDemand() {
        DisposableServer server = serve(serverSending(200_000, false));
        try (var fixture = OriginFixture.forOrigin(uri(server))) {
            var response = (OriginResponse.Streaming) fixture.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();
            var pieceSizes = new LinkedBlockingQueue<Integer>();

            StepVerifier.create(
                    response.body().map(OriginClientTest::bytes).doOnNext(bytes -> pieceSizes.add(bytes.length)), 1)
                    .expectNextMatches(prefix -> prefix.length > 65_536)
                    .thenRequest(1)
                    .expectNextCount(1)
                    .thenRequest(Long.MAX_VALUE)
                    .thenConsumeWhile(bytes -> true)
                    .verifyComplete();

            assertThat(pieceSizes.stream().mapToInt(i -> i).sum()).isEqualTo(200_000);
        } finally {
            server.disposeNow();
        }
    }

    private static byte[] bytes(DataBuffer piece) {
        byte[] bytes = new byte[piece.readableByteCount()];
        piece.read(bytes);
        DataBufferUtils.release(piece);
        return bytes;
    }

    @Test
    void readerWithoutDemandCausesBackpressure() {
        var made = new AtomicLong();
        DisposableServer server = serve(HttpServer.create()
                .handle((request, response) -> response.send(endlessBuffers(64 * 1024, made)
                        .map(NettyDataBufferFactory::toByteBuf))));
        try (var fixture = OriginFixture.forOrigin(uri(server))) {
            OriginResponse.Streaming response = fixture.fetchStreaming(getRequest("/"));

            // Only as much as fits into both sockets and one queue is produced; then it stops.
            StepVerifier.create(response.body().map(OriginFixture::text), 1)
                    .expectNextCount(1)
                    .then(() -> awaitUnchanged(made))
                    .thenCancel()
                    .verify();

            assertThat(made.get() * 64 * 1024).isLessThan(32L << 20);
        } finally {
            server.disposeNow();
        }
    }

    /** Waits until the number stays the same for a while. */
    private static void awaitUnchanged(AtomicLong number) {
        long before;
        do {
            before = number.get();
            Mono.delay(OriginFixture.SHORT_TIMEOUT).block();
        } while (number.get() != before);
    }

    @Test
    void streamCanBeReadOnlyOnce() throws IOException {
        try (var server = ScriptedOrigin.respondingWith("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Streaming response = fixture.fetchStreaming(getRequest("/"));
            assertThat(text(response.body()).block(OriginFixture.LONG_TIMEOUT)).isEqualTo("ok");

            StepVerifier.create(response.body()).verifyError(IllegalStateException.class);
            response.discard();
        }
    }

    // Request bodies.

    @ParameterizedTest
    @ValueSource(strings = {"GET", "DELETE", "POST", "PURGE"})
    void requestBodyOfUnknownLengthIsSentChunked(String method) throws Exception {
        BlockingQueue<String> bodies = new LinkedBlockingQueue<>();
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            bodies.add(peer.readBytes("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n".length()));
            peer.write(EMPTY);
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            Flux<DataBuffer> body = Flux.just(buffer("ab"), buffer("c")).hide();

            fixture.fetchBuffered(
                    new OriginRequest(method, "/", HeaderFields.of("Transfer-Encoding", "gzip"), Optional.of(body)));

            assertThat(server.requests().getFirst()).contains("\r\nTransfer-Encoding: chunked\r\n")
                    .doesNotContain("gzip");
            assertThat(bodies.poll(10, TimeUnit.SECONDS)).isEqualTo("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
        }
    }

    @Test
    void requestBodyOfKnownLengthHasContentLength() throws Exception {
        BlockingQueue<String> bodies = new LinkedBlockingQueue<>();
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            bodies.add(peer.readBytes(3));
            peer.write(EMPTY);
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            fixture.fetchBuffered(
                    OriginFixture.postRequest("/", Flux.just(buffer("ab"), buffer("c")), "Content-Length", "3"));

            assertThat(server.requests().getFirst()).contains("\r\nContent-Length: 3\r\n")
                    .doesNotContainIgnoringCase("transfer-encoding");
            assertThat(bodies.poll(10, TimeUnit.SECONDS)).isEqualTo("abc");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "DELETE", "PUT"})
    void requestBodyIsStreamedWhileItIsProduced(String method) throws Exception {
        var firstCame = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.readBytes("2\r\nab\r\n".length());
            firstCame.countDown();
            peer.readBytes("1\r\nc\r\n0\r\n\r\n".length());
            peer.write(EMPTY);
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            Mono<DataBuffer> second = Mono.fromCallable(() -> {
                assertThat(firstCame.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
                return buffer("c");
            }).subscribeOn(Schedulers.boundedElastic());

            OriginResponse.Buffered response = fixture
                    .fetchBuffered(new OriginRequest(method, "/", HeaderFields.EMPTY,
                            Optional.of(Flux.concat(Mono.just(buffer("ab")), second))));

            assertThat(response.head().status()).isEqualTo(200);
        }
    }

    @Test
    void originThatReadsNothingCausesBackpressureAndTimesOut() throws IOException {
        var made = new AtomicLong();
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            new CountDownLatch(1).await(); // never reads again
        });
                var fixture = OriginFixture.forOrigin(OriginFixture.withTimeout(OriginFixture.config(server.uri()),
                        OriginFixture.SHORT_TIMEOUT.multipliedBy(4)))) {
            assertThatThrownBy(
                    () -> fixture.fetchBuffered(OriginFixture.postRequest("/", endlessBuffers(64 * 1024, made))))
                    .isInstanceOfSatisfying(OriginFailedException.class,
                            failure -> assertThat(failure.reason()).isEqualTo(OriginFailedException.Reason.TIMED_OUT));
            assertThat(made.get() * 64 * 1024).isLessThan(32L << 20);
            assertThat(fixture.failures()).isEqualTo(1);
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void responseBeforeTheEndOfTheRequestBodyIsAccepted() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
            peer.awaitClosed();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Buffered response = fixture
                    .fetchBuffered(OriginFixture.postRequest("/", Flux.concat(Mono.just(buffer("ab")), Flux.never())));

            assertThat(response.head().status()).isEqualTo(413);
            assertThat(text(response)).isEqualTo("no");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"2", "4"})
    void requestBodyLengthMismatchIsNotAnOriginFailure(String length) throws IOException {
        try (var server = new ScriptedOrigin(ScriptedOrigin.ScriptedConnection::awaitClosed);
                var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThatThrownBy(
                    () -> fixture.fetchBuffered(OriginFixture.postRequest("/", Flux.just(buffer("ab"), buffer("c")),
                            "Content-Length", length)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("than its Content-Length");
            assertThat(fixture.failures()).isZero();
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void failedRequestBodyIsNotAnOriginFailure() throws Exception {
        var closed = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.awaitClosed();
            closed.countDown();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            var failure = new IOException("Connection reset by peer");

            assertThatThrownBy(() -> fixture.fetchBuffered(
                    OriginFixture.postRequest("/", Flux.concat(Mono.just(buffer("ab")), Mono.error(failure)))))
                    .hasRootCause(failure);

            assertThat(closed.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
            assertThat(fixture.failures()).isZero();
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void failedRequestBodyFailsTheStreamedResponse() throws IOException {
        var failure = new IOException("the sender has gone");
        var half = new CompletableFuture<DataBuffer>();
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            peer.awaitClosed();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginRequest request = OriginFixture.postRequest("/",
                    Flux.concat(Mono.just(buffer("ab")), Mono.fromFuture(half)));
            Mono<OriginResponse> fetch = fixture.fetch(request, head -> BodyMode.STREAM);

            StepVerifier
                    .create(fetch.flatMapMany(response -> ((OriginResponse.Streaming) response).body())
                            .map(OriginFixture::text))
                    .expectNext("abc")
                    .then(() -> half.completeExceptionally(failure))
                    .verifyErrorSatisfies(error -> assertThat(error).isSameAs(failure));

            assertThat(fixture.failures()).isZero();
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void stalledRequestBodyIsNotAnOriginFailure() throws IOException {
        try (var server = new ScriptedOrigin(ScriptedOrigin.ScriptedConnection::awaitClosed);
                var fixture = OriginFixture.forOrigin(
                        OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofSeconds(1)))) {
            assertThatThrownBy(() -> fixture
                    .fetchBuffered(OriginFixture.postRequest("/", Flux.concat(Mono.just(buffer("ab")), Flux.never()))))
                    .hasRootCauseMessage("the request body did not arrive in time");
            assertThat(fixture.failures()).isZero();
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void activeRequestBodyMayExceedTheTimeout() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.readBytes("1\r\nx\r\n".length() * 16 + "0\r\n\r\n".length());
            peer.write(EMPTY);
        });
                var fixture = OriginFixture.forOrigin(
                        OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofSeconds(2)))) {
            Flux<DataBuffer> slow = Flux.interval(OriginFixture.SHORT_TIMEOUT).take(16).map(i -> buffer("x"));

            assertThat(fixture.fetchBuffered(OriginFixture.postRequest("/", slow)).head().status()).isEqualTo(200);
        }
    }
}
