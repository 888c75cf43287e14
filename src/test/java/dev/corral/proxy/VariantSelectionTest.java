package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Which of a resource's answers a request gets: RFC 9111 section 4.1. */
@ProxyTest
class VariantSelectionTest {

    private final FleetUnderTest fleet;

    VariantSelectionTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    private static OriginStub.ResponseScript varyingBy(String field, AtomicInteger number) {
        return exchange -> exchange.respond(200, exchange.request.field(field) + "#" + number.incrementAndGet(), "Vary",
                field, "Cache-Control", "max-age=600");
    }

    @Test
    void eachVariantIsFetchedOncePerFleet() throws IOException {
        String path = fleet.uniquePath("variants");
        fleet.origin.on(path, varyingBy("X-Size", new AtomicInteger()));

        for (int round = 0; round < 2; round++) {
            for (ReplicaUnderTest replica : fleet.replicas()) {
                assertThat(replica.getAndStore(path, "X-Size", "s").text()).isEqualTo("s#1");
                assertThat(replica.getAndStore(path, "X-Size", "m").text()).isEqualTo("m#2");
                assertThat(replica.getAndStore(path).text()).as("absent matches only absent").isEqualTo("#3");
            }
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }

    /** Public behavior 7. */
    @Test
    void equivalentAcceptEncodingSelectsTheSameVariant() throws IOException {
        String path = fleet.uniquePath("normal");
        fleet.origin.on(path, varyingBy("Accept-Encoding", new AtomicInteger()));

        fleet.a.getAndStore(path, "Accept-Encoding", "gzip, br;q=0.5");

        for (String same : List.of("gzip,br;q=0.5", "br;q=0.500 , GZIP", "gzip;q=1.0,br;q=0.5")) {
            assertThat(fleet.a.get(path, "Accept-Encoding", same).isHit()).as(same).isTrue();
        }
        assertThat(fleet.a.get(path, "Accept-Encoding", "gzip", "accept-encoding", "br;q=0.5").isHit()).isTrue();
        assertThat(fleet.a.get(path, "Accept-Encoding", "br").isHit()).isFalse();
    }

    /** Public behavior 14: the waiter whose variant differs goes on to its own; nobody gets another's. */
    @Test
    void waiterForAnotherVariantGetsItsVariant() throws Exception {
        String path = fleet.uniquePath("unknown");
        var go = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            go.await();
            varyingBy("X-Size", number).run(exchange);
        });

