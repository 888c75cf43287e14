package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * What happens to an answer that is no longer fresh: RFC 9111 section 4.2.4 and 4.3, RFC 5861. Answers come with an Age beyond
 * their lifetime, so that no test has to wait.
 */
@ProxyTest
class StalenessTest {

    private final FleetUnderTest fleet;

    StalenessTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** Numbers its answers, and gives 304 to whoever has the last one. */
    private static OriginStub.ResponseScript numberedResponses(AtomicInteger number, String... fields) {
        return exchange -> exchange.respond(200, "v" + number.incrementAndGet(), fields);
    }

    /** Public behaviors 5 and 16. */
    @Test
    void staleWhileRevalidateServesStaleAtOnceAndRefreshesOnce() throws Exception {
        String path = fleet.uniquePath("swr");
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.b.getAndStore(path);
        fleet.b.awaitNoFlights();
        int before = fleet.origin.requestCount(path);
        var refresh = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            refresh.await();
            exchange.respond(200, "new", "Cache-Control", "max-age=60, stale-while-revalidate=600");
        });

        var near = HttpProbe.concurrently(20, () -> fleet.a.get(path));
        var far = HttpProbe.concurrently(20, () -> fleet.b.get(path));

        assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals("old") && answer.isHit());
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("old") && answer.isHit());
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == before + 1);
        refresh.countDown();
        for (ReplicaUnderTest replica : fleet.replicas()) {
            replica.awaitNoFlights();
            ReplicaUnderTest.eventually(() -> replica.get(path).text().equals("new"));
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(before + 1);
    }

    /** Public behavior 16. */
    @Test
    void requestPastStaleWhileRevalidateWaitsForTheOrigin() throws IOException {
        String path = fleet.uniquePath("swr-window");
        var number = new AtomicInteger();
        fleet.origin.on(path,
                numberedResponses(number, "Cache-Control", "max-age=60, stale-while-revalidate=30", "Age", "100"));

        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("v1");
        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("v2");
        assertThat(fleet.b.getAndStore(path).text()).isEqualTo("v3");
    }

    /** Public behavior 16. */
    @Test
    void clientMayRefuseAStaleResponse() throws IOException {
        String path = fleet.uniquePath("opt-out");
        var number = new AtomicInteger();
        fleet.origin.on(path,
                numberedResponses(number, "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100"));
        fleet.a.getAndStore(path);

        assertThat(fleet.a.getAndStore(path, "Cache-Control", "max-age=1000").text()).isEqualTo("v2");
        assertThat(fleet.a.getAndStore(path, "Cache-Control", "no-cache").text()).isEqualTo("v3");
        assertThat(fleet.a.get(path, "Cache-Control", "max-stale=50").text()).isEqualTo("v3");
        assertThat(fleet.a.requestCount("t", "stale")).isPositive();
    }

    /** Public behavior 5. */
    @ParameterizedTest
    @ValueSource(ints = {500, 502, 503, 504, 599})
    void staleIfErrorReplacesServerError(int status) throws IOException {
        String path = fleet.uniquePath("sie");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60, stale-if-error=600", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, status, "bad");

        for (ReplicaUnderTest replica : List.of(fleet.a, fleet.b, fleet.a)) {
            HttpProbe.ProbeResponse answer = replica.getAndStore(path);
            assertThat(answer.status()).isEqualTo(200);
            assertThat(answer.text()).isEqualTo("good");
            assertThat(answer.cacheStatus()).contains("detail=origin-failed");
        }
        assertThat(fleet.origin.requestCount(path)).as("left alone after the first failure").isEqualTo(2);
    }

    /** An error page is not for others, often; the stale answer stands in for it all the same. */
    @ParameterizedTest
    @ValueSource(strings = {"no-store", "private", "no-cache", "max-age=0", "max-age=100"})
    void staleIfErrorReplacesUnshareableError(String cacheControl) throws IOException {
        String path = fleet.uniquePath("sie-private");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60, stale-if-error=600", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 503, "bad", "Cache-Control", cacheControl, "Set-Cookie", "error=1");

        HttpProbe.ProbeResponse answer = fleet.a.getAndStore(path);

        assertThat(answer.text()).isEqualTo("good");
        assertThat(answer.fields().has("Set-Cookie")).isFalse();
    }

    /** Public behavior 5. */
    @Test
    void errorPastStaleIfErrorIsPassedOn() throws IOException {
        String path = fleet.uniquePath("sie-window");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60, stale-if-error=30", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 503, "bad", "Retry-After", "7");

        HttpProbe.ProbeResponse answer = fleet.a.get(path);

        assertThat(answer.status()).isEqualTo(503);
        assertThat(answer.text()).isEqualTo("bad");
        assertThat(answer.field("Retry-After")).isEqualTo("7");
        assertThat(answer.cacheStatus()).startsWith("Corral; fwd=stale; fwd-status=503; detail=origin-failed");
    }

    @Test
    void serverErrorIsPassedOnWithoutStaleIfError() throws IOException {
        String path = fleet.uniquePath("no-sie");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 500, "bad");

        assertThat(fleet.a.get(path).status()).isEqualTo(500);
        assertThat(fleet.a.get(path).status()).isEqualTo(500);
    }

    /** Public behavior 5. */
    @Test
    void storedErrorNeverReplacesAnotherError() throws IOException {
        String path = fleet.uniquePath("error-stored");
        fleet.origin.on(path, 503, "first", "Cache-Control", "max-age=60, stale-if-error=600", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 502, "second");

        assertThat(fleet.a.get(path).text()).isEqualTo("second");
    }

    @Test
    void staleIsServedWhenTheOriginDisconnects() throws IOException {
        String path = fleet.uniquePath("unreachable");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, OriginStub.StubExchange::close);

        for (ReplicaUnderTest replica : List.of(fleet.a, fleet.b)) {
            HttpProbe.ProbeResponse answer = replica.getAndStore(path);
            assertThat(answer.text()).isEqualTo("good");
            assertThat(answer.cacheStatus()).contains("detail=origin-unreachable").contains("ttl=-");
        }
    }

    @Test
    void staleIsServedWhenTheOriginTimesOut() throws IOException {
        String path = fleet.uniquePath("hasty", "hangs");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        // A busy machine may take longer than the route's 400 ms.
        ReplicaUnderTest.eventually(() -> fleet.a.getAndStore(path).status() == 200);
        fleet.origin.on(path, OriginStub.StubExchange::awaitClosed);

        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("good");
    }

    /** RFC 9111 section 4.2.4: then it is an error, and preferably 504. */
    @ParameterizedTest
    @ValueSource(strings = {"must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2"})
    void staleIsNeverServedWhereForbidden(String directive) throws IOException {
        String path = fleet.uniquePath("forbidden");
        fleet.origin.on(path, 200, "good", "Cache-Control",
                "max-age=60, stale-if-error=600, stale-while-revalidate=600, " + directive, "Age", "100", "ETag",
                "\"x\"");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, OriginStub.StubExchange::close);
        HttpProbe.ProbeResponse unreachable = fleet.a.getAndStore(path);
        fleet.origin.on(path, 500, "bad");
        HttpProbe.ProbeResponse failed = fleet.a.getAndStore(path);

        assertThat(unreachable.status()).isEqualTo(502);
        assertThat(unreachable.reason()).isEqualTo("origin-unreachable");
        assertThat(failed.text()).isEqualTo("bad");
    }

    /** Public behavior 6. */
    @Test
    void revalidationUpdatesFieldsOnEveryReplica() throws IOException {
        String path = fleet.uniquePath("update");
        fleet.origin.on(path, 200, "body", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"e\"",
                "Last-Modified",
                "Tue, 03 Nov 2020 10:00:00 GMT", "X-Replaced", "old", "X-Kept", "yes", "Content-Type", "text/plain");
        fleet.a.getAndStore(path);
        fleet.b.getAndStore(path);
        fleet.origin.on(path, 304, "", "Cache-Control", "max-age=600", "ETag", "\"e\"", "X-Replaced", "new", "X-Added",
                "1", "Content-Length", "999", "Content-Type", "text/html");

        fleet.a.getAndStore(path);

        var validation = fleet.origin.lastRequest(path);
        assertThat(validation.field("If-None-Match")).isEqualTo("\"e\"");
        assertThat(validation.field("If-Modified-Since")).isEqualTo("Tue, 03 Nov 2020 10:00:00 GMT");
        int count = fleet.origin.requestCount(path);
        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.get(path).field("X-Replaced").equals("new"));
            HttpProbe.ProbeResponse answer = replica.get(path);
            assertThat(answer.isHit()).isTrue();
            assertThat(answer.text()).isEqualTo("body");
            assertThat(answer.field("X-Kept")).isEqualTo("yes");
            assertThat(answer.field("X-Added")).isEqualTo("1");
            assertThat(answer.field("Content-Length")).isEqualTo("4");
            assertThat(answer.field("Content-Type")).isEqualTo("text/plain");
        }
        assertThat(fleet.origin.requestCount(path)).isLessThanOrEqualTo(count + 1);
    }

    /** A 304 about another answer confirms nothing (RFC 9111 section 4.3.4): it is fetched anew. */
    @Test
    void notModifiedWithAnotherEntityTagConfirmsNothing() throws IOException {
        String path = fleet.uniquePath("other-304");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"1\"");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            boolean conditional = exchange.request.fields().has("If-None-Match");
            exchange.respond(conditional ? 304 : 200, "v2", "Cache-Control", "max-age=60", "ETag", "\"2\"");
        });

        assertThat(fleet.a.get(path).text()).isEqualTo("v2");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }

    /** RFC 9111 section 5.2.2.4; and a reload storm is one validation. */
    @ParameterizedTest
    @ValueSource(strings = {"no-cache", "max-age=0"})
    void reloadsOfAnAgedResponseAreOneRevalidation(String reload) throws Exception {
        String path = fleet.uniquePath("storm");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600", "ETag", "\"p\"", "Age", "5");
        fleet.a.getAndStore(path);
        fleet.b.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(304, "", "ETag", "\"p\"", "Cache-Control", "max-age=600");
        });

        var near = HttpProbe.concurrently(20, () -> fleet.a.get(path, "Cache-Control", reload));
        fleet.a.awaitWaiters(20);
        var far = HttpProbe.concurrently(20, () -> fleet.b.get(path, "Cache-Control", reload));
        fleet.b.awaitWaiters(20);
        fleet.awaitFollower();
        HttpProbe.ProbeResponse meanwhile = fleet.a.get(path);
        hold.countDown();

        assertThat(meanwhile.isHit()).as("whoever does not insist is served").isTrue();
        assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("page"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** Simultaneous ones are one fetch, which nobody later gets. With a Cookie too, as browsers send one. */
    @ParameterizedTest
    @ValueSource(strings = {"X", "Cookie"})
    void concurrentNoStoreRequestsAreOneFetchAndStoreNothing(String field) throws Exception {
        String path = fleet.uniquePath("no-store");
        var number = new AtomicInteger();
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, "v" + number.incrementAndGet(), "Cache-Control", "max-age=600");
        });

        var near = HttpProbe.concurrently(75, () -> fleet.a.get(path, "Cache-Control", "no-store", field, "y"));
        fleet.a.awaitWaiters(75);
        var far = HttpProbe.concurrently(75, () -> fleet.b.get(path, "Cache-Control", "no-store", field, "z"));
        fleet.b.awaitWaiters(75);
        fleet.awaitFollower();
        hold.countDown();

        assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals("v1"));
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("v1"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
        assertThat(fleet.b.get(path, "Cache-Control", "no-store").text()).as("nothing is stored").isEqualTo("v2");
        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("v3");
        assertThat(fleet.a.get(path, "Cache-Control", "no-store").text()).isEqualTo("v3");
        assertThat(fleet.b.get(path, "Cache-Control", "no-store").text()).isEqualTo("v3");
    }

    /** What must not be stored neither takes the place of what is stored and stale, nor is it validated with it. */
    @Test
    void noStoreRequestLeavesTheStoredResponseUnchanged() throws IOException {
        String path = fleet.uniquePath("no-store-stale");
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=1, stale-if-error=600", "Age", "9", "ETag",
                "\"1\"");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 200, "new", "Cache-Control", "max-age=600");

        assertThat(fleet.a.get(path, "Cache-Control", "no-store").text()).isEqualTo("new");
        assertThat(fleet.origin.lastRequest(path).fields().has("If-None-Match")).isFalse();
        fleet.a.awaitNoFlights();
        fleet.origin.on(path, 503, "down");

        assertThat(fleet.a.get(path).text()).isEqualTo("old");
    }

    /** Variants and private responses are told apart among them as among others. */
    @Test
    void noStoreRequestsShareNoVariantsOrPrivateResponses() throws Exception {
        String path = fleet.uniquePath("no-store-vary");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, exchange.request.field("X-Size"), "Cache-Control", "max-age=600", "Vary", "X-Size");
        });
        var small = HttpProbe.concurrently(5, () -> fleet.a.get(path, "Cache-Control", "no-store", "X-Size", "s"));
        var large = HttpProbe.concurrently(5, () -> fleet.a.get(path, "Cache-Control", "no-store", "X-Size", "l"));
        fleet.a.awaitWaiters(10);
        hold.countDown();

        assertThat(HttpProbe.joinAll(small)).allMatch(answer -> answer.text().equals("s"));
        assertThat(HttpProbe.joinAll(large)).allMatch(answer -> answer.text().equals("l"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);

        String mine = fleet.uniquePath("no-store-private");
        var number = new AtomicInteger();
        fleet.origin.on(mine, numberedResponses(number, "Cache-Control", "private"));
        assertThat(HttpProbe.joinAll(HttpProbe.concurrently(5, () -> fleet.a.get(mine, "Cache-Control", "no-store"))))
                .extracting(HttpProbe.ProbeResponse::text)
                .doesNotHaveDuplicates();
    }

    /** 150 reloads of what is stored and fresh, on two replicas, are one validation. */
    @Test
    void manyReloadsOnTwoReplicasAreOneRevalidation() throws Exception {
        String path = fleet.uniquePath("reload-storm");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600", "ETag", "\"1\"");
        fleet.a.getAndStore(path);
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(304, "", "Cache-Control", "max-age=600", "ETag", "\"1\"");
        });

        var near = HttpProbe.concurrently(75,
                () -> fleet.a.get(path, "Cache-Control", "no-cache", "Pragma", "no-cache"));
        fleet.a.awaitWaiters(75);
        var far = HttpProbe.concurrently(75, () -> fleet.b.get(path, "Cache-Control", "max-age=0"));
        fleet.b.awaitWaiters(75);
        fleet.awaitFollower();
        hold.countDown();

        assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("page"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** Public behavior 15. One after the other, each at another replica than the one before: what must be validated is never the same twice. */
    @ParameterizedTest
    @CsvSource({"no-cache, max-age=9", "max-age=0, max-age=9", "'max-age=60, no-cache', max-age=9",
            "'max-age=0, public', max-age=9", "max-age=60, no-cache", "max-age=60, max-age=0"})
    void responseThatRequiresRevalidationIsNeverReused(String answered, String asked) throws IOException {
        String path = fleet.uniquePath("next");
        fleet.origin.on(path,
                exchange -> exchange.respond(200, "answer " + fleet.origin.requestCount(path), "Cache-Control",
                        answered, "Age", "1"));

        try (HttpProbe a = fleet.a.connect(); HttpProbe b = fleet.b.connect()) {
            for (int turn = 1; turn <= 300; turn++) {
                HttpProbe client = turn % 2 == 0 ? a : b;
                HttpProbe.ProbeResponse answer = client.request("GET", path, "Cache-Control", asked).read();
                assertThat(answer.text()).as(answer.cacheStatus()).isEqualTo("answer " + turn);
            }
        }
    }

    /** Public behaviors 5, 8 and 16 (b00063): what failed behind everybody's back is nobody's, and is tried again. */
    @ParameterizedTest
    @ValueSource(strings = {"503", "close"})
    void failedRefreshKeepsTheStaleResponseAndIsRetried(String failure) throws IOException {
        String path = fleet.uniquePath("refresh-fails");
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            if (failure.equals("close")) {
                exchange.close();
            } else {
                exchange.respond(Integer.parseInt(failure), "bad");
            }
        });

        for (ReplicaUnderTest replica : List.of(fleet.a, fleet.a, fleet.b, fleet.b)) {
            HttpProbe.ProbeResponse answer = replica.getAndStore(path);
            assertThat(answer.text()).isEqualTo("old");
            assertThat(answer.isHit()).isTrue();
        }

        fleet.origin.on(path, 200, "new", "Cache-Control", "max-age=600");
        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.getAndStore(path).text().equals("new"));
            HttpProbe.ProbeResponse hit = replica.get(path);
            assertThat(hit.text()).isEqualTo("new");
            assertThat(hit.cacheStatus()).as("nothing of the failure is left").doesNotContain("detail");
        }
    }

    /** Public behaviors 16 (b00062) and 18: past every window the whole fleet asks once, on condition. */
    @Test
    void concurrentRequestsForExpiredResponseAreOneRevalidation() throws Exception {
        String path = fleet.uniquePath("expired");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"p\"");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            boolean known = exchange.request.field("If-None-Match").equals("\"p\"");
            exchange.respond(known ? 304 : 200, "again", "ETag", "\"p\"", "Cache-Control", "max-age=600");
        });

        var near = HttpProbe.concurrently(10, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(10);
        var far = HttpProbe.concurrently(10, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(10);
        hold.countDown();

        assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("page"));
        fleet.a.awaitNoFlights();
        assertThat(fleet.b.get(path).isHit()).as("it lives on").isTrue();
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** Public behavior 6: asked on condition, the origin has another one. */
    @Test
    void changedResponseReplacesTheRevalidatedOne() throws IOException {
        String path = fleet.uniquePath("replaced");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"1\"", "X-Old", "1");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 200, "v2", "Cache-Control", "max-age=600", "ETag", "\"2\"");

        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("v2");

        assertThat(fleet.origin.lastRequest(path).field("If-None-Match")).isEqualTo("\"1\"");
        for (ReplicaUnderTest replica : fleet.replicas()) {
            HttpProbe.ProbeResponse hit = replica.get(path);
            assertThat(hit.text()).isEqualTo("v2");
            assertThat(hit.field("ETag")).isEqualTo("\"2\"");
            assertThat(hit.fields().has("X-Old")).isFalse();
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** Public behavior 6: a 304 must not bring back, under the error's name, what the error has replaced. */
    @Test
    void errorDoesNotInheritValidatorsOfTheReplacedResponse() throws IOException {
        String path = fleet.uniquePath("inherit");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"good\"",
                "Last-Modified", "Tue, 03 Nov 2020 10:00:00 GMT");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 404, "gone", "Cache-Control", "max-age=60", "Age", "100");
        assertThat(fleet.a.getAndStore(path).status()).isEqualTo(404);
        fleet.origin.on(path, exchange -> {
            boolean known = exchange.request.fields().has("If-None-Match")
                    || exchange.request.fields().has("If-Modified-Since");
            exchange.respond(known ? 304 : 200, "back", "Cache-Control", "max-age=600", "ETag", "\"good\"");
        });

        HttpProbe.ProbeResponse answer = fleet.a.getAndStore(path);

        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.text()).isEqualTo("back");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }

    /** Public behavior 6: nor is such a one validated by validators of its own. */
    @ParameterizedTest
    @ValueSource(ints = {201, 302, 404, 410, 500})
    void responseOtherThan200IsNotRevalidated(int status) throws IOException {
        String path = fleet.uniquePath("not-validated");
        fleet.origin.on(path, status, "said", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"x\"",
                "Last-Modified", "Tue, 03 Nov 2020 10:00:00 GMT");
        fleet.a.getAndStore(path);

        fleet.a.getAndStore(path);

        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
        assertThat(fleet.origin.lastRequest(path).fields().has("If-None-Match")).isFalse();
        assertThat(fleet.origin.lastRequest(path).fields().has("If-Modified-Since")).isFalse();
    }

    /** Public behavior 8: what a client insists on is everybody's from then on. */
    @Test
    void reloadReplacesTheStoredResponse() throws IOException {
        String path = fleet.uniquePath("reload");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=600", "Age", "1");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 200, "v2", "Cache-Control", "max-age=600");

        assertThat(fleet.a.get(path).text()).isEqualTo("v1");
        assertThat(fleet.b.getAndStore(path, "Cache-Control", "no-cache").text()).isEqualTo("v2");

        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.get(path).text().equals("v2"));
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** Public behavior 16 (c00120): nobody is free to ask the origin; that is no reason to refuse what is there. */
    @ParameterizedTest
    @ValueSource(strings = {"max-age=60, stale-while-revalidate=600", "max-age=60"})
    void staleIsServedWhenOriginConcurrencyIsExhausted(String cacheControl) throws Exception {
        String path = fleet.uniquePath("narrow", "full");
        fleet.origin.on(path, 200, "stale", "Cache-Control", cacheControl, "Age", "100");
        fleet.a.getAndStore(path);
        String busy = fleet.uniquePath("narrow", "busy");
        var end = new CountDownLatch(1);
        fleet.origin.on(busy, exchange -> {
            end.await();
            exchange.respond(200, "done");
        });
        var both = List.of(HttpProbe.async(() -> fleet.a.get(busy + "?1")),
                HttpProbe.async(() -> fleet.a.get(busy + "?2")));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(busy) == 2);

        HttpProbe.ProbeResponse answer = fleet.a.get(path);
        end.countDown();

        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.text()).isEqualTo("stale");
        assertThat(HttpProbe.joinAll(both)).allMatch(one -> one.text().equals("done"));
        fleet.a.awaitNoFlights();
    }

    /** XFetch: the slower the origin and the nearer the end, the likelier; whoever draws it is answered at once, like all others. */
    @Test
    void earlyRefreshHappensOncePerFleet() throws Exception {
        String path = fleet.uniquePath("early", "page");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            // At a second and a beta of 100 six of ten draw it with 50 s to go.
            assertThat(new CountDownLatch(1).await(1, TimeUnit.SECONDS)).isFalse();
            exchange.respond(200, "old", "Cache-Control", "max-age=600", "Age", "550");
        });
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, "new", "Cache-Control", "max-age=600");
        });

        for (ReplicaUnderTest replica : List.of(fleet.a, fleet.b, fleet.a, fleet.b)) {
            List<HttpProbe.ProbeResponse> answers = HttpProbe
                    .joinAll(HttpProbe.concurrently(20, () -> replica.get(path)));
            assertThat(answers).allMatch(answer -> answer.text().equals("old") && answer.isHit());
        }
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 2);
        hold.countDown();

        for (ReplicaUnderTest replica : fleet.replicas()) {
            replica.awaitNoFlights();
            ReplicaUnderTest.eventually(() -> replica.get(path).text().equals("new"));
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }
}
