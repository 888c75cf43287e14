package dev.corral.edge;

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
@EdgeTest
class PrivacyTest {

    private final Fleet fleet;

    PrivacyTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /**
     * Public behaviour 12: all who waited are released at once and fetch side by side: the origin answers the second to the last
     * only when all are there.
     */
    @ParameterizedTest
    @ValueSource(strings = {"Cache-Control: private, max-age=60", "Cache-Control: no-store",
            "Cache-Control: max-age=60\r\nSet-Cookie: session=1", "Cache-Control: max-age=60\r\nVary: *",
            "Set-Cookie: session=1", "CDN-Cache-Control: private\r\nCache-Control: max-age=60"})
    void nobodySeesAnothersAnswerAndNobodyWaitsInLine(String fields) throws Exception {
        String path = fleet.path("private");
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
            exchange.raw("HTTP/1.1 200 OK\r\n" + fields + "\r\nContent-Length: " + body.length() + "\r\n\r\n" + body);
        });

        List<Future<Client.Answer>> near = Client.crowd(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(5);
        List<Future<Client.Answer>> far = Client.crowd(5, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(5);
        first.countDown();

        List<Client.Answer> answers = Client.join(near);
        answers.addAll(Client.join(far));
        assertThat(answers).extracting(Client.Answer::text).doesNotHaveDuplicates().hasSize(10);
        assertThat(answers).noneMatch(Client.Answer::collapsed).noneMatch(Client.Answer::hit);
        assertThat(fleet.origin.count(path)).isEqualTo(10);
    }

    /** Public behaviour 12: later ones do not wait, and the mark goes when the resource becomes cacheable. */
    @Test
    void theMarkIsDroppedWhenAnAnswerMayBeShared() throws IOException {
        String path = fleet.path("becomes");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private", "ETag", "\"mine\"");
        fleet.a.store(path);
        fleet.b.store(path);
        fleet.origin.on(path, 200, "everybody's", "Cache-Control", "max-age=600");

        Client.Answer first = fleet.a.store(path);
        int count = fleet.origin.count(path);

        assertThat(first.text()).isEqualTo("everybody's");
        assertThat(first.cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=200; stored; detail=private");
        assertThat(fleet.origin.last(path).fields().has("If-None-Match")).as("a mark has nothing to validate")
                .isFalse();
        Replica.until(() -> fleet.a.get(path).hit());
        Replica.until(() -> fleet.b.get(path).hit());
        assertThat(fleet.origin.count(path)).isLessThanOrEqualTo(count + 2);
    }

    /**
     * Public behaviours 11 (c00097) and 12: the head alone tells that an answer is for one only; nobody waits for the end of another's
     * body.
     */
    @Test
    void theHeadAloneReleasesThoseWhoWait() throws Exception {
        String path = fleet.path("head-releases");
        var first = new CountDownLatch(1);
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.count(path) > 1) {
                exchange.answer(200, "another's", "Cache-Control", "no-store");
                return;
            }
            first.await();
            exchange.raw(StubOrigin.Exchange.head(200, "Cache-Control", "no-store", "Transfer-Encoding", "chunked")
                    + "\r\n");
            end.await();
            exchange.chunk("mine");
            exchange.raw("0\r\n\r\n");
        });

        Future<Client.Answer> leader = Client.meanwhile(() -> fleet.a.get(path));
        Replica.until(() -> fleet.origin.count(path) == 1);
        List<Future<Client.Answer>> near = Client.crowd(3, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(4);
        List<Future<Client.Answer>> far = Client.crowd(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(3);
        first.countDown();

        assertThat(Client.join(near)).allMatch(answer -> answer.text().equals("another's"));
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("another's"));
        assertThat(leader.isDone()).isFalse();
        end.countDown();
        assertThat(leader.get().text()).isEqualTo("mine");
    }

    @Test
    void whatRequestsFetchForThemselvesIsAskedForInTheirOwnWords() throws IOException {
        String path = fleet.path("own");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.store(path);
        fleet.origin.on(path, 206, "m", "Cache-Control", "private", "Content-Range", "bytes 0-0/4");

        assertThat(fleet.a.get(path, "Range", "bytes=0-0", "If-Range", "\"x\"").status()).isEqualTo(206);

        assertThat(fleet.origin.last(path).field("Range")).isEqualTo("bytes=0-0");
        assertThat(fleet.origin.last(path).field("If-Range")).isEqualTo("\"x\"");
    }

    /** To poison the cache must take more than a header: also where each request fetches for itself. */
    @Test
    void noFieldOutsideOfTheKeyDecidesWhatOthersGet() throws IOException {
        String path = fleet.path("poison");
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> exchange.answer(200, exchange.request.field("X-Forwarded-Host")
                + exchange.request.field("X-Original-URL") + exchange.request.field("Forwarded"), "Cache-Control",
                "max-age=600"));

        fleet.a.store(path, "Host", "evil.example", "X-Forwarded-Host", "evil.example", "X-Original-URL", "/evil");

        assertThat(fleet.a.get(path).text()).doesNotContain("evil");
        assertThat(fleet.b.get(path).text()).doesNotContain("evil");
    }

    /** An origin may answer an odd spelling with an error: that is not what others get for the usual one. */
    @Test
    void noSpellingOfAUriDecidesWhatOthersGet() throws IOException {
        String path = fleet.path("spelt~so");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
        for (String odd : List.of(path.replace("~", "%7E"), path.replace("/spelt", "/x/../spelt"),
                path.replace("/spelt", "/./spelt"), path.replace("spelt", "%73pelt"))) {
            fleet.origin.on(odd, 404, "no such page", "Cache-Control", "max-age=600");
            assertThat(fleet.a.store(odd).status()).isEqualTo(404);
            assertThat(fleet.a.store(odd).hit()).isTrue();

            assertThat(fleet.a.store(path).text()).isEqualTo("page");
        }
        fleet.origin.on(path + "?q=%41", 404, "no", "Cache-Control", "max-age=600");
        fleet.a.store(path + "?q=%41");
        assertThat(fleet.origin.count(path)).isEqualTo(2);
        assertThat(fleet.a.store(path + "?q=A").hit()).isFalse();
    }

    /** RFC 9111 section 3.5. */
    @Test
    void whatSomebodyKnownGetsIsForThemAlone() throws IOException {
        String path = fleet.path("authorized");
        fleet.origin.on(path, exchange -> exchange.answer(200, "for " + exchange.request.field("Authorization"),
                "Cache-Control", "max-age=600"));

        assertThat(fleet.a.store(path, "Authorization", "joe").text()).isEqualTo("for joe");
        assertThat(fleet.a.store(path, "Authorization", "ann").text()).isEqualTo("for ann");
        assertThat(fleet.a.store(path).text()).isEqualTo("for ");
        assertThat(fleet.a.store(path).hit()).isTrue();
        assertThat(fleet.b.store(path, "Authorization", "joe").text())
                .as("what is stored for all may be used for joe (section 3.5 is about what is stored)")
                .isEqualTo("for ");
    }

    @ParameterizedTest
    @ValueSource(strings = {"public, max-age=600", "s-maxage=600", "max-age=600, must-revalidate"})
    void unlessTheOriginSaysItIsForAll(String cacheControl) throws IOException {
        String path = fleet.path("authorized-public");
        fleet.origin.on(path, 200, "for all", "Cache-Control", cacheControl);

        fleet.a.store(path, "Authorization", "joe");

        assertThat(fleet.a.get(path, "Authorization", "ann").text()).isEqualTo("for all");
        assertThat(fleet.b.get(path).text()).isEqualTo("for all");
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    @Test
    void whatIsRefusedToSomebodyKnownDoesNotStopTheOthersFromSharing() throws Exception {
        String path = fleet.path("lanes");
        var number = new AtomicInteger();
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, "v" + number.incrementAndGet(), "Cache-Control", "max-age=600");
        });

        Future<Client.Answer> known = Client.meanwhile(() -> fleet.a.get(path, "Authorization", "joe"));
        Replica.until(() -> fleet.origin.count(path) == 1);
        List<Future<Client.Answer>> all = Client.crowd(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(6);
        hold.countDown();

        assertThat(Client.join(all)).extracting(Client.Answer::text).containsOnly(Client.join(all).getFirst().text());
        assertThat(known.get().status()).isEqualTo(200);
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** Without stated freshness an answer to a request with a cookie may be for its session. */
    @Test
    void whatIsMadeForASessionIsNotGivenToThoseWhoWait() throws Exception {
        String path = fleet.path("session");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, "for " + exchange.request.field("Cookie"));
        });

        Future<Client.Answer> joe = Client.meanwhile(() -> fleet.a.get(path, "Cookie", "joe"));
        fleet.a.awaitWaiting(1);
        Future<Client.Answer> ann = Client.meanwhile(() -> fleet.a.get(path, "Cookie", "ann"));
        fleet.a.awaitWaiting(2);
        Future<Client.Answer> nobody = Client.meanwhile(() -> fleet.b.get(path));
        fleet.b.awaitWaiting(1);
        hold.countDown();

        assertThat(joe.get().text()).isEqualTo("for joe");
        assertThat(ann.get().text()).isEqualTo("for ann");
        assertThat(nobody.get().text()).isEqualTo("for ");
    }

    /** Heuristic freshness is no permission: a page with Last-Modified that was made for a session is for that session alone. */
    @ParameterizedTest
    @ValueSource(strings = {"Cookie", "X-Api-Key", "X-Forwarded-User"})
    void aGuessAtFreshnessSharesNothingThatWasMadeForAUser(String credential) throws Exception {
        String path = fleet.path("guessed");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, "for " + exchange.request.field(credential), "Last-Modified",
                    "Mon, 02 Mar 2020 10:00:00 GMT");
        });

        Future<Client.Answer> alice = Client.meanwhile(() -> fleet.a.get(path, credential, "alice"));
        fleet.a.awaitWaiting(1);
        Future<Client.Answer> near = Client.meanwhile(() -> fleet.a.get(path));
        fleet.a.awaitWaiting(2);
        Future<Client.Answer> far = Client.meanwhile(() -> fleet.b.get(path, credential, "bob"));
        fleet.b.awaitWaiting(1);
        hold.countDown();

        assertThat(alice.get().text()).isEqualTo("for alice");
        assertThat(near.get().text()).isEqualTo("for ");
        assertThat(far.get().text()).isEqualTo("for bob");
        assertThat(fleet.a.store(path).text()).isEqualTo("for ");
        assertThat(fleet.b.store(path).text()).isEqualTo("for ");
    }

    /** What was fetched without a credential is everybody's, as before. */
    @Test
    void aGuessAtFreshnessSharesWhatWasMadeForNobody() throws IOException {
        String path = fleet.path("guessed-for-all");
        fleet.origin.on(path, 200, "for all", "Last-Modified", "Mon, 02 Mar 2020 10:00:00 GMT");

        fleet.a.store(path);

        assertThat(fleet.a.get(path, "Cookie", "alice").hit()).isTrue();
        assertThat(fleet.b.get(path).text()).isEqualTo("for all");
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    @Test
    void aRouteMayShareSetCookie() throws IOException {
        String path = fleet.path("cookies", "shared");
        fleet.origin.on(path, 200, "hello", "Cache-Control", "max-age=600", "Set-Cookie", "language=en", "Set-Cookie",
                "theme=dark");

        fleet.a.store(path);

        assertThat(fleet.b.get(path).fields().all("Set-Cookie")).containsExactly("language=en", "theme=dark");
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }
}
