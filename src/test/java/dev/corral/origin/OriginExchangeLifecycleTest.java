package dev.corral.origin;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.corral.origin.OriginFailedException.Reason;
import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.bulkhead.BulkheadConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowSynchronizationStrategy;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowType;
import io.github.resilience4j.core.IntervalFunction;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.reactivestreams.Subscription;
import org.slf4j.LoggerFactory;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.BaseSubscriber;
import reactor.core.publisher.Hooks;
import reactor.core.publisher.Mono;
import reactor.test.StepVerifier;

import static dev.corral.origin.OriginFixture.SHORT_TIMEOUT;
import static dev.corral.origin.OriginFixture.getRequest;
import static dev.corral.origin.OriginFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

/** Every exchange ends and returns its resources, however it ends. */
@ExtendWith(LeakGuard.class)
class OriginExchangeLifecycleTest {

    private static final String OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private static final String LONG_HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n";
    private static final String LARGE_HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";

    private final CountDownLatch requestReceived = new CountDownLatch(1);
    private final CountDownLatch connectionClosed = new CountDownLatch(1);

    /** Writes the text and nothing more until the client closes the connection. */
    private ScriptedOrigin originStoppingAfter(String text) {
        return new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(text);
            requestReceived.countDown();
            peer.awaitClosed();
            connectionClosed.countDown();
        });
    }

    /** Writes the text, then one byte from time to time until the client closes the connection. */
    private ScriptedOrigin tricklingOrigin(String text, Duration pause, int bytes) {
        return new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(text);
            for (int i = 0; i < bytes; i++) {
                Mono.delay(pause).block();
                peer.write("x");
            }
            peer.awaitClosed();
            connectionClosed.countDown();
        });
    }

    private void assertClosed() throws InterruptedException {
        assertThat(connectionClosed.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
    }

    private static void assertReason(Throwable error, Reason reason) {
        assertThat(error).isInstanceOfSatisfying(OriginFailedException.class,
                failure -> assertThat(failure.reason()).isEqualTo(reason));
    }

    /** For an origin that never responds. */
    private static OriginFixture withShortTimeout(ScriptedOrigin server) {
        return OriginFixture.forOrigin(OriginFixture.withTimeout(OriginFixture.config(server.uri()), SHORT_TIMEOUT));
    }

    /** For an origin that responds at first, even on a busy machine. */
    private static OriginFixture withMediumTimeout(ScriptedOrigin server) {
        return OriginFixture
                .forOrigin(OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofSeconds(2)));
    }

    /** Resources that are returned within this time were not returned by the timeout. */
    private static OriginFixture withLongTimeout(ScriptedOrigin server) {
        return OriginFixture
                .forOrigin(OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofMinutes(1)));
    }

    // Time limits.

    @Test
    void missingResponseTimesOutAndClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(""); var fixture = withShortTimeout(server)) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/")))
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(fixture.failures()).isEqualTo(1);
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void stalledBufferedBodyTimesOutAndClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LONG_HEAD + "abc"); var fixture = withMediumTimeout(server)) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/")))
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(fixture.failures()).isEqualTo(1);
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    /** A long response that still arrives is not a failure: incomplete at the time limit, it becomes a stream from its first byte. */
    @Test
    void activeBufferedBodyBecomesAStreamAtTheTimeout() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", SHORT_TIMEOUT, 20);
                var fixture = withMediumTimeout(server)) {
            var response = (OriginResponse.Streaming) fixture.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            assertThat(text(response.body()).block(OriginFixture.LONG_TIMEOUT)).isEqualTo("x".repeat(20));
            assertThat(fixture.failures()).isZero();
            assertThat(fixture.successes()).isEqualTo(1);
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
        }
    }

    /** The prefetched bytes wait for a reader that requests one piece at a time. */
    @Test
    void streamOfABufferedBodyHonorsDemand() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", SHORT_TIMEOUT, 20);
                var fixture = withMediumTimeout(server)) {
            var response = (OriginResponse.Streaming) fixture.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();
            var all = new StringBuilder();

            StepVerifier.create(response.body().map(OriginFixture::text).doOnNext(all::append), 0)
                    .expectSubscription()
                    .expectNoEvent(SHORT_TIMEOUT.multipliedBy(3))
                    .thenRequest(1)
                    .expectNextCount(1)
                    .expectNoEvent(SHORT_TIMEOUT.multipliedBy(3))
                    .thenRequest(Long.MAX_VALUE)
                    .thenConsumeWhile(piece -> true)
                    .verifyComplete();

            assertThat(all).hasToString("x".repeat(20));
        }
    }

    /** A body that may be a stream is collected only briefly, even when no byte arrives. */
    @Test
    void brieflyBufferedBodyBecomesAStreamBeforeItsFirstPiece() throws Exception {
        try (var server = originStoppingAfter("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                var fixture = withLongTimeout(server)) {
            var response = (OriginResponse.Streaming) fixture.fetch(getRequest("/"), head -> BodyMode.BUFFER_BRIEFLY)
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            response.discard();
            assertClosed();
            assertThat(fixture.failures()).isZero();
        }
    }

    @Test
    void brieflyBufferedBodyThatComesAtOnceIsComplete() throws Exception {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        }); var fixture = withLongTimeout(server)) {
            assertThat(fixture.fetch(getRequest("/"), head -> BodyMode.BUFFER_BRIEFLY)
                    .block(OriginFixture.LONG_TIMEOUT))
                    .isInstanceOf(OriginResponse.Buffered.class);
        }
    }

    @Test
    void streamWithPausesMayBeSilentBeyondTheTimeout() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                SHORT_TIMEOUT.multipliedBy(10), 2);
                var fixture = OriginFixture.forOrigin(
                        OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofSeconds(1)))) {
            var response = (OriginResponse.Streaming) fixture
                    .fetch(getRequest("/"), head -> BodyMode.STREAM_WITH_PAUSES)
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            assertThat(text(response.body()).block(OriginFixture.LONG_TIMEOUT)).isEqualTo("xx");
            assertThat(fixture.failures()).isZero();
        }
    }

    @Test
    void activeStreamedBodyMayExceedTheTimeout() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n", SHORT_TIMEOUT, 16);
                var fixture = withMediumTimeout(server)) {
            assertThat(text(fixture.fetchStreaming(getRequest("/")).body()).block(OriginFixture.LONG_TIMEOUT))
                    .isEqualTo("x".repeat(16));
        }
    }

    @Test
    void silentStreamedBodyTimesOutAndClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "abc"); var fixture = withMediumTimeout(server)) {
            StepVerifier.create(fixture.fetchStreaming(getRequest("/")).body().map(OriginFixture::text))
                    .expectNext("abc")
                    .verifyErrorSatisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(fixture.failures()).isEqualTo(1);
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void readerWithoutDemandTimesOutWithoutAnOriginFailure() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "x".repeat(200_000));
                var fixture = OriginFixture.forOrigin(OriginFixture.config(server.uri()), SHORT_TIMEOUT)) {
            StepVerifier.create(fixture.fetchStreaming(getRequest("/")).body().map(OriginFixture::text), 1)
                    .expectNextCount(1)
                    .verifyError(TimeoutException.class);

            assertClosed();
            assertThat(fixture.failures()).isZero();
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void unclaimedStreamDiscardsItself() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "abc"); var fixture = withMediumTimeout(server)) {
            OriginResponse.Streaming response = fixture.fetchStreaming(getRequest("/"));

            assertClosed();
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
            StepVerifier.create(response.body()).verifyError(IllegalStateException.class);
        }
    }

    @Test
    void connectionThatIsNotAcceptedTimesOut() throws Exception {
        withFullAcceptQueue(base -> {
            try (var fixture = OriginFixture
                    .forOrigin(OriginFixture.withTimeout(OriginFixture.config(base), SHORT_TIMEOUT))) {
                assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/")))
                        .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
                assertThat(fixture.freePermits()).isEqualTo(4);
            }
        });
    }

    /** A full accept queue: the kernel drops further connection attempts. */
    private static void withFullAcceptQueue(Consumer<URI> test) throws IOException {
        try (var server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            var crowd = new ArrayList<Socket>();
            try {
                while (tryConnect(server, crowd)) {
                    // One more.
                }
                test.accept(URI.create("http://127.0.0.1:" + server.getLocalPort()));
            } finally {
                for (Socket socket : crowd) {
                    socket.close();
                }
            }
        }
    }

    private static boolean tryConnect(ServerSocket server, List<Socket> crowd) throws IOException {
        var socket = new Socket();
        crowd.add(socket);
        try {
            socket.connect(new InetSocketAddress(server.getInetAddress(), server.getLocalPort()), 200);
            return true;
        } catch (SocketTimeoutException full) {
            return false;
        }
    }

    // Cancellation.

    @Test
    void cancellationBeforeTheHeadClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(""); var fixture = OriginFixture.forOrigin(server.uri())) {
            Disposable exchange = fixture.fetch(getRequest("/")).subscribe();
            assertThat(requestReceived.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();

            exchange.dispose();

            assertClosed();
            assertThat(fixture.freePermits()).isEqualTo(4);
            assertThat(fixture.failures() + fixture.successes()).isZero();
        }
    }

    /** Reactor Netty cannot cancel a pending acquisition, so a cancelled request keeps its permit until the acquisition ends. */
    @Test
    void cancelledWaiterKeepsPermitUntilConnected() throws Exception {
        withFullAcceptQueue(base -> {
            try (var fixture = OriginFixture
                    .forOrigin(OriginFixture.withTimeout(OriginFixture.config(base), Duration.ofMinutes(1)))) {
                for (int i = 0; i < 4; i++) {
                    fixture.fetch(getRequest("/")).subscribe().dispose();
                }

                assertThat(fixture.freePermits()).isZero();
                assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/")))
                        .isInstanceOf(OriginConcurrencyExceededException.class);
                await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
                assertThat(fixture.failures() + fixture.successes()).isZero();
            }
        });
    }

    @Test
    void cancellationWhileBufferingClosesTheConnection() throws Exception {
        var head = new CountDownLatch(1);
        try (var server = originStoppingAfter(LONG_HEAD + "abc"); var fixture = OriginFixture.forOrigin(server.uri())) {
            Disposable exchange = fixture.fetch(getRequest("/"), got -> {
                head.countDown();
                return BodyMode.BUFFER;
            }).subscribe();
            assertThat(head.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();

            exchange.dispose();

            assertClosed();
            assertThat(fixture.freePermits()).isEqualTo(4);
            assertThat(fixture.failures() + fixture.successes()).isZero();
        }
    }

    @Test
    void cancelledStreamClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "abc");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            StepVerifier.create(fixture.fetchStreaming(getRequest("/")).body().map(OriginFixture::text))
                    .expectNext("abc")
                    .thenCancel()
                    .verify();

            assertClosed();
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
            assertThat(fixture.failures()).isZero();
        }
    }

    @Test
    void repeatedDiscardOfAStreamClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "x".repeat(1_000_000));
                var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Streaming response = fixture.fetchStreaming(getRequest("/"));
            assertThat(fixture.freePermits()).isEqualTo(3);

            response.discard();
            response.discard();

            assertClosed();
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
            assertThat(fixture.successes()).isEqualTo(1);
        }
    }

    @Test
    void discardOfAnOversizedBodyClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter("HTTP/1.1 200 OK\r\n\r\n" + "x".repeat(1_000_000));
                var fixture = OriginFixture.forOrigin(server.uri())) {
            ((OriginResponse.Streaming) fixture.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow()).discard();

            assertClosed();
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
        }
    }

    @Test
    void cancellationAfterHandoverLeavesTheStreamIntact() throws Exception {
        try (var server = ScriptedOrigin.respondingWith(OK); var fixture = OriginFixture.forOrigin(server.uri())) {
            var responses = new LinkedBlockingQueue<OriginResponse>();
            fixture.fetch(getRequest("/"), head -> BodyMode.STREAM).subscribe(new BaseSubscriber<>() {
                @Override
                protected void hookOnNext(OriginResponse value) {
                    cancel();
                    responses.add(value);
                }
            });

            var response = (OriginResponse.Streaming) Optional.ofNullable(responses.poll(10, TimeUnit.SECONDS))
                    .orElseThrow();
            assertThat(text(response.body()).block(OriginFixture.LONG_TIMEOUT)).isEqualTo("ok");
        }
    }

    /** The response is being delivered on the event loop while its subscriber cancels on another thread. */
    @Test
    void cancellationRacingWithDeliveryReleasesTheResponse() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD); var fixture = withLongTimeout(server)) {
            Disposable.Swap receiver = Disposables.swap();
            var passing = new CountDownLatch(1);
            var cancelled = new AtomicBoolean();
            receiver.update(fixture.fetch(getRequest("/"), head -> BodyMode.STREAM).doOnNext(response -> {
                passing.countDown();
                while (!cancelled.get()) {
                    // No Thread.onSpinWait(): BlockHound treats it as blocking.
                }
            }).subscribe());

            assertThat(passing.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
            receiver.dispose();
            cancelled.set(true);

            assertClosed();
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
            assertThat(fixture.failures()).isZero();
        }
    }

    @Test
    void discardOfACompleteBodyKeepsTheConnectionReusable() throws Exception {
        var discarded = new CountDownLatch(1);
        var second = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(OK);
            peer.readRequest();
            second.countDown();
            peer.await(discarded).write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
            peer.awaitClosed();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Streaming first = fixture.fetchStreaming(getRequest("/1"));
            Mono<OriginResponse> response = fixture.fetch(getRequest("/2")).cache();
            response.subscribe();
            assertThat(second.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();

            first.discard();
            first.discard();
            discarded.countDown();

            assertThat(text((OriginResponse.Buffered) response.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow()))
                    .isEqualTo("second");
            assertThat(server.connectionCount()).isEqualTo(1);
            assertThat(server.requests()).hasSize(2);
        }
    }

    @Test
    void cancelledReadOfACompleteBodyKeepsTheConnectionReusable() throws Exception {
        var cancelled = new CountDownLatch(1);
        var second = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
            peer.readRequest();
            second.countDown();
            peer.await(cancelled).write(OK);
            peer.awaitClosed();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Streaming first = fixture.fetchStreaming(getRequest("/1"));

            StepVerifier.create(first.body().map(OriginFixture::text), 1).expectNext("ab").then(() -> {
                Mono<OriginResponse> response = fixture.fetch(getRequest("/2")).cache();
                response.subscribe();
                this.response = response;
                await().until(() -> second.getCount() == 0);
            }).thenCancel().verify();
            cancelled.countDown();

            assertThat(text((OriginResponse.Buffered) response.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow()))
                    .isEqualTo("ok");
            assertThat(server.requests()).hasSize(2);
        }
    }

    private Mono<OriginResponse> response = Mono.never();

    @Test
    void failingBodyModeFunctionEndsTheExchange() throws Exception {
        try (var server = originStoppingAfter(LONG_HEAD); var fixture = OriginFixture.forOrigin(server.uri())) {
            StepVerifier.create(fixture.fetch(getRequest("/"), head -> {
                throw new IllegalStateException("no idea");
            })).verifyErrorMessage("no idea");

            assertClosed();
            assertThat(fixture.freePermits()).isEqualTo(4);
            assertThat(fixture.failures()).isZero();
        }
    }

    @Test
    void closeClosesIdleConnections() throws Exception {
        try (var server = originStoppingAfter(OK)) {
            try (var fixture = OriginFixture.forOrigin(server.uri())) {
                fixture.fetchBuffered(getRequest("/"));
                assertThat(connectionClosed.getCount()).isEqualTo(1);
            }
            assertClosed();
        }
    }

    // Breakers and bulkhead.

    @Test
    void requestOverConcurrencyLimitIsRejectedUnsent() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD);
                var fixture = OriginFixture
                        .forOrigin(OriginFixture.withConcurrency(OriginFixture.config(server.uri()), 1))) {
            OriginResponse.Streaming first = fixture.fetchStreaming(getRequest("/1"));

            StepVerifier.create(fixture.fetch(getRequest("/2"))).verifyError(OriginConcurrencyExceededException.class);

            assertThat(server.requests()).hasSize(1);
            assertThat(fixture.failures()).isZero();
            first.discard();
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(1));
        }
    }

    @Test
    void permitIsReleasedBeforeTheResponseIsEmitted() throws Exception {
        try (var server = ScriptedOrigin.respondingWith(OK);
                var fixture = OriginFixture
                        .forOrigin(OriginFixture.withConcurrency(OriginFixture.config(server.uri()), 1))) {
            Mono<OriginResponse> thousand = fixture.fetch(getRequest("/")).repeat(999).last();

            assertThat(text((OriginResponse.Buffered) thousand.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow()))
                    .isEqualTo("ok");
            assertThat(server.connectionCount()).isEqualTo(1);
        }
    }

    private static final class AdjustableClock extends Clock {

        private volatile Instant now = Instant.parse("2026-11-23T00:00:00Z");

        void advance(Duration time) {
            now = instant().plus(time);
        }

        @Override
        public Instant instant() {
            return now;
        }

        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            return this;
        }
    }

    private static OriginFixture withCircuitBreaker(ScriptedOrigin server, AdjustableClock clock) {
        return OriginFixture.forOrigin(OriginFixture.withConcurrency(OriginFixture.config(server.uri()), 1), clock,
                breaking -> breaking.slidingWindowSize(2)
                        .minimumNumberOfCalls(2)
                        .permittedNumberOfCallsInHalfOpenState(1)
                        .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt));
    }

    private static void assertCircuitOpen(OriginFixture fixture, Duration remaining) {
        StepVerifier.create(fixture.fetch(getRequest("/")))
                .verifyErrorSatisfies(error -> assertThat(error)
                        .isInstanceOfSatisfying(OriginCircuitOpenException.class,
                                shut -> assertThat(shut.retryAfter()).isEqualTo(remaining)));
    }

    @Test
    void openCircuitRejectsRequestsUntilTheWaitIsOver() throws IOException {
        var clock = new AdjustableClock();
        var sick = new AtomicBoolean(true);
        try (var server = new ScriptedOrigin(peer -> {
            while (!peer.readRequest().isEmpty()) {
                peer.write(sick.get() ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" : OK);
                if (sick.get()) {
                    return;
                }
            }
        }); var fixture = withCircuitBreaker(server, clock)) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/")))
                        .satisfies(error -> assertReason(error, Reason.TRUNCATED));
            }
            assertCircuitOpen(fixture, Duration.ofSeconds(10));
            clock.advance(Duration.ofSeconds(4));
            assertCircuitOpen(fixture, Duration.ofSeconds(6));
            assertThat(server.requests()).hasSize(2);

            clock.advance(Duration.ofSeconds(7));
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/")))
                    .satisfies(error -> assertReason(error, Reason.TRUNCATED));
            assertCircuitOpen(fixture, Duration.ofSeconds(20));

            sick.set(false);
            clock.advance(Duration.ofSeconds(21));
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void errorStatusIsNotAFailure() throws IOException {
        try (var server = ScriptedOrigin.respondingWith("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
                var fixture = withCircuitBreaker(server, new AdjustableClock())) {
            for (int i = 0; i < 10; i++) {
                assertThat(fixture.fetchBuffered(getRequest("/")).head().status()).isEqualTo(503);
            }
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void truncatedStreamIsAFailure() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(LARGE_HEAD + "abc");
        }); var fixture = withCircuitBreaker(server, new AdjustableClock())) {
            StepVerifier.create(text(fixture.fetchStreaming(getRequest("/shop")).body()))
                    .verifyErrorSatisfies(error -> assertReason(error, Reason.TRUNCATED));

            assertThat(fixture.failures()).isEqualTo(1);
            StepVerifier.create(fixture.fetch(getRequest("/shop/2"))).verifyError(OriginCircuitOpenException.class);
            fixture.fetchStreaming(getRequest("/other")).discard();
        }
    }

    /** An endpoint that does not respond opens only its own breaker. */
    @Test
    void silentEndpointDoesNotOpenTheCircuitOfItsRoute() throws Exception {
        try (var server = new ScriptedOrigin(peer -> {
            for (String head = peer.readRequest(); !head.isEmpty(); head = peer.readRequest()) {
                if (head.startsWith("GET /slow")) {
                    peer.awaitClosed();
                    return;
                }
                peer.write(OK);
            }
        });
                var fixture = OriginFixture.forOrigin(
                        OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofSeconds(1)),
                        new AdjustableClock(),
                        breaking -> breaking.slidingWindowSize(4)
                                .minimumNumberOfCalls(2)
                                .permittedNumberOfCallsInHalfOpenState(1)
                                .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt))) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/slow?user=1")))
                        .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
            }

            StepVerifier.create(fixture.fetch(getRequest("/slow/2")))
                    .verifyErrorSatisfies(error -> assertThat(((OriginCircuitOpenException) error).retryAfter())
                            .isEqualTo(Duration.ofSeconds(10)));
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
            for (String other : List.of("/", "/page", "/slo")) {
                assertThat(text(fixture.fetchBuffered(getRequest(other)))).isEqualTo("ok");
            }

            fixture.breaker.transitionToDisabledState();
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/slow")))
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
            fixture.breaker.reset();
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/slow"))).as("a reset clears the counts")
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
        }
    }

    /** An unreachable origin opens the route's breaker for all endpoints. */
    @Test
    void unreachableOriginOpensTheCircuitForAllEndpoints() throws IOException {
        int port;
        try (var socket = new ServerSocket(0)) {
            port = socket.getLocalPort();
        }
        try (var fixture = OriginFixture.forOrigin(OriginFixture.config(URI.create("http://127.0.0.1:" + port)),
                new AdjustableClock(),
                breaking -> breaking.slidingWindowSize(4)
                        .minimumNumberOfCalls(2)
                        .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt))) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/a")))
                    .satisfies(error -> assertReason(error, Reason.UNREACHABLE));
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/b")))
                    .satisfies(error -> assertReason(error, Reason.UNREACHABLE));

            assertCircuitOpen(fixture, Duration.ofSeconds(10));
        }
    }

    /** A response that is not HTTP counts against the endpoint, not against the route. */
    @Test
    void malformedResponseDoesNotOpenTheCircuitOfItsRoute() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            boolean bad = peer.readRequest().startsWith("GET /bad");
            peer.write(bad ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" : OK);
        }); var fixture = withCircuitBreaker(server, new AdjustableClock())) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/bad")))
                        .satisfies(error -> assertReason(error, Reason.MALFORMED));
            }
            StepVerifier.create(fixture.fetch(getRequest("/bad"))).verifyError(OriginCircuitOpenException.class);
            assertThat(text(fixture.fetchBuffered(getRequest("/good")))).isEqualTo("ok");
        }
    }

    @Test
    void endpointIsTheFirstSegmentBelowTheRoutePath() {
        assertThat(EndpointBreakers.firstSegment("/a/b?c", "/")).isEqualTo("a");
        assertThat(EndpointBreakers.firstSegment("/shop/a/b", "/shop/")).isEqualTo("a");
        assertThat(EndpointBreakers.firstSegment("/shop/a?b/c", "/shop/")).isEqualTo("a");
        assertThat(EndpointBreakers.firstSegment("/shop/", "/shop/")).isEmpty();
        assertThat(EndpointBreakers.firstSegment("/shop", "/shop/")).isEqualTo("shop");
        assertThat(EndpointBreakers.firstSegment("/", "/")).isEmpty();
        assertThat(EndpointBreakers.firstSegment("/" + "x".repeat(5_000), "/")).hasSize(100);
    }

    /** One log line per state transition, so that operators see when a breaker opens and closes. */
    @Test
    void circuitBreakerTransitionsAreLogged() throws IOException {
        var lines = new ListAppender<ILoggingEvent>();
        Logger logger = (Logger) LoggerFactory.getLogger(OriginAdmission.class);
        var clock = new AdjustableClock();
        lines.start();
        logger.setLevel(Level.INFO);
        logger.setAdditive(false);
        logger.addAppender(lines);
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(OK);
        }); var fixture = withCircuitBreaker(server, clock)) {
            fixture.breaker.transitionToOpenState();
            clock.advance(Duration.ofSeconds(11));
            fixture.fetchBuffered(getRequest("/"));
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        } finally {
            logger.detachAppender(lines);
            logger.setAdditive(true);
            logger.setLevel(null);
        }

        assertThat(lines.list).extracting(ILoggingEvent::getLevel).containsExactly(Level.WARN, Level.INFO, Level.INFO);
        assertThat(lines.list).extracting(ILoggingEvent::getFormattedMessage)
                .satisfiesExactly(line -> assertThat(line).endsWith("changed from CLOSED to OPEN"),
                        line -> assertThat(line).endsWith("changed from OPEN to HALF_OPEN"),
                        line -> assertThat(line).endsWith("changed from HALF_OPEN to CLOSED"));
    }

    @Test
    void cancelledHalfOpenTrialMakesRoomForTheNextOne() throws Exception {
        var clock = new AdjustableClock();
        try (var server = new ScriptedOrigin(peer -> {
            if (peer.readRequest().startsWith("GET /slow")) {
                requestReceived.countDown();
                peer.awaitClosed();
                connectionClosed.countDown();
            } else {
                peer.write(OK);
            }
        }); var fixture = withCircuitBreaker(server, clock)) {
            fixture.breaker.transitionToOpenState();
            clock.advance(Duration.ofSeconds(11));
            Disposable trial = fixture.fetch(getRequest("/slow")).subscribe();
            assertThat(requestReceived.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
            assertCircuitOpen(fixture, Duration.ofSeconds(1));

            trial.dispose();

            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    /** A request sent while the breaker was closed does not count in its half-open trial. */
    @Test
    void lateFailureDoesNotCountInTheHalfOpenState() throws Exception {
        var clock = new AdjustableClock();
        var late = new CountDownLatch(1);
        var over = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            String head = peer.readRequest();
            if (head.startsWith("GET /late")) {
                requestReceived.countDown();
                peer.await(late);
            } else if (head.startsWith("GET /trial")) {
                peer.await(over).write(OK);
            }
        });
                var fixture = OriginFixture.forOrigin(OriginFixture.config(server.uri()), clock,
                        breaking -> breaking.slidingWindowSize(2)
                                .minimumNumberOfCalls(2)
                                .permittedNumberOfCallsInHalfOpenState(1)
                                .waitDurationInOpenState(Duration.ofSeconds(10)))) {
            Mono<OriginResponse> earlier = fixture.fetch(getRequest("/late")).cache();
            earlier.subscribe(response -> {}, failure -> {});
            assertThat(requestReceived.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/broken")))
                        .isInstanceOf(OriginFailedException.class);
            }
            assertCircuitOpen(fixture, Duration.ofSeconds(10));
            clock.advance(Duration.ofSeconds(11));
            Mono<OriginResponse> trial = fixture.fetch(getRequest("/trial")).cache();
            trial.subscribe();
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.HALF_OPEN);

            late.countDown();
            assertThatThrownBy(() -> earlier.block(OriginFixture.LONG_TIMEOUT))
                    .isInstanceOf(OriginFailedException.class);
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.HALF_OPEN);
            over.countDown();

            assertThat(text((OriginResponse.Buffered) trial.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow()))
                    .isEqualTo("ok");
            assertThat(fixture.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void randomizedWaitIsReportedAsRetryAfter() throws Exception {
        var clock = new AdjustableClock();
        try (var server = ScriptedOrigin.respondingWith(OK);
                var fixture = OriginFixture.forOrigin(OriginFixture.config(server.uri()), clock,
                        breaking -> breaking.waitIntervalFunctionInOpenState(new RecordingIntervalFunction(
                                IntervalFunction.ofExponentialRandomBackoff(10_000, 2, 0.9, 60_000))))) {
            fixture.breaker.transitionToOpenState();
            var waits = new LinkedBlockingQueue<Duration>();
            StepVerifier.create(fixture.fetch(getRequest("/")))
                    .verifyErrorSatisfies(error -> waits.add(((OriginCircuitOpenException) error).retryAfter()));

            clock.advance(waits.remove());
            StepVerifier.create(fixture.fetch(getRequest("/"))).verifyError(OriginCircuitOpenException.class);
            clock.advance(Duration.ofMillis(1));
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");
        }
    }

    @Test
    void blockingOrTooWideLimitersAreRejected() {
        OriginConfig upstream = OriginFixture.config(URI.create("http://127.0.0.1:1"));
        var breaker = CircuitBreaker.of("shop", CircuitBreakerConfig.custom()
                .slidingWindow(100, 100, SlidingWindowType.COUNT_BASED, SlidingWindowSynchronizationStrategy.LOCK_FREE)
                .build());
        var names = new OriginAddressResolverGroup();
        BulkheadConfig waiting = BulkheadConfig.custom().maxConcurrentCalls(4).maxWaitDuration(SHORT_TIMEOUT).build();
        BulkheadConfig wide = BulkheadConfig.custom().maxConcurrentCalls(5).build();

        assertThatThrownBy(
                () -> new OriginClient(upstream, "/", breaker, Bulkhead.of("shop", waiting), names, Clock.systemUTC()))
                .hasMessage("origin shop: its bulkhead must not wait");
        assertThatThrownBy(
                () -> new OriginClient(upstream, "/", breaker, Bulkhead.of("shop", wide), names, Clock.systemUTC()))
                .hasMessage("origin shop: its bulkhead admits more than concurrency (4)");
        BulkheadConfig bulkheadConfig = BulkheadConfig.custom().maxConcurrentCalls(4).build();
        assertThatThrownBy(
                () -> new OriginClient(upstream, "/", CircuitBreaker.ofDefaults("shop"),
                        Bulkhead.of("shop", bulkheadConfig),
                        names, Clock.systemUTC()))
                .hasMessageStartingWith("origin shop: its breaker must count without a lock");
    }

    /** A reader that requests one piece and cancels. */
    private static final class OneElementSubscriber extends BaseSubscriber<DataBuffer> {

        @Override
        protected void hookOnSubscribe(Subscription subscription) {
            request(1);
        }

        @Override
        protected void hookOnNext(DataBuffer piece) {
            text(piece);
            cancel();
        }

        @Override
        protected void hookOnError(Throwable error) {
            // The body was discarded before.
        }
    }

    @RepeatedTest(10)
    void cancellationAtAnyMomentReleasesEverything() throws IOException {
        String small = OK;
        String large = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + "x".repeat(100_000);
        var dropped = new LinkedBlockingQueue<Throwable>();
        Hooks.onErrorDropped(dropped::add);
        try (var server = new ScriptedOrigin(peer -> {
            while (true) {
                String request = peer.readRequest();
                if (request.isEmpty()) {
                    return;
                }
                peer.write(request.contains("small") ? small : large);
            }
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int round = 0; round < 2_000; round++) {
                BodyMode intake = round % 3 == 0 ? BodyMode.STREAM : BodyMode.BUFFER;
                String target = round % 2 == 0 ? "/small" : "/large";
                var answered = new CountDownLatch(1);
                Disposable exchange = fixture.fetch(getRequest(target), head -> intake).subscribe(response -> {
                    if (response instanceof OriginResponse.Streaming stream) {
                        stream.body().subscribe(new OneElementSubscriber());
                        stream.discard();
                    }
                    answered.countDown();
                }, failure -> answered.countDown());
                for (int i = 0; i < round % 500 && answered.getCount() > 0; i++) {
                    Thread.onSpinWait();
                }
                exchange.dispose();
            }
            await().untilAsserted(() -> assertThat(fixture.freePermits()).isEqualTo(4));
            assertThat(fixture.failures()).isZero();
            assertThat(text(fixture.fetchBuffered(getRequest("/small")))).isEqualTo("ok");
            assertThat(dropped).isEmpty();
        } finally {
            Hooks.resetOnErrorDropped();
        }
    }
}