        var small = HttpProbe.concurrently(4, () -> fleet.a.get(path, "X-Size", "s"));
        fleet.a.awaitWaiters(4);
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1);
        var others = List.of(HttpProbe.async(() -> fleet.a.get(path, "X-Size", "m")),
                HttpProbe.async(() -> fleet.a.get(path, "X-Size", "m")));
        fleet.a.awaitWaiters(6);
        var far = HttpProbe.concurrently(2, () -> fleet.b.get(path, "X-Size", "m"));
        fleet.b.awaitWaiters(2);
        go.countDown();

        assertThat(HttpProbe.joinAll(small)).allMatch(answer -> answer.text().equals("s#1"));
        assertThat(HttpProbe.joinAll(others)).allMatch(answer -> answer.text().equals("m#2"));
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("m#2"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** Public behavior 14: a variant that is known does not wait behind another. */
    @Test
    void slowVariantDoesNotDelayOthers() throws Exception {
        String path = fleet.uniquePath("slow");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            if (exchange.request.field("X-Size").equals("slow")) {
                hold.await();
            }
            varyingBy("X-Size", number).run(exchange);
        });
        fleet.a.getAndStore(path, "X-Size", "known");

        var slow = HttpProbe.async(() -> fleet.a.get(path, "X-Size", "slow"));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 2);
        HttpProbe.ProbeResponse quick = fleet.a.get(path, "X-Size", "quick");
        HttpProbe.ProbeResponse far = fleet.b.get(path, "X-Size", "far");
        hold.countDown();

        assertThat(quick.text()).startsWith("quick#");
        assertThat(far.text()).startsWith("far#");
        assertThat(slow.get().text()).startsWith("slow#");
    }

    /** Public behavior 7. */
    @Test
    void changedVaryChangesTheSelectingFields() throws IOException {
        String path = fleet.uniquePath("changed");
        var number = new AtomicInteger();
        fleet.origin.on(path, varyingBy("X-Size", number));
        fleet.a.getAndStore(path, "X-Size", "s", "X-Color", "red");
        fleet.origin.on(path, varyingBy("X-Color", number));

        assertThat(fleet.a.getAndStore(path, "X-Size", "m", "X-Color", "red").text()).isEqualTo("red#2");
        assertThat(fleet.a.getAndStore(path, "X-Size", "other", "X-Color", "red").text()).isEqualTo("red#2");
        assertThat(fleet.a.getAndStore(path, "X-Size", "m", "X-Color", "blue").text()).isEqualTo("blue#3");
        assertThat(fleet.b.getAndStore(path, "X-Size", "l", "X-Color", "blue").text()).isEqualTo("blue#3");
    }

    /** Public behavior 7, RFC 9111 section 4.1: what matches a variant that is still fresh gets it; all others get the one without Vary. */
    @Test
    void freshVariantIsPreferredToAResponseWithoutVary() throws IOException {
        String path = fleet.uniquePath("superseded");
        var number = new AtomicInteger();
        fleet.origin.on(path, varyingBy("X-Size", number));
        String small = fleet.a.getAndStore(path, "X-Size", "s").text();
        String medium = fleet.a.getAndStore(path, "X-Size", "m").text();
        fleet.origin.on(path, 200, "one for all", "Cache-Control", "max-age=600");

        assertThat(fleet.a.getAndStore(path, "X-Size", "l").text()).isEqualTo("one for all");

        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.get(path).text().equals("one for all"));
            for (String size : List.of("l", "xl", "")) {
                assertThat(replica.get(path, "X-Size", size).text()).isEqualTo("one for all");
            }
            assertThat(replica.get(path, "X-Size", "s")).matches(HttpProbe.ProbeResponse::isHit)
                    .extracting(HttpProbe.ProbeResponse::text)
                    .isEqualTo(small);
            assertThat(replica.get(path, "X-Size", "m").text()).isEqualTo(medium);
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }

    /** rs/cors#10: the plain request's answer does not take the CORS fields away from those who send an Origin. */
    @Test
    void plainRequestDoesNotHideTheCorsVariant() throws IOException {
        String path = fleet.uniquePath("cors");
        fleet.origin.on(path, exchange -> {
            if (exchange.request.fields().has("Origin")) {
                exchange.respond(200, "data", "Cache-Control", "max-age=600", "Vary", "Origin",
                        "Access-Control-Allow-Origin", exchange.request.field("Origin"));
            } else {
                exchange.respond(200, "data", "Cache-Control", "max-age=600");
            }
        });

        fleet.a.getAndStore(path, "Origin", "https://s");
        fleet.a.getAndStore(path);

        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.get(path).isHit());
            HttpProbe.ProbeResponse cors = replica.get(path, "Origin", "https://s");
            assertThat(cors.isHit()).isTrue();
            assertThat(cors.field("Access-Control-Allow-Origin")).isEqualTo("https://s");
            assertThat(replica.get(path).fields().has("Access-Control-Allow-Origin")).isFalse();
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** A variant that is not fresh is not preferred to a response that is. */
    @Test
    void staleVariantIsNotPreferredToAFreshResponse() throws IOException {
        String path = fleet.uniquePath("superseded-stale");
        fleet.origin.on(path, 200, "small", "Cache-Control", "max-age=60", "Age", "58", "Vary", "X-Size");
        fleet.a.getAndStore(path, "X-Size", "s");
        fleet.origin.on(path, 200, "one for all", "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path);

        ReplicaUnderTest.eventually(() -> fleet.a.get(path, "X-Size", "s").text().equals("one for all"));
        ReplicaUnderTest.eventually(() -> fleet.b.get(path, "X-Size", "s").text().equals("one for all"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** A purge of the resource removes the variants behind the response without Vary too. */
    @Test
    void purgedVariantIsNotPreferred() throws IOException {
        String path = fleet.uniquePath("superseded-purged");
        fleet.origin.on(path, 200, "small", "Cache-Control", "max-age=600", "Vary", "X-Size");
        fleet.a.getAndStore(path, "X-Size", "s");
        fleet.origin.on(path, 200, "one for all", "Cache-Control", "max-age=600");
        assertThat(fleet.a.request("DELETE", path).status()).isEqualTo(200);
        fleet.a.getAndStore(path);

        assertThat(fleet.a.get(path, "X-Size", "s").text()).isEqualTo("one for all");
        ReplicaUnderTest.eventually(() -> fleet.b.get(path, "X-Size", "s").text().equals("one for all"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"*", "X-Size, *", "*, X-Size", ", *", "X-Size\r\nVary: *", "X Size"})
    void varyStarIsNeverReused(String vary) throws IOException {
        String path = fleet.uniquePath("star");
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> exchange.respond(200, "#" + number.incrementAndGet(), "Vary", vary,
                "Cache-Control", "max-age=600"));

        for (int round = 1; round <= 3; round++) {
            assertThat(fleet.a.getAndStore(path, "X-Size", "s").text()).isEqualTo("#" + round);
        }
    }

    /** Public behavior 7: each expires and is validated by itself, with the fields that select it. */
    @Test
    void variantsAreRevalidatedSeparately() throws IOException {
        String path = fleet.uniquePath("validated");
        fleet.origin.on(path, exchange -> {
            String size = exchange.request.field("X-Size");
            String tag = "\"" + size + "\"";
            boolean known = exchange.request.field("If-None-Match").equals(tag);
            exchange.respond(known ? 304 : 200, size, "Vary", "X-Size", "ETag", tag, "Cache-Control", "max-age=0");
        });
        fleet.a.getAndStore(path, "X-Size", "s");
        fleet.a.getAndStore(path, "X-Size", "m");

        assertThat(fleet.b.getAndStore(path, "X-Size", "s").text()).isEqualTo("s");
        assertThat(fleet.origin.lastRequest(path).field("If-None-Match")).isEqualTo("\"s\"");
        assertThat(fleet.origin.lastRequest(path).field("X-Size")).isEqualTo("s");
        assertThat(fleet.b.getAndStore(path, "X-Size", "m").text()).isEqualTo("m");
        assertThat(fleet.origin.lastRequest(path).field("If-None-Match")).isEqualTo("\"m\"");
    }

    /** Public behavior 7: blanks, empty members, order, case and lines of Vary itself. */
    @Test
    void spellingOfVaryDoesNotAffectTheSelection() throws IOException {
        String path = fleet.uniquePath("spelt");
        List<String> sizes = List.of("s", "m", "l", "xl");
        List<String> spellings = List.of("X-Size, X-Color", " x-color ,, X-SIZE ,", ",X-Color\r\nVary: X-Size",
                "X-SIZE,x-color,X-Size");
        fleet.origin.on(path, exchange -> {
            String size = exchange.request.field("X-Size");
            exchange.respond(200, size, "Vary", spellings.get(sizes.indexOf(size)), "Cache-Control", "max-age=600");
        });

        for (String size : sizes) {
            assertThat(fleet.a.getAndStore(path, "X-Size", size, "X-Color", "red").text()).isEqualTo(size);
        }

        for (ReplicaUnderTest replica : fleet.replicas()) {
            for (String size : sizes) {
                assertThat(replica.get(path, "X-Color", "red", "X-Size", size).text()).isEqualTo(size);
            }
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(4);
    }

    /** What the route names is part of the key, whatever Vary says; and the origin sees it. */
    @Test
    void cacheKeyHeaderSeparatesResources() throws IOException {
        String path = fleet.uniquePath("device", "page");
        fleet.origin.on(path, exchange -> exchange.respond(200, "for " + exchange.request.field("X-Device"),
                "Cache-Control", "max-age=600"));

        for (int round = 0; round < 2; round++) {
            for (ReplicaUnderTest replica : fleet.replicas()) {
                assertThat(replica.getAndStore(path, "X-Device", "phone", "X-Other", "" + round).text())
                        .isEqualTo("for phone");
                assertThat(replica.getAndStore(path, "X-Device", "desk").text()).isEqualTo("for desk");
                assertThat(replica.getAndStore(path).text()).isEqualTo("for ");
            }
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }

    /** What selects them is the client's choice: it neither fills the cache nor keeps out what is new, nor drives out what is in use. */
    @Test
    void leastUsedVariantIsEvictedBeyondMaxVariants() throws Exception {
        String path = fleet.uniquePath("few", "sizes");
        fleet.origin.on(path, exchange -> exchange.respond(200, exchange.request.field("X-Size"), "Vary", "X-Size",
                "Cache-Control", "max-age=600"));
        List<String> before = entryKeys();
        for (String size : List.of("s", "m")) {
            fleet.a.getAndStore(path, "X-Size", size);
            assertThat(fleet.a.get(path, "X-Size", size).isHit()).isTrue();
        }
        for (int i = 0; i < 20; i++) {
            assertThat(fleet.a.getAndStore(path, "X-Size", "odd-" + i).text()).isEqualTo("odd-" + i);
        }
        assertThat(newEntryTtls(before).stream().filter(life -> life > 3_000)).as("three variants and the pointer")
                .hasSize(4);

        HttpProbe.ProbeResponse late = fleet.a.getAndStore(path, "X-Size", "l");

        assertThat(late.cacheStatus()).contains("; stored");
        for (String size : List.of("s", "m", "l")) {
            assertThat(fleet.a.get(path, "X-Size", size).isHit()).isTrue();
            assertThat(fleet.b.get(path, "X-Size", size).text()).isEqualTo(size);
        }
        assertThat(newEntryTtls(before).stream().filter(life -> life > 3_000)).hasSize(4);
        assertThat(fleet.a.get(path, "X-Size", "odd-3").text()).isEqualTo("odd-3");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(24);
    }

    private List<String> entryKeys() {
        return fleet.redis.execute("KEYS corral:{*}*")
                .lines()
                .filter(key -> !key.startsWith("corral:{purge}"))
                .toList();
    }

    /** Of what has come since, in milliseconds. */
    private List<Long> newEntryTtls(List<String> before) {
        return entryKeys().stream()
                .filter(key -> !before.contains(key))
                .map(key -> Long.parseLong(fleet.redis.execute("PTTL " + key).strip()))
                .filter(life -> life > 0)
                .toList();
    }
}
