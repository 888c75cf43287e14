package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Requests that two servers in a row could read differently, and others that are no HTTP: each gets a clear 4xx and the end of its
 * connection, none becomes two, and nobody else notices.
 */
@ProxyTest
class RequestSmugglingTest {

    /** Stands for the path of the request, and for the request that is smuggled behind it. */
    private static final String SMUGGLED = "SMUGGLED";

    private final FleetUnderTest fleet;

    RequestSmugglingTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    private static String post(String fields, String body) {
        return "POST /path HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n\r\n" + body + SMUGGLED;
    }

    private static String get(String fields) {
        return "GET /path HTTP/1.1\r\n" + fields + "\r\n\r\n" + SMUGGLED;
    }

    static Stream<String> framings() {
        String chunks = "0\r\n\r\n";
        return Stream.of(
                post("Content-Length: 5\r\nTransfer-Encoding: chunked", chunks),
                post("Transfer-Encoding: chunked\r\nContent-Length: 5", chunks),
                post("Transfer-Encoding: chunked\r\nContent-Length: 0", chunks),
                get("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"),
                post("Content-Length: 0\r\nContent-Length: 5", ""),
                post("Content-Length: 5\r\nContent-Length: 0", "12345"),
                post("Content-Length: 0\r\nContent-Length: 0", ""),
                post("Content-Length: 0, 5", ""),
                post("Content-Length: 0,0", ""),
                post("Content-Length: -1", ""),
                post("Content-Length: +0", ""),
                post("Content-Length: 0x0", ""),
                post("Content-Length: 0 0", ""),
                post("Content-Length:\r\n 0", ""),
                post("Content-Length:", ""),
                post("Content-Length: 99999999999999999999", ""),
                post("Transfer-Encoding: identity", ""),
                post("Transfer-Encoding: gzip", ""),
                post("Transfer-Encoding: gzip, chunked", chunks),
                post("Transfer-Encoding: chunked, gzip", chunks),
                post("Transfer-Encoding: chunked, chunked", chunks),
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunks),
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", chunks),
                post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", chunks),
                post("Transfer-Encoding: xchunked", chunks),
                post("Transfer-Encoding: \"chunked\"", chunks),
                post("Transfer-Encoding: chunked;q=1", chunks),
                post("Transfer-Encoding: \u000bchunked", chunks),
                post("Transfer-Encoding: chun\r\n ked", chunks),
                post("Transfer-Encoding:", ""),
                post("Transfer-Encoding : chunked", chunks),
                post(" Transfer-Encoding: chunked", chunks),
                post("Transfer-Encoding\r\n: chunked", chunks),
                "POST /path HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED);
    }

    @ParameterizedTest
    @MethodSource("framings")
    void ambiguousBodyLengthIsRejected(String raw) throws IOException {
        assertRejected(raw);
    }

    @ParameterizedTest
    @ValueSource(strings = {"X-A: b\0c", "X\0A: b", "X-A: b\rc", "X-A: b\rTransfer-Encoding: chunked", "X-A: b\u0001c",
            "X-A: b\u007fc", ": b", "no colon", "X A: b", "X-A : b", "X(A): b", "X\u00e9: b"})
    void malformedHeaderFieldIsRejected(String field) throws IOException {
        assertRejected(get("Host: a\r\n" + field));
        assertRejected(get(field + "\r\nHost: a"));
    }

    /** RFC 9112 section 3.2. */
    @ParameterizedTest
    @ValueSource(strings = {"X: no host", "Host: a\r\nHost: a", "Host: a\r\nhost: b", "Host: a, b", "Host: a b",
            "Host: a\r\n b",
            "Host: a/b", "Host: a?b", "Host: a#b", "Host: user@a", "Host: http://a", "Host: a:port", "Host: a:",
            "Host: a:1:2",
            "Host: [::1", "Host: a\\b", "Host: <a>", "Host: \u00e9", "Host: sho%70.example", "Host: a%00", "Host: a,b",
            "Host: a;b", "Host: a=b", "Host: (a)", "Host: a:65536", "Host: a:000080", "Host: a:-1"})
    void invalidHostIsRejected(String fields) throws IOException {
        assertRejected(get(fields));
    }

