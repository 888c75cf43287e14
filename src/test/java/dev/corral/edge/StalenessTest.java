package dev.corral.edge;

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
@EdgeTest
class StalenessTest {

    private final Fleet fleet;

    StalenessTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Numbers its answers, and gives 304 to whoever has the last one. */
    private static StubOrigin.Script numbered(AtomicInteger number, String... fields) {
        return exchange -> exchange.answer(200, "v" + number.incrementAndGet(), fields);
    }

    /** Public behaviours 5 and 16. */
    @Test
    void staleWhileRevalidateAnswersEverybodyAtOnceAndRefreshesOnce() throws Exception {
        String path = fleet.path("swr");
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.store(path);
        fleet.b.store(path);
        fleet.b.awaitLanded();
        int before = fleet.origin.count(path);
        var refresh = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            refresh.await();
            exchange.answer(200, "new", "Cache-Control", "max-age=60, stale-while-revalidate=600");
        });

        var near = Client.crowd(20, () -> fleet.a.get(path));
        var far = Client.crowd(20, () -> fleet.b.get(path));

        assertThat(Client.join(near)).allMatch(answer -> answer.text().equals("old") && answer.hit());
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("old") && answer.hit());
        Replica.until(() -> fleet.origin.count(path) == before + 1);
        refresh.countDown();
        for (Replica replica : fleet.replicas()) {
            replica.awaitLanded();
            Replica.until(() -> replica.get(path).text().equals("new"));
        }
        assertThat(fleet.origin.count(path)).isEqualTo(before + 1);
    }

    /** Public behaviour 16. */
    @Test
    void pastItsWindowEverybodyWaitsForTheOrigin() throws IOException {
        String path = fleet.path("swr-window");
        var number = new AtomicInteger();
        fleet.origin.on(path, numbered(number, "Cache-Control", "max-age=60, stale-while-revalidate=30", "Age", "100"));

        assertThat(fleet.a.store(path).text()).isEqualTo("v1");
        assertThat(fleet.a.store(path).text()).isEqualTo("v2");
        assertThat(fleet.b.store(path).text()).isEqualTo("v3");
    }

    /** Public behaviour 16. */
    @Test
    void aClientMayOptOutOfStale() throws IOException {
        String path = fleet.path("opt-out");
        var number = new AtomicInteger();
        fleet.origin.on(path,
                numbered(number, "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100"));
        fleet.a.store(path);

        assertThat(fleet.a.store(path, "Cache-Control", "max-age=1000").text()).isEqualTo("v2");
        assertThat(fleet.a.store(path, "Cache-Control", "no-cache").text()).isEqualTo("v3");
        assertThat(fleet.a.get(path, "Cache-Control", "max-stale=50").text()).isEqualTo("v3");
        assertThat(fleet.a.answered("t", "stale")).isPositive();
    }

    /** Public behaviour 5. */
    @ParameterizedTest
    @ValueSource(ints = {500, 502, 503, 504, 599})
    void staleIfErrorStandsInForA5xx(int status) throws IOException {
        String path = fleet.path("sie");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60, stale-if-error=600", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, status, "bad");

        for (Replica replica : List.of(fleet.a, fleet.b, fleet.a)) {
            Client.Answer answer = replica.store(path);
            assertThat(answer.status()).isEqualTo(200);
            assertThat(answer.text()).isEqualTo("good");
            assertThat(answer.cacheStatus()).contains("detail=origin-failed");
        }
        assertThat(fleet.origin.count(path)).as("left alone after the first failure").isEqualTo(2);
    }

    /** An error page is not for others, often; the stale answer stands in for it all the same. */
    @ParameterizedTest
    @ValueSource(strings = {"no-store", "private", "no-cache", "max-age=0", "max-age=100"})
    void staleIfErrorStandsInForAnErrorThatIsForOneOnly(String cacheControl) throws IOException {
        String path = fleet.path("sie-private");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60, stale-if-error=600", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, 503, "bad", "Cache-Control", cacheControl, "Set-Cookie", "error=1");

        Client.Answer answer = fleet.a.store(path);

        assertThat(answer.text()).isEqualTo("good");
        assertThat(answer.fields().has("Set-Cookie")).isFalse();
    }

    /** Public behaviour 5. */
    @Test
    void pastStaleIfErrorTheErrorIsPassedOn() throws IOException {
        String path = fleet.path("sie-window");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60, stale-if-error=30", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, 503, "bad", "Retry-After", "7");

        Client.Answer answer = fleet.a.get(path);

        assertThat(answer.status()).isEqualTo(503);
        assertThat(answer.text()).isEqualTo("bad");
        assertThat(answer.field("Retry-After")).isEqualTo("7");
        assertThat(answer.cacheStatus()).startsWith("Corral; fwd=stale; fwd-status=503; detail=origin-failed");
    }

    @Test
    void a5xxIsNotCoveredUnlessTheOriginAsksForIt() throws IOException {
        String path = fleet.path("no-sie");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, 500, "bad");

        assertThat(fleet.a.get(path).status()).isEqualTo(500);
        assertThat(fleet.a.get(path).status()).isEqualTo(500);
    }

    /** Public behaviour 5. */
    @Test
    void aStoredErrorNeverStandsIn() throws IOException {
        String path = fleet.path("error-stored");
        fleet.origin.on(path, 503, "first", "Cache-Control", "max-age=60, stale-if-error=600", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, 502, "second");

        assertThat(fleet.a.get(path).text()).isEqualTo("second");
    }

    @Test
    void staleStandsInForAnOriginThatHangsUp() throws IOException {
        String path = fleet.path("unreachable");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, StubOrigin.Exchange::close);

        for (Replica replica : List.of(fleet.a, fleet.b)) {
            Client.Answer answer = replica.store(path);
            assertThat(answer.text()).isEqualTo("good");
            assertThat(answer.cacheStatus()).contains("detail=origin-unreachable").contains("ttl=-");
        }
    }

    @Test
    void staleStandsInForAnOriginThatHangs() throws IOException {
        String path = fleet.path("hasty", "hangs");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, StubOrigin.Exchange::untilClosed);

        assertThat(fleet.a.store(path).text()).isEqualTo("good");
    }

    /** RFC 9111 section 4.2.4: then it is an error, and preferably 504. */
    @ParameterizedTest
    @ValueSource(strings = {"must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2"})
    void whereTheOriginForbidsItStaleNeverStandsIn(String directive) throws IOException {
        String path = fleet.path("forbidden");
        fleet.origin.on(path, 200, "good", "Cache-Control",
                "max-age=60, stale-if-error=600, stale-while-revalidate=600, " + directive, "Age", "100", "ETag",
                "\"x\"");
        fleet.a.store(path);
        fleet.origin.on(path, StubOrigin.Exchange::close);
        Client.Answer unreachable = fleet.a.store(path);
        fleet.origin.on(path, 500, "bad");
        Client.Answer failed = fleet.a.store(path);

        assertThat(unreachable.status()).isEqualTo(502);
        assertThat(unreachable.reason()).isEqualTo("origin-unreachable");
        assertThat(failed.text()).isEqualTo("bad");
    }

    /** Public behaviour 6. */
    @Test
    void aValidationUpdatesTheFieldsForEverybody() throws IOException {
        String path = fleet.path("update");
        fleet.origin.on(path, 200, "body", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"e\"",
                "Last-Modified",
                "Tue, 03 Nov 2020 10:00:00 GMT", "X-Replaced", "old", "X-Kept", "yes", "Content-Type", "text/plain");
        fleet.a.store(path);
        fleet.b.store(path);
        fleet.origin.on(path, 304, "", "Cache-Control", "max-age=600", "ETag", "\"e\"", "X-Replaced", "new", "X-Added",
                "1", "Content-Length", "999", "Content-Type", "text/html");

        fleet.a.store(path);

        var validation = fleet.origin.last(path);
        assertThat(validation.field("If-None-Match")).isEqualTo("\"e\"");
        assertThat(validation.field("If-Modified-Since")).isEqualTo("Tue, 03 Nov 2020 10:00:00 GMT");
        int count = fleet.origin.count(path);
        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.get(path).field("X-Replaced").equals("new"));
            Client.Answer answer = replica.get(path);
            assertThat(answer.hit()).isTrue();
            assertThat(answer.text()).isEqualTo("body");
            assertThat(answer.field("X-Kept")).isEqualTo("yes");
            assertThat(answer.field("X-Added")).isEqualTo("1");
            assertThat(answer.field("Content-Length")).isEqualTo("4");
            assertThat(answer.field("Content-Type")).isEqualTo("text/plain");
        }
        assertThat(fleet.origin.count(path)).isLessThanOrEqualTo(count + 1);
    }

    /** A 304 about another answer confirms nothing (RFC 9111 section 4.3.4): it is fetched anew. */
    @Test
    void anotherAnswers304ConfirmsNothing() throws IOException {
        String path = fleet.path("other-304");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"1\"");
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            boolean conditional = exchange.request.fields().has("If-None-Match");
            exchange.answer(conditional ? 304 : 200, "v2", "Cache-Control", "max-age=60", "ETag", "\"2\"");
        });

        assertThat(fleet.a.get(path).text()).isEqualTo("v2");
        assertThat(fleet.origin.count(path)).isEqualTo(3);
    }

    /** RFC 9111 section 5.2.2.4; and a reload storm is one validation. */
    @ParameterizedTest
    @ValueSource(strings = {"no-cache", "max-age=0"})
    void aReloadStormIsOneValidation(String reload) throws Exception {
        String path = fleet.path("storm");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600", "ETag", "\"p\"", "Age", "5");
        fleet.a.store(path);
        fleet.b.store(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(304, "", "ETag", "\"p\"", "Cache-Control", "max-age=600");
        });

        var near = Client.crowd(20, () -> fleet.a.get(path, "Cache-Control", reload));
        fleet.a.awaitWaiting(20);
        var far = Client.crowd(20, () -> fleet.b.get(path, "Cache-Control", reload));
        fleet.b.awaitWaiting(20);
        fleet.awaitFollower();
        Client.Answer meanwhile = fleet.a.get(path);
        hold.countDown();

        assertThat(meanwhile.hit()).as("whoever does not insist is served").isTrue();
        assertThat(Client.join(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("page"));
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** Simultaneous ones are one fetch, which nobody later gets. With a Cookie too, as browsers send one. */
    @ParameterizedTest
    @ValueSource(strings = {"X", "Cookie"})
    void aStormOfNoStoreIsOneFetchStoresNothingAndServesWhatIsStored(String field) throws Exception {
        String path = fleet.path("no-store");
        var number = new AtomicInteger();
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, "v" + number.incrementAndGet(), "Cache-Control", "max-age=600");
        });

        var near = Client.crowd(75, () -> fleet.a.get(path, "Cache-Control", "no-store", field, "y"));
        fleet.a.awaitWaiting(75);
        var far = Client.crowd(75, () -> fleet.b.get(path, "Cache-Control", "no-store", field, "z"));
        fleet.b.awaitWaiting(75);
        fleet.awaitFollower();
        hold.countDown();

        assertThat(Client.join(near)).allMatch(answer -> answer.text().equals("v1"));
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("v1"));
        assertThat(fleet.origin.count(path)).isEqualTo(1);
        assertThat(fleet.b.get(path, "Cache-Control", "no-store").text()).as("nothing is stored").isEqualTo("v2");
        assertThat(fleet.a.store(path).text()).isEqualTo("v3");
        assertThat(fleet.a.get(path, "Cache-Control", "no-store").text()).isEqualTo("v3");
        assertThat(fleet.b.get(path, "Cache-Control", "no-store").text()).isEqualTo("v3");
    }

    /** What must not be stored neither takes the place of what is stored and stale, nor is it validated with it. */
    @Test
    void aNoStoreLeavesWhatIsStoredAsItIs() throws IOException {
        String path = fleet.path("no-store-stale");
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=1, stale-if-error=600", "Age", "9", "ETag",
                "\"1\"");
        fleet.a.store(path);
        fleet.origin.on(path, 200, "new", "Cache-Control", "max-age=600");

        assertThat(fleet.a.get(path, "Cache-Control", "no-store").text()).isEqualTo("new");
        assertThat(fleet.origin.last(path).fields().has("If-None-Match")).isFalse();
        fleet.a.awaitLanded();
        fleet.origin.on(path, 503, "down");

        assertThat(fleet.a.get(path).text()).isEqualTo("old");
    }

    /** Variants and private responses are told apart among them as among others. */
    @Test
    void noStoreSharesNoMoreThanOthersDo() throws Exception {
        String path = fleet.path("no-store-vary");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, exchange.request.field("X-Size"), "Cache-Control", "max-age=600", "Vary", "X-Size");
        });
        var small = Client.crowd(5, () -> fleet.a.get(path, "Cache-Control", "no-store", "X-Size", "s"));
        var large = Client.crowd(5, () -> fleet.a.get(path, "Cache-Control", "no-store", "X-Size", "l"));
        fleet.a.awaitWaiting(10);
        hold.countDown();

        assertThat(Client.join(small)).allMatch(answer -> answer.text().equals("s"));
        assertThat(Client.join(large)).allMatch(answer -> answer.text().equals("l"));
        assertThat(fleet.origin.count(path)).isEqualTo(2);

        String mine = fleet.path("no-store-private");
        var number = new AtomicInteger();
        fleet.origin.on(mine, numbered(number, "Cache-Control", "private"));
        assertThat(Client.join(Client.crowd(5, () -> fleet.a.get(mine, "Cache-Control", "no-store"))))
                .extracting(Client.Answer::text)
                .doesNotHaveDuplicates();
    }

    /** 150 reloads of what is stored and fresh, on two replicas, are one validation. */
    @Test
    void aStormOfReloadsIsOneValidation() throws Exception {
        String path = fleet.path("reload-storm");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600", "ETag", "\"1\"");
        fleet.a.store(path);
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(304, "", "Cache-Control", "max-age=600", "ETag", "\"1\"");
        });

        var near = Client.crowd(75, () -> fleet.a.get(path, "Cache-Control", "no-cache", "Pragma", "no-cache"));
        fleet.a.awaitWaiting(75);
        var far = Client.crowd(75, () -> fleet.b.get(path, "Cache-Control", "max-age=0"));
        fleet.b.awaitWaiting(75);
        fleet.awaitFollower();
        hold.countDown();

        assertThat(Client.join(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("page"));
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** Public behaviour 15. One after the other, each at another replica than the one before: what must be validated is never the same twice. */
    @ParameterizedTest
    @CsvSource({"no-cache, max-age=9", "max-age=0, max-age=9", "'max-age=60, no-cache', max-age=9",
            "'max-age=0, public', max-age=9", "max-age=60, no-cache", "max-age=60, max-age=0"})
    void whatMustBeValidatedIsNotGivenToWhoComesNextWhereverHeAsks(String answered, String asked) throws IOException {
        String path = fleet.path("next");
        fleet.origin.on(path, exchange -> exchange.answer(200, "answer " + fleet.origin.count(path), "Cache-Control",
                answered, "Age", "1"));

        try (Client a = fleet.a.connect(); Client b = fleet.b.connect()) {
            for (int turn = 1; turn <= 300; turn++) {
                Client client = turn % 2 == 0 ? a : b;
                Client.Answer answer = client.request("GET", path, "Cache-Control", asked).read();
                assertThat(answer.text()).as(answer.cacheStatus()).isEqualTo("answer " + turn);
            }
        }
    }

    /** Public behaviours 5, 8 and 16 (b00063): what failed behind everybody's back is nobody's, and is tried again. */
    @ParameterizedTest
    @ValueSource(strings = {"503", "close"})
    void aRefreshThatFailsKeepsTheStaleAnswerAndIsTriedAgain(String failure) throws IOException {
        String path = fleet.path("refresh-fails");
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            if (failure.equals("close")) {
                exchange.close();
            } else {
                exchange.answer(Integer.parseInt(failure), "bad");
            }
        });

        for (Replica replica : List.of(fleet.a, fleet.a, fleet.b, fleet.b)) {
            Client.Answer answer = replica.store(path);
            assertThat(answer.text()).isEqualTo("old");
            assertThat(answer.hit()).isTrue();
        }

        fleet.origin.on(path, 200, "new", "Cache-Control", "max-age=600");
        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.store(path).text().equals("new"));
            Client.Answer hit = replica.get(path);
            assertThat(hit.text()).isEqualTo("new");
            assertThat(hit.cacheStatus()).as("nothing of the failure is left").doesNotContain("detail");
        }
    }

    /** Public behaviours 16 (b00062) and 18: past every window the whole fleet asks once, on condition. */
    @Test
    void manyWhoAskForWhatHasExpiredAreOneValidation() throws Exception {
        String path = fleet.path("expired");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"p\"");
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            boolean known = exchange.request.field("If-None-Match").equals("\"p\"");
            exchange.answer(known ? 304 : 200, "again", "ETag", "\"p\"", "Cache-Control", "max-age=600");
        });

        var near = Client.crowd(10, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(10);
        var far = Client.crowd(10, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(10);
        hold.countDown();

        assertThat(Client.join(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("page"));
        fleet.a.awaitLanded();
        assertThat(fleet.b.get(path).hit()).as("it lives on").isTrue();
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** Public behaviour 6: asked on condition, the origin has another one. */
    @Test
    void aChangedAnswerReplacesTheOneThatWasToBeValidated() throws IOException {
        String path = fleet.path("replaced");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"1\"", "X-Old", "1");
        fleet.a.store(path);
        fleet.origin.on(path, 200, "v2", "Cache-Control", "max-age=600", "ETag", "\"2\"");

        assertThat(fleet.a.store(path).text()).isEqualTo("v2");

        assertThat(fleet.origin.last(path).field("If-None-Match")).isEqualTo("\"1\"");
        for (Replica replica : fleet.replicas()) {
            Client.Answer hit = replica.get(path);
            assertThat(hit.text()).isEqualTo("v2");
            assertThat(hit.field("ETag")).isEqualTo("\"2\"");
            assertThat(hit.fields().has("X-Old")).isFalse();
        }
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** Public behaviour 6: a 304 must not bring back, under the error's name, what the error has replaced. */
    @Test
    void anErrorDoesNotInheritTheValidatorsOfWhatItReplaces() throws IOException {
        String path = fleet.path("inherit");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"good\"",
                "Last-Modified", "Tue, 03 Nov 2020 10:00:00 GMT");
        fleet.a.store(path);
        fleet.origin.on(path, 404, "gone", "Cache-Control", "max-age=60", "Age", "100");
        assertThat(fleet.a.store(path).status()).isEqualTo(404);
        fleet.origin.on(path, exchange -> {
            boolean known = exchange.request.fields().has("If-None-Match")
                    || exchange.request.fields().has("If-Modified-Since");
            exchange.answer(known ? 304 : 200, "back", "Cache-Control", "max-age=600", "ETag", "\"good\"");
        });

        Client.Answer answer = fleet.a.store(path);

        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.text()).isEqualTo("back");
        assertThat(fleet.origin.count(path)).isEqualTo(3);
    }

    /** Public behaviour 6: nor is such a one validated by validators of its own. */
    @ParameterizedTest
    @ValueSource(ints = {201, 302, 404, 410, 500})
    void onlyAnAnswerThatIsTheResourceIsValidated(int status) throws IOException {
        String path = fleet.path("not-validated");
        fleet.origin.on(path, status, "said", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"x\"",
                "Last-Modified", "Tue, 03 Nov 2020 10:00:00 GMT");
        fleet.a.store(path);

        fleet.a.store(path);

        assertThat(fleet.origin.count(path)).isEqualTo(2);
        assertThat(fleet.origin.last(path).fields().has("If-None-Match")).isFalse();
        assertThat(fleet.origin.last(path).fields().has("If-Modified-Since")).isFalse();
    }

    /** Public behaviour 8: what a client insists on is everybody's from then on. */
    @Test
    void aReloadReplacesWhatIsStored() throws IOException {
        String path = fleet.path("reload");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=600", "Age", "1");
        fleet.a.store(path);
        fleet.origin.on(path, 200, "v2", "Cache-Control", "max-age=600");

        assertThat(fleet.a.get(path).text()).isEqualTo("v1");
        assertThat(fleet.b.store(path, "Cache-Control", "no-cache").text()).isEqualTo("v2");

        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.get(path).text().equals("v2"));
        }
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** Public behaviour 16 (c00120): nobody is free to ask the origin; that is no reason to refuse what is there. */
    @ParameterizedTest
    @ValueSource(strings = {"max-age=60, stale-while-revalidate=600", "max-age=60"})
    void staleIsServedThoughTheOriginHasNoPlaceLeft(String cacheControl) throws Exception {
        String path = fleet.path("narrow", "full");
        fleet.origin.on(path, 200, "stale", "Cache-Control", cacheControl, "Age", "100");
        fleet.a.store(path);
        String busy = fleet.path("narrow", "busy");
        var end = new CountDownLatch(1);
        fleet.origin.on(busy, exchange -> {
            end.await();
            exchange.answer(200, "done");
        });
        var both = List.of(Client.meanwhile(() -> fleet.a.get(busy + "?1")),
                Client.meanwhile(() -> fleet.a.get(busy + "?2")));
        Replica.until(() -> fleet.origin.count(busy) == 2);

        Client.Answer answer = fleet.a.get(path);
        end.countDown();

        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.text()).isEqualTo("stale");
        assertThat(Client.join(both)).allMatch(one -> one.text().equals("done"));
        fleet.a.awaitLanded();
    }

    /** XFetch: the slower the origin and the nearer the end, the likelier; whoever draws it is answered at once, like all others. */
    @Test
    void anEarlyRefreshIsOneForTheFleet() throws Exception {
        String path = fleet.path("early", "page");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            // At 200 ms and a beta of 100 six of ten draw it with 10 s to go.
            assertThat(new CountDownLatch(1).await(200, TimeUnit.MILLISECONDS)).isFalse();
            exchange.answer(200, "old", "Cache-Control", "max-age=600", "Age", "590");
        });
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, "new", "Cache-Control", "max-age=600");
        });

        for (Replica replica : List.of(fleet.a, fleet.b, fleet.a, fleet.b)) {
            List<Client.Answer> answers = Client.join(Client.crowd(20, () -> replica.get(path)));
            assertThat(answers).allMatch(answer -> answer.text().equals("old") && answer.hit());
        }
        Replica.until(() -> fleet.origin.count(path) == 2);
        hold.countDown();

        for (Replica replica : fleet.replicas()) {
            replica.awaitLanded();
            Replica.until(() -> replica.get(path).text().equals("new"));
        }
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }
}
