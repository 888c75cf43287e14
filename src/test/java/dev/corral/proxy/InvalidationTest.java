package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** What a request that changes things takes away, on every replica: RFC 9111 section 4.4. */
@ProxyTest
class InvalidationTest {

    private final FleetUnderTest fleet;

    InvalidationTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** Answers GET with a number that any other method raises. */
    private void counterResource(String path, int status, String... fields) {
        var number = new AtomicInteger(1);
        fleet.origin.on(path, exchange -> {
            if (exchange.request.method().equals("GET")) {
                exchange.respond(200, "v" + number, "Cache-Control", "max-age=600");
            } else {
                number.incrementAndGet();
                exchange.respond(status, "changed", fields);
            }
        });
    }

    private void storeOnEveryReplica(String path) throws IOException {
        for (ReplicaUnderTest replica : fleet.replicas()) {
            replica.getAndStore(path);
            assertThat(replica.get(path).isHit()).isTrue();
        }
    }

    /** The replica that passed the request on knows at once, the others within a second. */
    private void assertInvalidated(String path) throws IOException {
        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("v2");
        ReplicaUnderTest.eventually(() -> fleet.b.get(path).text().equals("v2"));
    }

    @ParameterizedTest
    @CsvSource({"POST,200", "PUT,204", "PATCH,200", "DELETE,204", "M-SEARCH,200", "FOO,201", "POST,303"})
    void unsafeRequestInvalidatesItsTarget(String method, int status) throws IOException {
        String path = fleet.uniquePath("target");
        counterResource(path, status);
        storeOnEveryReplica(path);

        assertThat(fleet.a.request(method, path).status()).isEqualTo(status);

        assertInvalidated(path);
    }

    /** Not a moment later: the response to the change waits for every live replica, here for as long as that may take. */
    @Test
    void clientReadsItsWriteOnEveryReplica() throws IOException {
        String path = fleet.uniquePath("read-your-write");
        counterResource(path, 204);
        try (ReplicaUnderTest writer = fleet.startExtra("writer", "corral.purge.invalidation-wait=10s")) {
            ReplicaUnderTest.eventually(
                    () -> fleet.redis.execute("ZRANGE corral:{fleet}:seen 0 -1").lines().toList().contains("writer"));
            storeOnEveryReplica(path);

            assertThat(writer.request("PUT", path).status()).isEqualTo(204);

            assertThat(fleet.b.get(path).text()).isEqualTo("v2");
            fleet.b.awaitNoFlights();
            assertThat(fleet.a.get(path).text()).isEqualTo("v2");
            assertThat(writer.get(path).text()).isEqualTo("v2");
        }
    }

