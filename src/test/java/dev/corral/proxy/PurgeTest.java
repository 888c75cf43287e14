package dev.corral.proxy;

import dev.corral.management.purge.CacheCatalog;
import dev.corral.management.purge.CacheCatalog.PurgeTarget;
import dev.corral.management.purge.PurgeCoordinator;
import dev.corral.redis.purge.RedisPurgeRegistry;
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
@ProxyTest
class PurgeTest {

    private final FleetUnderTest fleet;

    PurgeTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** How a resource can be named. */
    enum TargetKind {
        URL, TAG, PREFIX, ROUTE, ALL;

        PurgeTarget target(CacheCatalog inventory, String path, String tag) {
            return switch (this) {
                case URL -> inventory.urlTarget(path);
                case TAG -> inventory.tagTarget(tag);
                case PREFIX -> inventory.prefixTarget(path.substring(0, path.lastIndexOf('/') + 1));
                case ROUTE -> inventory.routeTarget(path.substring(1, path.indexOf('/', 1)));
                case ALL -> inventory.everything();
            };
        }
    }

    private PurgeCoordinator.PurgeResult purge(boolean soft, Function<CacheCatalog, PurgeTarget> target) {
        CacheCatalog inventory = fleet.a.context().getBean(CacheCatalog.class);
        PurgeCoordinator.PurgeResult result = fleet.a.context()
                .getBean(PurgeCoordinator.class)
                .purge(List.of(target.apply(inventory)), soft, "test", true)
                .blockOptional(Duration.ofSeconds(10))
                .orElseThrow();
        assertThat(result.complete()).isTrue();
        assertThat(result.replicas()).extracting(PurgeCoordinator.ReplicaAcknowledgement::id).containsExactly("a", "b");
        return result;
    }

    private void purgeHard(Function<CacheCatalog, PurgeTarget> target) {
        purge(false, target);
    }

    private void purgeSoft(Function<CacheCatalog, PurgeTarget> target) {
        purge(true, target);
    }

