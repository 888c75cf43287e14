package dev.corral.edge;

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
@EdgeTest
class InvalidationTest {

    private final Fleet fleet;

    InvalidationTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Answers GET with a number that any other method raises. */
    private void counter(String path, int status, String... fields) {
        var number = new AtomicInteger(1);
        fleet.origin.on(path, exchange -> {
            if (exchange.request.method().equals("GET")) {
                exchange.answer(200, "v" + number, "Cache-Control", "max-age=600");
            } else {
                number.incrementAndGet();
                exchange.answer(status, "changed", fields);
            }
        });
    }

    private void stored(String path) throws IOException {
        for (Replica replica : fleet.replicas()) {
            replica.store(path);
            assertThat(replica.get(path).hit()).isTrue();
        }
    }

    /** The replica that passed the request on knows at once, the others within a second. */
    private void gone(String path) throws IOException {
        assertThat(fleet.a.store(path).text()).isEqualTo("v2");
        Replica.until(() -> fleet.b.get(path).text().equals("v2"));
    }

    @ParameterizedTest
    @CsvSource({"POST,200", "PUT,204", "PATCH,200", "DELETE,204", "M-SEARCH,200", "FOO,201", "POST,303"})
    void aChangeRemovesItsTarget(String method, int status) throws IOException {
        String path = fleet.path("target");
        counter(path, status);
        stored(path);

        assertThat(fleet.a.ask(method, path).status()).isEqualTo(status);

        gone(path);
    }

    /** Not a moment later: the response to the change waits for every live replica, here for as long as that may take. */
    @Test
    void theClientThatWroteReadsItsOwnWriteOnAnyReplica() throws IOException {
        String path = fleet.path("read-your-write");
        counter(path, 204);
        try (Replica writer = fleet.guest("writer", "corral.purge.invalidation-wait=10s")) {
            Replica.until(() -> fleet.redis.ask("ZRANGE corral:{fleet}:seen 0 -1").lines().toList().contains("writer"));
            stored(path);

            assertThat(writer.ask("PUT", path).status()).isEqualTo(204);

            assertThat(fleet.b.get(path).text()).isEqualTo("v2");
            fleet.b.awaitLanded();
            assertThat(fleet.a.get(path).text()).isEqualTo("v2");
            assertThat(writer.get(path).text()).isEqualTo("v2");
        }
    }

