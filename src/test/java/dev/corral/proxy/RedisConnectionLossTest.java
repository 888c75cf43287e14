package dev.corral.proxy;

import dev.corral.purge.PurgeRegistry;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Redis lets go of connections, and of what it keeps: neither shows. */
@ProxyTest
class RedisConnectionLossTest {

    private final FleetUnderTest fleet;

    RedisConnectionLossTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** That it is away and back is said, once each. */
    @AfterEach
    void awaitFleetReconnected() {
        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.context().getBean(PurgeRegistry.class).isUpToDate());
        }
        LogAndLeakGuard.takeLogged("Redis");
    }

    /** Public behavior 10: of both clients, those that wait for messages among them. */
    @Test
    void closedRedisConnectionIsReopenedTransparently() throws Exception {
        String stored = fleet.uniquePath("stored");
        fleet.origin.on(stored, 200, "stored", "Cache-Control", "max-age=600");
        fleet.a.getAndStore(stored);

        fleet.redis.execute("CLIENT KILL TYPE normal SKIPME yes", "CLIENT KILL TYPE pubsub");

        for (int i = 0; i < 10; i++) {
            String path = fleet.uniquePath("meanwhile");
            fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
            for (ReplicaUnderTest replica : fleet.replicas()) {
                assertThat(replica.get(path).text()).isEqualTo("page");
                assertThat(replica.get(stored).text()).isEqualTo("stored");
            }
        }
        ReplicaUnderTest.eventually(() -> isFetchedOnce(fleet.uniquePath("afterwards")));
    }

    private boolean isFetchedOnce(String path) throws Exception {
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
        List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(3, () -> fleet.a.get(path));
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(3, () -> fleet.b.get(path));
        assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals("page"));
        return fleet.origin.requestCount(path) == 1;
    }

    /** Public behavior 18. A lock that is gone in the middle of a fill: another leads, and the first one, late, writes nothing. */
    @Test
    void evictedLeaseCostsOneAdditionalFetch() throws Exception {
        String path = fleet.uniquePath("evicted");
        var first = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.requestCount(path) == 1) {
                first.await();
                exchange.respond(200, "the first", "Cache-Control", "max-age=600");
            } else {
                exchange.respond(200, "the second", "Cache-Control", "max-age=600");
            }
        });
        Future<HttpProbe.ProbeResponse> leader = HttpProbe.async(() -> fleet.a.get(path));
        ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1);
        String lock = fleet.redis.execute("KEYS corral:{*}:lock").strip();
        assertThat(lock).isNotEmpty().doesNotContain("\n");

        fleet.redis.execute("DEL " + lock);

        assertThat(fleet.b.getAndStore(path).text()).isEqualTo("the second");
        first.countDown();
        assertThat(leader.get().text()).isEqualTo("the first");
        fleet.a.awaitNoFlights();
        assertThat(fleet.b.get(path).text()).isEqualTo("the second");
        ReplicaUnderTest.eventually(() -> fleet.a.get(path).text().equals("the second"));
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** How long nobody waits: two minutes for what is for one only, and for what was too large. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"t|Cache-Control: private|120000", "small|Cache-Control: max-age=600|120000"})
    void hitForMissMarkerIsKeptForItsTtl(String route, String field, long millis) throws Exception {
        String path = fleet.uniquePath(route, "marked");
        fleet.origin.on(path, 200, "x".repeat(2_000), field.split(": "));
        List<String> before = entryKeys();

        fleet.a.getAndStore(path);

        List<String> marks = entryKeys().stream().filter(key -> !before.contains(key)).toList();
        assertThat(marks).hasSize(1);
        assertThat(Long.parseLong(fleet.redis.execute("PTTL " + marks.getFirst()).strip()))
                .isBetween(millis - 15_000, millis);
    }

    /** Those of resources: the fleet writes its own records when it is time for them. */
    private List<String> entryKeys() {
        return fleet.redis.execute("KEYS corral:{*}*")
                .lines()
                .filter(key -> !key.startsWith("corral:{purge}") && !key.startsWith("corral:{fleet}"))
                .toList();
    }
}