    /** Answers with a number that grows with each answer. */
    private AtomicInteger numberedResponses(String path, String... fields) {
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> exchange.respond(200, "v" + number.incrementAndGet(), fields));
        return number;
    }

    private void assertStoredOnEveryReplica(String path, String text) throws IOException {
        for (ReplicaUnderTest replica : fleet.replicas()) {
            assertThat(replica.getAndStore(path).text()).isEqualTo(text);
            assertThat(replica.get(path).isHit()).isTrue();
        }
    }

    // ---- what is named, and what is not

    /** Not a moment later: the purge waited for every replica. */
    @ParameterizedTest
    @EnumSource
    void purgedResponseIsGoneOnEveryReplicaAtOnce(TargetKind by) throws IOException {
        String path = fleet.uniquePath("named");
        numberedResponses(path, "Cache-Control", "max-age=600", "Cache-Tag", "other, " + path);
        assertStoredOnEveryReplica(path, "v1");

        purgeHard(inventory -> by.target(inventory, path, path));

        assertThat(fleet.b.get(path).text()).isEqualTo("v2");
        fleet.b.awaitNoFlights();
        assertThat(fleet.a.get(path).text()).isEqualTo("v2");
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "ALL")
    void responseOutsideThePurgeStays(TargetKind by) throws IOException {
        String path = fleet.uniquePath("based", "named");
        String other = fleet.uniquePath("other");
        numberedResponses(other, "Cache-Control", "max-age=600", "Surrogate-Key", path + "x y");
        assertStoredOnEveryReplica(other, "v1");

        purgeHard(inventory -> by.target(inventory, path, path));

        for (ReplicaUnderTest replica : fleet.replicas()) {
            assertThat(replica.get(other).isHit()).isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource({"Cache-Tag, 'one,two'", "Cache-Tag, 'one , two'", "Surrogate-Key, one two"})
    void everyTagPurgesAndIsHiddenFromClients(String field, String tags) throws IOException {
        for (String tag : List.of("one", "two")) {
            String path = fleet.uniquePath("tagged");
            numberedResponses(path, "Cache-Control", "max-age=600", field, tags);
            HttpProbe.ProbeResponse first = fleet.a.getAndStore(path);
            assertThat(first.text()).isEqualTo("v1");
            assertThat(first.field(field)).isEmpty();
            assertThat(fleet.a.get(path).field(field)).isEmpty();

            purgeHard(inventory -> inventory.tagTarget(tag));

            assertThat(fleet.a.getAndStore(path).text()).isEqualTo("v2");
        }
    }

    @Test
    void urlPurgeRemovesAllVariantsAndSpellings() throws IOException {
        String path = fleet.uniquePath("all~variants");
        String odd = path.replace("~", "%7e");
        var number = new AtomicInteger(1);
        OriginStub.ResponseScript script = exchange -> exchange.respond(200, exchange.request.field("X-Size") + number,
                "Vary",
                "X-Size", "Cache-Control", "max-age=600");
        fleet.origin.on(path, script);
        fleet.origin.on(odd, script);
        for (String target : List.of(path, odd)) {
            fleet.a.getAndStore(target, "X-Size", "s");
            fleet.b.getAndStore(target, "X-Size", "m");
        }
        number.set(2);

        purgeHard(inventory -> inventory.urlTarget(odd));

        for (String target : List.of(path, odd)) {
            assertThat(fleet.b.getAndStore(target, "X-Size", "s").text()).isEqualTo("s2");
            assertThat(fleet.a.getAndStore(target, "X-Size", "m").text()).isEqualTo("m2");
        }
    }

    /** A variant is judged by itself: nothing that leads to it again, a later pointer least of all, brings it back. */
    @Test
    void purgedVariantIsNotRevivedByANewVaryMarker() throws IOException {
        String path = fleet.uniquePath("pointer");
        var number = new AtomicInteger(1);
        fleet.origin.on(path,
                exchange -> exchange.respond(200, exchange.request.field("X-Size") + number, "Vary", "X-Size",
                        "Cache-Control", "max-age=600"));
        fleet.a.getAndStore(path, "X-Size", "s");
        fleet.a.getAndStore(path, "X-Size", "m");
        number.set(2);

        purgeHard(inventory -> inventory.urlTarget(path));
        // A new pointer, which leads to both as the old one did.
        assertThat(fleet.a.getAndStore(path, "X-Size", "s").text()).isEqualTo("s2");

        assertThat(fleet.b.get(path, "X-Size", "m").text()).isEqualTo("m2");
    }

    @ParameterizedTest
    @ValueSource(strings = {"client.example", "Client.EXAMPLE:80"})
    void urlPurgeWithHostRemovesThatHostOnly(String host) throws IOException {
        String path = fleet.uniquePath("host-of-client", "hosted");
        numberedResponses(path, "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path, "Host", "client.example");
        fleet.a.getAndStore(path, "Host", "other.example");

        purgeHard(inventory -> inventory.urlTarget("http://" + host + path));

        assertThat(fleet.a.getAndStore(path, "Host", "client.example").text()).isEqualTo("v3");
        assertThat(fleet.a.getAndStore(path, "Host", "other.example").text()).isEqualTo("v2");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void prefixPurgeMatchesPathStartAndOptionalHost(boolean hosted) throws IOException {
        String directory = fleet.uniquePath("host-of-client", "prefix");
        List<String> within = List.of(directory, directory + "/a", directory + "s?q=1");
        List<String> without = List.of(directory.substring(0, directory.length() - 1), "/host-of-client/z");
        for (String path : within) {
            numberedResponses(path.replace("?q=1", ""), "Cache-Control", "max-age=600");
        }
        for (String path : without) {
            numberedResponses(path, "Cache-Control", "max-age=600");
        }
        for (String path : within) {
            fleet.a.getAndStore(path, "Host", "one.example");
            fleet.a.getAndStore(path, "Host", "two.example");
        }
        for (String path : without) {
            fleet.a.getAndStore(path, "Host", "one.example");
        }

        purgeHard(inventory -> inventory.prefixTarget((hosted ? "http://one.example" : "") + directory));

        for (String path : within) {
            assertThat(fleet.b.get(path, "Host", "one.example").isHit()).as(path).isFalse();
            assertThat(fleet.b.get(path, "Host", "two.example").isHit()).as(path).isEqualTo(hosted);
        }
        for (String path : without) {
            assertThat(fleet.b.get(path, "Host", "one.example").isHit()).as(path).isTrue();
        }
    }

    @Test
    void hitForMissMarkerIsPurged() throws Exception {
        String path = fleet.uniquePath("marked");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "mine", "Cache-Control", "private");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, "everybody's", "Cache-Control", "max-age=600");
        });

        purgeHard(inventory -> inventory.urlTarget(path));
        List<Future<HttpProbe.ProbeResponse>> crowd = HttpProbe.concurrently(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(5);
        hold.countDown();

        assertThat(HttpProbe.joinAll(crowd)).allMatch(answer -> answer.text().equals("everybody's"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    // ---- what is in the air

    /** Safety rule 1. Those who came before may have it; nobody who comes after, anywhere. */
    @ParameterizedTest
    @EnumSource
    void fillStartedBeforePurgeIsNotServedAfterIt(TargetKind by) throws Exception {
        String path = fleet.uniquePath("fill");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            int mine = number.incrementAndGet();
            if (mine == 1) {
                hold.await();
            }
            exchange.respond(200, "v" + mine, "Cache-Control", "max-age=600", "Cache-Tag", path);
        });
        List<Future<HttpProbe.ProbeResponse>> before = HttpProbe.concurrently(3, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(3);
        ReplicaUnderTest.eventually(() -> number.get() == 1);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(3);

        purgeHard(inventory -> by.target(inventory, path, path));
        List<Future<HttpProbe.ProbeResponse>> after = HttpProbe.concurrently(3, () -> fleet.a.get(path));
        List<Future<HttpProbe.ProbeResponse>> farAfter = HttpProbe.concurrently(3, () -> fleet.b.get(path));
        fleet.a.awaitWaiters(6);
        fleet.b.awaitWaiters(6);
        hold.countDown();

        HttpProbe.joinAll(before);
        HttpProbe.joinAll(far);
        assertThat(HttpProbe.joinAll(after)).noneMatch(answer -> answer.text().equals("v1"));
        assertThat(HttpProbe.joinAll(farAfter)).noneMatch(answer -> answer.text().equals("v1"));
        for (ReplicaUnderTest replica : fleet.replicas()) {
            replica.awaitNoFlights();
            assertThat(replica.get(path).text()).isNotEqualTo("v1");
        }
    }

    /** Public behavior 16. Safety rule 2. */
    @ParameterizedTest
    @EnumSource
    void revalidationStartedBeforePurgeDoesNotRevive(TargetKind by) throws Exception {
        String path = fleet.uniquePath("validation");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\"", "Cache-Tag",
                path);
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            if (exchange.request.fields().has("If-None-Match")) {
                hold.await();
                exchange.respond(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"");
            } else {
                exchange.respond(200, "new", "Cache-Control", "max-age=600");
            }
        });
        Future<HttpProbe.ProbeResponse> validation = HttpProbe.async(() -> fleet.a.get(path));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 2);

        purgeHard(inventory -> by.target(inventory, path, path));
        Future<HttpProbe.ProbeResponse> after = HttpProbe.async(() -> fleet.a.get(path));
        fleet.a.awaitWaiters(2);
        hold.countDown();

        validation.get();
        assertThat(after.get().text()).isEqualTo("new");
        for (ReplicaUnderTest replica : fleet.replicas()) {
            replica.awaitNoFlights();
            assertThat(replica.get(path).text()).isEqualTo("new");
        }
    }

    @Test
    void refreshStartedBeforePurgeIsNotServedAfterIt() throws Exception {
        String path = fleet.uniquePath("refresh");
        var hold = new CountDownLatch(1);
        var number = new AtomicInteger();
        fleet.origin.on(path, exchange -> {
            int mine = number.incrementAndGet();
            if (mine == 2) {
                hold.await();
            }
            exchange.respond(200, "v" + mine, "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age",
                    mine == 1 ? "100" : "0");
        });
        fleet.a.getAndStore(path);
        assertThat(fleet.a.get(path).text()).isEqualTo("v1");
        ReplicaUnderTest.eventually(() -> number.get() == 2);

        purgeHard(inventory -> inventory.urlTarget(path));
        List<Future<HttpProbe.ProbeResponse>> after = HttpProbe.concurrently(3, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(3);
        hold.countDown();

        assertThat(HttpProbe.joinAll(after)).extracting(HttpProbe.ProbeResponse::text)
                .allMatch(text -> text.equals("v3"));
        for (ReplicaUnderTest replica : fleet.replicas()) {
            replica.awaitNoFlights();
            assertThat(replica.get(path).text()).isEqualTo("v3");
        }
    }

    // ---- soft

    @ParameterizedTest
    @EnumSource
    void softPurgedResponseIsServedStaleWhileRefreshed(TargetKind by) throws IOException {
        String path = fleet.uniquePath("soft");
        numberedResponses(path, "Cache-Control", "max-age=600, stale-while-revalidate=600", "Cache-Tag", path);
        assertStoredOnEveryReplica(path, "v1");

        purgeSoft(inventory -> by.target(inventory, path, path));

        HttpProbe.ProbeResponse stale = fleet.b.get(path);
        assertThat(stale.text()).isEqualTo("v1");
        assertThat(stale.cacheStatus()).contains("ttl=-");
        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.get(path).text().equals("v2"));
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    @Test
    void softPurgedResponseWithoutStaleWindowIsRevalidatedOnce() throws IOException {
        String path = fleet.uniquePath("soft");
        fleet.origin.on(path, exchange -> {
            if (exchange.request.fields().has("If-None-Match")) {
                exchange.respond(304, "", "Cache-Control", "max-age=600", "ETag", "\"1\"");
            } else {
                exchange.respond(200, "v1", "Cache-Control", "max-age=600", "ETag", "\"1\"");
            }
        });
        assertStoredOnEveryReplica(path, "v1");

        purgeSoft(inventory -> inventory.urlTarget(path));

        HttpProbe.ProbeResponse validated = fleet.a.getAndStore(path);
        assertThat(validated.text()).isEqualTo("v1");
        assertThat(validated.cacheStatus()).contains("fwd=stale").contains("fwd-status=304");
        for (ReplicaUnderTest replica : fleet.replicas()) {
            assertThat(replica.get(path).isHit()).isTrue();
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
        assertThat(fleet.origin.lastRequest(path).field("If-None-Match")).isEqualTo("\"1\"");
    }

    @Test
    void softPurgedResponseIsServedWhenTheOriginFails() throws IOException {
        String path = fleet.uniquePath("soft");
        fleet.origin.on(path, 200, "v1", "Cache-Control", "max-age=600, stale-if-error=600");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 503, "down");

        purgeSoft(inventory -> inventory.urlTarget(path));

        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("v1");
    }

    /** A validation that began before a soft purge confirms what was; not what is. */
    @Test
    void revalidationStartedBeforeSoftPurgeDoesNotEndIt() throws Exception {
        String path = fleet.uniquePath("soft");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\"");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.requestCount(path) == 2) {
                hold.await();
                exchange.respond(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"");
            } else {
                exchange.respond(200, "new", "Cache-Control", "max-age=600", "ETag", "\"new\"");
            }
        });
        Future<HttpProbe.ProbeResponse> validation = HttpProbe.async(() -> fleet.a.get(path));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 2);

        purgeSoft(inventory -> inventory.urlTarget(path));
        hold.countDown();
        validation.get();
        fleet.a.awaitNoFlights();

        assertThat(fleet.b.getAndStore(path).text()).isEqualTo("new");
        assertThat(fleet.a.get(path).text()).isEqualTo("new");
    }

    @Test
    void softPurgeDoesNotRestoreHardPurgedResponse() throws IOException {
        String path = fleet.uniquePath("both");
        numberedResponses(path, "Cache-Control", "max-age=600, stale-while-revalidate=600, stale-if-error=600");
        assertStoredOnEveryReplica(path, "v1");

        purgeHard(inventory -> inventory.urlTarget(path));
        purgeSoft(inventory -> inventory.everything());

        for (ReplicaUnderTest replica : fleet.replicas()) {
            assertThat(replica.getAndStore(path).text()).isEqualTo("v2");
        }
    }

    // ---- the record

    @Test
    void purgeIsRecordedFleetWideWithItsRequester() {
        PurgeCoordinator.PurgeResult result = purge(true, inventory -> inventory.tagTarget("record"));

        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.context()
                    .getBean(RedisPurgeRegistry.class)
                    .recentPurges()
                    .stream()
                    .anyMatch(purge -> purge.position() == result.position() && purge.isSoft()
                            && purge.requestedBy().equals("test")
                            && purge.description().equals(List.of("tag:record"))));
        }
        assertThat(Optional.of(result.names())).contains(List.of("tag:record"));
    }
}
