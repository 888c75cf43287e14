package dev.corral.edge;

import dev.corral.ops.Inventory;
import dev.corral.ops.Inventory.Target;
import dev.corral.ops.Purger;
import dev.corral.tier.RedisPurges;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * What operators purge is gone from every replica by the time it is acknowledged, whatever was in the air; or stale, if they purge
 * softly.
 */
@EdgeTest
class PurgeTest {

    private final Fleet fleet;

    PurgeTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** How a resource can be named. */
    enum By {
        URL, TAG, PREFIX, ROUTE, ALL;

        Target of(Inventory inventory, String path, String tag) {
            return switch (this) {
                case URL -> inventory.url(path);
                case TAG -> inventory.tag(tag);
                case PREFIX -> inventory.prefix(path.substring(0, path.lastIndexOf('/') + 1));
                case ROUTE -> inventory.route(path.substring(1, path.indexOf('/', 1)));
                case ALL -> inventory.all();
            };
        }
    }

    private Purger.Result purge(boolean soft, Function<Inventory, Target> target) {
        Inventory inventory = fleet.a.context().getBean(Inventory.class);
        Purger.Result result = fleet.a.context()
                .getBean(Purger.class)
                .purge(List.of(target.apply(inventory)), soft, "test", true)
                .blockOptional(Duration.ofSeconds(10))
                .orElseThrow();
        assertThat(result.complete()).isTrue();
        assertThat(result.replicas()).extracting(Purger.Heard::id).containsExactly("a", "b");
        return result;
    }

    private void hard(Function<Inventory, Target> target) {
        purge(false, target);
    }

    private void soft(Function<Inventory, Target> target) {
        purge(true, target);
    }

