package dev.corral.proxy;

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
@ProxyTest
class CacheOutcomeTest {

    private final FleetUnderTest fleet;

    CacheOutcomeTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @Test
    void missIsStoredAndThenAHitOnEveryReplica() throws IOException {
        String path = fleet.uniquePath("miss");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=600", "Age", "100");

        HttpProbe.ProbeResponse miss = fleet.a.getAndStore(path);
        HttpProbe.ProbeResponse hit = fleet.a.get(path);
        HttpProbe.ProbeResponse far = fleet.b.get(path);

        assertThat(miss.cacheStatus()).matches("Corral; fwd=uri-miss; fwd-status=200; stored; ttl=(500|49\\d)");
        assertThat(hit.cacheStatus()).matches("Corral; hit; ttl=(500|49\\d)");
        assertThat(far.cacheStatus()).matches("Corral; hit; ttl=(500|49\\d)");
        assertThat(List.of(miss.text(), hit.text(), far.text())).containsOnly("hello");
        assertThat(List.of(miss.age(), hit.age(), far.age())).allMatch(age -> age >= 100 && age < 115);
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** RFC 9211 section 2: the list grows at its end, one member for each cache. */
    @ParameterizedTest
    @ValueSource(strings = {"GET", "HEAD", "POST"})
    void cacheStatusMemberIsAppendedToThoseOfTheOrigin(String method) throws IOException {
        String path = fleet.uniquePath("list");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60", "Cache-Status", "Inner; hit", "Cache-Status",
                "Outer; fwd=stale");

        for (int round = 0; round < 2; round++) {
            List<String> members = fleet.a.request(method, path).fields().values("Cache-Status");

            assertThat(members).hasSize(3).startsWith("Inner; hit", "Outer; fwd=stale");
            assertThat(members.getLast()).startsWith("Corral; ");
        }
    }

    @Test
    void requestDirectiveIsReportedAsFwdRequest() throws IOException {
        String path = fleet.uniquePath("request");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path);

