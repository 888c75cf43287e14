package dev.corral.edge;

import dev.corral.coalesce.Purges;
import dev.corral.ops.Inventory;
import dev.corral.ops.Purger;
import dev.corral.tier.RedisPurges;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** A replica that is cut off from Redis serves what it has for so long, and then asks the origin first. */
@EdgeTest
class IsolationTest {

    /** Long enough for the requests of a test on a busy machine. */
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private final Fleet fleet;

    IsolationTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** That Redis is away and back is said. */
    @AfterEach
    void expectedWarnings() {
        Quiet.take("Redis");
        Quiet.take("lettuce");
    }

    @ParameterizedTest
    @CsvSource({"0,100,true", "30,100,true", "31,100,false", "31,31,false", "31,30,true", "9999,0,true", "31,-30,true",
            "31,-31,false"})
    void itIsAMatterOfTheLaterOfPurgesAndConfirmation(long lag, long sinceConfirmed, boolean allowed) {
        assertThat(
                Isolation.allows(Duration.ofSeconds(lag), Duration.ofSeconds(sinceConfirmed), Duration.ofSeconds(30)))
                .isEqualTo(allowed);
    }

    @Test
    @Timeout(180)
    void aReplicaThatIsCutOffServesAPurgedResponseNoLongerThanTheLimit() throws Exception {
        String path = fleet.path("isolated");
        String same = fleet.path("isolated-same");
        AtomicReference<String> version = new AtomicReference<>("v1");
        fleet.origin.on(path, exchange -> respond(exchange, Objects.requireNonNull(version.get())));
        fleet.origin.on(same, exchange -> respond(exchange, "same"));
        fleet.redis.ask("ACL SETUSER cut on >secret ~* &* +@all");
        try (Replica cut = fleet.guest("cut", "spring.data.redis.username=cut", "spring.data.redis.password=secret",
                "spring.data.redis.timeout=1s", "corral.purge.max-isolation=10s")) {
            RedisPurges purges = cut.context().getBean(RedisPurges.class);
            assertThat(cut.store(path).text()).isEqualTo("v1");
            assertThat(cut.store(same).text()).isEqualTo("same");

            fleet.redis.ask("ACL SETUSER cut off", "CLIENT KILL USER cut");
            version.set("v2");
            purge(path);
            Client.Answer early = cut.get(path);
            // Unless this machine was too busy for these lines.
            if (purges.lag().compareTo(LIMIT) < 0) {
                assertThat(early.hit()).isTrue();
            }

            // Of the last sync and the store the later one counts, and a sync is at most half a second earlier.
            Replica.until(() -> purges.lag().compareTo(LIMIT.plusSeconds(1)) > 0);
            int asked = fleet.origin.count(same);
            List<Client.Answer> answers = atOnce(cut, same, 30);
            long confirmed = System.nanoTime();
            assertThat(answers).allSatisfy(answer -> assertThat(answer.text()).isEqualTo("same"));
            assertThat(fleet.origin.count(same)).isEqualTo(asked + 1);
            assertThat(fleet.origin.last(same).field("If-None-Match")).isEqualTo("\"same\"");
            assertThat(cut.store(path).text()).isEqualTo("v2");
            cut.awaitLanded();
            Client.Answer again = cut.get(same);
            if (System.nanoTime() - confirmed < LIMIT.dividedBy(2).toNanos()) {
                assertThat(again.hit()).isTrue();
                assertThat(fleet.origin.count(same)).isEqualTo(asked + 1);
            }

            Purger.Result later = purge(path);
            assertThat(later.complete()).isTrue();
            assertThat(later.silent()).extracting(Purger.Silent::replica).containsExactly("cut");
            assertThat(later.silent().getFirst().mayServeUntil())
                    .isEqualTo(Purges.time(later.position()).plus(Duration.ofSeconds(30)));

            fleet.redis.ask("ACL SETUSER cut on");
            Replica.until(purges::current);
            Replica.until(() -> cut.store(path).text().equals("v2") && cut.get(path).hit());
        }
        Replica.until(() -> !fleet.redis.ask("ZRANGE corral:{fleet}:seen 0 -1").lines().toList().contains("cut"));
    }

    private static void respond(StubOrigin.Exchange exchange, String text) throws IOException {
        String tag = "\"" + text + "\"";
        if (exchange.request.field("If-None-Match").equals(tag)) {
            exchange.answer(304, "", "ETag", tag, "Cache-Control", "max-age=600");
        } else {
            exchange.answer(200, text, "ETag", tag, "Cache-Control", "max-age=600");
        }
    }

    private static List<Client.Answer> atOnce(Replica replica, String path, int requests) throws Exception {
        try (var clients = Executors.newVirtualThreadPerTaskExecutor()) {
            var futures = new ArrayList<Future<Client.Answer>>();
            for (int i = 0; i < requests; i++) {
                futures.add(clients.submit(() -> replica.get(path)));
            }
            var answers = new ArrayList<Client.Answer>();
            for (Future<Client.Answer> future : futures) {
                answers.add(future.get());
            }
            return answers;
        }
    }

    private Purger.Result purge(String path) {
        Inventory.Target target = fleet.a.context().getBean(Inventory.class).url(path);
        return fleet.a.context()
                .getBean(Purger.class)
                .purge(List.of(target), false, "test", true)
                .blockOptional(Duration.ofSeconds(10))
                .orElseThrow();
    }
}