    /** Answers with a number that grows with each answer. */
    private AtomicInteger numbered(String path, String... fields) {
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> exchange.answer(200, "v" + number.incrementAndGet(), fields));
        return number;
    }

    private void stored(String path, String text) throws IOException {
        for (Replica replica : fleet.replicas()) {
            assertThat(replica.store(path).text()).isEqualTo(text);
            assertThat(replica.get(path).hit()).isTrue();
        }
    }

    // ---- what is named, and what is not

    /** Not a moment later: the purge waited for every replica. */
    @ParameterizedTest
    @EnumSource
    void whatIsNamedIsGoneEverywhereAtOnce(By by) throws IOException {
        String path = fleet.path("named");
        numbered(path, "Cache-Control", "max-age=600", "Cache-Tag", "other, " + path);
        stored(path, "v1");

        hard(inventory -> by.of(inventory, path, path));

        assertThat(fleet.b.get(path).text()).isEqualTo("v2");
        fleet.b.awaitLanded();
        assertThat(fleet.a.get(path).text()).isEqualTo("v2");
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "ALL")
    void whatIsNotNamedStays(By by) throws IOException {
        String path = fleet.path("based", "named");
        String other = fleet.path("other");
        numbered(other, "Cache-Control", "max-age=600", "Surrogate-Key", path + "x y");
        stored(other, "v1");

        hard(inventory -> by.of(inventory, path, path));

        for (Replica replica : fleet.replicas()) {
            assertThat(replica.get(other).hit()).isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource({"Cache-Tag, 'one,two'", "Cache-Tag, 'one , two'", "Surrogate-Key, one two"})
    void eachTagNamesItAndNoClientSeesThem(String field, String tags) throws IOException {
        for (String tag : List.of("one", "two")) {
            String path = fleet.path("tagged");
            numbered(path, "Cache-Control", "max-age=600", field, tags);
            Client.Answer first = fleet.a.store(path);
            assertThat(first.text()).isEqualTo("v1");
            assertThat(first.field(field)).isEmpty();
            assertThat(fleet.a.get(path).field(field)).isEmpty();

            hard(inventory -> inventory.tag(tag));

            assertThat(fleet.a.store(path).text()).isEqualTo("v2");
        }
    }

    @Test
    void allVariantsAndSpellingsOfAUrlGo() throws IOException {
        String path = fleet.path("all~variants");
        String odd = path.replace("~", "%7e");
        var number = new AtomicInteger(1);
        StubOrigin.Script script = exchange -> exchange.answer(200, exchange.request.field("X-Size") + number, "Vary",
                "X-Size", "Cache-Control", "max-age=600");
        fleet.origin.on(path, script);
        fleet.origin.on(odd, script);
        for (String target : List.of(path, odd)) {
            fleet.a.store(target, "X-Size", "s");
            fleet.b.store(target, "X-Size", "m");
        }
        number.set(2);

        hard(inventory -> inventory.url(odd));

        for (String target : List.of(path, odd)) {
            assertThat(fleet.b.store(target, "X-Size", "s").text()).isEqualTo("s2");
            assertThat(fleet.a.store(target, "X-Size", "m").text()).isEqualTo("m2");
        }
    }

    /** A variant is judged by itself: nothing that leads to it again, a later pointer least of all, brings it back. */
    @Test
    void anOldVariantIsNotRevivedByANewPointer() throws IOException {
        String path = fleet.path("pointer");
        var number = new AtomicInteger(1);
        fleet.origin.on(path,
                exchange -> exchange.answer(200, exchange.request.field("X-Size") + number, "Vary", "X-Size",
                        "Cache-Control", "max-age=600"));
        fleet.a.store(path, "X-Size", "s");
        fleet.a.store(path, "X-Size", "m");
        number.set(2);

        hard(inventory -> inventory.url(path));
        // A new pointer, which leads to both as the old one did.
        assertThat(fleet.a.store(path, "X-Size", "s").text()).isEqualTo("s2");

        assertThat(fleet.b.get(path, "X-Size", "m").text()).isEqualTo("m2");
    }

    @ParameterizedTest
    @ValueSource(strings = {"client.example", "Client.EXAMPLE:80"})
    void aHostNamesItsOwn(String host) throws IOException {
        String path = fleet.path("host-of-client", "hosted");
        numbered(path, "Cache-Control", "max-age=600");
        fleet.a.store(path, "Host", "client.example");
        fleet.a.store(path, "Host", "other.example");

        hard(inventory -> inventory.url("http://" + host + path));

        assertThat(fleet.a.store(path, "Host", "client.example").text()).isEqualTo("v3");
        assertThat(fleet.a.store(path, "Host", "other.example").text()).isEqualTo("v2");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aPrefixEndsWhereItEndsAndHasAHostIfItSaysSo(boolean hosted) throws IOException {
        String directory = fleet.path("host-of-client", "prefix");
        List<String> within = List.of(directory, directory + "/a", directory + "s?q=1");
        List<String> without = List.of(directory.substring(0, directory.length() - 1), "/host-of-client/z");
        for (String path : within) {
            numbered(path.replace("?q=1", ""), "Cache-Control", "max-age=600");
        }
        for (String path : without) {
            numbered(path, "Cache-Control", "max-age=600");
        }
        for (String path : within) {
            fleet.a.store(path, "Host", "one.example");
            fleet.a.store(path, "Host", "two.example");
        }
        for (String path : without) {
            fleet.a.store(path, "Host", "one.example");
        }

        hard(inventory -> inventory.prefix((hosted ? "http://one.example" : "") + directory));

        for (String path : within) {
            assertThat(fleet.b.get(path, "Host", "one.example").hit()).as(path).isFalse();
            assertThat(fleet.b.get(path, "Host", "two.example").hit()).as(path).isEqualTo(hosted);
        }
        for (String path : without) {
            assertThat(fleet.b.get(path, "Host", "one.example").hit()).as(path).isTrue();
        }
    }

    @Test
    void aHitForMissMarkerGoesToo() throws Exception {
        String path = fleet.path("marked");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, "everybody's", "Cache-Control", "max-age=600");
        });

        hard(inventory -> inventory.url(path));
        List<Future<Client.Answer>> crowd = Client.crowd(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(5);
        hold.countDown();

        assertThat(Client.join(crowd)).allMatch(answer -> answer.text().equals("everybody's"));
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    // ---- what is in the air

    /** Safety rule 1. Those who came before may have it; nobody who comes after, anywhere. */
    @ParameterizedTest
    @EnumSource
    void aFillThatBeganBeforeIsNotServedAfterwards(By by) throws Exception {
        String path = fleet.path("fill");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            int mine = number.incrementAndGet();
            if (mine == 1) {
                hold.await();
            }
            exchange.answer(200, "v" + mine, "Cache-Control", "max-age=600", "Cache-Tag", path);
        });
        List<Future<Client.Answer>> before = Client.crowd(3, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(3);
        Replica.until(() -> number.get() == 1);
        List<Future<Client.Answer>> far = Client.crowd(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(3);

        hard(inventory -> by.of(inventory, path, path));
        List<Future<Client.Answer>> after = Client.crowd(3, () -> fleet.a.get(path));
        List<Future<Client.Answer>> farAfter = Client.crowd(3, () -> fleet.b.get(path));
        fleet.a.awaitWaiting(6);
        fleet.b.awaitWaiting(6);
        hold.countDown();

        Client.join(before);
        Client.join(far);
        assertThat(Client.join(after)).noneMatch(answer -> answer.text().equals("v1"));
        assertThat(Client.join(farAfter)).noneMatch(answer -> answer.text().equals("v1"));
        for (Replica replica : fleet.replicas()) {
            replica.awaitLanded();
            assertThat(replica.get(path).text()).isNotEqualTo("v1");
        }
    }

    /** Public behaviour 16. Safety rule 2. */
    @ParameterizedTest
    @EnumSource
    void aValidationThatBeganBeforeDoesNotRevive(By by) throws Exception {
        String path = fleet.path("validation");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\"", "Cache-Tag",
                path);
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            if (exchange.request.fields().has("If-None-Match")) {
                hold.await();
                exchange.answer(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"");
            } else {
                exchange.answer(200, "new", "Cache-Control", "max-age=600");
            }
        });
        Future<Client.Answer> validation = Client.meanwhile(() -> fleet.a.get(path));
        Replica.until(() -> fleet.origin.count(path) == 2);

        hard(inventory -> by.of(inventory, path, path));
        Future<Client.Answer> after = Client.meanwhile(() -> fleet.a.get(path));
        fleet.a.awaitWaiting(2);
        hold.countDown();

        validation.get();
        assertThat(after.get().text()).isEqualTo("new");
        for (Replica replica : fleet.replicas()) {
            replica.awaitLanded();
            assertThat(replica.get(path).text()).isEqualTo("new");
        }
    }

    @Test
    void aRefreshThatBeganBeforeIsNotServedAfterwards() throws Exception {
        String path = fleet.path("refresh");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            int mine = number.incrementAndGet();
            if (mine == 2) {
                hold.await();
            }
            exchange.answer(200, "v" + mine, "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age",
                    mine == 1 ? "100" : "0");
        });
        fleet.a.store(path);
        assertThat(fleet.a.get(path).text()).isEqualTo("v1");
        Replica.until(() -> number.get() == 2);

        hard(inventory -> inventory.url(path));
        List<Future<Client.Answer>> after = Client.crowd(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(3);
        hold.countDown();

        assertThat(Client.join(after)).extracting(Client.Answer::text).allMatch(text -> text.equals("v3"));
        for (Replica replica : fleet.replicas()) {
            replica.awaitLanded();
            assertThat(replica.get(path).text()).isEqualTo("v3");
        }
    }

    // ---- soft

    @ParameterizedTest
    @EnumSource
    void whatIsPurgedSoftlyIsServedStaleWhileItIsFetchedAnew(By by) throws IOException {
        String path = fleet.path("soft");
        numbered(path, "Cache-Control", "max-age=600, stale-while-revalidate=600", "Cache-Tag", path);
        stored(path, "v1");

        soft(inventory -> by.of(inventory, path, path));

        Client.Answer stale = fleet.b.get(path);
        assertThat(stale.text()).isEqualTo("v1");
        assertThat(stale.cacheStatus()).contains("ttl=-");
        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.get(path).text().equals("v2"));
        }
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    @Test
    void withoutAStaleWindowItIsValidatedOnceByTheFleetAndFreshAgain() throws IOException {
        String path = fleet.path("soft");
        fleet.origin.on(path, exchange -> {
            if (exchange.request.fields().has("If-None-Match")) {
                exchange.answer(304, "", "Cache-Control", "max-age=600", "ETag", "\"1\"");
            } else {
                exchange.answer(200, "v1", "Cache-Control", "max-age=600", "ETag", "\"1\"");
            }
        });
        stored(path, "v1");

        soft(inventory -> inventory.url(path));

        Client.Answer validated = fleet.a.store(path);
        assertThat(validated.text()).isEqualTo("v1");
        assertThat(validated.cacheStatus()).contains("fwd=stale").contains("fwd-status=304");
        for (Replica replica : fleet.replicas()) {
            assertThat(replica.get(path).hit()).isTrue();
        }
        assertThat(fleet.origin.count(path)).isEqualTo(2);
        assertThat(fleet.origin.last(path).field("If-None-Match")).isEqualTo("\"1\"");
    }

    @Test
    void itStandsInForAnOriginThatFails() throws IOException {
        String path = fleet.path("soft");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=600, stale-if-error=600");
        fleet.a.store(path);
        fleet.origin.on(path, 503, "down");

        soft(inventory -> inventory.url(path));

        assertThat(fleet.a.store(path).text()).isEqualTo("v1");
    }

    /** A validation that began before a soft purge confirms what was; not what is. */
    @Test
    void aValidationThatBeganBeforeDoesNotEndASoftPurge() throws Exception {
        String path = fleet.path("soft");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\"");
        fleet.a.store(path);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.count(path) == 2) {
                hold.await();
                exchange.answer(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"");
            } else {
                exchange.answer(200, "new", "Cache-Control", "max-age=600", "ETag", "\"new\"");
            }
        });
        Future<Client.Answer> validation = Client.meanwhile(() -> fleet.a.get(path));
        Replica.until(() -> fleet.origin.count(path) == 2);

        soft(inventory -> inventory.url(path));
        hold.countDown();
        validation.get();
        fleet.a.awaitLanded();

        assertThat(fleet.b.store(path).text()).isEqualTo("new");
        assertThat(fleet.a.get(path).text()).isEqualTo("new");
    }

    @Test
    void aSoftPurgeNeverBringsBackWhatAHardOneRemoved() throws IOException {
        String path = fleet.path("both");
        numbered(path, "Cache-Control", "max-age=600, stale-while-revalidate=600, stale-if-error=600");
        stored(path, "v1");

        hard(inventory -> inventory.url(path));
        soft(inventory -> inventory.all());

        for (Replica replica : fleet.replicas()) {
            assertThat(replica.store(path).text()).isEqualTo("v2");
        }
    }

    // ---- the record

    @Test
    void itIsInTheFleetsRecordWithWhoAskedForIt() {
        Purger.Result result = purge(true, inventory -> inventory.tag("record"));

        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.context()
                    .getBean(RedisPurges.class)
                    .recent()
                    .stream()
                    .anyMatch(purge -> purge.position() == result.position() && purge.soft()
                            && purge.by().equals("test") && purge.told().equals(List.of("tag:record"))));
        }
        assertThat(Optional.of(result.names())).contains(List.of("tag:record"));
    }
}
