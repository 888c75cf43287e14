package dev.corral.origin;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.corral.origin.OriginFailed.Reason;
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

import static dev.corral.origin.Rig.SHORT;
import static dev.corral.origin.Rig.get;
import static dev.corral.origin.Rig.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

/** Every exchange ends, and whatever it held is given back, however it ends. */
@Timeout(30)
@ExtendWith(LeakFree.class)
class BoundsTest {

    private static final String OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private static final String LONG_HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n";
    private static final String LARGE_HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";

    private final CountDownLatch asked = new CountDownLatch(1);
    private final CountDownLatch closed = new CountDownLatch(1);

    /** Says that, and no more, until the client closes the connection. */
    private ScriptedOrigin stopsAfter(String text) {
        return new ScriptedOrigin(peer -> {
            peer.request();
            peer.say(text);
            asked.countDown();
            peer.untilClosed();
            closed.countDown();
        });
    }

    /** Says that, and one byte now and then until the client closes the connection. */
    private ScriptedOrigin dribbles(String text, Duration pause, int bytes) {
        return new ScriptedOrigin(peer -> {
            peer.request();
            peer.say(text);
            for (int i = 0; i < bytes; i++) {
                Mono.delay(pause).block();
                peer.say("x");
            }
            peer.untilClosed();
            closed.countDown();
        });
    }

    private void assertClosed() throws InterruptedException {
        assertThat(closed.await(10, TimeUnit.SECONDS)).isTrue();
    }

    private static void assertReason(Throwable error, Reason reason) {
        assertThat(error).isInstanceOfSatisfying(OriginFailed.class,
                failure -> assertThat(failure.reason()).isEqualTo(reason));
    }

    /** For what never answers. */
    private static Rig impatient(ScriptedOrigin server) {
        return Rig.to(Rig.timeout(Rig.upstream(server.uri()), SHORT));
    }

    /** For what answers at first, on a busy machine too. */
    private static Rig patient(ScriptedOrigin server) {
        return Rig.to(Rig.timeout(Rig.upstream(server.uri()), Duration.ofSeconds(1)));
    }

    /** What is given back in time is not given back by the timeout. */
    private static Rig unhurried(ScriptedOrigin server) {
        return Rig.to(Rig.timeout(Rig.upstream(server.uri()), Duration.ofMinutes(1)));
    }

    // The deadline.

    @Test
    void anAnswerThatDoesNotComeTimesOutAndTheConnectionIsClosed() throws Exception {
        try (var server = stopsAfter(""); var rig = impatient(server)) {
            assertThatThrownBy(() -> rig.whole(get("/"))).satisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(rig.failures()).isEqualTo(1);
            assertThat(rig.free()).isEqualTo(4);
        }
    }

    @Test
    void aCollectedBodyThatStopsTimesOutAndTheConnectionIsClosed() throws Exception {
        try (var server = stopsAfter(LONG_HEAD + "abc"); var rig = impatient(server)) {
            assertThatThrownBy(() -> rig.whole(get("/"))).satisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(rig.failures()).isEqualTo(1);
            assertThat(rig.free()).isEqualTo(4);
        }
    }

    /** A long response that is alive is no failure: what is not complete in time goes on as a stream, from its first byte. */
    @Test
    void aCollectedBodyThatIsAliveAtTheEndOfItsTimeIsHandedOnAsAStream() throws Exception {
        try (var server = dribbles("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", SHORT, 20);
                var rig = patient(server)) {
            var answer = (Answer.Streaming) rig.fetch(get("/")).blockOptional(Rig.LONG).orElseThrow();

            assertThat(text(answer.body()).block(Rig.LONG)).isEqualTo("x".repeat(20));
            assertThat(rig.failures()).isZero();
            assertThat(rig.successes()).isEqualTo(1);
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
        }
    }

