package dev.corral.dev;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(120)
class StampedeTest {

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 10_000})
    void responseIsReadInAnyByteChunks(int step) {
        var reader = new HttpResponseReader();

        assertThat(read(reader, step, """
                HTTP/1.1 200 OK
                content-length: 5
                Age: 1

                hello""")).isTrue();
        assertThat(reader.status()).isEqualTo(200);
        assertThat(reader.body()).asString().isEqualTo("hello");
        assertThat(reader.isClosing()).isFalse();

        assertThat(read(reader, step, """
                HTTP/1.1 103 Early Hints
                Link: </a>

                HTTP/1.1 502 Bad Gateway
                Transfer-Encoding: chunked
                Connection: close

                5;x=y
                hello
                A
                , 0

                all
                0

                """)).isTrue();
        assertThat(reader.status()).isEqualTo(502);
        assertThat(reader.body()).asString().isEqualTo("hello, 0\r\n\r\nall");
        assertThat(reader.isClosing()).isTrue();

        assertThat(read(reader, step, """
                HTTP/1.1 304 Not Modified
                Content-Length: 5

                """)).isTrue();
        assertThat(reader.body()).isEmpty();

        assertThat(read(reader, step, """
                HTTP/1.0 200 OK

                to the end""")).isFalse();
        assertThat(reader.isCompleteAtEndOfStream()).isTrue();
        assertThat(reader.body()).asString().isEqualTo("to the end");

        assertThat(read(reader, step, """
                HTTP/1.1 200 OK
                Content-Length: 5

                hell""")).isFalse();
        assertThat(reader.isCompleteAtEndOfStream()).isFalse();
    }

    @Test
    void everyStampedeClientSendsOneTimedRequest() {
        try (DemoShop shop = DemoShop.start(Duration.ofMillis(60));
                DemoShop other = DemoShop.start(Duration.ofMillis(60));
                StampedeClients crowd = StampedeClients.connect(101, List.of(shop.port(), other.port()))) {
            List<TimedResponse> replies = crowd.requestAtOnce("/products/1");

            assertThat(replies).hasSize(101).allSatisfy(reply -> {
                assertThat(reply.status()).isEqualTo(200);
                assertThat(reply.field("etag")).isPresent();
                assertThat(reply.body()).contains("\"id\": \"1\"");
                assertThat(reply.elapsed()).isBetween(Duration.ofMillis(60), Duration.ofSeconds(20));
            });
            assertThat(shop.count("/products/1")).isEqualTo(51);
            assertThat(other.count("/products/1")).isEqualTo(50);
        }
    }

    @Test
    void brokenConnectionIsReopenedForNextRound() {
        try (DemoShop shop = DemoShop.start(Duration.ZERO);
                StampedeClients crowd = StampedeClients.connect(7, List.of(shop.port()))) {
            shop.script("/gone", request -> Mono.error(new IOException("scripted")));

            assertThat(crowd.requestAtOnce("/gone")).hasSize(7)
                    .allMatch(reply -> reply.status() == TimedResponse.NO_RESPONSE);
            assertThat(crowd.requestAtOnce("/private/1")).hasSize(7).allMatch(reply -> reply.status() == 200);
        }
    }

    @Test
    void roundComputesPercentilesStatusesAndBodies() {
        StampedeRound round = StampedeRound.of(IntStream.rangeClosed(1, 100)
                .mapToObj(i -> new TimedResponse(i <= 98 ? 200 : 503, "", i <= 98 ? "same" : "busy",
                        Duration.ofMillis(i)))
                .toList(), 2);

        assertThat(round.percentile(50).toMillis()).isEqualTo(50);
        assertThat(round.percentile(99).toMillis()).isEqualTo(99);
        assertThat(round.max().toMillis()).isEqualTo(100);
        assertThat(round.statusLine()).isEqualTo("200 x 98, 503 x 2");
        assertThat(round.bodies()).isEqualTo(2);
    }

    @Test
    void verdictListsEveryFault() {
        StampedeRound good = StampedeRound.of(Collections.nCopies(3, reply(200, "a")), 1);
        StampedeRound twice = StampedeRound.of(Collections.nCopies(3, reply(200, "a")), 2);
        StampedeRound many = StampedeRound.of(2, List.of(reply(200, "a"), reply(200, "a"), reply(200, "b")), 2);
        StampedeRound mixed = StampedeRound.of(2, List.of(reply(200, "a"), reply(200, "a"), reply(200, "a")), 3);
        StampedeRound failed = StampedeRound.of(List.of(reply(200, "a"), reply(200, "a"), reply(503, "a")), 1);
        StampedeRound torn = StampedeRound.of(List.of(reply(200, "a"), reply(200, "a"), reply(200, "b")), 1);
        StampedeRound own = StampedeRound.of(List.of(reply(200, "a"), reply(200, "b"), reply(200, "c")), 3);

        assertThat(StampedeVerdict
                .faults(List.of(scenario(StampedeVerdict.ON, good), scenario(StampedeVerdict.PRIVATE_FIRST, own),
                        scenario(StampedeVerdict.OFF, twice, failed), scenario(StampedeVerdict.DIRECT, twice))))
                .isEmpty();
        assertThat(StampedeVerdict.faults(List.of(scenario(StampedeVerdict.ON, twice, failed, torn, good),
                scenario(StampedeVerdict.MANY, many, mixed), scenario(StampedeVerdict.PRIVATE_AGAIN, torn))))
                .containsExactly(
                        "on, round 1: 2 origin requests for one key",
                        "on, round 2: statuses 200 x 2, 503 x 1",
                        "on, round 3: 2 different bodies for one key",
                        "many, round 2: 3 origin requests for 2 keys",
                        "many, round 2: 1 different bodies for 2 keys",
                        "private-again, round 1: only 2 different private bodies for 3 clients");
    }

    @Test
    void fleetWithDuplicateFetchesIsReported(@TempDir Path directory) throws Exception {
        var plan = new StampedePlan(40, 1, 2, 10, 6, 4, Duration.ofMillis(100), Duration.ofMillis(100),
                Duration.ofMillis(50),
                Path.of("none.jar"), List.of("-Xmx64m"), directory.resolve("stampede/report.html"));

        var terminal = new ByteArrayOutputStream();

        boolean right = Stampede.run(plan,
                ReplicaProcess.mainClass(StubReplica.class, "-Xmx64m", "-XX:TieredStopAtLevel=1"),
                new StampedeConsole(new PrintStream(terminal, true, StandardCharsets.UTF_8)));

        assertThat(right).isFalse();
        assertThat(terminal.toString(StandardCharsets.UTF_8))
                .contains("FAULT  Corral, round 1: 2 origin requests for one key",
                        "FAULT  Corral, many keys, round 1: 12 origin requests for 6 keys")
                .containsPattern("off +1 +40 +\\d+ +\\d+ +\\d+ +200 x 40");
        assertThat(directory.resolve("stampede/faults.txt")).hasContent("""
                Corral, round 1: 2 origin requests for one key
                Corral, many keys, round 1: 12 origin requests for 6 keys
                """);
        assertThat(Files.readString(plan.report()))
                .contains("\"faults\":[\"Corral, round 1: 2 origin requests for one key\","
                        + "\"Corral, many keys, round 1: 12 origin requests for 6 keys\"]")
                .contains("\"answers\":\"200 x 40\"")
                .doesNotContain("/*DATA*/", "/*CHARTS*/", "sourceMappingURL");
    }

    private static boolean read(HttpResponseReader reader, int step, String lines) {
        reader.reset();
        byte[] bytes = lines.replace("\n", "\r\n").getBytes(StandardCharsets.US_ASCII);
        boolean complete = false;
        for (int at = 0; at < bytes.length; at += step) {
            assertThat(complete).isFalse();
            complete = reader.append(ByteBuffer.wrap(bytes, at, Math.min(step, bytes.length - at)));
        }
        return complete;
    }

    private static TimedResponse reply(int status, String body) {
        return new TimedResponse(status, "", body, Duration.ofMillis(1));
    }

    private static StampedeScenario scenario(String id, StampedeRound... rounds) {
        return new StampedeScenario(id, id, "", List.of(rounds));
    }
}