    @Test
    void invalidationCanBeDisabledForARoute() throws IOException {
        String path = fleet.uniquePath("kept-by-route");
        counterResource(path, 200);
        try (ReplicaUnderTest keeper = fleet.startExtra("keeper",
                "corral.routes[0].cache.invalidate-on-unsafe-methods=false")) {
            keeper.getAndStore(path);

            assertThat(keeper.request("POST", path).status()).isEqualTo(200);

            assertThat(keeper.get(path).text()).isEqualTo("v1");
            assertThat(keeper.get(path).isHit()).isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource({"POST,400", "PUT,500", "DELETE,404", "OPTIONS,200", "PROPFIND,207", "SEARCH,200"})
    void errorOrSafeMethodInvalidatesNothing(String method, int status) throws IOException {
        String path = fleet.uniquePath("kept");
        counterResource(path, status);
        storeOnEveryReplica(path);

        assertThat(fleet.a.request(method, path).status()).isEqualTo(status);

        for (ReplicaUnderTest replica : fleet.replicas()) {
            assertThat(replica.get(path).text()).isEqualTo("v1");
        }
    }

    @Test
    void invalidationRespectsTheQuery() throws IOException {
        String path = fleet.uniquePath("query");
        counterResource(path, 200);
        fleet.a.getAndStore(path + "?a=1&b=2");
        fleet.a.getAndStore(path + "?a=1");

        fleet.a.request("POST", path + "?b=2&a=1");

        assertThat(fleet.a.getAndStore(path + "?a=1&b=2").text()).isEqualTo("v2");
        assertThat(fleet.a.get(path + "?a=1").text()).isEqualTo("v1");
    }

    @ParameterizedTest
    @ValueSource(strings = {"Location", "Content-Location"})
    void locationTargetsAreInvalidated(String field) throws IOException {
        for (String form : List.of("PATH", "http://client.example" + "PATH", "http://ORIGIN" + "PATH", "../named",
                "PATH#fragment", "HTTP://Client.Example:80" + "PATH")) {
            String directory = fleet.uniquePath("dir");
            String path = directory + "/named";
            String location = form.replace("PATH", path).replace("ORIGIN", fleet.origin.authority());
            counterResource(path, 200);
            storeOnEveryReplica(path);
            fleet.origin.on(directory + "/x/change", exchange -> {
                counterResource(path, 200);
                fleet.origin.on(path, 200, "v2", "Cache-Control", "max-age=600");
                exchange.respond(201, "made", field, location);
            });

            fleet.a.request("POST", directory + "/x/change");

            assertInvalidated(path);
        }
    }

    @Test
    void locationOnAnotherOriginIsNotInvalidated() throws IOException {
        String path = fleet.uniquePath("foreign");
        counterResource(path, 200);
        storeOnEveryReplica(path);
        String change = fleet.uniquePath("change");
        fleet.origin.on(change, 201, "made", "Location", "http://other.example" + path, "Content-Location",
                "https://client.example" + path);

        fleet.a.request("POST", change);

        assertThat(fleet.a.get(path).text()).isEqualTo("v1");
    }

    @Test
    void locationBehindABasePathIsInvalidated() throws IOException {
        String path = fleet.uniquePath("based", "x");
        String change = fleet.uniquePath("based", "change");
        var number = new AtomicInteger(1);
        fleet.origin.on("/base" + path,
                exchange -> exchange.respond(200, "v" + number, "Cache-Control", "max-age=600"));
        storeOnEveryReplica(path);
        fleet.origin.on("/base" + change, exchange -> {
            number.incrementAndGet();
            exchange.respond(201, "made", "Location", "/base" + path);
        });

        fleet.a.request("POST", change);

        assertInvalidated(path);
    }

    @Test
    void allVariantsAndSpellingsAreInvalidated() throws IOException {
        String path = fleet.uniquePath("all~variants");
        String odd = path.replace("~", "%7e");
        var number = new AtomicInteger(1);
        OriginStub.ResponseScript script = exchange -> exchange.respond(200, exchange.request.field("X-Size") + number,
                "Vary",
                "X-Size", "Cache-Control", "max-age=600");
        fleet.origin.on(path, script);
        fleet.origin.on(odd, script);
        for (String target : List.of(path, odd)) {
            assertThat(fleet.a.getAndStore(target, "X-Size", "s").text()).isEqualTo("s1");
            assertThat(fleet.b.getAndStore(target, "X-Size", "m").text()).isEqualTo("m1");
        }
        number.set(2);

        fleet.a.request("DELETE", path);

        for (String target : List.of(path, odd)) {
            assertThat(fleet.a.getAndStore(target, "X-Size", "s").text()).isEqualTo("s2");
            assertThat(fleet.a.getAndStore(target, "X-Size", "m").text()).isEqualTo("m2");
            ReplicaUnderTest.eventually(() -> fleet.b.get(target, "X-Size", "m").text().equals("m2"));
        }
    }

    /** Safety rule 1: a fill that began before the change is never served after it. */
    @Test
    void fillStartedBeforeInvalidationIsNotServedAfterIt() throws Exception {
        String path = fleet.uniquePath("flight");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            if (exchange.request.method().equals("GET")) {
                int mine = number.incrementAndGet();
                if (mine == 1) {
                    hold.await();
                }
                exchange.respond(200, "v" + mine, "Cache-Control", "max-age=600");
            } else {
                exchange.respond(204, "");
            }
        });
        List<Future<HttpProbe.ProbeResponse>> before = HttpProbe.concurrently(3, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(3);
        // Whoever waits may not have asked yet: a fill that begins after the change may be served.
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(3);

        fleet.a.request("PUT", path);
        hold.countDown();
        HttpProbe.joinAll(before);
        HttpProbe.joinAll(far);

        for (ReplicaUnderTest replica : fleet.replicas()) {
            replica.awaitNoFlights();
            ReplicaUnderTest.eventually(() -> !replica.get(path).text().equals("v1"));
        }
        assertThat(fleet.a.get(path).text()).isNotEqualTo("v1");
    }

    /** Public behavior 16 (c00129): the 304 to a validation that began before does not bring back what was removed. */
    @Test
    void revalidationStartedBeforeInvalidationDoesNotRevive() throws Exception {
        String path = fleet.uniquePath("revive");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\"");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            if (!exchange.request.method().equals("GET")) {
                exchange.respond(204, "");
            } else if (exchange.request.fields().has("If-None-Match")) {
                hold.await();
                exchange.respond(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"");
            } else {
                exchange.respond(200, "new", "Cache-Control", "max-age=600");
            }
        });
        Future<HttpProbe.ProbeResponse> validation = HttpProbe.async(() -> fleet.a.get(path));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 2);

        fleet.a.request("PUT", path);
        hold.countDown();

        assertThat(validation.get().text()).isEqualTo("new");
        fleet.a.awaitNoFlights();
        assertThat(fleet.a.get(path).text()).isEqualTo("new");
        assertThat(fleet.b.get(path).text()).isEqualTo("new");
    }
}