    /** What has been read ahead waits for a reader that asks for one piece at a time. */
    @Test
    void aReaderOfWhatWasHandedOnGetsNoMoreThanItAskedFor() throws Exception {
        try (var server = dribbles("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", SHORT, 20);
                var rig = patient(server)) {
            var answer = (Answer.Streaming) rig.fetch(get("/")).blockOptional(Rig.LONG).orElseThrow();
            var all = new StringBuilder();

            StepVerifier.create(answer.body().map(Rig::text).doOnNext(all::append), 0)
                    .expectSubscription()
                    .expectNoEvent(SHORT.multipliedBy(3))
                    .thenRequest(1)
                    .expectNextCount(1)
                    .expectNoEvent(SHORT.multipliedBy(3))
                    .thenRequest(Long.MAX_VALUE)
                    .thenConsumeWhile(piece -> true)
                    .verifyComplete();

            assertThat(all).hasToString("x".repeat(20));
        }
    }

    /** What may be a stream is waited for only for a moment, also when it says nothing at all. */
    @Test
    void whatIsCollectedBrieflyIsHandedOnBeforeItsFirstPieceToo() throws Exception {
        try (var server = stopsAfter("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                var rig = unhurried(server)) {
            var answer = (Answer.Streaming) rig.origin.fetch(get("/"), head -> Intake.COLLECT_BRIEFLY)
                    .blockOptional(Rig.LONG)
                    .orElseThrow();

            answer.discard();
            assertClosed();
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void whatIsCollectedBrieflyAndComesAtOnceIsWhole() throws Exception {
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        }); var rig = unhurried(server)) {
            assertThat(rig.origin.fetch(get("/"), head -> Intake.COLLECT_BRIEFLY).block(Rig.LONG))
                    .isInstanceOf(Answer.Whole.class);
        }
    }

