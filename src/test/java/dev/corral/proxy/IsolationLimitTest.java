package dev.corral.proxy;

import dev.corral.management.purge.CacheCatalog;
import dev.corral.management.purge.PurgeCoordinator;
import dev.corral.purge.PurgeRegistry;
import dev.corral.redis.purge.RedisPurgeRegistry;
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
@ProxyTest
class IsolationLimitTest {

    /** Long enough for the requests of a test on a busy machine. */
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private final FleetUnderTest fleet;

    IsolationLimitTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** That Redis is away and back is said. */
    @AfterEach
    void takeExpectedWarnings() {
        LogAndLeakGuard.takeLogged("Redis");
        LogAndLeakGuard.takeLogged("lettuce");
    }

    @ParameterizedTest
    @CsvSource({"0,100,true", "30,100,true", "31,100,false", "31,31,false", "31,30,true", "9999,0,true", "31,-30,true",
            "31,-31,false"})
    void isolationCountsFromTheLaterOfPurgeSyncAndConfirmation(long lag, long sinceConfirmed, boolean allowed) {
        assertThat(
                IsolationLimit.mayServe(Duration.ofSeconds(lag), Duration.ofSeconds(sinceConfirmed),
                        Duration.ofSeconds(30)))
                .isEqualTo(allowed);
    }

    @Test
    @Timeout(180)
    void isolatedReplicaServesPurgedResponseNoLongerThanTheLimit() throws Exception {
        String path = fleet.uniquePath("isolated");
        String same = fleet.uniquePath("isolated-same");
        AtomicReference<String> version = new AtomicReference<>("v1");
        fleet.origin.on(path, exchange -> respond(exchange, Objects.requireNonNull(version.get())));
        fleet.origin.on(same, exchange -> respond(exchange, "same"));
        fleet.redis.execute("ACL SETUSER cut on >secret ~* &* +@all");
        try (ReplicaUnderTest cut = fleet.startExtra("cut", "spring.data.redis.username=cut",
                "spring.data.redis.password=secret",
                "spring.data.redis.timeout=1s", "corral.purge.max-isolation=10s")) {
            RedisPurgeRegistry purges = cut.context().getBean(RedisPurgeRegistry.class);
            assertThat(cut.getAndStore(path).text()).isEqualTo("v1");
            assertThat(cut.getAndStore(same).text()).isEqualTo("same");

            fleet.redis.execute("ACL SETUSER cut off", "CLIENT KILL USER cut");
            version.set("v2");
            purge(path);
            HttpProbe.ProbeResponse early = cut.get(path);
            // Unless this machine was too busy for these lines.
            if (purges.syncLag().compareTo(LIMIT) < 0) {
                assertThat(early.isHit()).isTrue();
            }

            // Of the last sync and the store the later one counts, and a sync is at most half a second earlier.
            ReplicaUnderTest.eventually(() -> purges.syncLag().compareTo(LIMIT.plusSeconds(1)) > 0);
            int asked = fleet.origin.requestCount(same);
            List<HttpProbe.ProbeResponse> answers = getConcurrently(cut, same, 30);
            long confirmed = System.nanoTime();
            assertThat(answers).allSatisfy(answer -> assertThat(answer.text()).isEqualTo("same"));
            assertThat(fleet.origin.requestCount(same)).isEqualTo(asked + 1);
            assertThat(fleet.origin.lastRequest(same).field("If-None-Match")).isEqualTo("\"same\"");
            assertThat(cut.getAndStore(path).text()).isEqualTo("v2");
            cut.awaitNoFlights();
            HttpProbe.ProbeResponse again = cut.get(same);
            if (System.nanoTime() - confirmed < LIMIT.dividedBy(2).toNanos()) {
                assertThat(again.isHit()).isTrue();
                assertThat(fleet.origin.requestCount(same)).isEqualTo(asked + 1);
            }

            PurgeCoordinator.PurgeResult later = purge(path);
            assertThat(later.complete()).isTrue();
            assertThat(later.silent()).extracting(PurgeCoordinator.SilentReplica::replica).containsExactly("cut");
            assertThat(later.silent().getFirst().mayServeUntil())
                    .isEqualTo(PurgeRegistry.timeOf(later.position()).plus(Duration.ofSeconds(30)));

            fleet.redis.execute("ACL SETUSER cut on");
            ReplicaUnderTest.eventually(purges::isUpToDate);
            ReplicaUnderTest.eventually(() -> cut.getAndStore(path).text().equals("v2") && cut.get(path).isHit());
        }
        ReplicaUnderTest.eventually(
                () -> !fleet.redis.execute("ZRANGE corral:{fleet}:seen 0 -1").lines().toList().contains("cut"));
    }

    private static void respond(OriginStub.StubExchange exchange, String text) throws IOException {
        String tag = "\"" + text + "\"";
        if (exchange.request.field("If-None-Match").equals(tag)) {
            exchange.respond(304, "", "ETag", tag, "Cache-Control", "max-age=600");
        } else {
            exchange.respond(200, text, "ETag", tag, "Cache-Control", "max-age=600");
        }
    }

    private static List<HttpProbe.ProbeResponse> getConcurrently(ReplicaUnderTest replica, String path, int requests)
            throws Exception {
        try (var clients = Executors.newVirtualThreadPerTaskExecutor()) {
            var futures = new ArrayList<Future<HttpProbe.ProbeResponse>>();
            for (int i = 0; i < requests; i++) {
                futures.add(clients.submit(() -> replica.get(path)));
            }
            var answers = new ArrayList<HttpProbe.ProbeResponse>();
            for (Future<HttpProbe.ProbeResponse> future : futures) {
                answers.add(future.get());
            }
            return answers;
        }
    }

    private PurgeCoordinator.PurgeResult purge(String path) {
        CacheCatalog.PurgeTarget target = fleet.a.context().getBean(CacheCatalog.class).urlTarget(path);
        return fleet.a.context()
                .getBean(PurgeCoordinator.class)
                .purge(List.of(target), false, "test", true)
                .blockOptional(Duration.ofSeconds(10))
                .orElseThrow();
    }
}
