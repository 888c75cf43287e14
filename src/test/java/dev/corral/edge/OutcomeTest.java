package dev.corral.edge;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** What an answer says of itself: Cache-Status (RFC 9211), Age, the status; and the problems of Corral's own (RFC 9457). */
@EdgeTest
class OutcomeTest {

    private final Fleet fleet;

    OutcomeTest(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void aMissIsStoredAndThenAHitOnEveryReplica() throws IOException {
        String path = fleet.path("miss");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=600", "Age", "100");

        Client.Answer miss = fleet.a.store(path);
        Client.Answer hit = fleet.a.get(path);
        Client.Answer far = fleet.b.get(path);

        assertThat(miss.cacheStatus()).matches("Corral; fwd=uri-miss; fwd-status=200; stored; ttl=(500|49\\d)");
        assertThat(hit.cacheStatus()).matches("Corral; hit; ttl=(500|49\\d)");
        assertThat(far.cacheStatus()).matches("Corral; hit; ttl=(500|49\\d)");
        assertThat(List.of(miss.text(), hit.text(), far.text())).containsOnly("hello");
        assertThat(List.of(miss.age(), hit.age(), far.age())).allMatch(age -> age >= 100 && age < 115);
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** RFC 9211 section 2: the list grows at its end, one member for each cache. */
    @ParameterizedTest
    @ValueSource(strings = {"GET", "HEAD", "POST"})
    void oneMemberIsAddedToWhatTheOriginSent(String method) throws IOException {
        String path = fleet.path("list");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60", "Cache-Status", "Inner; hit", "Cache-Status",
                "Outer; fwd=stale");

        for (int round = 0; round < 2; round++) {
            List<String> members = fleet.a.ask(method, path).fields().all("Cache-Status");

            assertThat(members).hasSize(3).startsWith("Inner; hit", "Outer; fwd=stale");
            assertThat(members.getLast()).startsWith("Corral; ");
        }
    }

    @Test
    void whatTheRequestAskedForIsNamed() throws IOException {
        String path = fleet.path("request");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=600");
        fleet.a.store(path);

        assertThat(fleet.a.get(path, "Cache-Control", "no-cache").cacheStatus())
                .matches("Corral; fwd=request; fwd-status=200; stored; ttl=(600|59\\d)");
        assertThat(fleet.a.get(path + "?2", "Cache-Control", "no-store").cacheStatus())
                .isEqualTo("Corral; fwd=request; fwd-status=200; detail=no-store");
        assertThat(fleet.a.get(path + "?2").cacheStatus()).contains("fwd=uri-miss");
    }

    /** RFC 9111 section 4.3: validated, it is fresh again, and what the origin said was 304. */
    @Test
    void aValidatedAnswerSaysSo() throws IOException {
        String path = fleet.path("validated");
        fleet.origin.on(path, exchange -> {
            boolean known = exchange.request.field("If-None-Match").equals("\"v1\"");
            exchange.answer(known ? 304 : 200, "hello", "ETag", "\"v1\"", "Cache-Control", "max-age=600",
                    known ? "X-Checked" : "Age", known ? "yes" : "700");
        });
        fleet.a.store(path);

        Client.Answer answer = fleet.b.get(path);

        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.text()).isEqualTo("hello");
        assertThat(answer.field("X-Checked")).isEqualTo("yes");
        assertThat(answer.cacheStatus()).matches("Corral; fwd=stale; fwd-status=304; stored; ttl=(600|59\\d)");
    }

    @Test
    void aStaleHitHasANegativeTtl() throws IOException {
        String path = fleet.path("stale");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.store(path);

        Client.Answer stale = fleet.a.get(path);

        assertThat(stale.cacheStatus()).matches("Corral; hit; ttl=-4\\d");
        fleet.a.awaitLanded();
    }

    @Test
    void aKnownVariantThatIsMissingIsAVaryMiss() throws IOException {
        String path = fleet.path("vary");
        fleet.origin.on(path, exchange -> exchange.answer(200, exchange.request.field("X-Size"), "Vary", "X-Size",
                "Cache-Control", "max-age=600"));
        assertThat(fleet.a.get(path, "X-Size", "s").cacheStatus()).startsWith("Corral; fwd=uri-miss");
        fleet.a.awaitLanded();

        assertThat(fleet.a.get(path, "X-Size", "m").cacheStatus()).startsWith("Corral; fwd=vary-miss");
        assertThat(fleet.b.get(path, "X-Size", "l").cacheStatus()).startsWith("Corral; fwd=vary-miss");
        assertThat(fleet.a.get(path, "X-Size", "s").hit()).isTrue();
    }

