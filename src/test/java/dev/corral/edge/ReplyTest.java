package dev.corral.edge;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** What goes out fits the client's version and the part it asked for, and says what everybody may know. */
@EdgeTest
class ReplyTest {

    private final Fleet fleet;

    ReplyTest(Fleet fleet) {
        this.fleet = fleet;
    }

    // ---- HTTP/1.0: RFC 9112 section 6.1

    private String old(String method, String path, String... fields) throws IOException {
        try (Client client = fleet.a.connect()) {
            var head = new StringBuilder(method + " " + path + " HTTP/1.0\r\nHost: a\r\n");
            for (String field : fields) {
                head.append(field).append("\r\n");
            }
            return client.send(head.append("\r\n").toString()).untilClosed();
        }
    }

    @ParameterizedTest
    @CsvSource({"GET,no-store", "GET,private", "GET,max-age=600", "POST,max-age=600", "GET,''"})
    void anOldClientGetsNoChunks(String method, String cacheControl) throws IOException {
        String path = fleet.path("small", "old");
        fleet.origin.on(path, exchange -> {
            exchange.raw(StubOrigin.Exchange.head(200, "Cache-Control", cacheControl, "Transfer-Encoding", "chunked")
                    + "\r\n");
            exchange.chunk("hello ");
            exchange.chunk("x".repeat(2_000));
            exchange.raw("0\r\n\r\n");
        });

        for (String kept : List.of("X: y", "Connection: keep-alive")) {
            String answer = old(method, path, kept);

            assertThat(answer).startsWith("HTTP/1.1 200").endsWith("\r\n\r\nhello " + "x".repeat(2_000));
            assertThat(answer.toLowerCase(java.util.Locale.ROOT)).doesNotContain("transfer-encoding")
                    .contains("connection: close");
        }
    }

    @Test
    void anOldClientsHeadHasNoCoding() throws IOException {
        String path = fleet.path("old-head");
        fleet.origin.on(path, exchange -> {
            exchange.raw(StubOrigin.Exchange.head(200, "Cache-Control", "no-store", "Transfer-Encoding", "chunked")
                    + "\r\n");
            if (exchange.request.method().equals("GET")) {
                exchange.chunk("hello");
                exchange.raw("0\r\n\r\n");
            }
        });

        assertThat(old("HEAD", path).toLowerCase(java.util.Locale.ROOT)).startsWith("http/1.")
                .doesNotContain("transfer-encoding")
                .endsWith("\r\n\r\n");
    }

    @Test
    void anOldClientGetsALengthWhereThereIsOne() throws IOException {
        String path = fleet.path("old-length");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "no-store");

        assertThat(old("GET", path).toLowerCase(java.util.Locale.ROOT)).contains("content-length: 5").endsWith("hello");
    }

    // ---- Retry-After

    /** It is a number, nobody's secret: also where the words are for one only. */
    @ParameterizedTest
    @CsvSource({"429,''", "503,'Cache-Control: no-store'", "503,'Cache-Control: private'", "503,'Set-Cookie: a=b'",
            "503,''",
            "500,'Vary: *'"})
    void whoWaitsIsToldWhenToComeBack(int status, String field) throws Exception {
        String path = fleet.path("small", "retry");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            String body = status == 503 && field.isEmpty() ? "x".repeat(3_000) : "busy";
            exchange.raw("HTTP/1.1 " + status + " Busy\r\nRetry-After: 7\r\n" + (field.isEmpty() ? "" : field + "\r\n")
                    + "Content-Length: " + body.length() + "\r\n\r\n" + body);
        });

        List<Future<Client.Answer>> near = Client.crowd(3, () -> fleet.a.get(path, "Cookie", "a=b"));
        fleet.a.awaitWaiting(3);
        List<Future<Client.Answer>> far = Client.crowd(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(3);
        fleet.awaitFollower();
        hold.countDown();

        List<Client.Answer> answers = Client.join(near);
        answers.addAll(Client.join(far));
        assertThat(answers).extracting(Client.Answer::status).containsOnly(status);
        assertThat(answers).extracting(answer -> answer.field("Retry-After")).containsOnly("7");
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    // ---- Range on what is not stored

    @ParameterizedTest
    @ValueSource(strings = {"max-age=600", "no-store", "private"})
    void aRangeOfWhatWillNotBeStoredIsTheOriginsToCut(String cacheControl) throws IOException {
        String path = fleet.path("small", "seek");
        String all = "0123456789".repeat(500);
        fleet.origin.on(path, exchange -> {
            if (exchange.request.field("Range").equals("bytes=4990-")) {
                exchange.answer(206, "0123456789", "Content-Range", "bytes 4990-4999/5000", "Cache-Control",
                        cacheControl);
            } else {
                exchange.answer(200, all, "Cache-Control", cacheControl, "Accept-Ranges", "bytes");
            }
        });

        Client.Answer cold = fleet.a.get(path, "Range", "bytes=4990-");
        fleet.a.awaitLanded();
        Client.Answer known = fleet.b.get(path, "Range", "bytes=4990-");

        for (Client.Answer answer : List.of(cold, known)) {
            assertThat(answer.status()).isEqualTo(206);
            assertThat(answer.text()).isEqualTo("0123456789");
            assertThat(answer.field("Content-Range")).isEqualTo("bytes 4990-4999/5000");
        }
        assertThat(fleet.origin.count(path)).isEqualTo(3);
        assertThat(fleet.a.get(path).text()).isEqualTo(all);
    }

    // ---- Date: RFC 9110 section 6.6.1

    @ParameterizedTest
    @CsvSource({"GET,no-store", "GET,private", "GET,max-age=600", "POST,no-store", "OPTIONS,no-store",
            "DELETE,no-store"})
    void aDateIsAddedWhereItIsMissing(String method, String cacheControl) throws IOException {
        String path = fleet.path("date");
        fleet.origin.on(path, 200, "x", "Cache-Control", cacheControl);

        assertThat(fleet.a.ask(method, path).fields().all("Date")).hasSize(1)
                .allMatch(date -> date.matches("\\w{3}, \\d\\d \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d GMT"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"no-store", "max-age=600"})
    void aDateIsLeftAsItIs(String cacheControl) throws IOException {
        String path = fleet.path("dated");
        fleet.origin.on(path, 200, "x", "Cache-Control", cacheControl, "Date", "Mon, 02 Mar 2020 10:00:00 GMT");

        assertThat(fleet.a.get(path).fields().all("Date")).containsExactly("Mon, 02 Mar 2020 10:00:00 GMT");
    }

    @Test
    void aProblemOfOurOwnHasADate() throws IOException {
        assertThat(fleet.a.get("/nowhere").fields().all("Date")).hasSize(1);
    }
}