    @Test
    void aStreamWithPausesMayBeSilentForLongerThanTheTimeout() throws Exception {
        try (var server = dribbles("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", SHORT.multipliedBy(5), 2);
                var rig = Rig.to(Rig.timeout(Rig.upstream(server.uri()), SHORT.multipliedBy(2)))) {
            var answer = (Answer.Streaming) rig.origin.fetch(get("/"), head -> Intake.STREAM_WITH_PAUSES)
                    .blockOptional(Rig.LONG)
                    .orElseThrow();

            assertThat(text(answer.body()).block(Rig.LONG)).isEqualTo("xx");
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void aStreamedBodyMayTakeLongerThanTheTimeoutAsLongAsItMoves() throws Exception {
        try (var server = dribbles("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", SHORT, 8);
                var rig = patient(server)) {
            assertThat(text(rig.streaming(get("/")).body()).block(Rig.LONG)).isEqualTo("xxxxxxxx");
        }
    }

    @Test
    void aStreamedBodyThatFallsSilentTimesOutAndTheConnectionIsClosed() throws Exception {
        try (var server = stopsAfter(LARGE_HEAD + "abc"); var rig = patient(server)) {
            StepVerifier.create(rig.streaming(get("/")).body().map(Rig::text))
                    .expectNext("abc")
                    .verifyErrorSatisfies(error -> assertReason(error, Reason.TIMED_OUT));

            assertClosed();
            assertThat(rig.failures()).isEqualTo(1);
            assertThat(rig.free()).isEqualTo(4);
        }
    }

    @Test
    void aReaderThatAsksForNothingIsGivenUpAndItIsNotTheOriginsFault() throws Exception {
        try (var server = stopsAfter(LARGE_HEAD + "x".repeat(200_000));
                var rig = Rig.to(Rig.upstream(server.uri()), SHORT)) {
            StepVerifier.create(rig.streaming(get("/")).body().map(Rig::text), 1)
                    .expectNextCount(1)
                    .verifyError(TimeoutException.class);

            assertClosed();
            assertThat(rig.failures()).isZero();
            assertThat(rig.free()).isEqualTo(4);
        }
    }

    @Test
    void aStreamNobodyClaimsDiscardsItself() throws Exception {
        try (var server = stopsAfter(LARGE_HEAD + "abc"); var rig = patient(server)) {
            Answer.Streaming answer = rig.streaming(get("/"));

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
            StepVerifier.create(answer.body()).verifyError(IllegalStateException.class);
        }
    }

    @Test
    void aConnectionThatCannotBeHadTimesOut() throws Exception {
        whereNobodyAccepts(base -> {
            try (var rig = Rig.to(Rig.timeout(Rig.upstream(base), SHORT))) {
                assertThatThrownBy(() -> rig.whole(get("/"))).satisfies(error -> assertReason(error, Reason.TIMED_OUT));
                assertThat(rig.free()).isEqualTo(4);
            }
        });
    }

    /** A full queue of connections nobody accepts: the kernel drops what else knocks. */
    private static void whereNobodyAccepts(Consumer<URI> test) throws IOException {
        try (var server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            var crowd = new ArrayList<Socket>();
            try {
                while (knock(server, crowd)) {
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

    private static boolean knock(ServerSocket server, List<Socket> crowd) throws IOException {
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
    void cancellingBeforeTheHeadClosesTheConnection() throws Exception {
        try (var server = stopsAfter(""); var rig = Rig.to(server.uri())) {
            Disposable exchange = rig.fetch(get("/")).subscribe();
            assertThat(asked.await(10, TimeUnit.SECONDS)).isTrue();

            exchange.dispose();

            assertClosed();
            assertThat(rig.free()).isEqualTo(4);
            assertThat(rig.failures() + rig.successes()).isZero();
        }
    }

    /** Reactor Netty cannot take back a wait for a connection: who leaves has his place until it is over, and no longer. */
    @Test
    void whoLeavesBeforeHeHasAConnectionKeepsHisPlaceAsLongAsItIsWaitedFor() throws Exception {
        whereNobodyAccepts(base -> {
            try (var rig = Rig.to(Rig.timeout(Rig.upstream(base), Duration.ofMinutes(1)))) {
                for (int i = 0; i < 4; i++) {
                    rig.fetch(get("/")).subscribe().dispose();
                }

                assertThat(rig.free()).isZero();
                assertThatThrownBy(() -> rig.whole(get("/"))).isInstanceOf(OriginFull.class);
                await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
                assertThat(rig.failures() + rig.successes()).isZero();
            }
        });
    }

    @Test
    void cancellingWhileCollectingClosesTheConnection() throws Exception {
        var head = new CountDownLatch(1);
        try (var server = stopsAfter(LONG_HEAD + "abc"); var rig = Rig.to(server.uri())) {
            Disposable exchange = rig.origin.fetch(get("/"), got -> {
                head.countDown();
                return Intake.COLLECT;
            }).subscribe();
            assertThat(head.await(10, TimeUnit.SECONDS)).isTrue();

            exchange.dispose();

            assertClosed();
            assertThat(rig.free()).isEqualTo(4);
            assertThat(rig.failures() + rig.successes()).isZero();
        }
    }

    @Test
    void cancellingAStreamClosesTheConnection() throws Exception {
        try (var server = stopsAfter(LARGE_HEAD + "abc"); var rig = Rig.to(server.uri())) {
            StepVerifier.create(rig.streaming(get("/")).body().map(Rig::text)).expectNext("abc").thenCancel().verify();

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void discardingAStreamClosesTheConnectionAndMayBeRepeated() throws Exception {
        try (var server = stopsAfter(LARGE_HEAD + "x".repeat(1_000_000)); var rig = Rig.to(server.uri())) {
            Answer.Streaming answer = rig.streaming(get("/"));
            assertThat(rig.free()).isEqualTo(3);

            answer.discard();
            answer.discard();

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
            assertThat(rig.successes()).isEqualTo(1);
        }
    }

    @Test
    void discardingWhatOutgrewTheCollectionClosesTheConnection() throws Exception {
        try (var server = stopsAfter("HTTP/1.1 200 OK\r\n\r\n" + "x".repeat(1_000_000));
                var rig = Rig.to(server.uri())) {
            ((Answer.Streaming) rig.fetch(get("/")).blockOptional(Rig.LONG).orElseThrow()).discard();

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
        }
    }

    @Test
    void cancellingAfterAStreamWasHandedOverDoesNotTouchIt() throws Exception {
        try (var server = ScriptedOrigin.saying(OK); var rig = Rig.to(server.uri())) {
            var answers = new LinkedBlockingQueue<Answer>();
            rig.origin.fetch(get("/"), head -> Intake.STREAM).subscribe(new BaseSubscriber<>() {
                @Override
                protected void hookOnNext(Answer value) {
                    cancel();
                    answers.add(value);
                }
            });

            var answer = (Answer.Streaming) Optional.ofNullable(answers.poll(10, TimeUnit.SECONDS)).orElseThrow();
            assertThat(text(answer.body()).block(Rig.LONG)).isEqualTo("ok");
        }
    }

    /** The answer is on its way through the operators, on the event loop, when the receiver leaves on another thread. */
    @Test
    void leavingThatCrossesTheAnswerGivesItBack() throws Exception {
        try (var server = stopsAfter(LARGE_HEAD); var rig = unhurried(server)) {
            Disposable.Swap receiver = Disposables.swap();
            var passing = new CountDownLatch(1);
            var left = new AtomicBoolean();
            receiver.update(rig.origin.fetch(get("/"), head -> Intake.STREAM).doOnNext(answer -> {
                passing.countDown();
                while (!left.get()) {
                    // Not even Thread.onSpinWait(): BlockHound takes it for blocking.
                }
            }).subscribe());

            assertThat(passing.await(10, TimeUnit.SECONDS)).isTrue();
            receiver.dispose();
            left.set(true);

            assertClosed();
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void discardingWhatHasArrivedLeavesTheConnectionToItsNextExchange() throws Exception {
        var discarded = new CountDownLatch(1);
        var second = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say(OK);
            peer.request();
            second.countDown();
            peer.await(discarded).say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
            peer.untilClosed();
        }); var rig = Rig.to(server.uri())) {
            Answer.Streaming first = rig.streaming(get("/1"));
            Mono<Answer> answer = rig.fetch(get("/2")).cache();
            answer.subscribe();
            assertThat(second.await(10, TimeUnit.SECONDS)).isTrue();

            first.discard();
            first.discard();
            discarded.countDown();

            assertThat(text((Answer.Whole) answer.blockOptional(Rig.LONG).orElseThrow())).isEqualTo("second");
            assertThat(server.connections()).isEqualTo(1);
            assertThat(server.requests()).hasSize(2);
        }
    }

    @Test
    void cancellingAReadOfWhatHasArrivedLeavesTheConnectionToItsNextExchange() throws Exception {
        var cancelled = new CountDownLatch(1);
        var second = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
            peer.request();
            second.countDown();
            peer.await(cancelled).say(OK);
            peer.untilClosed();
        }); var rig = Rig.to(server.uri())) {
            Answer.Streaming first = rig.streaming(get("/1"));

            StepVerifier.create(first.body().map(Rig::text), 1).expectNext("ab").then(() -> {
                Mono<Answer> answer = rig.fetch(get("/2")).cache();
                answer.subscribe();
                this.answer = answer;
                await().until(() -> second.getCount() == 0);
            }).thenCancel().verify();
            cancelled.countDown();

            assertThat(text((Answer.Whole) answer.blockOptional(Rig.LONG).orElseThrow())).isEqualTo("ok");
            assertThat(server.requests()).hasSize(2);
        }
    }

    private Mono<Answer> answer = Mono.never();

    @Test
    void anIntakeThatThrowsEndsTheExchange() throws Exception {
        try (var server = stopsAfter(LONG_HEAD); var rig = Rig.to(server.uri())) {
            StepVerifier.create(rig.origin.fetch(get("/"), head -> {
                throw new IllegalStateException("no idea");
            })).verifyErrorMessage("no idea");

            assertClosed();
            assertThat(rig.free()).isEqualTo(4);
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void closingClosesIdleConnections() throws Exception {
        try (var server = stopsAfter(OK)) {
            try (var rig = Rig.to(server.uri())) {
                rig.whole(get("/"));
                assertThat(closed.getCount()).isEqualTo(1);
            }
            assertClosed();
        }
    }

    // The gate.

    @Test
    void overTheLimitIsRefusedAtOnceAndNothingIsSent() throws Exception {
        try (var server = stopsAfter(LARGE_HEAD); var rig = Rig.to(Rig.concurrency(Rig.upstream(server.uri()), 1))) {
            Answer.Streaming first = rig.streaming(get("/1"));

            StepVerifier.create(rig.fetch(get("/2"))).verifyError(OriginFull.class);

            assertThat(server.requests()).hasSize(1);
            assertThat(rig.failures()).isZero();
            first.discard();
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(1));
        }
    }

    @Test
    void aPlaceIsFreeBeforeTheAnswerIsHeard() throws Exception {
        try (var server = ScriptedOrigin.saying(OK); var rig = Rig.to(Rig.concurrency(Rig.upstream(server.uri()), 1))) {
            Mono<Answer> thousand = rig.fetch(get("/")).repeat(999).last();

            assertThat(text((Answer.Whole) thousand.blockOptional(Rig.LONG).orElseThrow())).isEqualTo("ok");
            assertThat(server.connections()).isEqualTo(1);
        }
    }

    private static final class Hands extends Clock {

        private volatile Instant now = Instant.parse("2026-11-23T00:00:00Z");

        void forward(Duration time) {
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

    private static Rig breaking(ScriptedOrigin server, Hands clock) {
        return Rig.to(Rig.concurrency(Rig.upstream(server.uri()), 1), clock,
                breaking -> breaking.slidingWindowSize(2)
                        .minimumNumberOfCalls(2)
                        .permittedNumberOfCallsInHalfOpenState(1)
                        .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt));
    }

    private static void assertShut(Rig rig, Duration remaining) {
        StepVerifier.create(rig.fetch(get("/")))
                .verifyErrorSatisfies(error -> assertThat(error)
                        .isInstanceOfSatisfying(OriginShut.class,
                                shut -> assertThat(shut.retryAfter()).isEqualTo(remaining)));
    }

    @Test
    void afterTooManyFailuresTheOriginIsNotAskedUntilTheWaitIsOver() throws IOException {
        var clock = new Hands();
        var sick = new AtomicBoolean(true);
        try (var server = new ScriptedOrigin(peer -> {
            while (!peer.request().isEmpty()) {
                peer.say(sick.get() ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" : OK);
                if (sick.get()) {
                    return;
                }
            }
        }); var rig = breaking(server, clock)) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.whole(get("/"))).satisfies(error -> assertReason(error, Reason.CUT_SHORT));
            }
            assertShut(rig, Duration.ofSeconds(10));
            clock.forward(Duration.ofSeconds(4));
            assertShut(rig, Duration.ofSeconds(6));
            assertThat(server.requests()).hasSize(2);

            clock.forward(Duration.ofSeconds(7));
            assertThatThrownBy(() -> rig.whole(get("/"))).satisfies(error -> assertReason(error, Reason.CUT_SHORT));
            assertShut(rig, Duration.ofSeconds(20));

            sick.set(false);
            clock.forward(Duration.ofSeconds(21));
            assertThat(text(rig.whole(get("/")))).isEqualTo("ok");
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void anAnswerIsNoFailureWhateverItsStatus() throws IOException {
        try (var server = ScriptedOrigin.saying("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
                var rig = breaking(server, new Hands())) {
            for (int i = 0; i < 10; i++) {
                assertThat(rig.whole(get("/")).head().status()).isEqualTo(503);
            }
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void aStreamThatBreaksOffIsAFailureThoughItBeganWell() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say(LARGE_HEAD + "abc");
        }); var rig = breaking(server, new Hands())) {
            StepVerifier.create(text(rig.streaming(get("/shop")).body()))
                    .verifyErrorSatisfies(error -> assertReason(error, Reason.CUT_SHORT));

            assertThat(rig.failures()).isEqualTo(1);
            StepVerifier.create(rig.fetch(get("/shop/2"))).verifyError(OriginShut.class);
            rig.streaming(get("/other")).discard();
        }
    }

    /** One endpoint that does not respond is left alone by itself: the others are asked as before. */
    @Test
    void aSilentEndpointDoesNotShutItsRoute() throws Exception {
        try (var server = new ScriptedOrigin(peer -> {
            for (String head = peer.request(); !head.isEmpty(); head = peer.request()) {
                if (head.startsWith("GET /slow")) {
                    peer.untilClosed();
                    return;
                }
                peer.say(OK);
            }
        });
                var rig = Rig.to(Rig.timeout(Rig.upstream(server.uri()), Duration.ofSeconds(1)), new Hands(),
                        breaking -> breaking.slidingWindowSize(4)
                                .minimumNumberOfCalls(2)
                                .permittedNumberOfCallsInHalfOpenState(1)
                                .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt))) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.whole(get("/slow?user=1")))
                        .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
            }

            StepVerifier.create(rig.fetch(get("/slow/2")))
                    .verifyErrorSatisfies(error -> assertThat(((OriginShut) error).retryAfter())
                            .isEqualTo(Duration.ofSeconds(10)));
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
            for (String other : List.of("/", "/page", "/slo")) {
                assertThat(text(rig.whole(get(other)))).isEqualTo("ok");
            }

            rig.breaker.transitionToDisabledState();
            assertThatThrownBy(() -> rig.whole(get("/slow"))).satisfies(error -> assertReason(error, Reason.TIMED_OUT));
            rig.breaker.reset();
            assertThatThrownBy(() -> rig.whole(get("/slow"))).as("nothing is counted after a reset")
                    .satisfies(error -> assertReason(error, Reason.TIMED_OUT));
        }
    }

    /** An origin that cannot be reached is shut for all its endpoints. */
    @Test
    void anOriginThatCannotBeReachedIsShutForAllEndpoints() throws IOException {
        int port;
        try (var socket = new ServerSocket(0)) {
            port = socket.getLocalPort();
        }
        try (var rig = Rig.to(Rig.upstream(URI.create("http://127.0.0.1:" + port)), new Hands(),
                breaking -> breaking.slidingWindowSize(4)
                        .minimumNumberOfCalls(2)
                        .waitIntervalFunctionInOpenState(attempt -> 10_000L * attempt))) {
            assertThatThrownBy(() -> rig.whole(get("/a"))).satisfies(error -> assertReason(error, Reason.UNREACHABLE));
            assertThatThrownBy(() -> rig.whole(get("/b"))).satisfies(error -> assertReason(error, Reason.UNREACHABLE));

            assertShut(rig, Duration.ofSeconds(10));
        }
    }

    /** What comes and is no HTTP counts against the endpoint, and not against its route. */
    @Test
    void aMalformedAnswerDoesNotShutTheRoute() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            boolean bad = peer.request().startsWith("GET /bad");
            peer.say(bad ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" : OK);
        }); var rig = breaking(server, new Hands())) {
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.whole(get("/bad")))
                        .satisfies(error -> assertReason(error, Reason.MALFORMED));
            }
            StepVerifier.create(rig.fetch(get("/bad"))).verifyError(OriginShut.class);
            assertThat(text(rig.whole(get("/good")))).isEqualTo("ok");
        }
    }

    @Test
    void anEndpointIsTheFirstSegmentBelowTheRoutesPath() {
        assertThat(Endpoints.segment("/a/b?c", "/")).isEqualTo("a");
        assertThat(Endpoints.segment("/shop/a/b", "/shop/")).isEqualTo("a");
        assertThat(Endpoints.segment("/shop/a?b/c", "/shop/")).isEqualTo("a");
        assertThat(Endpoints.segment("/shop/", "/shop/")).isEmpty();
        assertThat(Endpoints.segment("/shop", "/shop/")).isEqualTo("shop");
        assertThat(Endpoints.segment("/", "/")).isEmpty();
        assertThat(Endpoints.segment("/" + "x".repeat(5_000), "/")).hasSize(100);
    }

    /** One line for each change of state: who reads the log hears when an origin is left alone, and when it is back. */
    @Test
    void theBreakersStatesAreTold() throws IOException {
        var lines = new ListAppender<ILoggingEvent>();
        Logger logger = (Logger) LoggerFactory.getLogger(Gate.class);
        var clock = new Hands();
        lines.start();
        logger.setLevel(Level.INFO);
        logger.setAdditive(false);
        logger.addAppender(lines);
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say(OK);
        }); var rig = breaking(server, clock)) {
            rig.breaker.transitionToOpenState();
            clock.forward(Duration.ofSeconds(11));
            rig.whole(get("/"));
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
    void whoLeavesWhileTheOriginIsTriedOutMakesRoomForTheNextTry() throws Exception {
        var clock = new Hands();
        try (var server = new ScriptedOrigin(peer -> {
            if (peer.request().startsWith("GET /slow")) {
                asked.countDown();
                peer.untilClosed();
                closed.countDown();
            } else {
                peer.say(OK);
            }
        }); var rig = breaking(server, clock)) {
            rig.breaker.transitionToOpenState();
            clock.forward(Duration.ofSeconds(11));
            Disposable trial = rig.fetch(get("/slow")).subscribe();
            assertThat(asked.await(10, TimeUnit.SECONDS)).isTrue();
            assertShut(rig, Duration.ofSeconds(1));

            trial.dispose();

            assertThat(text(rig.whole(get("/")))).isEqualTo("ok");
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    /** What was sent while the breaker was closed says nothing about the origin that is tried out now. */
    @Test
    void aLateFailureOfAnEarlierFetchDoesNotCountAgainstTheOriginThatIsTriedOut() throws Exception {
        var clock = new Hands();
        var late = new CountDownLatch(1);
        var over = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            String head = peer.request();
            if (head.startsWith("GET /late")) {
                asked.countDown();
                peer.await(late);
            } else if (head.startsWith("GET /trial")) {
                peer.await(over).say(OK);
            }
        });
                var rig = Rig.to(Rig.upstream(server.uri()), clock,
                        breaking -> breaking.slidingWindowSize(2)
                                .minimumNumberOfCalls(2)
                                .permittedNumberOfCallsInHalfOpenState(1)
                                .waitDurationInOpenState(Duration.ofSeconds(10)))) {
            Mono<Answer> earlier = rig.fetch(get("/late")).cache();
            earlier.subscribe(answer -> {}, failure -> {});
            assertThat(asked.await(10, TimeUnit.SECONDS)).isTrue();
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(() -> rig.whole(get("/broken"))).isInstanceOf(OriginFailed.class);
            }
            assertShut(rig, Duration.ofSeconds(10));
            clock.forward(Duration.ofSeconds(11));
            Mono<Answer> trial = rig.fetch(get("/trial")).cache();
            trial.subscribe();
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.HALF_OPEN);

            late.countDown();
            assertThatThrownBy(() -> earlier.block(Rig.LONG)).isInstanceOf(OriginFailed.class);
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.HALF_OPEN);
            over.countDown();

            assertThat(text((Answer.Whole) trial.blockOptional(Rig.LONG).orElseThrow())).isEqualTo("ok");
            assertThat(rig.breaker.getState()).isEqualTo(CircuitBreaker.State.CLOSED);
        }
    }

    @Test
    void aRandomWaitIsToldAsItIs() throws Exception {
        var clock = new Hands();
        try (var server = ScriptedOrigin.saying(OK);
                var rig = Rig.to(Rig.upstream(server.uri()), clock,
                        breaking -> breaking.waitIntervalFunctionInOpenState(new LastInterval(
                                IntervalFunction.ofExponentialRandomBackoff(10_000, 2, 0.9, 60_000))))) {
            rig.breaker.transitionToOpenState();
            var waits = new LinkedBlockingQueue<Duration>();
            StepVerifier.create(rig.fetch(get("/")))
                    .verifyErrorSatisfies(error -> waits.add(((OriginShut) error).retryAfter()));

            clock.forward(waits.remove());
            StepVerifier.create(rig.fetch(get("/"))).verifyError(OriginShut.class);
            clock.forward(Duration.ofMillis(1));
            assertThat(text(rig.whole(get("/")))).isEqualTo("ok");
        }
    }

    @Test
    void whatWouldBlockOrAdmitTooManyIsRefused() {
        Upstream upstream = Rig.upstream(URI.create("http://127.0.0.1:1"));
        var breaker = CircuitBreaker.of("shop", CircuitBreakerConfig.custom()
                .slidingWindow(100, 100, SlidingWindowType.COUNT_BASED, SlidingWindowSynchronizationStrategy.LOCK_FREE)
                .build());
        var names = new OriginNames();
        BulkheadConfig waiting = BulkheadConfig.custom().maxConcurrentCalls(4).maxWaitDuration(SHORT).build();
        BulkheadConfig wide = BulkheadConfig.custom().maxConcurrentCalls(5).build();

        assertThatThrownBy(
                () -> new Origin(upstream, "/", breaker, Bulkhead.of("shop", waiting), names, Clock.systemUTC()))
                .hasMessage("origin shop: its bulkhead must not wait");
        assertThatThrownBy(
                () -> new Origin(upstream, "/", breaker, Bulkhead.of("shop", wide), names, Clock.systemUTC()))
                .hasMessage("origin shop: its bulkhead admits more than concurrency (4)");
        BulkheadConfig right = BulkheadConfig.custom().maxConcurrentCalls(4).build();
        assertThatThrownBy(
                () -> new Origin(upstream, "/", CircuitBreaker.ofDefaults("shop"), Bulkhead.of("shop", right),
                        names, Clock.systemUTC()))
                .hasMessageStartingWith("origin shop: its breaker must count without a lock");
    }

    /** A reader that asks for one piece and leaves. */
    private static final class Passerby extends BaseSubscriber<DataBuffer> {

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
    void leavingAtAnyMomentGivesEverythingBack() throws IOException {
        String small = OK;
        String large = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + "x".repeat(100_000);
        var dropped = new LinkedBlockingQueue<Throwable>();
        Hooks.onErrorDropped(dropped::add);
        try (var server = new ScriptedOrigin(peer -> {
            while (true) {
                String request = peer.request();
                if (request.isEmpty()) {
                    return;
                }
                peer.say(request.contains("small") ? small : large);
            }
        }); var rig = Rig.to(server.uri())) {
            for (int round = 0; round < 2_000; round++) {
                Intake intake = round % 3 == 0 ? Intake.STREAM : Intake.COLLECT;
                String target = round % 2 == 0 ? "/small" : "/large";
                var answered = new CountDownLatch(1);
                Disposable exchange = rig.origin.fetch(get(target), head -> intake).subscribe(answer -> {
                    if (answer instanceof Answer.Streaming stream) {
                        stream.body().subscribe(new Passerby());
                        stream.discard();
                    }
                    answered.countDown();
                }, failure -> answered.countDown());
                for (int i = 0; i < round % 500 && answered.getCount() > 0; i++) {
                    Thread.onSpinWait();
                }
                exchange.dispose();
            }
            await().untilAsserted(() -> assertThat(rig.free()).isEqualTo(4));
            assertThat(rig.failures()).isZero();
            assertThat(text(rig.whole(get("/small")))).isEqualTo("ok");
            assertThat(dropped).isEmpty();
        } finally {
            Hooks.resetOnErrorDropped();
        }
    }
}
