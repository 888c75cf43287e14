package dev.corral.edge;

import dev.corral.coalesce.Purges;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Redis lets go of connections, and of what it keeps: neither shows. */
@EdgeTest
class RedisConnectionTest {

    private final Fleet fleet;

    RedisConnectionTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** That it is away and back is said, once each. */
    @AfterEach
    void theFleetIsWhole() {
        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.context().getBean(Purges.class).current());
        }
        Quiet.take("Redis");
    }

    /** Public behaviour 10: of both clients, those that wait for messages among them. */
    @Test
    void aConnectionThatRedisHasClosedIsOpenedAgainUnseen() throws Exception {
        String stored = fleet.path("stored");
        fleet.origin.on(stored, 200, "stored", "Cache-Control", "max-age=600");
        fleet.a.store(stored);

        fleet.redis.ask("CLIENT KILL TYPE normal SKIPME yes", "CLIENT KILL TYPE pubsub");

        for (int i = 0; i < 10; i++) {
            String path = fleet.path("meanwhile");
            fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
            for (Replica replica : fleet.replicas()) {
                assertThat(replica.get(path).text()).isEqualTo("page");
                assertThat(replica.get(stored).text()).isEqualTo("stored");
            }
        }
        Replica.until(() -> fetchedOnce(fleet.path("afterwards")));
    }

    private boolean fetchedOnce(String path) throws Exception {
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
        List<Future<Client.Answer>> near = Client.crowd(3, () -> fleet.a.get(path));
        List<Future<Client.Answer>> far = Client.crowd(3, () -> fleet.b.get(path));
        assertThat(Client.join(near)).allMatch(answer -> answer.text().equals("page"));
        assertThat(Client.join(far)).allMatch(answer -> answer.text().equals("page"));
        return fleet.origin.count(path) == 1;
    }

    /** Public behaviour 18. A lock that is gone in the middle of a fill: another leads, and the first one, late, writes nothing. */
    @Test
    void aLeaseThatRedisHasEvictedCostsOneFetchMore() throws Exception {
        String path = fleet.path("evicted");
        var first = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.count(path) == 1) {
                first.await();
                exchange.answer(200, "the first", "Cache-Control", "max-age=600");
            } else {
                exchange.answer(200, "the second", "Cache-Control", "max-age=600");
            }
        });
        Future<Client.Answer> leader = Client.meanwhile(() -> fleet.a.get(path));
        Replica.until(() -> fleet.origin.count(path) == 1);
        String lock = fleet.redis.ask("KEYS corral:{*}:lock").strip();
        assertThat(lock).isNotEmpty().doesNotContain("\n");

        fleet.redis.ask("DEL " + lock);

        assertThat(fleet.b.store(path).text()).isEqualTo("the second");
        first.countDown();
        assertThat(leader.get().text()).isEqualTo("the first");
        fleet.a.awaitLanded();
        assertThat(fleet.b.get(path).text()).isEqualTo("the second");
        Replica.until(() -> fleet.a.get(path).text().equals("the second"));
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** How long nobody waits: two minutes for what is for one only, and for what was too large. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"t|Cache-Control: private|120000", "small|Cache-Control: max-age=600|120000"})
    void aMarkIsKeptAsLongAsItSays(String route, String field, long millis) throws Exception {
        String path = fleet.path(route, "marked");
        fleet.origin.on(path, 200, "x".repeat(2_000), field.split(": "));
        List<String> before = keys();

        fleet.a.store(path);

        List<String> marks = keys().stream().filter(key -> !before.contains(key)).toList();
        assertThat(marks).hasSize(1);
        assertThat(Long.parseLong(fleet.redis.ask("PTTL " + marks.getFirst()).strip()))
                .isBetween(millis - 15_000, millis);
    }

    private List<String> keys() {
        return fleet.redis.ask("KEYS corral:{*}*").lines().filter(key -> !key.startsWith("corral:{purge}")).toList();
    }
}
