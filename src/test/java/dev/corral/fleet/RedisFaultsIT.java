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
 * What happens to one Redis, under a steady load of cold keys and with the default settings. Meanwhile no client gets an error;
 * when it is over, a cold key costs one fetch within seconds, without a restart.
 */
@Timeout(120)
@TestInstance(Lifecycle.PER_CLASS)
class RedisFaultsIT {

    /** Long enough for the fault to be known: a lost connection at once, silence after a second. */
    private static final Duration FAULT = Duration.ofSeconds(3);

    private final EmbeddedRedis redis = RedisServer.embedded();
    private final EmbeddedRedis other = RedisServer.embedded();
    private final DefaultFleet fleet = DefaultFleet.behindProxies("faults", redis);

    @BeforeAll
    void awaitRedis() {
        fleet.awaitStart();
    }

    /** Whatever a test has left: not the next one's concern. */
    @AfterEach
    void endTheFault() {
        fleet.proxies().forEach(FaultProxy::heal);
    }

    @AfterAll
    void stop() {
        fleet.close();
        redis.close();
        other.close();
    }

    @Test
    void itIsKilledAndComesBackEmpty() {
        survives("killed", redis::stop, redis::restart);
    }

    @Test
    void itHangsAndGoesOn() {
        survives("hung", redis::pause, redis::resume);
    }

    @Test
    void itClosesAllConnections() {
        survives("client-kill", () -> {
            redis.ask("CLIENT KILL TYPE normal");
            redis.ask("CLIENT KILL TYPE pubsub");
        }, () -> {});
    }

    @Test
    @Tag("faults")
    void itPausesItsClients() {
        survives("client-pause", () -> redis.ask("CLIENT PAUSE 3000 ALL"), () -> {});
    }

    /** Locks go with all else: a key whose fetch is under way costs at most one more. */
    @Test
    void itIsEmptied() {
        for (int flush = 0; flush < 5; flush++) {
            List<String> targets = DefaultFleet.keys("flush-" + flush, 10);
            Crowd crowd = fleet.ask(targets, DefaultFleet.SIZE);
            redis.ask("FLUSHALL");

            assertThat(DefaultFleet.statuses(crowd.all())).containsOnlyKeys(200);
            assertThat(fleet.fetches(targets).keySet()).as("fetches of a key").isSubsetOf(1L, 2L);
        }
        fleet.awaitOneFetchPerKey("flushed");
    }

    @Test
    void itIsMadeAReplicaOfAnotherAndAMasterAgain() {
        survives("demoted", () -> redis.ask("REPLICAOF 127.0.0.1 " + other.port()),
                () -> redis.ask("REPLICAOF NO ONE"));
    }

    @Test
    @Tag("faults")
    void itWantsReplicasThatItDoesNotHave() {
        survives("no-replicas", () -> redis.ask("CONFIG SET min-replicas-to-write 1"),
                () -> redis.ask("CONFIG SET min-replicas-to-write 0"));
    }

    @Test
    void itHasNoRoom() {
        survives("full", () -> redis.ask("CONFIG SET maxmemory 1"), () -> redis.ask("CONFIG SET maxmemory 0"));
    }

    @Test
    void itRefusesTheLogin() {
        survives("login", () -> {
            redis.ask("CONFIG SET requirepass another");
            // The last is for those that the first two have let in again.
            redis.ask("AUTH another", "CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal");
        }, () -> redis.ask("AUTH another", "CONFIG SET requirepass \"\""));
    }

    @Test
    @Tag("faults")
    void itClosesConnectionsWhoseBuffersAreFull() {
        survives("buffers", () -> redis.ask("CONFIG SET client-output-buffer-limit \"normal 1 0 0 pubsub 1 0 0\""),
                () -> redis.ask("CONFIG SET client-output-buffer-limit \"normal 0 0 0 pubsub 33554432 8388608 60\""));
    }

    @Test
    @Tag("faults")
    void nothingComesThrough() {
        survives("black-hole", () -> fleet.proxies().forEach(FaultProxy::blackHole),
                () -> fleet.proxies().forEach(FaultProxy::heal));
    }

    @Test
    void nothingComesThroughToOneReplica() {
        survives("black-hole-of-one", fleet.proxies().getFirst()::blackHole, fleet.proxies().getFirst()::heal);
    }

    /** No end is announced and nothing is refused: what was connected is silent for ever, and a new connection works. */
    @Test
    @Tag("faults")
    void itsConnectionsLeadNowhere() {
        survives("half-open", () -> fleet.proxies().forEach(FaultProxy::halfOpen), () -> {});
    }

    @Test
    @Tag("faults")
    void itsConnectionsAreCutAndNewOnesRefused() {
        survives("refused", () -> fleet.proxies().forEach(proxy -> {
            proxy.refuse();
            proxy.cut(true);
        }), () -> fleet.proxies().forEach(FaultProxy::heal));
    }

    /** The old server goes on; what is connected to it is cut. */
    @Test
    void anotherServerTakesItsPlace() {
        survives("moved", () -> moveTo(other), () -> {});
        survives("moved-back", () -> moveTo(redis), () -> {});
    }

    /**
     * A name moves while the old server lives on, and of a replica's clients only the one for locks follows it: for a while locks
     * are on one server and entries on the other.
     */
    @Test
    @Tag("faults")
    void onlyTheLocksMoveToAnotherServer() {
        survives("split", () -> {
            fleet.proxies().forEach(proxy -> proxy.retarget(other.port()));
            closeLockConnections(redis);
        }, () -> {});
        survives("split-back", () -> moveTo(redis), () -> {});
    }

    /** Redisson speaks RESP2, Lettuce RESP3; so does the connection that asks, which goes on. */
    private static void closeLockConnections(EmbeddedRedis server) {
        server.ask("CLIENT LIST")
                .lines()
                .filter(line -> line.contains(" resp=2") && !line.contains("cmd=client|list"))
                .map(line -> line.substring("id=".length(), line.indexOf(' ')))
                .forEach(id -> server.ask("CLIENT KILL ID " + id));
    }

    private void moveTo(EmbeddedRedis server) {
        fleet.proxies().forEach(proxy -> {
            proxy.retarget(server.port());
            proxy.cut(false);
        });
    }

    private void survives(String name, Runnable fault, Runnable end) {
        try (ColdLoad load = fleet.load(name, Duration.ofMillis(100))) {
            load.awaitKeys(5);
            fault.run();
            try {
                DefaultFleet.pass(FAULT);
            } finally {
                end.run();
            }
            fleet.awaitOneFetchPerKey(name + "-over");
            assertThat(DefaultFleet.statuses(load.replies())).as("replies by status").containsOnlyKeys(200);
        }
    }
}
