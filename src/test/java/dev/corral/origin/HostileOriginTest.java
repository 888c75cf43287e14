package dev.corral.origin;

import dev.corral.http.Fields;
import dev.corral.origin.OriginFailed.Reason;
import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Flux;
import reactor.test.StepVerifier;

import static dev.corral.origin.Rig.get;
import static dev.corral.origin.Rig.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** What an origin may do that it should not: each is named for what it is, and hurts no other exchange. */
@Timeout(30)
@ExtendWith(LeakFree.class)
class HostileOriginTest {

    private static final String OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static void expect(Reason reason, ScriptedOrigin.Script script) throws IOException {
        try (var server = new ScriptedOrigin(script); var rig = Rig.to(server.uri())) {
            assertThatThrownBy(() -> rig.whole(get("/"))).isInstanceOfSatisfying(OriginFailed.class,
                    failure -> assertThat(failure.reason()).isEqualTo(reason));
            assertThat(rig.free()).isEqualTo(4);
            assertThat(rig.failures()).isEqualTo(1);
        }
    }

    private static void expect(Reason reason, String answer) throws IOException {
        expect(reason, peer -> {
            peer.request();
            peer.say(answer);
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
    void anAnswerThatEndsEarlyIsCutShort(String answer) throws IOException {
        expect(Reason.CUT_SHORT, answer);
    }

    @Test
    void aResetInTheMiddleIsCutShortEvenWhereNoLengthIsDeclared() throws IOException {
        var begun = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\n\r\nabc");
            peer.await(begun);
            peer.reset();
        }); var rig = Rig.to(server.uri())) {
            StepVerifier.create(rig.streaming(get("/")).body().map(Rig::text).doOnNext(piece -> begun.countDown()))
                    .expectNext("abc")
                    .verifyErrorSatisfies(
                            error -> assertThat(((OriginFailed) error).reason()).isEqualTo(Reason.CUT_SHORT));
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
    void whatIsNotSafelyFramedHttpIsMalformed(String answer) throws IOException {
        expect(Reason.MALFORMED, answer);
    }

    @Test
    void fieldsWithoutEndAreMalformed() throws IOException {
        expect(Reason.MALFORMED, "HTTP/1.1 200 OK\r\n" + ("X-Long: " + "x".repeat(1000) + "\r\n").repeat(100) + "\r\n");
    }

    @Test
    void aStatusLineWithoutEndIsMalformed() throws IOException {
        expect(Reason.MALFORMED, "HTTP/1.1 200 " + "x".repeat(20_000));
    }

    @Test
    void manyFieldsWithinTheLimitPass() throws IOException {
        try (var server = ScriptedOrigin
                .saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + "A: 1\r\n".repeat(10_000) + "\r\n");
                var rig = Rig.to(server.uri())) {
            assertThat(rig.whole(get("/")).head().fields().lines()).hasSize(10_001);
        }
    }

    @Test
    void aClosedDoorIsUnreachable() throws IOException {
        var server = ScriptedOrigin.saying(OK);
        server.close();
        try (var rig = Rig.to(server.uri())) {
            assertThatThrownBy(() -> rig.whole(get("/"))).isInstanceOfSatisfying(OriginFailed.class, failure -> {
                assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE);
                assertThat(failure).hasMessage("origin shop cannot be reached").hasCauseInstanceOf(IOException.class);
                assertThat(failure.getStackTrace()).isEmpty();
            });
            assertThat(rig.failures()).isEqualTo(1);
        }
    }

    @Test
    void aConnectionClosedWithoutAWordIsUnreachable() throws IOException {
        expect(Reason.UNREACHABLE, ScriptedOrigin.Peer::request);
    }

