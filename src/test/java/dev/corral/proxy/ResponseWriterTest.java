package dev.corral.proxy;

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
@ProxyTest
class ResponseWriterTest {

    private final FleetUnderTest fleet;

    ResponseWriterTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    // ---- HTTP/1.0: RFC 9112 section 6.1

    private String requestWithHttp10(String method, String path, String... fields) throws IOException {
        try (HttpProbe client = fleet.a.connect()) {
            var head = new StringBuilder(method + " " + path + " HTTP/1.0\r\nHost: a\r\n");
            for (String field : fields) {
                head.append(field).append("\r\n");
            }
            return client.send(head.append("\r\n").toString()).readUntilClosed();
        }
    }

    @ParameterizedTest
    @CsvSource({"GET,no-store", "GET,private", "GET,max-age=600", "POST,max-age=600", "GET,''"})
    void http10ClientGetsNoChunkedBody(String method, String cacheControl) throws IOException {
        String path = fleet.uniquePath("small", "old");
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw(OriginStub.StubExchange.formatHead(200, "Cache-Control", cacheControl,
                    "Transfer-Encoding", "chunked")
                    + "\r\n");
            exchange.writeChunk("hello ");
            exchange.writeChunk("x".repeat(2_000));
            exchange.writeRaw("0\r\n\r\n");
        });

        for (String kept : List.of("X: y", "Connection: keep-alive")) {
            String answer = requestWithHttp10(method, path, kept);

            assertThat(answer).startsWith("HTTP/1.1 200").endsWith("\r\n\r\nhello " + "x".repeat(2_000));
            assertThat(answer.toLowerCase(java.util.Locale.ROOT)).doesNotContain("transfer-encoding")
                    .contains("connection: close");
        }
    }

    @Test
    void http10HeadHasNoTransferEncoding() throws IOException {
        String path = fleet.uniquePath("old-head");
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw(
                    OriginStub.StubExchange.formatHead(200, "Cache-Control", "no-store", "Transfer-Encoding", "chunked")
                            + "\r\n");
            if (exchange.request.method().equals("GET")) {
                exchange.writeChunk("hello");
                exchange.writeRaw("0\r\n\r\n");
            }
        });

        assertThat(requestWithHttp10("HEAD", path).toLowerCase(java.util.Locale.ROOT)).startsWith("http/1.")
                .doesNotContain("transfer-encoding")
                .endsWith("\r\n\r\n");
    }

    @Test
    void http10ClientGetsContentLengthWhenKnown() throws IOException {
        String path = fleet.uniquePath("old-length");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "no-store");

        assertThat(requestWithHttp10("GET", path).toLowerCase(java.util.Locale.ROOT)).contains("content-length: 5")
                .endsWith("hello");
    }

    // ---- Retry-After

    /** It is a number, nobody's secret: also where the words are for one only. */
    @ParameterizedTest
    @CsvSource({"429,''", "503,'Cache-Control: no-store'", "503,'Cache-Control: private'", "503,'Set-Cookie: a=b'",
            "503,''",
            "500,'Vary: *'"})
    void waitersGetTheRetryAfterOfTheError(int status, String field) throws Exception {
        String path = fleet.uniquePath("small", "retry");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            String body = status == 503 && field.isEmpty() ? "x".repeat(3_000) : "busy";
            exchange.writeRaw(
                    "HTTP/1.1 " + status + " Busy\r\nRetry-After: 7\r\n" + (field.isEmpty() ? "" : field + "\r\n")
                            + "Content-Length: " + body.length() + "\r\n\r\n" + body);
        });

        List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(3,
                () -> fleet.a.get(path, "Cookie", "a=b"));
        fleet.a.awaitWaiters(3);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(3);
        fleet.awaitFollower();
        hold.countDown();

        List<HttpProbe.ProbeResponse> answers = HttpProbe.joinAll(near);
        answers.addAll(HttpProbe.joinAll(far));
        assertThat(answers).extracting(HttpProbe.ProbeResponse::status).containsOnly(status);
        assertThat(answers).extracting(answer -> answer.field("Retry-After")).containsOnly("7");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    // ---- Range on what is not stored

    @ParameterizedTest
    @ValueSource(strings = {"max-age=600", "no-store", "private"})
    void rangeOfUnstorableResponseIsForwardedToTheOrigin(String cacheControl) throws IOException {
        String path = fleet.uniquePath("small", "seek");
        String all = "0123456789".repeat(500);
        fleet.origin.on(path, exchange -> {
            if (exchange.request.field("Range").equals("bytes=4990-")) {
                exchange.respond(206, "0123456789", "Content-Range", "bytes 4990-4999/5000", "Cache-Control",
                        cacheControl);
            } else {
                exchange.respond(200, all, "Cache-Control", cacheControl, "Accept-Ranges", "bytes");
            }
        });

        HttpProbe.ProbeResponse cold = fleet.a.get(path, "Range", "bytes=4990-");
        fleet.a.awaitNoFlights();
        HttpProbe.ProbeResponse known = fleet.b.get(path, "Range", "bytes=4990-");

        for (HttpProbe.ProbeResponse answer : List.of(cold, known)) {
            assertThat(answer.status()).isEqualTo(206);
            assertThat(answer.text()).isEqualTo("0123456789");
            assertThat(answer.field("Content-Range")).isEqualTo("bytes 4990-4999/5000");
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
        assertThat(fleet.a.get(path).text()).isEqualTo(all);
    }

    // ---- Date: RFC 9110 section 6.6.1

    @ParameterizedTest
    @CsvSource({"GET,no-store", "GET,private", "GET,max-age=600", "POST,no-store", "OPTIONS,no-store",
            "DELETE,no-store"})
    void missingDateIsAdded(String method, String cacheControl) throws IOException {
        String path = fleet.uniquePath("date");
        fleet.origin.on(path, 200, "x", "Cache-Control", cacheControl);

        assertThat(fleet.a.request(method, path).fields().values("Date")).hasSize(1)
                .allMatch(date -> date.matches("\\w{3}, \\d\\d \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d GMT"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"no-store", "max-age=600"})
    void existingDateIsKept(String cacheControl) throws IOException {
        String path = fleet.uniquePath("dated");
        fleet.origin.on(path, 200, "x", "Cache-Control", cacheControl, "Date", "Mon, 02 Mar 2020 10:00:00 GMT");

        assertThat(fleet.a.get(path).fields().values("Date")).containsExactly("Mon, 02 Mar 2020 10:00:00 GMT");
    }

    @Test
    void problemResponseHasDate() throws IOException {
        assertThat(fleet.a.get("/nowhere").fields().values("Date")).hasSize(1);
    }
}
