package dev.corral.edge;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Which of a resource's answers a request gets: RFC 9111 section 4.1. */
@EdgeTest
class VariantTest {

    private final Fleet fleet;

    VariantTest(Fleet fleet) {
        this.fleet = fleet;
    }

    private static StubOrigin.Script varying(String field, AtomicInteger number) {
        return exchange -> exchange.answer(200, exchange.request.field(field) + "#" + number.incrementAndGet(), "Vary",
                field, "Cache-Control", "max-age=600");
    }

    @Test
    void eachVariantIsFetchedOnceForTheFleet() throws IOException {
        String path = fleet.path("variants");
        fleet.origin.on(path, varying("X-Size", new AtomicInteger()));

        for (int round = 0; round < 2; round++) {
            for (Replica replica : fleet.replicas()) {
                assertThat(replica.store(path, "X-Size", "s").text()).isEqualTo("s#1");
                assertThat(replica.store(path, "X-Size", "m").text()).isEqualTo("m#2");
                assertThat(replica.store(path).text()).as("absent matches only absent").isEqualTo("#3");
            }
        }
        assertThat(fleet.origin.count(path)).isEqualTo(3);
    }

    /** Public behaviour 7. */
    @Test
    void theValuesAreComparedByWhatTheyMean() throws IOException {
        String path = fleet.path("normal");
        fleet.origin.on(path, varying("Accept-Encoding", new AtomicInteger()));

        fleet.a.store(path, "Accept-Encoding", "gzip, br;q=0.5");

        for (String same : List.of("gzip,br;q=0.5", "br;q=0.500 , GZIP", "gzip;q=1.0,br;q=0.5")) {
            assertThat(fleet.a.get(path, "Accept-Encoding", same).hit()).as(same).isTrue();
        }
        assertThat(fleet.a.get(path, "Accept-Encoding", "gzip", "accept-encoding", "br;q=0.5").hit()).isTrue();
        assertThat(fleet.a.get(path, "Accept-Encoding", "br").hit()).isFalse();
    }

