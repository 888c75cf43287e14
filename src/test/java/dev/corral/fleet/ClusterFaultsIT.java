package dev.corral.fleet;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisCluster;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Three shards without replicas, of which some may be down, under a steady load of cold keys and with the default settings. No client gets
 * an error; when all slots are served again, a cold key costs one fetch within seconds, without a restart.
 */
@Timeout(180)
@TestInstance(Lifecycle.PER_CLASS)
class ClusterFaultsIT {

    /** Longer than the nodes need to call another one failed (2 s). */
    private static final Duration FAULT_DURATION = Duration.ofSeconds(4);

    private static final Duration FORMATION_TIMEOUT = Duration.ofMinutes(1);

    private final RedisCluster redis = RedisCluster.start("--cluster-require-full-coverage", "no");
    private final DefaultSettingsFleet fleet = DefaultSettingsFleet.over("cluster", List.of(), redis.settings());

    @BeforeAll
    void awaitRedis() {
        fleet.awaitStart();
    }

    @AfterAll
    void stop() {
        fleet.close();
        redis.close();
    }

    @Test
    @Tag("faults")
    void killedShardCausesNoErrors() {
        EmbeddedRedis shard = redis.nodes().stream().filter(node -> node != purgeShard()).findFirst().orElseThrow();
        assertSurvives("killed", shard::stop, shard::restart);
    }

    @Test
    @Tag("faults")
    void hangingShardCausesNoErrors() {
        EmbeddedRedis shard = redis.nodes().stream().filter(node -> node != purgeShard()).findFirst().orElseThrow();
        assertSurvives("hung", shard::pause, shard::resume);
    }

    @Test
    void killedPurgeLogShardCausesNoErrors() {
        assertSurvives("purges-killed", purgeShard()::stop, purgeShard()::restart);
    }

    @Test
    @Tag("faults")
    void hangingPurgeLogShardCausesNoErrors() {
        assertSurvives("purges-hung", purgeShard()::pause, purgeShard()::resume);
    }

    /** A thousand slots move, with what is in them, and back. No key costs more than a fetch and one more for its move. */
    @Test
    @Tag("faults")
    void reshardingCostsAtMostOneExtraFetchPerKey() {
        EmbeddedRedis from = redis.nodes().getFirst();
        EmbeddedRedis to = redis.nodes().getLast();
        try (ColdKeyLoad load = fleet.startColdLoad("cluster-resharded", Duration.ofMillis(50))) {
            load.awaitKeys(5);
            for (int slot = 0; slot < 1_000; slot++) {
                move(slot, from, to);
            }
            for (int slot = 0; slot < 1_000; slot++) {
                move(slot, to, from);
            }
            fleet.awaitOneFetchPerKey("cluster-resharded-over");
            assertThat(DefaultSettingsFleet.clientsByStatus(load.responses())).as("replies by status")
                    .containsOnlyKeys(200);
            assertThat(load.fetches()).as("keys by their fetches").containsKey(1L).doesNotContainKeys(0L, 3L, 4L, 5L);
        }
    }

    private EmbeddedRedis purgeShard() {
        // The slots are shared out evenly, in the order of the nodes.
        int slot = Integer.parseInt(redis.nodes().getFirst().execute("CLUSTER KEYSLOT {purge}"));
        return redis.nodes().get(slot * redis.nodes().size() / 16_384);
    }

    private static void move(int slot, EmbeddedRedis from, EmbeddedRedis to) {
        String source = from.execute("CLUSTER MYID");
        String target = to.execute("CLUSTER MYID");
        to.execute("CLUSTER SETSLOT " + slot + " IMPORTING " + source);
        from.execute("CLUSTER SETSLOT " + slot + " MIGRATING " + target);
        for (String key : from.execute("CLUSTER GETKEYSINSLOT " + slot + " 1000").lines().toList()) {
            if (!key.isEmpty()) {
                from.execute("MIGRATE 127.0.0.1 " + to.port() + " " + key + " 0 5000");
            }
        }
        to.execute("CLUSTER SETSLOT " + slot + " NODE " + target);
        from.execute("CLUSTER SETSLOT " + slot + " NODE " + target);
    }

    private void assertSurvives(String name, Runnable fault, Runnable end) {
        try (ColdKeyLoad load = fleet.startColdLoad("cluster-" + name, Duration.ofMillis(100))) {
            load.awaitKeys(5);
            fault.run();
            try {
                DefaultSettingsFleet.holdFault(FAULT_DURATION);
            } finally {
                end.run();
            }
            ProcessFleet.await("all slots are served", FORMATION_TIMEOUT, () -> redis.nodes()
                    .stream()
                    .allMatch(node -> node.execute("CLUSTER INFO").contains("cluster_slots_ok:16384")));
            fleet.awaitOneFetchPerKey("cluster-" + name + "-over");
            assertThat(DefaultSettingsFleet.clientsByStatus(load.responses())).as("replies by status")
                    .containsOnlyKeys(200);
        }
    }
}