    @Test
    void aRouteMayKeepWhatItsPostsDoNotChange() throws IOException {
        String path = fleet.path("kept-by-route");
        counter(path, 200);
        try (Replica keeper = fleet.guest("keeper", "corral.routes[0].cache.invalidate-on-unsafe-methods=false")) {
            keeper.store(path);

            assertThat(keeper.ask("POST", path).status()).isEqualTo(200);

            assertThat(keeper.get(path).text()).isEqualTo("v1");
            assertThat(keeper.get(path).hit()).isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource({"POST,400", "PUT,500", "DELETE,404", "OPTIONS,200", "PROPFIND,207", "SEARCH,200"})
    void anErrorOrASafeMethodRemovesNothing(String method, int status) throws IOException {
        String path = fleet.path("kept");
        counter(path, status);
        stored(path);

        assertThat(fleet.a.ask(method, path).status()).isEqualTo(status);

        for (Replica replica : fleet.replicas()) {
            assertThat(replica.get(path).text()).isEqualTo("v1");
        }
    }

    @Test
    void theQueryIsPartOfTheTarget() throws IOException {
        String path = fleet.path("query");
        counter(path, 200);
        fleet.a.store(path + "?a=1&b=2");
        fleet.a.store(path + "?a=1");

        fleet.a.ask("POST", path + "?b=2&a=1");

        assertThat(fleet.a.store(path + "?a=1&b=2").text()).isEqualTo("v2");
        assertThat(fleet.a.get(path + "?a=1").text()).isEqualTo("v1");
    }

    @ParameterizedTest
    @ValueSource(strings = {"Location", "Content-Location"})
    void soIsWhatTheAnswerNamesOnTheSameOrigin(String field) throws IOException {
        for (String form : List.of("PATH", "http://client.example" + "PATH", "http://ORIGIN" + "PATH", "../named",
                "PATH#fragment", "HTTP://Client.Example:80" + "PATH")) {
            String directory = fleet.path("dir");
            String path = directory + "/named";
            String location = form.replace("PATH", path).replace("ORIGIN", fleet.origin.authority());
            counter(path, 200);
            stored(path);
            fleet.origin.on(directory + "/x/change", exchange -> {
                counter(path, 200);
                fleet.origin.on(path, 200, "v2", "Cache-Control", "max-age=600");
                exchange.answer(201, "made", field, location);
            });

            fleet.a.ask("POST", directory + "/x/change");

            gone(path);
        }
    }

    @Test
    void anotherServersResourceIsNotOursToRemove() throws IOException {
        String path = fleet.path("foreign");
        counter(path, 200);
        stored(path);
        String change = fleet.path("change");
        fleet.origin.on(change, 201, "made", "Location", "http://other.example" + path, "Content-Location",
                "https://client.example" + path);

        fleet.a.ask("POST", change);

        assertThat(fleet.a.get(path).text()).isEqualTo("v1");
    }

    @Test
    void whatLiesBehindABasePathIsNamedWithAndWithoutIt() throws IOException {
        String path = fleet.path("based", "x");
        String change = fleet.path("based", "change");
        var number = new AtomicInteger(1);
        fleet.origin.on("/base" + path, exchange -> exchange.answer(200, "v" + number, "Cache-Control", "max-age=600"));
        stored(path);
        fleet.origin.on("/base" + change, exchange -> {
            number.incrementAndGet();
            exchange.answer(201, "made", "Location", "/base" + path);
        });

        fleet.a.ask("POST", change);

        gone(path);
    }

    @Test
    void allVariantsAndSpellingsGo() throws IOException {
        String path = fleet.path("all~variants");
        String odd = path.replace("~", "%7e");
        var number = new AtomicInteger(1);
        StubOrigin.Script script = exchange -> exchange.answer(200, exchange.request.field("X-Size") + number, "Vary",
                "X-Size", "Cache-Control", "max-age=600");
        fleet.origin.on(path, script);
        fleet.origin.on(odd, script);
        for (String target : List.of(path, odd)) {
            assertThat(fleet.a.store(target, "X-Size", "s").text()).isEqualTo("s1");
            assertThat(fleet.b.store(target, "X-Size", "m").text()).isEqualTo("m1");
        }
        number.set(2);

        fleet.a.ask("DELETE", path);

        for (String target : List.of(path, odd)) {
            assertThat(fleet.a.store(target, "X-Size", "s").text()).isEqualTo("s2");
            assertThat(fleet.a.store(target, "X-Size", "m").text()).isEqualTo("m2");
            Replica.until(() -> fleet.b.get(target, "X-Size", "m").text().equals("m2"));
        }
    }

    /** Safety rule 1: a fill that began before the change is never served after it. */
    @Test
    void aFillInFlightIsNotServedAfterwards() throws Exception {
        String path = fleet.path("flight");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            if (exchange.request.method().equals("GET")) {
                int mine = number.incrementAndGet();
                if (mine == 1) {
                    hold.await();
                }
                exchange.answer(200, "v" + mine, "Cache-Control", "max-age=600");
            } else {
                exchange.answer(204, "");
            }
        });
        List<Future<Client.Answer>> before = Client.crowd(3, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(3);
        // Whoever waits may not have asked yet: a fill that begins after the change may be served.
        Replica.until(() -> fleet.origin.count(path) == 1);
        List<Future<Client.Answer>> far = Client.crowd(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(3);

        fleet.a.ask("PUT", path);
        hold.countDown();
        Client.join(before);
        Client.join(far);

        for (Replica replica : fleet.replicas()) {
            replica.awaitLanded();
            Replica.until(() -> !replica.get(path).text().equals("v1"));
        }
        assertThat(fleet.a.get(path).text()).isNotEqualTo("v1");
    }

    /** Public behaviour 16 (c00129): the 304 to a validation that began before does not bring back what was removed. */
    @Test
    void aValidationInFlightDoesNotRevive() throws Exception {
        String path = fleet.path("revive");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\"");
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            if (!exchange.request.method().equals("GET")) {
                exchange.answer(204, "");
            } else if (exchange.request.fields().has("If-None-Match")) {
                hold.await();
                exchange.answer(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"");
            } else {
                exchange.answer(200, "new", "Cache-Control", "max-age=600");
            }
        });
        Future<Client.Answer> validation = Client.meanwhile(() -> fleet.a.get(path));
        Replica.until(() -> fleet.origin.count(path) == 2);

        fleet.a.ask("PUT", path);
        hold.countDown();

        assertThat(validation.get().text()).isEqualTo("new");
        fleet.a.awaitLanded();
        assertThat(fleet.a.get(path).text()).isEqualTo("new");
        assertThat(fleet.b.get(path).text()).isEqualTo("new");
    }
}
