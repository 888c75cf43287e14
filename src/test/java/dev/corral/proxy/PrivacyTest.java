package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** What is for one request reaches no other: safety rules 3 and 4. */
@ProxyTest
class PrivacyTest {

    private final FleetUnderTest fleet;

    PrivacyTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /**
     * Public behavior 12: all who waited are released at once and fetch side by side: the origin answers the second to the last
     * only when all are there.
     */
    @ParameterizedTest
    @ValueSource(strings = {"Cache-Control: private, max-age=60", "Cache-Control: no-store",
            "Cache-Control: max-age=60\r\nSet-Cookie: session=1", "Cache-Control: max-age=60\r\nVary: *",
            "Set-Cookie: session=1", "CDN-Cache-Control: private\r\nCache-Control: max-age=60"})
    void unshareableResponseIsFetchedPerClientConcurrently(String fields) throws Exception {
        String path = fleet.uniquePath("private");
        var number = new AtomicInteger();
        var first = new CountDownLatch(1);
        var others = new CountDownLatch(9);
        fleet.origin.on(path, exchange -> {
            int mine = number.incrementAndGet();
            if (mine == 1) {
                first.await();
            } else {
                others.countDown();
                others.await();
            }
            String body = "secret " + mine;
            exchange.writeRaw(
                    "HTTP/1.1 200 OK\r\n" + fields + "\r\nContent-Length: " + body.length() + "\r\n\r\n" + body);
        });

        List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(5);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(5, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(5);
        fleet.awaitFollower();
        first.countDown();

        List<HttpProbe.ProbeResponse> answers = HttpProbe.joinAll(near);
        answers.addAll(HttpProbe.joinAll(far));
        assertThat(answers).extracting(HttpProbe.ProbeResponse::text).doesNotHaveDuplicates().hasSize(10);
        assertThat(answers).noneMatch(HttpProbe.ProbeResponse::isCollapsed).noneMatch(HttpProbe.ProbeResponse::isHit);
        assertThat(fleet.origin.requestCount(path)).isEqualTo(10);
    }

    /** Public behavior 12: later ones do not wait, and the mark goes when the resource becomes cacheable. */
    @Test
    void hitForMissMarkerIsDroppedWhenResponseIsShareable() throws IOException {
        String path = fleet.uniquePath("becomes");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private", "ETag", "\"mine\"");
        fleet.a.getAndStore(path);
        fleet.b.getAndStore(path);
        fleet.origin.on(path, 200, "everybody's", "Cache-Control", "max-age=600");

        HttpProbe.ProbeResponse first = fleet.a.getAndStore(path);
        int count = fleet.origin.requestCount(path);

        assertThat(first.text()).isEqualTo("everybody's");
        assertThat(first.cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=200; stored; detail=private");
        assertThat(fleet.origin.lastRequest(path).fields().has("If-None-Match")).as("a mark has nothing to validate")
                .isFalse();
        ReplicaUnderTest.eventually(() -> fleet.a.get(path).isHit());
        ReplicaUnderTest.eventually(() -> fleet.b.get(path).isHit());
        assertThat(fleet.origin.requestCount(path)).isLessThanOrEqualTo(count + 2);
    }

    /**
     * Public behaviors 11 (c00097) and 12: the head alone tells that an answer is for one only; nobody waits for the end of another's
     * body.
     */
    @Test
    void responseHeadAloneReleasesWaiters() throws Exception {
        String path = fleet.uniquePath("head-releases");
        var first = new CountDownLatch(1);
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.requestCount(path) > 1) {
                exchange.respond(200, "another's", "Cache-Control", "no-store");
                return;
            }
            first.await();
            exchange.writeRaw(
                    OriginStub.StubExchange.formatHead(200, "Cache-Control", "no-store", "Transfer-Encoding", "chunked")
                            + "\r\n");
            end.await();
            exchange.writeChunk("mine");
            exchange.writeRaw("0\r\n\r\n");
        });

        Future<HttpProbe.ProbeResponse> leader = HttpProbe.async(() -> fleet.a.get(path));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1);
        List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(3, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(4);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(3);
        first.countDown();

        assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals("another's"));
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("another's"));
        assertThat(leader.isDone()).isFalse();
        end.countDown();
        assertThat(leader.get().text()).isEqualTo("mine");
    }

    @Test
    void unsharedFetchForwardsClientSpecificFields() throws IOException {
        String path = fleet.uniquePath("own");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 206, "m", "Cache-Control", "private", "Content-Range", "bytes 0-0/4");

        assertThat(fleet.a.get(path, "Range", "bytes=0-0", "If-Range", "\"x\"").status()).isEqualTo(206);

        assertThat(fleet.origin.lastRequest(path).field("Range")).isEqualTo("bytes=0-0");
        assertThat(fleet.origin.lastRequest(path).field("If-Range")).isEqualTo("\"x\"");
    }

    /** To poison the cache must take more than a header: also where each request fetches for itself. */
    @Test
    void fieldOutsideTheCacheKeyCannotPoisonTheCache() throws IOException {
        String path = fleet.uniquePath("poison");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> exchange.respond(200, exchange.request.field("X-Forwarded-Host")
                + exchange.request.field("X-Original-URL") + exchange.request.field("Forwarded"), "Cache-Control",
                "max-age=600"));

        fleet.a.getAndStore(path, "Host", "evil.example", "X-Forwarded-Host", "evil.example", "X-Original-URL",
                "/evil");

        assertThat(fleet.a.get(path).text()).doesNotContain("evil");
        assertThat(fleet.b.get(path).text()).doesNotContain("evil");
    }

    /** An origin may answer an odd spelling with an error: that is not what others get for the usual one. */
    @Test
    void unusualUriSpellingCannotPoisonTheCache() throws IOException {
        String path = fleet.uniquePath("spelt~so");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
        for (String odd : List.of(path.replace("~", "%7E"), path.replace("/spelt", "/x/../spelt"),
                path.replace("/spelt", "/./spelt"), path.replace("spelt", "%73pelt"))) {
            fleet.origin.on(odd, 404, "no such page", "Cache-Control", "max-age=600");
            assertThat(fleet.a.getAndStore(odd).status()).isEqualTo(404);
            assertThat(fleet.a.getAndStore(odd).isHit()).isTrue();

            assertThat(fleet.a.getAndStore(path).text()).isEqualTo("page");
        }
        fleet.origin.on(path + "?q=%41", 404, "no", "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path + "?q=%41");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
        assertThat(fleet.a.getAndStore(path + "?q=A").isHit()).isFalse();
    }

    /** RFC 9111 section 3.5. */
    @Test
    void authorizationResponseIsNotSharedByDefault() throws IOException {
        String path = fleet.uniquePath("authorized");
        fleet.origin.on(path, exchange -> exchange.respond(200, "for " + exchange.request.field("Authorization"),
                "Cache-Control", "max-age=600"));

        assertThat(fleet.a.getAndStore(path, "Authorization", "joe").text()).isEqualTo("for joe");
        assertThat(fleet.a.getAndStore(path, "Authorization", "ann").text()).isEqualTo("for ann");
        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("for ");
        assertThat(fleet.a.getAndStore(path).isHit()).isTrue();
        assertThat(fleet.b.getAndStore(path, "Authorization", "joe").text())
                .as("what is stored for all may be used for joe (section 3.5 is about what is stored)")
                .isEqualTo("for ");
    }

    @ParameterizedTest
    @ValueSource(strings = {"public, max-age=600", "s-maxage=600", "max-age=600, must-revalidate"})
    void authorizationResponseIsSharedWhenPublic(String cacheControl) throws IOException {
        String path = fleet.uniquePath("authorized-public");
        fleet.origin.on(path, 200, "for all", "Cache-Control", cacheControl);

        fleet.a.getAndStore(path, "Authorization", "joe");

        assertThat(fleet.a.get(path, "Authorization", "ann").text()).isEqualTo("for all");
        assertThat(fleet.b.get(path).text()).isEqualTo("for all");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    @Test
    void authorizationRequestDoesNotStopOthersFromSharing() throws Exception {
        String path = fleet.uniquePath("lanes");
        var number = new AtomicInteger();
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, "v" + number.incrementAndGet(), "Cache-Control", "max-age=600");
        });

        Future<HttpProbe.ProbeResponse> known = HttpProbe.async(() -> fleet.a.get(path, "Authorization", "joe"));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1);
        List<Future<HttpProbe.ProbeResponse>> all = HttpProbe.concurrently(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(6);
        hold.countDown();

        assertThat(HttpProbe.joinAll(all)).extracting(HttpProbe.ProbeResponse::text)
                .containsOnly(HttpProbe.joinAll(all).getFirst().text());
        assertThat(known.get().status()).isEqualTo(200);
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** Without stated freshness an answer to a request with a cookie may be for its session. */
    @Test
    void sessionResponseIsNotSharedWithWaiters() throws Exception {
        String path = fleet.uniquePath("session");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, "for " + exchange.request.field("Cookie"));
        });

        Future<HttpProbe.ProbeResponse> joe = HttpProbe.async(() -> fleet.a.get(path, "Cookie", "joe"));
        fleet.a.awaitWaiters(1);
        Future<HttpProbe.ProbeResponse> ann = HttpProbe.async(() -> fleet.a.get(path, "Cookie", "ann"));
        fleet.a.awaitWaiters(2);
        Future<HttpProbe.ProbeResponse> nobody = HttpProbe.async(() -> fleet.b.get(path));
        fleet.b.awaitWaiters(1);
        hold.countDown();

        assertThat(joe.get().text()).isEqualTo("for joe");
        assertThat(ann.get().text()).isEqualTo("for ann");
        assertThat(nobody.get().text()).isEqualTo("for ");
    }

    /** Heuristic freshness is no permission: a page with Last-Modified that was made for a session is for that session alone. */
    @ParameterizedTest
    @ValueSource(strings = {"Cookie", "X-Api-Key", "X-Forwarded-User"})
    void heuristicFreshnessDoesNotShareCredentialedResponse(String credential) throws Exception {
        String path = fleet.uniquePath("guessed");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, "for " + exchange.request.field(credential), "Last-Modified",
                    "Mon, 02 Mar 2020 10:00:00 GMT");
        });

        Future<HttpProbe.ProbeResponse> alice = HttpProbe.async(() -> fleet.a.get(path, credential, "alice"));
        fleet.a.awaitWaiters(1);
        Future<HttpProbe.ProbeResponse> near = HttpProbe.async(() -> fleet.a.get(path));
        fleet.a.awaitWaiters(2);
        Future<HttpProbe.ProbeResponse> far = HttpProbe.async(() -> fleet.b.get(path, credential, "bob"));
        fleet.b.awaitWaiters(1);
        hold.countDown();

        assertThat(alice.get().text()).isEqualTo("for alice");
        assertThat(near.get().text()).isEqualTo("for ");
        assertThat(far.get().text()).isEqualTo("for bob");
        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("for ");
        assertThat(fleet.b.getAndStore(path).text()).isEqualTo("for ");
    }

    /** What was fetched without a credential is everybody's, as before. */
    @Test
    void heuristicFreshnessSharesAnonymousResponse() throws IOException {
        String path = fleet.uniquePath("guessed-for-all");
        fleet.origin.on(path, 200, "for all", "Last-Modified", "Mon, 02 Mar 2020 10:00:00 GMT");

        fleet.a.getAndStore(path);

        assertThat(fleet.a.get(path, "Cookie", "alice").isHit()).isTrue();
        assertThat(fleet.b.get(path).text()).isEqualTo("for all");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    @Test
    void setCookieIsSharedWhenTheRouteAllows() throws IOException {
        String path = fleet.uniquePath("cookies", "shared");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=600", "Set-Cookie", "language=en", "Set-Cookie",
                "theme=dark");

        fleet.a.getAndStore(path);

        assertThat(fleet.b.get(path).fields().values("Set-Cookie")).containsExactly("language=en", "theme=dark");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }
}
