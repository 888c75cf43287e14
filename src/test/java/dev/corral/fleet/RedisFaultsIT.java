package dev.corral.fleet;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FaultProxy;
import dev.corral.dev.RedisServer;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Faults of one Redis under a steady load of cold keys and with the default settings. During a fault no client gets an error; afterwards a
 * cold key costs one fetch within seconds, without a restart.
 */
@Timeout(120)
@TestInstance(Lifecycle.PER_CLASS)
class RedisFaultsIT {

    /** Long enough to detect the fault: a lost connection at once, silence after a second. */
    private static final Duration FAULT_DURATION = Duration.ofSeconds(3);

    private final EmbeddedRedis redis = RedisServer.embedded();
    private final EmbeddedRedis otherRedis = RedisServer.embedded();
    private final DefaultSettingsFleet fleet = DefaultSettingsFleet.behindProxies("faults", redis);

    @BeforeAll
    void awaitRedis() {
        fleet.awaitStart();
    }

    /** Restores Redis after a test. */
    @AfterEach
    void endTheFault() {
        fleet.proxies().forEach(FaultProxy::heal);
    }

    @AfterAll
    void stop() {
        fleet.close();
        redis.close();
        otherRedis.close();
    }

    @Test
    void killedRedisCausesNoErrors() {
        assertSurvives("killed", redis::stop, redis::restart);
    }

    @Test
    void hangingRedisCausesNoErrors() {
        assertSurvives("hung", redis::pause, redis::resume);
    }

    @Test
    void closedRedisConnectionsCauseNoErrors() {
        assertSurvives("client-kill", () -> {
            redis.execute("CLIENT KILL TYPE normal");
            redis.execute("CLIENT KILL TYPE pubsub");
        }, () -> {});
    }

    @Test
    @Tag("faults")
    void clientPauseCausesNoErrors() {
        assertSurvives("client-pause", () -> redis.execute("CLIENT PAUSE 3000 ALL"), () -> {});
    }

    /** Locks are lost too: a key with a fetch in progress costs at most one more. */
    @Test
    void flushedRedisCostsAtMostOneExtraFetchPerKey() {
        for (int flush = 0; flush < 5; flush++) {
            List<String> targets = DefaultSettingsFleet.keys("flush-" + flush, 10);
            PendingResponses crowd = fleet.request(targets, DefaultSettingsFleet.SIZE);
            redis.execute("FLUSHALL");

            assertThat(DefaultSettingsFleet.clientsByStatus(crowd.awaitAll())).containsOnlyKeys(200);
            assertThat(fleet.keysByFetchCount(targets).keySet()).as("fetches of a key").isSubsetOf(1L, 2L);
        }
        fleet.awaitOneFetchPerKey("flushed");
    }

    @Test
    void demotedMasterCausesNoErrors() {
        assertSurvives("demoted", () -> redis.execute("REPLICAOF 127.0.0.1 " + otherRedis.port()),
                () -> redis.execute("REPLICAOF NO ONE"));
    }

    @Test
    @Tag("faults")
    void missingRedisReplicasCauseNoErrors() {
        assertSurvives("no-replicas", () -> redis.execute("CONFIG SET min-replicas-to-write 1"),
                () -> redis.execute("CONFIG SET min-replicas-to-write 0"));
    }

    @Test
    void fullRedisCausesNoErrors() {
        assertSurvives("full", () -> redis.execute("CONFIG SET maxmemory 1"),
                () -> redis.execute("CONFIG SET maxmemory 0"));
    }

    @Test
    void rejectedRedisLoginCausesNoErrors() {
        assertSurvives("login", () -> {
            redis.execute("CONFIG SET requirepass another");
            // The last command affects connections that were reopened after the first two.
            redis.execute("AUTH another", "CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal");
        }, () -> redis.execute("AUTH another", "CONFIG SET requirepass \"\""));
    }

    @Test
    @Tag("faults")
    void exceededOutputBufferLimitCausesNoErrors() {
        assertSurvives("buffers",
                () -> redis.execute("CONFIG SET client-output-buffer-limit \"normal 1 0 0 pubsub 1 0 0\""),
                () -> redis
                        .execute("CONFIG SET client-output-buffer-limit \"normal 0 0 0 pubsub 33554432 8388608 60\""));
    }

    @Test
    @Tag("faults")
    void blackHoledRedisCausesNoErrors() {
        assertSurvives("black-hole", () -> fleet.proxies().forEach(FaultProxy::blackHole),
                () -> fleet.proxies().forEach(FaultProxy::heal));
    }

    @Test
    void blackHoledReplicaCausesNoErrors() {
        assertSurvives("black-hole-of-one", fleet.proxies().getFirst()::blackHole, fleet.proxies().getFirst()::heal);
    }

    /** Existing connections become silent without being closed; new connections work. */
    @Test
    @Tag("faults")
    void halfOpenRedisConnectionsCauseNoErrors() {
        assertSurvives("half-open", () -> fleet.proxies().forEach(FaultProxy::halfOpen), () -> {});
    }

    @Test
    @Tag("faults")
    void refusedRedisConnectionsCauseNoErrors() {
        assertSurvives("refused", () -> fleet.proxies().forEach(proxy -> {
            proxy.refuse();
            proxy.cut(true);
        }), () -> fleet.proxies().forEach(FaultProxy::heal));
    }

    /** The old server keeps running; its connections are closed. */
    @Test
    void movedRedisCausesNoErrors() {
        assertSurvives("moved", () -> moveTo(otherRedis), () -> {});
        assertSurvives("moved-back", () -> moveTo(redis), () -> {});
    }

    /**
     * A DNS name changes while the old server keeps running, and of a replica's clients only the one for locks follows: for a while locks are
     * on one server and entries on the other.
     */
    @Test
    @Tag("faults")
    void locksOnAnotherServerCauseNoErrors() {
        assertSurvives("split", () -> {
            fleet.proxies().forEach(proxy -> proxy.retarget(otherRedis.port()));
            closeLockConnections(redis);
        }, () -> {});
        assertSurvives("split-back", () -> moveTo(redis), () -> {});
    }

    /** Redisson uses RESP2, Lettuce RESP3. The connection that sends the command uses RESP3 and stays open. */
    private static void closeLockConnections(EmbeddedRedis server) {
        server.execute("CLIENT LIST")
                .lines()
                .filter(line -> line.contains(" resp=2") && !line.contains("cmd=client|list"))
                .map(line -> line.substring("id=".length(), line.indexOf(' ')))
                .forEach(id -> server.execute("CLIENT KILL ID " + id));
    }

    private void moveTo(EmbeddedRedis server) {
        fleet.proxies().forEach(proxy -> {
            proxy.retarget(server.port());
            proxy.cut(false);
        });
    }

    private void assertSurvives(String name, Runnable fault, Runnable end) {
        try (ColdKeyLoad load = fleet.startColdLoad(name, Duration.ofMillis(100))) {
            load.awaitKeys(5);
            fault.run();
            try {
                DefaultSettingsFleet.holdFault(FAULT_DURATION);
            } finally {
                end.run();
            }
            fleet.awaitOneFetchPerKey(name + "-over");
            assertThat(DefaultSettingsFleet.clientsByStatus(load.responses())).as("replies by status")
                    .containsOnlyKeys(200);
        }
    }
}