    /** Public behaviour 14: the waiter whose variant differs goes on to its own; nobody gets another's. */
    @Test
    void whoWaitedForAnotherVariantGetsItsOwn() throws Exception {
        String path = fleet.path("unknown");
        var go = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            go.await();
            varying("X-Size", number).play(exchange);
        });

        var small = Client.crowd(4, () -> fleet.a.get(path, "X-Size", "s"));
        fleet.a.awaitWaiting(4);
        Replica.until(() -> fleet.origin.count(path) == 1);
        var others = List.of(Client.meanwhile(() -> fleet.a.get(path, "X-Size", "m")),
                Client.meanwhile(() -> fleet.a.get(path, "X-Size", "m")));
        fleet.a.awaitWaiting(6);
        var far = Client.crowd(2, () -> fleet.b.get(path, "X-Size", "m"));
        fleet.b.awaitWaiting(2);
        go.countDown();

        assertThat(Client.join(small)).allMatch(answer -> answer.text().equals("s#1"));
        assertThat(Client.join(others)).allMatch(answer -> answer.text().equals("m#2"));
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("m#2"));
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** Public behaviour 14: a variant that is known does not wait behind another. */
    @Test
    void aSlowVariantDelaysNoOther() throws Exception {
        String path = fleet.path("slow");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            if (exchange.request.field("X-Size").equals("slow")) {
                hold.await();
            }
            varying("X-Size", number).play(exchange);
        });
        fleet.a.store(path, "X-Size", "known");

        var slow = Client.meanwhile(() -> fleet.a.get(path, "X-Size", "slow"));
        Replica.until(() -> fleet.origin.count(path) == 2);
        Client.Answer quick = fleet.a.get(path, "X-Size", "quick");
        Client.Answer far = fleet.b.get(path, "X-Size", "far");
        hold.countDown();

        assertThat(quick.text()).startsWith("quick#");
        assertThat(far.text()).startsWith("far#");
        assertThat(slow.get().text()).startsWith("slow#");
    }

    /** Public behaviour 7. */
    @Test
    void aChangedVaryChangesWhatSelects() throws IOException {
        String path = fleet.path("changed");
        var number = new AtomicInteger();
        fleet.origin.on(path, varying("X-Size", number));
        fleet.a.store(path, "X-Size", "s", "X-Color", "red");
        fleet.origin.on(path, varying("X-Color", number));

        assertThat(fleet.a.store(path, "X-Size", "m", "X-Color", "red").text()).isEqualTo("red#2");
        assertThat(fleet.a.store(path, "X-Size", "other", "X-Color", "red").text()).isEqualTo("red#2");
        assertThat(fleet.a.store(path, "X-Size", "m", "X-Color", "blue").text()).isEqualTo("blue#3");
        assertThat(fleet.b.store(path, "X-Size", "l", "X-Color", "blue").text()).isEqualTo("blue#3");
    }

    /** Public behaviour 7, RFC 9111 section 4.1: what matches a variant that is still fresh gets it; all others get the one without Vary. */
    @Test
    void aFreshVariantIsPreferredToAnAnswerWithoutVary() throws IOException {
        String path = fleet.path("superseded");
        var number = new AtomicInteger();
        fleet.origin.on(path, varying("X-Size", number));
        String small = fleet.a.store(path, "X-Size", "s").text();
        String medium = fleet.a.store(path, "X-Size", "m").text();
        fleet.origin.on(path, 200, "one for all", "Cache-Control", "max-age=600");

        assertThat(fleet.a.store(path, "X-Size", "l").text()).isEqualTo("one for all");

        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.get(path).text().equals("one for all"));
            for (String size : List.of("l", "xl", "")) {
                assertThat(replica.get(path, "X-Size", size).text()).isEqualTo("one for all");
            }
            assertThat(replica.get(path, "X-Size", "s")).matches(Client.Answer::hit)
                    .extracting(Client.Answer::text)
                    .isEqualTo(small);
            assertThat(replica.get(path, "X-Size", "m").text()).isEqualTo(medium);
        }
        assertThat(fleet.origin.count(path)).isEqualTo(3);
    }

    /** rs/cors#10: the plain request's answer does not take the CORS fields away from those who send an Origin. */
    @Test
    void aPlainRequestDoesNotHideWhatIsForAnOrigin() throws IOException {
        String path = fleet.path("cors");
        fleet.origin.on(path, exchange -> {
            if (exchange.request.fields().has("Origin")) {
                exchange.answer(200, "data", "Cache-Control", "max-age=600", "Vary", "Origin",
                        "Access-Control-Allow-Origin", exchange.request.field("Origin"));
            } else {
                exchange.answer(200, "data", "Cache-Control", "max-age=600");
            }
        });

        fleet.a.store(path, "Origin", "https://s");
        fleet.a.store(path);

        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.get(path).hit());
            Client.Answer cors = replica.get(path, "Origin", "https://s");
            assertThat(cors.hit()).isTrue();
            assertThat(cors.field("Access-Control-Allow-Origin")).isEqualTo("https://s");
            assertThat(replica.get(path).fields().has("Access-Control-Allow-Origin")).isFalse();
        }
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** A variant that is not fresh is not preferred to a response that is. */
    @Test
    void aStaleVariantIsNotPreferred() throws IOException {
        String path = fleet.path("superseded-stale");
        fleet.origin.on(path, 200, "small", "Cache-Control", "max-age=60", "Age", "58", "Vary", "X-Size");
        fleet.a.store(path, "X-Size", "s");
        fleet.origin.on(path, 200, "one for all", "Cache-Control", "max-age=600");
        fleet.a.store(path);

        Replica.until(() -> fleet.a.get(path, "X-Size", "s").text().equals("one for all"));
        Replica.until(() -> fleet.b.get(path, "X-Size", "s").text().equals("one for all"));
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** A purge of the resource removes the variants behind the response without Vary too. */
    @Test
    void aVariantThatWasPurgedIsNotPreferred() throws IOException {
        String path = fleet.path("superseded-purged");
        fleet.origin.on(path, 200, "small", "Cache-Control", "max-age=600", "Vary", "X-Size");
        fleet.a.store(path, "X-Size", "s");
        fleet.origin.on(path, 200, "one for all", "Cache-Control", "max-age=600");
        assertThat(fleet.a.ask("DELETE", path).status()).isEqualTo(200);
        fleet.a.store(path);

        assertThat(fleet.a.get(path, "X-Size", "s").text()).isEqualTo("one for all");
        Replica.until(() -> fleet.b.get(path, "X-Size", "s").text().equals("one for all"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"*", "X-Size, *", "*, X-Size", ", *", "X-Size\r\nVary: *", "X Size"})
    void aStarIsForOneRequestOnly(String vary) throws IOException {
        String path = fleet.path("star");
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> exchange.answer(200, "#" + number.incrementAndGet(), "Vary", vary,
                "Cache-Control", "max-age=600"));

        for (int round = 1; round <= 3; round++) {
            assertThat(fleet.a.store(path, "X-Size", "s").text()).isEqualTo("#" + round);
        }
    }

    /** Public behaviour 7: each expires and is validated by itself, with the fields that select it. */
    @Test
    void variantsAreValidatedOneByOne() throws IOException {
        String path = fleet.path("validated");
        fleet.origin.on(path, exchange -> {
            String size = exchange.request.field("X-Size");
            String tag = "\"" + size + "\"";
            boolean known = exchange.request.field("If-None-Match").equals(tag);
            exchange.answer(known ? 304 : 200, size, "Vary", "X-Size", "ETag", tag, "Cache-Control", "max-age=0");
        });
        fleet.a.store(path, "X-Size", "s");
        fleet.a.store(path, "X-Size", "m");

        assertThat(fleet.b.store(path, "X-Size", "s").text()).isEqualTo("s");
        assertThat(fleet.origin.last(path).field("If-None-Match")).isEqualTo("\"s\"");
        assertThat(fleet.origin.last(path).field("X-Size")).isEqualTo("s");
        assertThat(fleet.b.store(path, "X-Size", "m").text()).isEqualTo("m");
        assertThat(fleet.origin.last(path).field("If-None-Match")).isEqualTo("\"m\"");
    }

    /** Public behaviour 7: blanks, empty members, order, case and lines of Vary itself. */
    @Test
    void howVaryIsWrittenMakesNoDifference() throws IOException {
        String path = fleet.path("spelt");
        List<String> sizes = List.of("s", "m", "l", "xl");
        List<String> spellings = List.of("X-Size, X-Color", " x-color ,, X-SIZE ,", ",X-Color\r\nVary: X-Size",
                "X-SIZE,x-color,X-Size");
        fleet.origin.on(path, exchange -> {
            String size = exchange.request.field("X-Size");
            exchange.answer(200, size, "Vary", spellings.get(sizes.indexOf(size)), "Cache-Control", "max-age=600");
        });

        for (String size : sizes) {
            assertThat(fleet.a.store(path, "X-Size", size, "X-Color", "red").text()).isEqualTo(size);
        }

        for (Replica replica : fleet.replicas()) {
            for (String size : sizes) {
                assertThat(replica.get(path, "X-Color", "red", "X-Size", size).text()).isEqualTo(size);
            }
        }
        assertThat(fleet.origin.count(path)).isEqualTo(4);
    }

    /** What the route names is part of the key, whatever Vary says; and the origin sees it. */
    @Test
    void aFieldOfTheKeyMakesAnotherResource() throws IOException {
        String path = fleet.path("device", "page");
        fleet.origin.on(path, exchange -> exchange.answer(200, "for " + exchange.request.field("X-Device"),
                "Cache-Control", "max-age=600"));

        for (int round = 0; round < 2; round++) {
            for (Replica replica : fleet.replicas()) {
                assertThat(replica.store(path, "X-Device", "phone", "X-Other", "" + round).text())
                        .isEqualTo("for phone");
                assertThat(replica.store(path, "X-Device", "desk").text()).isEqualTo("for desk");
                assertThat(replica.store(path).text()).isEqualTo("for ");
            }
        }
        assertThat(fleet.origin.count(path)).isEqualTo(3);
    }

    /** What selects them is the client's choice: it neither fills the cache nor keeps out what is new, nor drives out what is in use. */
    @Test
    void ofTooManyVariantsTheLeastUsedGivesWay() throws Exception {
        String path = fleet.path("few", "sizes");
        fleet.origin.on(path, exchange -> exchange.answer(200, exchange.request.field("X-Size"), "Vary", "X-Size",
                "Cache-Control", "max-age=600"));
        List<String> before = keys();
        for (String size : List.of("s", "m")) {
            fleet.a.store(path, "X-Size", size);
            assertThat(fleet.a.get(path, "X-Size", size).hit()).isTrue();
        }
        for (int i = 0; i < 20; i++) {
            assertThat(fleet.a.store(path, "X-Size", "odd-" + i).text()).isEqualTo("odd-" + i);
        }
        assertThat(lives(before).stream().filter(life -> life > 3_000)).as("three variants and the pointer").hasSize(4);

        Client.Answer late = fleet.a.store(path, "X-Size", "l");

        assertThat(late.cacheStatus()).contains("; stored");
        for (String size : List.of("s", "m", "l")) {
            assertThat(fleet.a.get(path, "X-Size", size).hit()).isTrue();
            assertThat(fleet.b.get(path, "X-Size", size).text()).isEqualTo(size);
        }
        assertThat(lives(before).stream().filter(life -> life > 3_000)).hasSize(4);
        assertThat(fleet.a.get(path, "X-Size", "odd-3").text()).isEqualTo("odd-3");
        assertThat(fleet.origin.count(path)).isEqualTo(24);
    }

    private List<String> keys() {
        return fleet.redis.ask("KEYS corral:{*}*").lines().filter(key -> !key.startsWith("corral:{purge}")).toList();
    }

    /** Of what has come since, in milliseconds. */
    private List<Long> lives(List<String> before) {
        return keys().stream()
                .filter(key -> !before.contains(key))
                .map(key -> Long.parseLong(fleet.redis.ask("PTTL " + key).strip()))
                .filter(life -> life > 0)
                .toList();
    }
}
