package dev.corral.fleet;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisSentinels;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * A master, its replica and three Sentinels under a steady load of cold keys and with the default settings. During every change of the
 * master no client gets an error; when there is a master again, a cold key costs one fetch within seconds, without a restart.
 */
@Timeout(180)
@TestInstance(Lifecycle.PER_CLASS)
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class SentinelFaultsIT {

    /** The Sentinels wait a second before they declare a master down, vote, and promote the replica. */
    private static final Duration FAILOVER_TIMEOUT = Duration.ofMinutes(1);

    private final RedisSentinels redis = RedisSentinels.start();
    private final DefaultSettingsFleet fleet = DefaultSettingsFleet.over("sentinel", List.of(), redis.settings());

    @BeforeAll
    void awaitRedis() {
        fleet.awaitStart();
    }

    @AfterAll
    void stop() {
        fleet.close();
        redis.close();
    }

    /** As for maintenance: the old master continues as a replica. */
    @Test
    @Order(1)
    void plannedFailoverCausesNoErrors() {
        assertSurvivesFailover("switched", () -> {
            awaitReplica();
            redis.sentinels().getFirst().execute("SENTINEL FAILOVER " + RedisSentinels.MASTER_NAME);
        });
    }

    @Test
    @Order(2)
    @Tag("faults")
    void hangingMasterCausesNoErrors() {
        EmbeddedRedis master = master();
        assertSurvivesFailover("hung", () -> {
            awaitReplica();
            master.pause();
        });
        master.resume();
        fleet.awaitOneFetchPerKey("sentinel-resumed");
    }

    @Test
    @Order(3)
    @Tag("faults")
    void killedMasterCausesNoErrors() {
        EmbeddedRedis master = master();
        assertSurvivesFailover("killed", () -> {
            awaitReplica();
            master.stop();
        });
        master.restart();
        fleet.awaitOneFetchPerKey("sentinel-restarted");
    }

    /** No Sentinel can name the master, which continues to run. */
    @Test
    @Order(4)
    @Tag("faults")
    void lossOfAllSentinelsCausesNoErrors() {
        try (ColdKeyLoad load = fleet.startColdLoad("sentinel-none", Duration.ofMillis(100))) {
            load.awaitKeys(5);
            redis.sentinels().forEach(EmbeddedRedis::stop);
            load.awaitKeys(30);
            assertThat(DefaultSettingsFleet.clientsByStatus(load.responses())).as("replies by status")
                    .containsOnlyKeys(200);
        }
        fleet.awaitOneFetchPerKey("sentinel-gone");
        redis.sentinels().forEach(EmbeddedRedis::restart);
        fleet.awaitOneFetchPerKey("sentinel-back");
    }

    private EmbeddedRedis master() {
        return redis.masterPort() == redis.first().port() ? redis.first() : redis.second();
    }

    /** Waits until the Sentinels know a replica that they can promote. */
    private void awaitReplica() {
        ProcessFleet.await("a replica follows the master", FAILOVER_TIMEOUT,
                () -> master().execute("ROLE").contains("127.0.0.1") && redis.sentinels()
                        .stream()
                        .allMatch(sentinel -> sentinel.execute("SENTINEL REPLICAS " + RedisSentinels.MASTER_NAME)
                                .contains("master-link-status\nok")));
    }

    private void assertSurvivesFailover(String name, Runnable fault) {
        try (ColdKeyLoad load = fleet.startColdLoad("sentinel-" + name, Duration.ofMillis(100))) {
            load.awaitKeys(5);
            int before = redis.masterPort();
            fault.run();
            ProcessFleet.await("another master", FAILOVER_TIMEOUT, () -> redis.masterPort() != before
                    && master().execute("ROLE").startsWith("master"));
            fleet.awaitOneFetchPerKey("sentinel-" + name + "-over");
            assertThat(DefaultSettingsFleet.clientsByStatus(load.responses())).as("replies by status")
                    .containsOnlyKeys(200);
        }
    }
}
