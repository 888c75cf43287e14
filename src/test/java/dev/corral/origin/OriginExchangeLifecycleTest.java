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
import org.junit.jupiter.api.Timeout;
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

/** Every exchange ends, and whatever it held is given back, however it ends. */
@Timeout(30)
@ExtendWith(LeakGuard.class)
class OriginExchangeLifecycleTest {

    private static final String OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private static final String LONG_HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n";
    private static final String LARGE_HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";

    private final CountDownLatch requestReceived = new CountDownLatch(1);
    private final CountDownLatch connectionClosed = new CountDownLatch(1);

    /** Says that, and no more, until the client closes the connection. */
    private ScriptedOrigin originStoppingAfter(String text) {
        return new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(text);
            requestReceived.countDown();
            peer.awaitClosed();
            connectionClosed.countDown();
        });
    }

    /** Says that, and one byte now and then until the client closes the connection. */
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
        assertThat(connectionClosed.await(10, TimeUnit.SECONDS)).isTrue();
    }

    private static void assertReason(Throwable error, Reason reason) {
        assertThat(error).isInstanceOfSatisfying(OriginFailedException.class,
                failure -> assertThat(failure.reason()).isEqualTo(reason));
    }

    /** For what never answers. */
    private static OriginFixture withShortTimeout(ScriptedOrigin server) {
        return OriginFixture.forOrigin(OriginFixture.withTimeout(OriginFixture.config(server.uri()), SHORT_TIMEOUT));
    }

    /** For what answers at first, on a busy machine too. */
    private static OriginFixture withMediumTimeout(ScriptedOrigin server) {
        return OriginFixture
                .forOrigin(OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofSeconds(1)));
    }

    /** What is given back in time is not given back by the timeout. */
    private static OriginFixture withLongTimeout(ScriptedOrigin server) {
        return OriginFixture
                .forOrigin(OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofMinutes(1)));
    }

    // The deadline.

    @Test
    void missingResponseTimesOutAndClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(""); var rig = withShortTimeout(server)) {
            assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/")))
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(rig.failures()).isEqualTo(1);
            assertThat(rig.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void stalledBufferedBodyTimesOutAndClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LONG_HEAD + "abc"); var rig = withShortTimeout(server)) {
            assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/")))
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(rig.failures()).isEqualTo(1);
            assertThat(rig.freePermits()).isEqualTo(4);
        }
    }

    /** A long response that is alive is no failure: what is not complete in time goes on as a stream, from its first byte. */
    @Test
    void activeBufferedBodyBecomesAStreamAtTheTimeout() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", SHORT_TIMEOUT, 20);
                var rig = withMediumTimeout(server)) {
            var answer = (OriginResponse.Streaming) rig.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            assertThat(text(answer.body()).block(OriginFixture.LONG_TIMEOUT)).isEqualTo("x".repeat(20));
            assertThat(rig.failures()).isZero();
            assertThat(rig.successes()).isEqualTo(1);
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
        }
    }

    /** What has been read ahead waits for a reader that asks for one piece at a time. */
    @Test
    void streamOfABufferedBodyHonorsDemand() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", SHORT_TIMEOUT, 20);
                var rig = withMediumTimeout(server)) {
            var answer = (OriginResponse.Streaming) rig.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();
            var all = new StringBuilder();

            StepVerifier.create(answer.body().map(OriginFixture::text).doOnNext(all::append), 0)
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

    /** What may be a stream is waited for only for a moment, also when it says nothing at all. */
    @Test
    void brieflyBufferedBodyBecomesAStreamBeforeItsFirstPiece() throws Exception {
        try (var server = originStoppingAfter("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                var rig = withLongTimeout(server)) {
            var answer = (OriginResponse.Streaming) rig.origin.fetch(getRequest("/"), head -> BodyMode.BUFFER_BRIEFLY)
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            answer.discard();
            assertClosed();
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void brieflyBufferedBodyThatComesAtOnceIsComplete() throws Exception {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        }); var rig = withLongTimeout(server)) {
            assertThat(rig.origin.fetch(getRequest("/"), head -> BodyMode.BUFFER_BRIEFLY)
                    .block(OriginFixture.LONG_TIMEOUT))
                    .isInstanceOf(OriginResponse.Buffered.class);
        }
    }

    @Test
    void streamWithPausesMayBeSilentBeyondTheTimeout() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", SHORT_TIMEOUT.multipliedBy(5),
                2);
                var rig = OriginFixture.forOrigin(
                        OriginFixture.withTimeout(OriginFixture.config(server.uri()), SHORT_TIMEOUT.multipliedBy(2)))) {
            var answer = (OriginResponse.Streaming) rig.origin
                    .fetch(getRequest("/"), head -> BodyMode.STREAM_WITH_PAUSES)
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow();

            assertThat(text(answer.body()).block(OriginFixture.LONG_TIMEOUT)).isEqualTo("xx");
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void activeStreamedBodyMayExceedTheTimeout() throws Exception {
        try (var server = tricklingOrigin("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", SHORT_TIMEOUT, 8);
                var rig = withMediumTimeout(server)) {
            assertThat(text(rig.fetchStreaming(getRequest("/")).body()).block(OriginFixture.LONG_TIMEOUT))
                    .isEqualTo("xxxxxxxx");
        }
    }

    @Test
    void silentStreamedBodyTimesOutAndClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "abc"); var rig = withMediumTimeout(server)) {
            StepVerifier.create(rig.fetchStreaming(getRequest("/")).body().map(OriginFixture::text))
                    .expectNext("abc")
                    .verifyErrorSatisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(rig.failures()).isEqualTo(1);
            assertThat(rig.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void readerWithoutDemandTimesOutWithoutAnOriginFailure() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "x".repeat(200_000));
                var rig = OriginFixture.forOrigin(OriginFixture.config(server.uri()), SHORT_TIMEOUT)) {
            StepVerifier.create(rig.fetchStreaming(getRequest("/")).body().map(OriginFixture::text), 1)
                    .expectNextCount(1)
                    .verifyError(TimeoutException.class);

            assertClosed();
            assertThat(rig.failures()).isZero();
            assertThat(rig.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void unclaimedStreamDiscardsItself() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "abc"); var rig = withMediumTimeout(server)) {
            OriginResponse.Streaming answer = rig.fetchStreaming(getRequest("/"));

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
            StepVerifier.create(answer.body()).verifyError(IllegalStateException.class);
        }
    }

    @Test
    void connectionThatIsNotAcceptedTimesOut() throws Exception {
        withFullAcceptQueue(base -> {
            try (var rig = OriginFixture
                    .forOrigin(OriginFixture.withTimeout(OriginFixture.config(base), SHORT_TIMEOUT))) {
                assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/")))
                        .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
                assertThat(rig.freePermits()).isEqualTo(4);
            }
        });
    }

    /** A full queue of connections nobody accepts: the kernel drops what else knocks. */
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

    // Leaving.

    @Test
    void cancellationBeforeTheHeadClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(""); var rig = OriginFixture.forOrigin(server.uri())) {
            Disposable exchange = rig.fetch(getRequest("/")).subscribe();
            assertThat(requestReceived.await(10, TimeUnit.SECONDS)).isTrue();

            exchange.dispose();

            assertClosed();
            assertThat(rig.freePermits()).isEqualTo(4);
            assertThat(rig.failures() + rig.successes()).isZero();
        }
    }

    /** Reactor Netty cannot take back a wait for a connection: who leaves has his place until it is over, and no longer. */
    @Test
    void cancelledWaiterKeepsPermitUntilConnected() throws Exception {
        withFullAcceptQueue(base -> {
            try (var rig = OriginFixture
                    .forOrigin(OriginFixture.withTimeout(OriginFixture.config(base), Duration.ofMinutes(1)))) {
                for (int i = 0; i < 4; i++) {
                    rig.fetch(getRequest("/")).subscribe().dispose();
                }

                assertThat(rig.freePermits()).isZero();
                assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/")))
                        .isInstanceOf(OriginConcurrencyExceededException.class);
                await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
                assertThat(rig.failures() + rig.successes()).isZero();
            }
        });
    }

    @Test
    void cancellationWhileBufferingClosesTheConnection() throws Exception {
        var head = new CountDownLatch(1);
        try (var server = originStoppingAfter(LONG_HEAD + "abc"); var rig = OriginFixture.forOrigin(server.uri())) {
            Disposable exchange = rig.origin.fetch(getRequest("/"), got -> {
                head.countDown();
                return BodyMode.BUFFER;
            }).subscribe();
            assertThat(head.await(10, TimeUnit.SECONDS)).isTrue();

            exchange.dispose();

            assertClosed();
            assertThat(rig.freePermits()).isEqualTo(4);
            assertThat(rig.failures() + rig.successes()).isZero();
        }
    }

    @Test
    void cancelledStreamClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "abc"); var rig = OriginFixture.forOrigin(server.uri())) {
            StepVerifier.create(rig.fetchStreaming(getRequest("/")).body().map(OriginFixture::text))
                    .expectNext("abc")
                    .thenCancel()
                    .verify();

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void repeatedDiscardOfAStreamClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD + "x".repeat(1_000_000));
                var rig = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Streaming answer = rig.fetchStreaming(getRequest("/"));
            assertThat(rig.freePermits()).isEqualTo(3);

            answer.discard();
            answer.discard();

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
            assertThat(rig.successes()).isEqualTo(1);
        }
    }

    @Test
    void discardOfAnOversizedBodyClosesTheConnection() throws Exception {
        try (var server = originStoppingAfter("HTTP/1.1 200 OK\r\n\r\n" + "x".repeat(1_000_000));
                var rig = OriginFixture.forOrigin(server.uri())) {
            ((OriginResponse.Streaming) rig.fetch(getRequest("/"))
                    .blockOptional(OriginFixture.LONG_TIMEOUT)
                    .orElseThrow()).discard();

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
        }
    }

    @Test
    void cancellationAfterHandoverLeavesTheStreamIntact() throws Exception {
        try (var server = ScriptedOrigin.respondingWith(OK); var rig = OriginFixture.forOrigin(server.uri())) {
            var answers = new LinkedBlockingQueue<OriginResponse>();
            rig.origin.fetch(getRequest("/"), head -> BodyMode.STREAM).subscribe(new BaseSubscriber<>() {
                @Override
                protected void hookOnNext(OriginResponse value) {
                    cancel();
                    answers.add(value);
                }
            });

            var answer = (OriginResponse.Streaming) Optional.ofNullable(answers.poll(10, TimeUnit.SECONDS))
                    .orElseThrow();
            assertThat(text(answer.body()).block(OriginFixture.LONG_TIMEOUT)).isEqualTo("ok");
        }
    }

    /** The answer is on its way through the operators, on the event loop, when the receiver leaves on another thread. */
    @Test
    void cancellationRacingWithDeliveryReleasesTheResponse() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD); var rig = withLongTimeout(server)) {
            Disposable.Swap receiver = Disposables.swap();
            var passing = new CountDownLatch(1);
            var left = new AtomicBoolean();
            receiver.update(rig.origin.fetch(getRequest("/"), head -> BodyMode.STREAM).doOnNext(answer -> {
                passing.countDown();
                while (!left.get()) {
                    // Not even Thread.onSpinWait(): BlockHound takes it for blocking.
                }
            }).subscribe());

            assertThat(passing.await(10, TimeUnit.SECONDS)).isTrue();
            receiver.dispose();
            left.set(true);

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
            assertThat(rig.failures()).isZero();
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
        }); var rig = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Streaming first = rig.fetchStreaming(getRequest("/1"));
            Mono<OriginResponse> answer = rig.fetch(getRequest("/2")).cache();
            answer.subscribe();
            assertThat(second.await(10, TimeUnit.SECONDS)).isTrue();

            first.discard();
            first.discard();
            discarded.countDown();

            assertThat(text((OriginResponse.Buffered) answer.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow()))
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
        }); var rig = OriginFixture.forOrigin(server.uri())) {
            OriginResponse.Streaming first = rig.fetchStreaming(getRequest("/1"));

            StepVerifier.create(first.body().map(OriginFixture::text), 1).expectNext("ab").then(() -> {
                Mono<OriginResponse> answer = rig.fetch(getRequest("/2")).cache();
                answer.subscribe();
                this.response = answer;
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
        try (var server = originStoppingAfter(LONG_HEAD); var rig = OriginFixture.forOrigin(server.uri())) {
            StepVerifier.create(rig.origin.fetch(getRequest("/"), head -> {
                throw new IllegalStateException("no idea");
            })).verifyErrorMessage("no idea");

            assertClosed();
            assertThat(rig.freePermits()).isEqualTo(4);
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void closeClosesIdleConnections() throws Exception {
        try (var server = originStoppingAfter(OK)) {
            try (var rig = OriginFixture.forOrigin(server.uri())) {
                rig.fetchBuffered(getRequest("/"));
                assertThat(connectionClosed.getCount()).isEqualTo(1);
            }
            assertClosed();
        }
    }

    // The gate.

    @Test
    void requestOverConcurrencyLimitIsRejectedUnsent() throws Exception {
        try (var server = originStoppingAfter(LARGE_HEAD);
                var rig = OriginFixture
                        .forOrigin(OriginFixture.withConcurrency(OriginFixture.config(server.uri()), 1))) {
            OriginResponse.Streaming first = rig.fetchStreaming(getRequest("/1"));

            StepVerifier.create(rig.fetch(getRequest("/2"))).verifyError(OriginConcurrencyExceededException.class);

            assertThat(server.requests()).hasSize(1);
            assertThat(rig.failures()).isZero();
            first.discard();
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(1));
        }
    }

    @Test
    void permitIsReleasedBeforeTheResponseIsEmitted() throws Exception {
        try (var server = ScriptedOrigin.respondingWith(OK);
                var rig = OriginFixture
                        .forOrigin(OriginFixture.withConcurrency(OriginFixture.config(server.uri()), 1))) {
            Mono<OriginResponse> thousand = rig.fetch(getRequest("/")).repeat(999).last();

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

    private static void assertCircuitOpen(OriginFixture rig, Duration remaining) {
        StepVerifier.create(rig.fetch(getRequest("/")))
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
        }); var rig = withCircuitBreaker(server, clock)) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/")))
                        .satisfies(error -> assertReason(error, Reason.TRUNCATED));
            }
            assertCircuitOpen(rig, Duration.ofSeconds(10));
            clock.advance(Duration.ofSeconds(4));
            assertCircuitOpen(rig, Duration.ofSeconds(6));
            assertThat(server.requests()).hasSize(2);

            clock.advance(Duration.ofSeconds(7));
            assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/")))
                    .satisfies(error -> assertReason(error, Reason.TRUNCATED));
            assertCircuitOpen(rig, Duration.ofSeconds(20));

            sick.set(false);
            clock.advance(Duration.ofSeconds(21));
            assertThat(text(rig.fetchBuffered(getRequest("/")))).isEqualTo("ok");
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void errorStatusIsNotAFailure() throws IOException {
        try (var server = ScriptedOrigin.respondingWith("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
                var rig = withCircuitBreaker(server, new AdjustableClock())) {
            for (int i = 0; i < 10; i++) {
                assertThat(rig.fetchBuffered(getRequest("/")).head().status()).isEqualTo(503);
            }
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void truncatedStreamIsAFailure() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(LARGE_HEAD + "abc");
        }); var rig = withCircuitBreaker(server, new AdjustableClock())) {
            StepVerifier.create(text(rig.fetchStreaming(getRequest("/shop")).body()))
                    .verifyErrorSatisfies(error -> assertReason(error, Reason.TRUNCATED));

            assertThat(rig.failures()).isEqualTo(1);
            StepVerifier.create(rig.fetch(getRequest("/shop/2"))).verifyError(OriginCircuitOpenException.class);
            rig.fetchStreaming(getRequest("/other")).discard();
        }
    }

    /** One endpoint that does not respond is left alone by itself: the others are asked as before. */
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
                var rig = OriginFixture.forOrigin(
                        OriginFixture.withTimeout(OriginFixture.config(server.uri()), Duration.ofSeconds(1)),
                        new AdjustableClock(),
                        breaking -> breaking.slidingWindowSize(4)
                                .minimumNumberOfCalls(2)
                                .permittedNumberOfCallsInHalfOpenState(1)
                                .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt))) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/slow?user=1")))
                        .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
            }

            StepVerifier.create(rig.fetch(getRequest("/slow/2")))
                    .verifyErrorSatisfies(error -> assertThat(((OriginCircuitOpenException) error).retryAfter())
                            .isEqualTo(Duration.ofSeconds(10)));
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
            for (String other : List.of("/", "/page", "/slo")) {
                assertThat(text(rig.fetchBuffered(getRequest(other)))).isEqualTo("ok");
            }

            rig.breaker.transitionToDisabledState();
            assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/slow")))
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
            rig.breaker.reset();
            assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/slow"))).as("nothing is counted after a reset")
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
        }
    }

    /** An origin that cannot be reached is shut for all its endpoints. */
    @Test
    void unreachableOriginOpensTheCircuitForAllEndpoints() throws IOException {
        int port;
        try (var socket = new ServerSocket(0)) {
            port = socket.getLocalPort();
        }
        try (var rig = OriginFixture.forOrigin(OriginFixture.config(URI.create("http://127.0.0.1:" + port)),
                new AdjustableClock(),
                breaking -> breaking.slidingWindowSize(4)
                        .minimumNumberOfCalls(2)
                        .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt))) {
            assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/a")))
                    .satisfies(error -> assertReason(error, Reason.UNREACHABLE));
            assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/b")))
                    .satisfies(error -> assertReason(error, Reason.UNREACHABLE));

            assertCircuitOpen(rig, Duration.ofSeconds(10));
        }
    }

    /** What comes and is no HTTP counts against the endpoint, and not against its route. */
    @Test
    void malformedResponseDoesNotOpenTheCircuitOfItsRoute() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            boolean bad = peer.readRequest().startsWith("GET /bad");
            peer.write(bad ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" : OK);
        }); var rig = withCircuitBreaker(server, new AdjustableClock())) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/bad")))
                        .satisfies(error -> assertReason(error, Reason.MALFORMED));
            }
            StepVerifier.create(rig.fetch(getRequest("/bad"))).verifyError(OriginCircuitOpenException.class);
            assertThat(text(rig.fetchBuffered(getRequest("/good")))).isEqualTo("ok");
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

    /** One line for each change of state: who reads the log hears when an origin is left alone, and when it is back. */
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
        }); var rig = withCircuitBreaker(server, clock)) {
            rig.breaker.transitionToOpenState();
            clock.advance(Duration.ofSeconds(11));
            rig.fetchBuffered(getRequest("/"));
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        } finally {
            logger.detachAppender(lines);
            logger.setAdditive(true);
            logger.setLevel(null);
        }

        assertThat(lines.list).extracting(ILoggingEvent::getLevel).containsExactly(Level.WARN, Level.INFO, Level.INFO);
        assertThat(lines.list).extracting(ILoggingEvent::getFormattedMessage)
                .satisfiesExactly(line -> assertThat(line).endsWith("was CLOSED and is OPEN"),
                        line -> assertThat(line).endsWith("was OPEN and is HALF_OPEN"),
                        line -> assertThat(line).endsWith("was HALF_OPEN and is CLOSED"));
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
        }); var rig = withCircuitBreaker(server, clock)) {
            rig.breaker.transitionToOpenState();
            clock.advance(Duration.ofSeconds(11));
            Disposable trial = rig.fetch(getRequest("/slow")).subscribe();
            assertThat(requestReceived.await(10, TimeUnit.SECONDS)).isTrue();
            assertCircuitOpen(rig, Duration.ofSeconds(1));

            trial.dispose();

            assertThat(text(rig.fetchBuffered(getRequest("/")))).isEqualTo("ok");
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    /** What was sent while the breaker was closed says nothing about the origin that is tried out now. */
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
                var rig = OriginFixture.forOrigin(OriginFixture.config(server.uri()), clock,
                        breaking -> breaking.slidingWindowSize(2)
                                .minimumNumberOfCalls(2)
                                .permittedNumberOfCallsInHalfOpenState(1)
                                .waitDurationInOpenState(Duration.ofSeconds(10)))) {
            Mono<OriginResponse> earlier = rig.fetch(getRequest("/late")).cache();
            earlier.subscribe(answer -> {}, failure -> {});
            assertThat(requestReceived.await(10, TimeUnit.SECONDS)).isTrue();
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.fetchBuffered(getRequest("/broken")))
                        .isInstanceOf(OriginFailedException.class);
            }
            assertCircuitOpen(rig, Duration.ofSeconds(10));
            clock.advance(Duration.ofSeconds(11));
            Mono<OriginResponse> trial = rig.fetch(getRequest("/trial")).cache();
            trial.subscribe();
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.HALF_OPEN);

            late.countDown();
            assertThatThrownBy(() -> earlier.block(OriginFixture.LONG_TIMEOUT))
                    .isInstanceOf(OriginFailedException.class);
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.HALF_OPEN);
            over.countDown();

            assertThat(text((OriginResponse.Buffered) trial.blockOptional(OriginFixture.LONG_TIMEOUT).orElseThrow()))
                    .isEqualTo("ok");
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void randomizedWaitIsReportedAsRetryAfter() throws Exception {
        var clock = new AdjustableClock();
        try (var server = ScriptedOrigin.respondingWith(OK);
                var rig = OriginFixture.forOrigin(OriginFixture.config(server.uri()), clock,
                        breaking -> breaking.waitIntervalFunctionInOpenState(new RecordingIntervalFunction(
                                IntervalFunction.ofExponentialRandomBackoff(10_000, 2, 0.9, 60_000))))) {
            rig.breaker.transitionToOpenState();
            var waits = new LinkedBlockingQueue<Duration>();
            StepVerifier.create(rig.fetch(getRequest("/")))
                    .verifyErrorSatisfies(error -> waits.add(((OriginCircuitOpenException) error).retryAfter()));

            clock.advance(waits.remove());
            StepVerifier.create(rig.fetch(getRequest("/"))).verifyError(OriginCircuitOpenException.class);
            clock.advance(Duration.ofMillis(1));
            assertThat(text(rig.fetchBuffered(getRequest("/")))).isEqualTo("ok");
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
        BulkheadConfig right = BulkheadConfig.custom().maxConcurrentCalls(4).build();
        assertThatThrownBy(
                () -> new OriginClient(upstream, "/", CircuitBreaker.ofDefaults("shop"), Bulkhead.of("shop", right),
                        names, Clock.systemUTC()))
                .hasMessageStartingWith("origin shop: its breaker must count without a lock");
    }

    /** A reader that asks for one piece and leaves. */
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
            // It was discarded first.
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
        }); var rig = OriginFixture.forOrigin(server.uri())) {
            for (int round = 0; round < 2_000; round++) {
                BodyMode intake = round % 3 == 0 ? BodyMode.STREAM : BodyMode.BUFFER;
                String target = round % 2 == 0 ? "/small" : "/large";
                var answered = new CountDownLatch(1);
                Disposable exchange = rig.origin.fetch(getRequest(target), head -> intake).subscribe(answer -> {
                    if (answer instanceof OriginResponse.Streaming stream) {
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
            await().untilAsserted(() -> assertThat(rig.freePermits()).isEqualTo(4));
            assertThat(rig.failures()).isZero();
            assertThat(text(rig.fetchBuffered(getRequest("/small")))).isEqualTo("ok");
            assertThat(dropped).isEmpty();
        } finally {
            Hooks.resetOnErrorDropped();
        }
    }
}