    @Test
    void whatIsKnownNotToBeSharedBypasses() throws IOException {
        String path = fleet.path("private");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");

        assertThat(fleet.a.get(path).cacheStatus()).isEqualTo("Corral; fwd=uri-miss; fwd-status=200");
        fleet.a.awaitLanded();
        assertThat(fleet.a.get(path).cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=200; detail=private");
        assertThat(fleet.b.get(path).cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=200; detail=private");
    }

    /** Public behaviours 1 and 11. */
    @Test
    void whoWaitsForAnothersFetchIsCollapsed() throws Exception {
        String path = fleet.path("collapsed");
        var answer = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            answer.await();
            exchange.answer(200, "hello", "Cache-Control", "max-age=60");
        });

        var near = Client.crowd(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(5);
        var far = Client.crowd(5, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(5);
        fleet.awaitFollower();
        answer.countDown();

        assertThat(Client.join(near)).filteredOn(Client.Answer::collapsed)
                .hasSize(4)
                .allMatch(one -> one.cacheStatus().startsWith("Corral; fwd=uri-miss; fwd-status=200; stored; ttl="));
        assertThat(Client.join(far)).allMatch(Client.Answer::collapsed);
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** Any final status may be stored (RFC 9111 section 3); an unknown one passes as it is. */
    @ParameterizedTest
    @ValueSource(ints = {200, 201, 202, 203, 204, 205, 226, 299, 300, 301, 303, 307, 308, 399, 400, 404, 410, 418, 451,
            499,
            500, 501, 503, 599, 600, 999})
    void everyFinalStatusIsStoredThatStatesItsFreshness(int status) throws IOException {
        String path = fleet.path("status");
        fleet.origin.on(path, status, status == 205 ? "" : "said", "Cache-Control", "max-age=60", "Location", "/x");

        for (int round = 0; round < 2; round++) {
            Client.Answer answer = fleet.a.store(path);

            assertThat(answer.status()).isEqualTo(status);
            assertThat(answer.whole()).isTrue();
            assertThat(answer.text()).isEqualTo(status == 204 || status == 205 ? "" : "said");
            assertThat(answer.field("Location")).isEqualTo("/x");
            assertThat(answer.hit()).isEqualTo(round == 1);
            if (status == 204) {
                assertThat(answer.fields().has("Content-Length")).isFalse();
                assertThat(answer.fields().has("Transfer-Encoding")).isFalse();
            }
        }
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** A 204 or 304 that passes through has no body, and says nothing of one (RFC 9112 section 6.3). */
    @ParameterizedTest
    @CsvSource({"GET,204", "POST,204", "POST,304", "DELETE,204", "HEAD,204"})
    void withoutABodyTheConnectionGoesOn(String method, int status) throws IOException {
        String path = fleet.path("bodiless");
        fleet.origin.on(path, status, "", "Cache-Control", "no-store", "ETag", "\"x\"");

        try (Client client = fleet.a.connect()) {
            for (int round = 0; round < 3; round++) {
                // Asked for: a 304 without a condition would be malformed.
                Client.Answer answer = client.request(method, path, "If-None-Match", "\"x\"").read(method);
                assertThat(answer.status()).isEqualTo(status);
                assertThat(answer.fields().has("Transfer-Encoding")).isFalse();
            }
        }
        assertThat(fleet.origin.count(path)).isEqualTo(3);
    }

    /** Public behaviour 9. */
    @Test
    void headIsFilledAsGetAndAnsweredWithoutTheBody() throws IOException {
        String path = fleet.path("head");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60", "ETag", "\"h\"");

        Client.Answer first = fleet.a.ask("HEAD", path);
        fleet.a.awaitLanded();
        Client.Answer get = fleet.a.get(path);
        Client.Answer second = fleet.a.ask("HEAD", path);

        assertThat(get.text()).isEqualTo("hello");
        assertThat(get.hit()).isTrue();
        assertThat(List.of(first, second)).allSatisfy(head -> {
            assertThat(head.status()).isEqualTo(200);
            assertThat(head.field("Content-Length")).isEqualTo("5");
            assertThat(head.field("ETag")).isEqualTo("\"h\"");
        });
        assertThat(fleet.origin.received(path)).extracting(StubOrigin.Received::method).containsExactly("GET");
    }

    /** Public behaviour 9. Not even where a marker has each request fetch for itself, and what comes back may be stored. */
    @Test
    void aHeadNeverLeavesAnEmptyAnswerForGet() throws IOException {
        String path = fleet.path("empty");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.store(path);
        fleet.origin.on(path, 200, "everybody's", "Cache-Control", "max-age=60");

        try (Client client = fleet.a.connect()) {
            Client.Answer head = client.request("HEAD", path).read("HEAD");
            assertThat(head.status()).isEqualTo(200);
            assertThat(head.field("Content-Length")).isEqualTo("11");
            assertThat(client.request("GET", path).read().text()).isEqualTo("everybody's");
        }
        assertThat(fleet.b.get(path).text()).isEqualTo("everybody's");
    }

    @Test
    void aHeadThatIsNotSharedLeavesTheConnectionInOrder() throws IOException {
        String path = fleet.path("head-private");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");

        try (Client client = fleet.a.connect()) {
            for (int round = 0; round < 3; round++) {
                assertThat(client.request("HEAD", path).read("HEAD").status()).isEqualTo(200);
                assertThat(client.request("GET", path).read().text()).isEqualTo("mine");
            }
        }
    }

    @Test
    void onlyIfCachedNeverGoesToTheOrigin() throws IOException {
        String path = fleet.path("only");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60");

        Client.Answer none = fleet.a.get(path, "Cache-Control", "only-if-cached");
        fleet.b.get(path);
        fleet.b.awaitLanded();
        Client.Answer stored = fleet.a.get(path, "Cache-Control", "only-if-cached");

        assertThat(none.status()).isEqualTo(504);
        assertThat(none.reason()).isEqualTo("only-if-cached");
        assertThat(stored.text()).isEqualTo("hello");
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** RFC 9110 section 13.2.2: If-None-Match before If-Modified-Since. */
    @Test
    void aClientThatHasItAlreadyIsToldSo() throws IOException {
        String path = fleet.path("conditional");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60", "ETag", "\"v1\"", "Last-Modified",
                "Tue, 03 Nov 2020 10:00:00 GMT", "X-Extra", "1");

        for (Replica replica : fleet.replicas()) {
            Client.Answer known = replica.get(path, "If-None-Match", "\"v0\", W/\"v1\"");
            assertThat(known.status()).isEqualTo(304);
            assertThat(known.field("ETag")).isEqualTo("\"v1\"");
            assertThat(known.fields().has("Content-Length")).isFalse();
            assertThat(replica.get(path, "If-Modified-Since", "Tue, 03 Nov 2020 10:00:00 GMT").status()).isEqualTo(304);
            assertThat(replica.get(path, "If-None-Match", "\"v2\"", "If-Modified-Since",
                    "Tue, 03 Nov 2020 10:00:00 GMT").text()).isEqualTo("hello");
            fleet.a.awaitLanded();
        }
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** If-Match is the origin's to judge (RFC 9110 section 13.1.1). */
    @Test
    void aPreconditionGoesToTheOrigin() throws IOException {
        String path = fleet.path("precondition");
        fleet.origin.on(path,
                exchange -> exchange.answer(exchange.request.field("If-Match").isEmpty() ? 200 : 412, "said",
                        "Cache-Control", "max-age=60"));
        fleet.a.store(path);

        Client.Answer answer = fleet.a.get(path, "If-Match", "\"x\"");

        assertThat(answer.status()).isEqualTo(412);
        assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=412");
        assertThat(fleet.a.get(path).hit()).isTrue();
    }

    /** Public behaviour 9. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"bytes=0-0|206|0|bytes 0-0/10", "bytes=-3|206|789|bytes 7-9/10",
            "bytes=5-|206|56789|bytes 5-9/10", "bytes=10-|416||bytes */10", "bytes=2-1|200|0123456789|''",
            "lines=1-2|200|0123456789|''"})
    void aRangeIsCutFromTheWholeAnswer(String range, int status, String text, String contentRange) throws IOException {
        String path = fleet.path("range");
        fleet.origin.on(path, 200, "0123456789", "Cache-Control", "max-age=60", "ETag", "\"r\"");

        for (Replica replica : fleet.replicas()) {
            Client.Answer part = replica.get(path, "Range", range);
            assertThat(part.status()).isEqualTo(status);
            assertThat(part.text()).isEqualTo(text == null ? "" : text);
            assertThat(part.field("Content-Range")).isEqualTo(contentRange);
            fleet.a.awaitLanded();
        }
        assertThat(fleet.a.get(path).text()).isEqualTo("0123456789");
        assertThat(fleet.a.get(path, "Range", "bytes=0-1", "If-Range", "\"other\"").status()).isEqualTo(200);
        assertThat(fleet.origin.count(path)).isEqualTo(1);
        assertThat(fleet.origin.last(path).fields().has("Range")).isFalse();
    }

    /** Public behaviour 9. */
    @Test
    void severalRangesComeInParts() throws IOException {
        String path = fleet.path("ranges");
        fleet.origin.on(path, 200, "0123456789", "Cache-Control", "max-age=60", "Content-Type", "text/plain");

        Client.Answer parts = fleet.a.get(path, "Range", "bytes=0-1, -2");

        assertThat(parts.status()).isEqualTo(206);
        String boundary = parts.field("Content-Type").replace("multipart/byteranges; boundary=", "");
        assertThat(parts.text()).isEqualTo(("--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
                + "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--B--\r\n")
                .replace("--B", "--" + boundary));
        assertThat(parts.whole()).isTrue();
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "POST"})
    void anOriginThatCannotBeReachedIsABadGateway(String method) throws IOException {
        Client.Answer answer = fleet.a.ask(method, fleet.path("gone", method));

        assertThat(answer.status()).isEqualTo(502);
        assertThat(answer.reason()).isEqualTo("origin-unreachable");
        assertThat(answer.cacheStatus()).contains("detail=origin-unreachable");
        assertThat(answer.field("Cache-Control")).isEqualTo("no-store");
        assertThat(answer.text()).doesNotContain("127.0.0.1", "Exception", "dev.corral", "onnection refused");
    }

    @Test
    void anOriginThatHangsIsAGatewayTimeout() throws Exception {
        String path = fleet.path("hasty", "hang");
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> end.await());

        Client.Answer get = fleet.a.get(path);
        Client.Answer post = fleet.a.ask("POST", path);
        end.countDown();

        assertThat(List.of(get, post)).allSatisfy(answer -> {
            assertThat(answer.status()).isEqualTo(504);
            assertThat(answer.reason()).isEqualTo("origin-timed-out");
        });
    }