        assertThat(fleet.a.get(path, "Cache-Control", "no-cache").cacheStatus())
                .matches("Corral; fwd=request; fwd-status=200; stored; ttl=(600|59\\d)");
        assertThat(fleet.a.get(path + "?2", "Cache-Control", "no-store").cacheStatus())
                .isEqualTo("Corral; fwd=request; fwd-status=200; detail=no-store");
        assertThat(fleet.a.get(path + "?2").cacheStatus()).contains("fwd=uri-miss");
    }

    /** RFC 9111 section 4.3: validated, it is fresh again, and what the origin said was 304. */
    @Test
    void revalidatedResponseReportsFwdStaleAnd304() throws IOException {
        String path = fleet.uniquePath("validated");
        fleet.origin.on(path, exchange -> {
            boolean known = exchange.request.field("If-None-Match").equals("\"v1\"");
            exchange.respond(known ? 304 : 200, "hello", "ETag", "\"v1\"", "Cache-Control", "max-age=600",
                    known ? "X-Checked" : "Age", known ? "yes" : "700");
        });
        fleet.a.getAndStore(path);

        HttpProbe.ProbeResponse answer = fleet.b.get(path);

        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.text()).isEqualTo("hello");
        assertThat(answer.field("X-Checked")).isEqualTo("yes");
        assertThat(answer.cacheStatus()).matches("Corral; fwd=stale; fwd-status=304; stored; ttl=(600|59\\d)");
    }

    @Test
    void staleHitHasNegativeTtl() throws IOException {
        String path = fleet.uniquePath("stale");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.getAndStore(path);

        HttpProbe.ProbeResponse stale = fleet.a.get(path);

        assertThat(stale.cacheStatus()).matches("Corral; hit; ttl=-4\\d");
        fleet.a.awaitNoFlights();
    }

    @Test
    void missingVariantIsReportedAsVaryMiss() throws IOException {
        String path = fleet.uniquePath("vary");
        fleet.origin.on(path, exchange -> exchange.respond(200, exchange.request.field("X-Size"), "Vary", "X-Size",
                "Cache-Control", "max-age=600"));
        assertThat(fleet.a.get(path, "X-Size", "s").cacheStatus()).startsWith("Corral; fwd=uri-miss");
        fleet.a.awaitNoFlights();

        assertThat(fleet.a.get(path, "X-Size", "m").cacheStatus()).startsWith("Corral; fwd=vary-miss");
        assertThat(fleet.b.get(path, "X-Size", "l").cacheStatus()).startsWith("Corral; fwd=vary-miss");
        assertThat(fleet.a.get(path, "X-Size", "s").isHit()).isTrue();
    }

    @Test
    void knownPrivateResponseIsReportedAsBypass() throws IOException {
        String path = fleet.uniquePath("private");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");

        assertThat(fleet.a.get(path).cacheStatus()).isEqualTo("Corral; fwd=uri-miss; fwd-status=200");
        fleet.a.awaitNoFlights();
        assertThat(fleet.a.get(path).cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=200; detail=private");
        assertThat(fleet.b.get(path).cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=200; detail=private");
    }

    /** Public behaviors 1 and 11. */
    @Test
    void waiterOfAnotherFetchIsReportedAsCollapsed() throws Exception {
        String path = fleet.uniquePath("collapsed");
        var answer = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            answer.await();
            exchange.respond(200, "hello", "Cache-Control", "max-age=60");
        });

        var near = HttpProbe.concurrently(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(5);
        var far = HttpProbe.concurrently(5, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(5);
        fleet.awaitFollower();
        answer.countDown();

        assertThat(HttpProbe.joinAll(near)).filteredOn(HttpProbe.ProbeResponse::isCollapsed)
                .hasSize(4)
                .allMatch(one -> one.cacheStatus().startsWith("Corral; fwd=uri-miss; fwd-status=200; stored; ttl="));
        assertThat(HttpProbe.joinAll(far)).allMatch(HttpProbe.ProbeResponse::isCollapsed);
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** Any final status may be stored (RFC 9111 section 3); an unknown one passes as it is. */
    @ParameterizedTest
    @ValueSource(ints = {200, 201, 202, 203, 204, 205, 226, 299, 300, 301, 303, 307, 308, 399, 400, 404, 410, 418, 451,
            499,
            500, 501, 503, 599, 600, 999})
    void everyFinalStatusWithExplicitFreshnessIsStored(int status) throws IOException {
        String path = fleet.uniquePath("status");
        fleet.origin.on(path, status, status == 205 ? "" : "said", "Cache-Control", "max-age=60", "Location", "/x");

        for (int round = 0; round < 2; round++) {
            HttpProbe.ProbeResponse answer = fleet.a.getAndStore(path);

            assertThat(answer.status()).isEqualTo(status);
            assertThat(answer.complete()).isTrue();
            assertThat(answer.text()).isEqualTo(status == 204 || status == 205 ? "" : "said");
            assertThat(answer.field("Location")).isEqualTo("/x");
            assertThat(answer.isHit()).isEqualTo(round == 1);
            if (status == 204) {
                assertThat(answer.fields().has("Content-Length")).isFalse();
                assertThat(answer.fields().has("Transfer-Encoding")).isFalse();
            }
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** A 204 or 304 that passes through has no body, and says nothing of one (RFC 9112 section 6.3). */
    @ParameterizedTest
    @CsvSource({"GET,204", "POST,204", "POST,304", "DELETE,204", "HEAD,204"})
    void bodilessResponseKeepsTheConnectionUsable(String method, int status) throws IOException {
        String path = fleet.uniquePath("bodiless");
        fleet.origin.on(path, status, "", "Cache-Control", "no-store", "ETag", "\"x\"");

        try (HttpProbe client = fleet.a.connect()) {
            for (int round = 0; round < 3; round++) {
                // Asked for: a 304 without a condition would be malformed.
                HttpProbe.ProbeResponse answer = client.request(method, path, "If-None-Match", "\"x\"").read(method);
                assertThat(answer.status()).isEqualTo(status);
                assertThat(answer.fields().has("Transfer-Encoding")).isFalse();
            }
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }

    /** Public behavior 9. */
    @Test
    void headIsFilledAsGetAndServedWithoutTheBody() throws IOException {
        String path = fleet.uniquePath("head");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60", "ETag", "\"h\"");

        HttpProbe.ProbeResponse first = fleet.a.request("HEAD", path);
        fleet.a.awaitNoFlights();
        HttpProbe.ProbeResponse get = fleet.a.get(path);
        HttpProbe.ProbeResponse second = fleet.a.request("HEAD", path);

        assertThat(get.text()).isEqualTo("hello");
        assertThat(get.isHit()).isTrue();
        assertThat(List.of(first, second)).allSatisfy(head -> {
            assertThat(head.status()).isEqualTo(200);
            assertThat(head.field("Content-Length")).isEqualTo("5");
            assertThat(head.field("ETag")).isEqualTo("\"h\"");
        });
        assertThat(fleet.origin.receivedRequests(path)).extracting(OriginStub.ReceivedRequest::method)
                .containsExactly("GET");
    }

    /** Public behavior 9. Not even where a marker has each request fetch for itself, and what comes back may be stored. */
    @Test
    void headNeverStoresAnEmptyResponseForGet() throws IOException {
        String path = fleet.uniquePath("empty");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 200, "everybody's", "Cache-Control", "max-age=60");

        try (HttpProbe client = fleet.a.connect()) {
            HttpProbe.ProbeResponse head = client.request("HEAD", path).read("HEAD");
            assertThat(head.status()).isEqualTo(200);
            assertThat(head.field("Content-Length")).isEqualTo("11");
            assertThat(client.request("GET", path).read().text()).isEqualTo("everybody's");
        }
        assertThat(fleet.b.get(path).text()).isEqualTo("everybody's");
    }

    @Test
    void headOfPrivateResponseKeepsTheConnectionInSync() throws IOException {
        String path = fleet.uniquePath("head-private");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");

        try (HttpProbe client = fleet.a.connect()) {
            for (int round = 0; round < 3; round++) {
                assertThat(client.request("HEAD", path).read("HEAD").status()).isEqualTo(200);
                assertThat(client.request("GET", path).read().text()).isEqualTo("mine");
            }
        }
    }

    @Test
    void onlyIfCachedNeverReachesTheOrigin() throws IOException {
        String path = fleet.uniquePath("only");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60");

        HttpProbe.ProbeResponse none = fleet.a.get(path, "Cache-Control", "only-if-cached");
        fleet.b.get(path);
        fleet.b.awaitNoFlights();
        HttpProbe.ProbeResponse stored = fleet.a.get(path, "Cache-Control", "only-if-cached");

        assertThat(none.status()).isEqualTo(504);
        assertThat(none.reason()).isEqualTo("only-if-cached");
        assertThat(stored.text()).isEqualTo("hello");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** RFC 9110 section 13.2.2: If-None-Match before If-Modified-Since. */
    @Test
    void matchingConditionalRequestGets304() throws IOException {
        String path = fleet.uniquePath("conditional");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=60", "ETag", "\"v1\"", "Last-Modified",
                "Tue, 03 Nov 2020 10:00:00 GMT", "X-Extra", "1");

        for (ReplicaUnderTest replica : fleet.replicas()) {
            HttpProbe.ProbeResponse known = replica.get(path, "If-None-Match", "\"v0\", W/\"v1\"");
            assertThat(known.status()).isEqualTo(304);
            assertThat(known.field("ETag")).isEqualTo("\"v1\"");
            assertThat(known.fields().has("Content-Length")).isFalse();
            assertThat(replica.get(path, "If-Modified-Since", "Tue, 03 Nov 2020 10:00:00 GMT").status()).isEqualTo(304);
            assertThat(replica.get(path, "If-None-Match", "\"v2\"", "If-Modified-Since",
                    "Tue, 03 Nov 2020 10:00:00 GMT").text()).isEqualTo("hello");
            fleet.a.awaitNoFlights();
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** If-Match is the origin's to judge (RFC 9110 section 13.1.1). */
    @Test
    void ifMatchIsForwardedToTheOrigin() throws IOException {
        String path = fleet.uniquePath("precondition");
        fleet.origin.on(path,
                exchange -> exchange.respond(exchange.request.field("If-Match").isEmpty() ? 200 : 412, "said",
                        "Cache-Control", "max-age=60"));
        fleet.a.getAndStore(path);

        HttpProbe.ProbeResponse answer = fleet.a.get(path, "If-Match", "\"x\"");

        assertThat(answer.status()).isEqualTo(412);
        assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=412");
        assertThat(fleet.a.get(path).isHit()).isTrue();
    }

    /** Public behavior 9. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"bytes=0-0|206|0|bytes 0-0/10", "bytes=-3|206|789|bytes 7-9/10",
            "bytes=5-|206|56789|bytes 5-9/10", "bytes=10-|416||bytes */10", "bytes=2-1|200|0123456789|''",
            "lines=1-2|200|0123456789|''"})
    void rangeIsServedFromTheFullResponse(String range, int status, String text, String contentRange)
            throws IOException {
        String path = fleet.uniquePath("range");
        fleet.origin.on(path, 200, "0123456789", "Cache-Control", "max-age=60", "ETag", "\"r\"");

        for (ReplicaUnderTest replica : fleet.replicas()) {
            HttpProbe.ProbeResponse part = replica.get(path, "Range", range);
            assertThat(part.status()).isEqualTo(status);
            assertThat(part.text()).isEqualTo(text == null ? "" : text);
            assertThat(part.field("Content-Range")).isEqualTo(contentRange);
            fleet.a.awaitNoFlights();
        }
        assertThat(fleet.a.get(path).text()).isEqualTo("0123456789");
        assertThat(fleet.a.get(path, "Range", "bytes=0-1", "If-Range", "\"other\"").status()).isEqualTo(200);
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
        assertThat(fleet.origin.lastRequest(path).fields().has("Range")).isFalse();
    }

    /** Public behavior 9. */
    @Test
    void multipleRangesAreServedAsMultipart() throws IOException {
        String path = fleet.uniquePath("ranges");
        fleet.origin.on(path, 200, "0123456789", "Cache-Control", "max-age=60", "Content-Type", "text/plain");

        HttpProbe.ProbeResponse parts = fleet.a.get(path, "Range", "bytes=0-1, -2");

        assertThat(parts.status()).isEqualTo(206);
        String boundary = parts.field("Content-Type").replace("multipart/byteranges; boundary=", "");
        assertThat(parts.text()).isEqualTo(("--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
                + "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--B--\r\n")
                .replace("--B", "--" + boundary));
        assertThat(parts.complete()).isTrue();
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "POST"})
    void unreachableOriginIsBadGateway(String method) throws IOException {
        HttpProbe.ProbeResponse answer = fleet.a.request(method, fleet.uniquePath("gone", method));

        assertThat(answer.status()).isEqualTo(502);
        assertThat(answer.reason()).isEqualTo("origin-unreachable");
        assertThat(answer.cacheStatus()).contains("detail=origin-unreachable");
        assertThat(answer.field("Cache-Control")).isEqualTo("no-store");
        assertThat(answer.text()).doesNotContain("127.0.0.1", "Exception", "dev.corral", "onnection refused");
    }

    @Test
    void hangingOriginIsGatewayTimeout() throws Exception {
        String path = fleet.uniquePath("hasty", "hang");
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> end.await());

        HttpProbe.ProbeResponse get = fleet.a.get(path);
        HttpProbe.ProbeResponse post = fleet.a.request("POST", path);
        end.countDown();

        assertThat(List.of(get, post)).allSatisfy(answer -> {
            assertThat(answer.status()).isEqualTo(504);
            assertThat(answer.reason()).isEqualTo("origin-timed-out");
        });
    }

    /** Public behavior 16. */
    @Test
    void requestOverOriginConcurrencyGets503WithRetryAfter() throws Exception {
        String path = fleet.uniquePath("narrow", "busy");
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            end.await();
            exchange.respond(200, "done", "Cache-Control", "max-age=60");
        });
        var first = HttpProbe.async(() -> fleet.a.get(path + "?1"));
        var second = HttpProbe.async(() -> fleet.a.get(path + "?2"));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 2);

        HttpProbe.ProbeResponse third = fleet.a.get(path + "?3");
        end.countDown();

        assertThat(third.status()).isEqualTo(503);
        assertThat(third.reason()).isEqualTo("origin-concurrency");
        assertThat(third.field("Retry-After")).isEqualTo("1");
        assertThat(first.get().text()).isEqualTo("done");
        assertThat(second.get().text()).isEqualTo("done");
    }

    /** Public behavior 16 (s00006, s00007): the time an origin took is part of the age; what is older than it may be is no hit. */
    @Test
    void ageIncludesTheResponseDelay() throws IOException {
        String path = fleet.uniquePath("took");
        fleet.origin.on(path, exchange -> {
            assertThat(new CountDownLatch(1).await(1_100, TimeUnit.MILLISECONDS)).isFalse();
            exchange.respond(200, "slow", "Cache-Control",
                    exchange.request.target().endsWith("?short") ? "max-age=1" : "max-age=600");
        });
        fleet.a.getAndStore(path);
        fleet.a.getAndStore(path + "?short");

        HttpProbe.ProbeResponse hit = fleet.b.get(path);

        assertThat(hit.isHit()).isTrue();
        assertThat(hit.age()).isBetween(1L, 600L);
        assertThat(fleet.a.get(path + "?short").isHit()).as("it was stale when it came").isFalse();
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }
}
