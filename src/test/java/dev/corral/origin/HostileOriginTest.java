package dev.corral.origin;

import dev.corral.http.HeaderFields;
import dev.corral.origin.OriginFailedException.Reason;
import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Flux;
import reactor.test.StepVerifier;

import static dev.corral.origin.OriginFixture.getRequest;
import static dev.corral.origin.OriginFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** Protocol violations of an origin: each is reported by its kind and affects no other exchange. */
@ExtendWith(LeakGuard.class)
class HostileOriginTest {

    private static final String OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static void expectFailure(Reason reason, ScriptedOrigin.ConnectionScript script) throws IOException {
        try (var server = new ScriptedOrigin(script); var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/"))).isInstanceOfSatisfying(
                    OriginFailedException.class,
                    failure -> assertThat(failure.reason()).isEqualTo(reason));
            assertThat(fixture.freePermits()).isEqualTo(4);
            assertThat(fixture.failures()).isEqualTo(1);
        }
    }

    private static void expectFailure(Reason reason, String response) throws IOException {
        expectFailure(reason, peer -> {
            peer.readRequest();
            peer.write(response);
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", // shorter than its length
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", // nothing of it
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", // no last chunk
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na", // in a chunk
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", // before the trailers' end
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", // before the first chunk
            "HTTP/1.1 200 OK\r\nContent-Le", // in the fields
            "HTTP/1.1 20"}) // in the status line
    void responseThatEndsEarlyIsTruncated(String response) throws IOException {
        expectFailure(Reason.TRUNCATED, response);
    }

    @Test
    void resetMidBodyIsTruncatedEvenWithoutContentLength() throws IOException {
        var begun = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\n\r\nabc");
            peer.await(begun);
            peer.reset();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            StepVerifier
                    .create(fixture.fetchStreaming(getRequest("/"))
                            .body()
                            .map(OriginFixture::text)
                            .doOnNext(piece -> begun.countDown()))
                    .expectNext("abc")
                    .verifyErrorSatisfies(
                            error -> assertThat(((OriginFailedException) error).reason()).isEqualTo(Reason.TRUNCATED));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"HTTP/1.1 OK\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
            "HTTP/1.1 -20 OK\r\n\r\n", "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", // no chunk size
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n", // no end of the chunk
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\0b\r\n\r\nab",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nab"}) // bare line feeds
    void unsafelyFramedResponseIsMalformed(String response) throws IOException {
        expectFailure(Reason.MALFORMED, response);
    }

    @Test
    void endlessResponseFieldsAreMalformed() throws IOException {
        expectFailure(Reason.MALFORMED,
                "HTTP/1.1 200 OK\r\n" + ("X-Long: " + "x".repeat(1000) + "\r\n").repeat(100) + "\r\n");
    }

    @Test
    void endlessStatusLineIsMalformed() throws IOException {
        expectFailure(Reason.MALFORMED, "HTTP/1.1 200 " + "x".repeat(20_000));
    }

    @Test
    void manyFieldsWithinTheLimitAreAccepted() throws IOException {
        try (var server = ScriptedOrigin
                .respondingWith("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + "A: 1\r\n".repeat(10_000) + "\r\n");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThat(fixture.fetchBuffered(getRequest("/")).head().fields().lines()).hasSize(10_001);
        }
    }

    @Test
    void refusedConnectionIsUnreachable() throws IOException {
        var server = ScriptedOrigin.respondingWith(OK);
        server.close();
        try (var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/")))
                    .isInstanceOfSatisfying(OriginFailedException.class, failure -> {
                        assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE);
                        assertThat(failure).hasMessage("origin shop cannot be reached")
                                .hasCauseInstanceOf(IOException.class);
                        assertThat(failure.getStackTrace()).isEmpty();
                    });
            assertThat(fixture.failures()).isEqualTo(1);
        }
    }

    @Test
    void connectionClosedBeforeTheResponseIsUnreachable() throws IOException {
        expectFailure(Reason.UNREACHABLE, ScriptedOrigin.ScriptedConnection::readRequest);
    }

    @Test
    void truncatedStreamedBodyEndsWithAnError() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            StepVerifier.create(text(fixture.fetchStreaming(getRequest("/")).body()))
                    .verifyErrorSatisfies(
                            error -> assertThat(((OriginFailedException) error).reason()).isEqualTo(Reason.TRUNCATED));
            assertThat(fixture.freePermits()).isEqualTo(4);
            assertThat(fixture.failures()).isEqualTo(1);
        }
    }

    @Test
    void streamedBodyWithABadChunkIsMalformed() throws IOException {
        try (var server = ScriptedOrigin
                .respondingWith("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
                var fixture = OriginFixture.forOrigin(server.uri())) {
            StepVerifier.create(text(fixture.fetchStreaming(getRequest("/")).body()))
                    .verifyErrorSatisfies(
                            error -> assertThat(((OriginFailedException) error).reason()).isEqualTo(Reason.MALFORMED));
        }
    }

    @Test
    void closeDelimitedBodyEndsWithTheConnection() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write("HTTP/1.0 200 OK\r\n\r\nall there is");
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("all there is");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
            "HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"})
    void interimResponsesAreSkipped(String interim) throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            while (!peer.readRequest().isEmpty()) {
                peer.write(interim).write(OK);
            }
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 3; i++) {
                OriginResponse.Buffered response = fixture.fetchBuffered(getRequest("/"));
                assertThat(response.head().status()).isEqualTo(200);
                assertThat(response.head().fields().has("Link")).isFalse();
                assertThat(text(response)).isEqualTo("ok");
            }
            assertThat(server.connectionCount()).isEqualTo(1);
        }
    }

    @Test
    void interimResponseInPiecesIsSkipped() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            for (char c : ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK).toCharArray()) {
                peer.write(String.valueOf(c));
            }
            peer.awaitClosed();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"surplus", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", "H"})
    void surplusBytesAreNeverTakenForTheNextResponse(String surplus) throws IOException {
        try (var server = ScriptedOrigin.respondingWith(OK + surplus);
                var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 20; i++) {
                assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");
            }
            assertThat(server.connectionCount()).isEqualTo(20);
        }
    }

    @Test
    void bytesOnAnIdleConnectionCloseIt() throws Exception {
        var closed = new CountDownLatch(1);
        var surplus = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(OK);
            peer.await(surplus);
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
            peer.awaitClosed();
            closed.countDown();
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");

            surplus.countDown();

            assertThat(closed.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void bodyOfAHeadResponseIsNotTakenForTheNextOne() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            while (!peer.readRequest().isEmpty()) {
                peer.write(OK);
            }
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            for (int i = 0; i < 3; i++) {
                OriginResponse.Buffered head = fixture
                        .fetchBuffered(new OriginRequest("HEAD", "/", HeaderFields.EMPTY, Optional.empty()));
                assertThat(head.head().fields().firstValue("Content-Length")).contains("2");
                assertThat(head.body().length()).isZero();
            }
            assertThat(server.connectionCount()).isEqualTo(3);
        }
    }

    /** Public behavior 16. */
    @Test
    void originThatClosesAfterEachResponseCausesNoFailure() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.readRequest();
            peer.write(OK); // and closes without Connection: close
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            Flux<String> texts = Flux.range(0, 500)
                    .flatMap(
                            i -> fixture.fetch(getRequest("/" + i))
                                    .map(response -> text((OriginResponse.Buffered) response)),
                            3);
            StepVerifier.create(texts.distinct()).expectNext("ok").verifyComplete();
            assertThat(server.requests()).hasSize(500);
            assertThat(fixture.failures()).isZero();
        }
    }

    @Test
    void deadPooledConnectionIsRetriedOnANewOne() throws IOException {
        var dead = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            if (peer.readRequest().startsWith("GET /first")) {
                peer.write(OK);
                peer.readRequest(); // reads the second request and closes without a response
            } else {
                dead.countDown();
                peer.write(OK);
            }
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            fixture.fetchBuffered(getRequest("/first"));

            assertThat(text(fixture.fetchBuffered(getRequest("/second")))).isEqualTo("ok");

            assertThat(dead.getCount()).isZero();
            assertThat(server.requests()).hasSize(3);
            assertThat(fixture.failures()).isZero();
        }
    }

    /** Responds only to the warm-up request. */
    private static ScriptedOrigin silentAfterWarmup() {
        return new ScriptedOrigin(peer -> {
            while (peer.readRequest().startsWith("GET /warm")) {
                peer.write(OK);
            }
        });
    }

    @Test
    void getIsRetriedOnlyOnce() throws IOException {
        try (var server = silentAfterWarmup(); var fixture = OriginFixture.forOrigin(server.uri())) {
            fixture.fetchBuffered(getRequest("/warm"));

            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/x"))).isInstanceOfSatisfying(
                    OriginFailedException.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));

            assertThat(server.requests()).filteredOn(request -> request.startsWith("GET /x")).hasSize(2);
            assertThat(fixture.failures()).isEqualTo(1);
            assertThat(fixture.freePermits()).isEqualTo(4);
        }
    }

    @Test
    void getOnANewConnectionIsNotRetried() throws IOException {
        try (var server = silentAfterWarmup(); var fixture = OriginFixture.forOrigin(server.uri())) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/x"))).isInstanceOf(OriginFailedException.class);

            assertThat(server.requests()).hasSize(1);
        }
    }

    @Test
    void postIsNotRetried() throws IOException {
        try (var server = silentAfterWarmup(); var fixture = OriginFixture.forOrigin(server.uri())) {
            fixture.fetchBuffered(getRequest("/warm"));

            assertThatThrownBy(
                    () -> fixture.fetchBuffered(new OriginRequest("POST", "/x", HeaderFields.EMPTY, Optional.empty())))
                    .isInstanceOf(OriginFailedException.class);

            assertThat(server.requests()).filteredOn(request -> request.startsWith("POST /x")).hasSize(1);
        }
    }

    /** Public behavior 16. */
    @Test
    void startedResponseIsNotRetried() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            while (peer.readRequest().startsWith("GET /warm")) {
                peer.write(OK);
            }
            peer.write("H");
        }); var fixture = OriginFixture.forOrigin(server.uri())) {
            fixture.fetchBuffered(getRequest("/warm"));

            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/x"))).isInstanceOfSatisfying(
                    OriginFailedException.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.TRUNCATED));

            assertThat(server.requests()).hasSize(2);
        }
    }
}