    /** The longest line is 16 KB, all fields together are 18 KB. */
    @Test
    void oversizedRequestHeadIsRejected() throws IOException {
        assertThat(assertRejected("GET /path?" + "x".repeat(20_000) + " HTTP/1.1\r\nHost: a\r\n\r\n"))
                .startsWith("414");
        assertThat(assertRejected(get("Host: a\r\nX-A: " + "x".repeat(20_000)))).startsWith("431");
        assertThat(assertRejected(get("Host: a\r\n" + "A: 1\r\n".repeat(10_000) + "B: 1"))).startsWith("431");
        assertThat(assertRejected(get("Host: a\r\n" + "x".repeat(20_000) + ": 1"))).startsWith("431");
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET /path\r\n\r\nSMUGGLED", "GET /path HTTP/2.0\r\nHost: a\r\n\r\nSMUGGLED",
            "GET /path HTTP/9.9\r\nHost: a\r\n\r\nSMUGGLED", "GET /path HTTP/1.2\r\nHost: a\r\n\r\nSMUGGLED",
            "GET /path HTTP/0.9\r\nHost: a\r\n\r\nSMUGGLED", "GET /path XYZ/1.1\r\nHost: a\r\n\r\nSMUGGLED",
            "G(T /path HTTP/1.1\r\nHost: a\r\n\r\nSMUGGLED", "GET /path HTTP/1.1\nHost: a\n\nSMUGGLED",
            "GET /path HTTP/1.1\r\nHost: a\n\r\nSMUGGLED", "GET /path HTTP/1.1\r\n Host: a\r\n\r\nSMUGGLED",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nSMUGGLED",
            "\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\u0003\u0003\r\n",
            "GET http://user@a/path HTTP/1.1\r\nHost: a\r\n\r\nSMUGGLED",
            "GET ftp://a/path HTTP/1.1\r\nHost: a\r\n\r\nSMUGGLED",
            "GET http:///path HTTP/1.1\r\nHost: a\r\n\r\nSMUGGLED"})
    void malformedRequestLineIsRejected(String raw) throws IOException {
        assertRejected(raw);
    }

    /** RFC 9112 section 3: one blank, and no other white space; section 2.2: only empty lines may stand before it. */
    @ParameterizedTest
    @ValueSource(strings = {"GET  /path HTTP/1.1", "GET /path  HTTP/1.1", "GET /path HTTP/1.1 ", "GET\t/path HTTP/1.1",
            "GET /path\tHTTP/1.1", "GET\u000b/path HTTP/1.1", "GET\f/path HTTP/1.1", "GET /path\rHTTP/1.1",
            "GET /path HTTP/1.1\r", "GET /path\u0000 HTTP/1.1", "GET /path\u007f HTTP/1.1", "GET /a /path HTTP/1.1",
            " GET /path HTTP/1.1", "\tGET /path HTTP/1.1", "\0GET /path HTTP/1.1", "\u0001GET /path HTTP/1.1",
            "\u007fGET /path HTTP/1.1", "\u0085GET /path HTTP/1.1", "\u000bGET /path HTTP/1.1", "\nGET /path HTTP/1.1",
            "\rGET /path HTTP/1.1", "\r\n GET /path HTTP/1.1", "\r\n\0GET /path HTTP/1.1", "\r\r\nGET /path HTTP/1.1",
            "\n\r\nGET /path HTTP/1.1", "GET", "GET ", " ", "\0\0\0\0", "/path HTTP/1.1"})
    void aLineThatOthersReadDifferentlyIsRefused(String line) throws IOException {
        String rest = "\r\nHost: a\r\n\r\nSMUGGLED";
        assertThat(assertRejected(line + rest)).contains("application/problem+json", "bad-request");
        // Wherever the first request ends.
        for (String before : List.of("Content-Length: 5\r\n\r\nhello", "Content-Length: 0\r\n\r\n", "\r\n",
                "Transfer-Encoding: chunked\r\n\r\n5\r\n\r\n\r\n\n\r\n0\r\n\r\n",
                "Transfer-Encoding: chunked\r\n\r\n0\r\nX-T: y\r\n\r\n")) {
            assertBehindIsRefused(before, line + rest);
        }
    }

    private void assertBehindIsRefused(String before, String raw) throws IOException {
        String first = fleet.uniquePath("first");
        String refused = fleet.uniquePath("refused");
        fleet.origin.on(first, 200, "first", "Cache-Control", "no-store");
        try (HttpProbe client = fleet.a.connect()) {
            client.send("POST " + first + " HTTP/1.1\r\nHost: a\r\n" + before + raw.replace("/path", refused));

            assertThat(client.read().text()).isEqualTo("first");
            assertThat(client.read().reason()).isEqualTo("bad-request");
            assertThat(client.isClosed()).isTrue();
        }
        assertThat(fleet.origin.requestCount(refused)).isZero();
    }

    /** Old clients send one behind the body of a POST. */
    @Test
    void emptyLinesBeforeARequestAreSkipped() throws IOException {
        String path = fleet.uniquePath("empty-lines");
        fleet.origin.on(path, exchange -> exchange.respond(200, "got " + exchange.bodyText()));
        try (HttpProbe client = fleet.a.connect()) {
            for (String body : List.of("", "Content-Length: 1\r\n\r\nx",
                    "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")) {
                client.send("\r\n\r\nPOST " + path + " HTTP/1.1\r\nHost: a\r\n" + (body.isEmpty() ? "\r\n" : body));
                assertThat(client.read().text()).isEqualTo(body.isEmpty() ? "got " : "got x");
            }
        }
    }

    /** However the bytes are cut by the network. */
    @Test
    void aRequestThatComesByteByByteIsServed() throws IOException {
        String path = fleet.uniquePath("bytes");
        fleet.origin.on(path, exchange -> exchange.respond(200, "got " + exchange.bodyText()));
        try (HttpProbe client = fleet.a.connect()) {
            String all = "\r\nPOST " + path
                    + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\n\r\n\r\n0\r\n\r\n";
            for (String piece : (all + all).split("", -1)) {
                client.send(piece);
            }
            assertThat(client.read().text()).isEqualTo("got \n\r\n");
            assertThat(client.read().text()).isEqualTo("got \n\r\n");
        }
    }

    /** The body had begun, and so had the request to the origin: that is broken off, and the rest is nobody's. */
    @ParameterizedTest
    @ValueSource(strings = {"zz\r\n\r\n", "-1\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "10000000000000000\r\n",
            "1\r\naXX0\r\n\r\n",
            "1\na\n0\n\n", "1;x\na\r\n0\r\n\r\n", "1\r\na\r\n0\r\nX(A): b\r\n\r\n", "1\r\na\r\n0\r\nX-A: b\0c\r\n\r\n"})
    void malformedChunkIsRejected(String chunks) throws IOException {
        for (String method : List.of("POST", "GET", "M-SEARCH")) {
            String path = fleet.uniquePath("chunk");
            String behind = fleet.uniquePath("behind");
            fleet.origin.on(path, exchange -> exchange.respond(200, "got " + exchange.bodyText()));
            try (HttpProbe client = fleet.a.connect()) {
                String seen = client.send(method + " " + path
                        + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + request(behind))
                        .readUntilClosed();

                assertThat(seen).startsWith("HTTP/1.1 400 ").containsOnlyOnce("HTTP/1.1 ");
                assertThat(seen).contains("application/problem+json", "\"reason\":\"request-body-mismatch\"")
                        .containsIgnoringCase("connection: close");
            }
            assertThat(fleet.origin.requestCount(behind)).isZero();
            assertNextRequestIsServed();
        }
    }

    private static final String CHUNKED = " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    @Test
    void aBadChunkIsCountedAsARefusal() throws IOException {
        String path = fleet.uniquePath("counted", "chunk");
        fleet.origin.on(path, exchange -> exchange.respond(200, "got " + exchange.bodyText()));
        long before = fleet.a.requestCount("counted", "rejected");
        try (HttpProbe client = fleet.a.connect()) {
            client.send("POST " + path + CHUNKED + "1\r\na\r\nzz\r\n").readUntilClosed();
        }
        ReplicaUnderTest.eventually(() -> fleet.a.requestCount("counted", "rejected") == before + 1);
    }

    @Test
    void aBadChunkEndsAResponseThatHasBegun() throws Exception {
        String path = fleet.uniquePath("early");
        var ended = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw(
                    OriginStub.StubExchange.formatHead(200, "Content-Length", "1000", "Cache-Control", "no-store")
                            + "\r\nfirst words");
            exchange.awaitClosed();
            ended.countDown();
        });
        try (HttpProbe client = fleet.a.connect()) {
            client.send("POST " + path + CHUNKED + "1\r\na\r\n").readUntil("first words");

            assertThat(client.send("zz\r\n").readUntilClosed()).isEmpty();
        }
        assertThat(ended.await(10, TimeUnit.SECONDS)).as("the origin is let go").isTrue();
    }

    /** An origin may answer before it has read the body. */
    @Test
    void aBadChunkBehindAResponseEndsTheConnectionWithoutASecondOne() throws IOException {
        String path = fleet.uniquePath("done");
        fleet.origin.on(path, exchange -> exchange.respond(200, "all of it"));
        for (String target : List.of(path, "/nowhere")) {
            try (HttpProbe client = fleet.a.connect()) {
                client.send("POST " + target + CHUNKED + "1\r\na\r\n");
                assertThat(client.read().status()).isIn(200, 404);

                assertThat(client.send("zz\r\n" + request(path)).readUntilClosed()).isEmpty();
            }
        }
    }

    /** Only the request whose body it is, and what comes behind it. */
    @Test
    void aBadChunkDoesNotConcernTheRequestsBeforeIt() throws Exception {
        String slow = fleet.uniquePath("slow");
        String path = fleet.uniquePath("behind");
        var hold = new CountDownLatch(1);
        fleet.origin.on(slow, exchange -> {
            String text = exchange.bodyText();
            hold.await();
            exchange.respond(200, "got " + text, "Cache-Control", "no-store");
        });
        fleet.origin.on(path, exchange -> exchange.respond(200, "got " + exchange.bodyText()));
        try (HttpProbe client = fleet.a.connect()) {
            client.send("POST " + slow + CHUNKED + "1\r\nb\r\n0\r\n\r\nPOST " + path + CHUNKED + "1\r\na\r\nzz\r\n"
                    + request(path));
            ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(slow) == 1);
            hold.countDown();

            HttpProbe.ProbeResponse first = client.read();
            assertThat(first.text()).isEqualTo("got b");
            assertThat(first.fields().has("Connection")).isFalse();
            assertThat(client.read().reason()).isEqualTo("request-body-mismatch");
            assertThat(client.isClosed()).isTrue();
        }
        assertThat(fleet.origin.requestCount(path)).isLessThan(2);
    }

    /** RFC 9112 section 7.1.1 and 7.1.2: none of it goes on to the origin. */
    @Test
    void chunkExtensionsAndTrailersAreDropped() throws IOException {
        String path = fleet.uniquePath("chunks");
        fleet.origin.on(path, exchange -> exchange.respond(200, "got " + exchange.bodyText()));
        try (HttpProbe client = fleet.a.connect()) {
            HttpProbe.ProbeResponse answer = client.request("POST", path, "Transfer-Encoding", "Chunked")
                    .send("1;x=y\r\na\r\n0\r\nContent-Length: 7\r\nTransfer-Encoding: gzip\r\nX-T: 1\r\n\r\n")
                    .read();
            assertThat(answer.text()).isEqualTo("got a");
            assertThat(client.request("POST", path, "Content-Length", "1").send("b").read().text()).isEqualTo("got b");
        }
        assertThat(fleet.origin.lastRequest(path).fields().has("X-T")).isFalse();
        assertThat(fleet.origin.lastRequest(path).field("Transfer-Encoding")).isEmpty();
    }

    /** RFC 9112 section 5.2: a folded line is one line, and goes on as one. */
    @Test
    void foldedHeaderLineIsUnfolded() throws IOException {
        String path = fleet.uniquePath("folded");
        fleet.origin.on(path, 200, "ok", "Cache-Control", "no-store");

        fleet.a.get(path, "X-Folded", "one\r\n two\r\n\tHost: evil");

        assertThat(fleet.origin.lastRequest(path).field("X-Folded")).matches("one\\s+two\\s+Host: evil");
        assertThat(fleet.origin.lastRequest(path).fields().values("Host")).containsExactly(fleet.origin.authority());
    }

    /** RFC 9112 section 3.2.2: what Host says beside it does not count, neither for the origin nor for the key. */
    @Test
    void absoluteFormAuthorityReplacesHost() throws IOException {
        String path = fleet.uniquePath("host-of-client", "absolute");
        fleet.origin.on(path, exchange -> exchange.respond(200, "page of " + exchange.request.field("Host"),
                "Cache-Control", "max-age=600"));

        String absolute = "http://Shop.example" + path;
        assertThat(fleet.a.getAndStore(absolute, "Host", "evil.example").text()).isEqualTo("page of shop.example");
        assertThat(fleet.a.getAndStore(path, "Host", "evil.example").text()).isEqualTo("page of evil.example");
        assertThat(fleet.a.getAndStore(path, "Host", "Shop.example").isHit()).isTrue();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"a", "a.example:8080", "a_b.example", "127.0.0.1", "[::1]:8080",
            "xn--4ca.example"})
    void validHostIsAccepted(String host) throws IOException {
        String path = fleet.uniquePath("host-of-client", "proper");
        fleet.origin.on(path, 200, "ok");

        assertThat(fleet.a.get(path, "Host", host).text()).isEqualTo("ok");
        assertThat(fleet.origin.lastRequest(path).field("Host")).isEqualTo(host);
    }

    @Test
    void http10RequestNeedsNoHost() throws IOException {
        String path = fleet.uniquePath("old");
        fleet.origin.on(path, 200, "ok");

        try (HttpProbe client = fleet.a.connect()) {
            assertThat(client.send("GET " + path + " HTTP/1.0\r\n\r\n").readUntilClosed()).startsWith("HTTP/1.0 200 ")
                    .endsWith("ok");
        }
    }

    /** Those before it on the connection have their answers first, those behind it none. */
    @Test
    void requestBeforeAMalformedOneIsServed() throws IOException {
        String before = fleet.uniquePath("before");
        String behind = fleet.uniquePath("behind");
        fleet.origin.on(before, 200, "good", "Cache-Control", "no-store");
        fleet.origin.on(behind, 200, "bad");

        try (HttpProbe client = fleet.a.connect()) {
            client.send(request(before) + "POST " + behind
                    + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + request(behind));

            assertThat(client.read().text()).isEqualTo("good");
            assertThat(client.read().status()).isEqualTo(400);
            assertThat(client.isClosed()).isTrue();
        }
        assertThat(fleet.origin.requestCount(behind)).isZero();
    }

    private static String request(String path) {
        return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
    }

    /** @return the status line and what follows */
    private String assertRejected(String raw) throws IOException {
        String path = fleet.uniquePath("refused");
        String smuggled = fleet.uniquePath("smuggled");
        int before = fleet.origin.receivedRequests().size();
        String seen;
        try (HttpProbe client = fleet.a.connect()) {
            try {
                client.send(raw.replace("/path", path).replace(SMUGGLED, request(smuggled)));
            } catch (IOException reset) {
                // It is refused before all of it was taken.
            }
            seen = client.readUntilClosed();
        }

        assertThat(seen).matches("(?s)HTTP/1\\.1 (400|414|431) .*").as("one answer").containsOnlyOnce("HTTP/1.");
        assertThat(fleet.origin.receivedRequests().subList(before, fleet.origin.receivedRequests().size())).isEmpty();
        assertNextRequestIsServed();
        return seen.substring("HTTP/1.1 ".length());
    }

    /** The next one is served as ever. */
    private void assertNextRequestIsServed() throws IOException {
        String path = fleet.uniquePath("next");
        fleet.origin.on(path, 200, "well");
        assertThat(fleet.a.get(path).text()).isEqualTo("well");
    }
}