    /** Public behaviour 16. */
    @Test
    void anOriginThatIsBusyEnoughIsSparedAndTheClientToldWhenToComeBack() throws Exception {
        String path = fleet.path("narrow", "busy");
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            end.await();
            exchange.answer(200, "done", "Cache-Control", "max-age=60");
        });
        var first = Client.meanwhile(() -> fleet.a.get(path + "?1"));
        var second = Client.meanwhile(() -> fleet.a.get(path + "?2"));
        Replica.until(() -> fleet.origin.count(path) == 2);

        Client.Answer third = fleet.a.get(path + "?3");
        end.countDown();

        assertThat(third.status()).isEqualTo(503);
        assertThat(third.reason()).isEqualTo("origin-concurrency");
        assertThat(third.field("Retry-After")).isEqualTo("1");
        assertThat(first.get().text()).isEqualTo("done");
        assertThat(second.get().text()).isEqualTo("done");
    }

    /** Public behaviour 16 (s00006, s00007): the time an origin took is part of the age; what is older than it may be is no hit. */
    @Test
    void theAgeCountsTheTimeTheOriginTook() throws IOException {
        String path = fleet.path("took");
        fleet.origin.on(path, exchange -> {
            assertThat(new CountDownLatch(1).await(1_100, TimeUnit.MILLISECONDS)).isFalse();
            exchange.answer(200, "slow", "Cache-Control",
                    exchange.request.target().endsWith("?short") ? "max-age=1" : "max-age=600");
        });
        fleet.a.store(path);
        fleet.a.store(path + "?short");

        Client.Answer hit = fleet.b.get(path);

        assertThat(hit.hit()).isTrue();
        assertThat(hit.age()).isBetween(1L, 600L);
        assertThat(fleet.a.get(path + "?short").hit()).as("it was stale when it came").isFalse();
        assertThat(fleet.origin.count(path)).isEqualTo(3);
    }
}