    @Test
    void aStreamedBodyThatIsCutShortEndsWithAnError() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        }); var rig = Rig.to(server.uri())) {
            StepVerifier.create(text(rig.streaming(get("/")).body()))
                    .verifyErrorSatisfies(
                            error -> assertThat(((OriginFailed) error).reason()).isEqualTo(Reason.CUT_SHORT));
            assertThat(rig.free()).isEqualTo(4);
            assertThat(rig.failures()).isEqualTo(1);
        }
    }

    @Test
    void aStreamedBodyWithABadChunkEndsAsMalformed() throws IOException {
        try (var server = ScriptedOrigin
                .saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
                var rig = Rig.to(server.uri())) {
            StepVerifier.create(text(rig.streaming(get("/")).body()))
                    .verifyErrorSatisfies(
                            error -> assertThat(((OriginFailed) error).reason()).isEqualTo(Reason.MALFORMED));
        }
    }

    @Test
    void aBodyWithoutLengthEndsWithTheConnection() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say("HTTP/1.0 200 OK\r\n\r\nall there is");
        }); var rig = Rig.to(server.uri())) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("all there is");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
            "HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"})
    void interimAnswersAreSwallowed(String interim) throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            while (!peer.request().isEmpty()) {
                peer.say(interim).say(OK);
            }
        }); var rig = Rig.to(server.uri())) {
            for (int i = 0; i < 3; i++) {
                Answer.Whole answer = rig.whole(get("/"));
                assertThat(answer.head().status()).isEqualTo(200);
                assertThat(answer.head().fields().has("Link")).isFalse();
                assertThat(text(answer)).isEqualTo("ok");
            }
            assertThat(server.connections()).isEqualTo(1);
        }
    }

    @Test
    void anInterimAnswerThatArrivesInPiecesIsSwallowed() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            for (char c : ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK).toCharArray()) {
                peer.say(String.valueOf(c));
            }
            peer.untilClosed();
        }); var rig = Rig.to(server.uri())) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("ok");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"surplus", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", "H"})
    void bytesAfterAnAnswerAreNeverTakenForTheNext(String surplus) throws IOException {
        try (var server = ScriptedOrigin.saying(OK + surplus); var rig = Rig.to(server.uri())) {
            for (int i = 0; i < 20; i++) {
                assertThat(text(rig.whole(get("/")))).isEqualTo("ok");
            }
            assertThat(server.connections()).isEqualTo(20);
        }
    }

    @Test
    void bytesThatComeWhileAConnectionIdlesCloseIt() throws Exception {
        var closed = new CountDownLatch(1);
        var surplus = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say(OK);
            peer.await(surplus);
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
            peer.untilClosed();
            closed.countDown();
        }); var rig = Rig.to(server.uri())) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("ok");

            surplus.countDown();

            assertThat(closed.await(10, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void aBodyToHeadIsNotTakenForTheNextAnswer() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            while (!peer.request().isEmpty()) {
                peer.say(OK);
            }
        }); var rig = Rig.to(server.uri())) {
            for (int i = 0; i < 3; i++) {
                Answer.Whole head = rig
                        .whole(new Outgoing("HEAD", "/", Fields.NONE, Optional.empty()));
                assertThat(head.head().fields().first("Content-Length")).contains("2");
                assertThat(head.body().length()).isZero();
            }
            assertThat(server.connections()).isEqualTo(3);
        }
    }

    /** Public behaviour 16. */
    @Test
    void aConnectionThatIsClosedAfterEachAnswerNeverShows() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            peer.request();
            peer.say(OK); // and closes, with no word of it in the fields
        }); var rig = Rig.to(server.uri())) {
            Flux<String> texts = Flux.range(0, 500)
                    .flatMap(i -> rig.fetch(get("/" + i)).map(answer -> text((Answer.Whole) answer)), 3);
            StepVerifier.create(texts.distinct()).expectNext("ok").verifyComplete();
            assertThat(server.requests()).hasSize(500);
            assertThat(rig.failures()).isZero();
        }
    }

    @Test
    void aPooledConnectionFoundDeadIsRetriedOnANewOne() throws IOException {
        var dead = new CountDownLatch(1);
        try (var server = new ScriptedOrigin(peer -> {
            if (peer.request().startsWith("GET /first")) {
                peer.say(OK);
                peer.request(); // reads the second request, and closes without an answer
            } else {
                dead.countDown();
                peer.say(OK);
            }
        }); var rig = Rig.to(server.uri())) {
            rig.whole(get("/first"));

            assertThat(text(rig.whole(get("/second")))).isEqualTo("ok");

            assertThat(dead.getCount()).isZero();
            assertThat(server.requests()).hasSize(3);
            assertThat(rig.failures()).isZero();
        }
    }

    /** Answers what is warming up and nothing else. */
    private static ScriptedOrigin deafOnceWarm() {
        return new ScriptedOrigin(peer -> {
            while (peer.request().startsWith("GET /warm")) {
                peer.say(OK);
            }
        });
    }

    @Test
    void aGetIsSentAtMostTwice() throws IOException {
        try (var server = deafOnceWarm(); var rig = Rig.to(server.uri())) {
            rig.whole(get("/warm"));

            assertThatThrownBy(() -> rig.whole(get("/x"))).isInstanceOfSatisfying(OriginFailed.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));

            assertThat(server.requests()).filteredOn(request -> request.startsWith("GET /x")).hasSize(2);
            assertThat(rig.failures()).isEqualTo(1);
            assertThat(rig.free()).isEqualTo(4);
        }
    }

    @Test
    void aGetOnAFreshConnectionIsSentOnce() throws IOException {
        try (var server = deafOnceWarm(); var rig = Rig.to(server.uri())) {
            assertThatThrownBy(() -> rig.whole(get("/x"))).isInstanceOf(OriginFailed.class);

            assertThat(server.requests()).hasSize(1);
        }
    }

    @Test
    void aPostIsSentOnce() throws IOException {
        try (var server = deafOnceWarm(); var rig = Rig.to(server.uri())) {
            rig.whole(get("/warm"));

            assertThatThrownBy(() -> rig.whole(new Outgoing("POST", "/x", Fields.NONE, Optional.empty())))
                    .isInstanceOf(OriginFailed.class);

            assertThat(server.requests()).filteredOn(request -> request.startsWith("POST /x")).hasSize(1);
        }
    }

    /** Public behaviour 16. */
    @Test
    void anAnswerThatBeganIsNotAskedForAgain() throws IOException {
        try (var server = new ScriptedOrigin(peer -> {
            while (peer.request().startsWith("GET /warm")) {
                peer.say(OK);
            }
            peer.say("H");
        }); var rig = Rig.to(server.uri())) {
            rig.whole(get("/warm"));

            assertThatThrownBy(() -> rig.whole(get("/x"))).isInstanceOfSatisfying(OriginFailed.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.CUT_SHORT));

            assertThat(server.requests()).hasSize(2);
        }
    }
}
