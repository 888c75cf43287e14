package dev.corral.redis.fleet;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.redis.RedisTierFixture;
import dev.corral.redis.fleet.ReplicaRegistry.ClaimResult;
import dev.corral.redis.fleet.ReplicaRegistry.ReplicaPurgePosition;
import dev.corral.redis.fleet.ReplicaRegistry.ReplicaRecord;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** The fleet's record in a real Redis; all processes over the connections of one. */
class ReplicaRegistryTest {

    private static final Duration TIMEOUT = Duration.ofSeconds(20);
    private static final String STATUS = "{\"version\":\"1\",\"position\":42,\"top\":[\"x\\\"position\\\":7\"]}";

    private final EmbeddedRedis redis = RedisServer.embedded();
    private final RedisTierFixture replica = RedisTierFixture.start("a", redis.settings());

    @AfterEach
    void close() {
        replica.close();
        redis.close();
    }

    private ReplicaRegistry registryOf(String id) {
        return new ReplicaRegistry(replica.connections, replica.circuitBreaker, id);
    }

    private static Optional<String> heartbeat(ReplicaRegistry process) {
        return process.heartbeat(STATUS).blockOptional(TIMEOUT).orElseThrow();
    }

    private List<String> memberIds() {
        return registryOf("reader").replicas()
                .blockOptional(TIMEOUT)
                .orElseThrow()
                .stream()
                .map(ReplicaRecord::id)
                .toList();
    }

    private long infoValue(String section, String field) {
        Matcher counted = Pattern.compile("(?m)^" + field + "(\\d+)").matcher(redis.execute("INFO " + section));
        return counted.find() ? Long.parseLong(counted.group(1)) : 0;
    }

    /** Bytes that Redis sends for a beat; the other replica's purges are not looked at meanwhile. */
    private long bytesPerHeartbeat(int beats, ReplicaRegistry process) {
        long before = infoValue("stats", "total_net_output_bytes:");
        for (int i = 0; i < beats; i++) {
            heartbeat(process);
        }
        return (infoValue("stats", "total_net_output_bytes:") - before) / beats;
    }

    @Test
    void memberHasTheStatusItReported() {
        heartbeat(registryOf("b"));
        heartbeat(registryOf("a"));

        List<ReplicaRecord> members = registryOf("reader").replicas().blockOptional(TIMEOUT).orElseThrow();
        List<ReplicaPurgePosition> standings = registryOf("reader").replicaPositions()
                .blockOptional(TIMEOUT)
                .orElseThrow();

        assertThat(members).extracting(ReplicaRecord::id).containsExactly("a", "b");
        assertThat(members).allSatisfy(member -> {
            assertThat(member.isLive()).isTrue();
            assertThat(member.statusJson()).isEqualTo(STATUS);
        });
        // The text in "top" is not the position.
        assertThat(standings).extracting(ReplicaPurgePosition::purgePosition).containsExactly(42L, 42L);
        assertThat(standings).extracting(ReplicaPurgePosition::id).containsExactly("a", "b");
        assertThat(standings).allMatch(ReplicaPurgePosition::isLive);
    }

    @Test
    void heartbeatCostIsIndependentOfTheFleetSize() {
        replica.purges.close();
        ReplicaRegistry one = registryOf("one");
        heartbeat(one);
        long alone = bytesPerHeartbeat(50, one);
        long commands = infoValue("commandstats", "cmdstat_hset:calls=");

        for (int i = 0; i < 300; i++) {
            heartbeat(registryOf("r" + i));
        }
        redis.execute("CONFIG RESETSTAT");
        long among = bytesPerHeartbeat(50, one);

        // A reply is a few bytes; INFO itself is in the measure.
        assertThat(among).isLessThan(alone + 200);
        assertThat(commands).isPositive();
        assertThat(infoValue("commandstats", "cmdstat_hgetall:calls=")).isZero();
        assertThat(infoValue("commandstats", "cmdstat_hset:calls=")).isEqualTo(100);
    }

    @Test
    void deadMembersAreRemovedByHeartbeatsOfOthers() {
        for (int i = 0; i < 5; i++) {
            redis.execute("HSET corral:{fleet} gone" + i + " \"1 {}\"",
                    "HSET corral:{fleet}:processes gone" + i + " \"1 x\"",
                    "ZADD corral:{fleet}:seen 1 gone" + i);
        }

        ReplicaRegistry live = registryOf("live");
        for (int i = 0; i < 3; i++) {
            heartbeat(live);
        }

        assertThat(redis.execute("HKEYS corral:{fleet}")).isEqualTo("live");
        assertThat(redis.execute("HKEYS corral:{fleet}:processes")).isEqualTo("live");
        assertThat(redis.execute("ZCARD corral:{fleet}:seen")).isEqualTo("1");
    }

    /** What Redis evicts must not be what a purge waits for. */
    @Test
    void fleetRecordHasNoTtl() {
        heartbeat(registryOf("a"));

        for (String key : List.of("corral:{fleet}", "corral:{fleet}:seen", "corral:{fleet}:processes")) {
            assertThat(redis.execute("TTL " + key)).as(key).isEqualTo("-1");
        }
    }

    /** An older version writes its status alone, and reads and removes by the time in it. */
    @Test
    void olderReplicaVersionIsListedAndSeesThisOne() {
        String now = redis.execute("TIME").lines().findFirst().orElseThrow() + "000";
        redis.execute("HSET corral:{fleet} old \"" + now + " {}\"");
        heartbeat(registryOf("new"));

        assertThat(memberIds()).containsExactly("new", "old");
        assertThat(redis.execute("HGET corral:{fleet} new")).matches("\\d{13} " + Pattern.quote(STATUS));
    }

    @Test
    void deregisteredReplicaIsGoneAtOnce() {
        ReplicaRegistry a = registryOf("a");
        heartbeat(a);
        heartbeat(registryOf("b"));

        a.deregister().block(TIMEOUT);

        assertThat(memberIds()).containsExactly("b");
        assertThat(redis.execute("HKEYS corral:{fleet}:processes")).isEqualTo("b");
    }

    @Test
    void freeIdIsGrantedRepeatedlyToItsProcess() {
        ReplicaRegistry process = registryOf("a");

        assertThat(process.claimReplicaId().block(TIMEOUT)).isInstanceOf(ClaimResult.Granted.class);
        assertThat(process.claimReplicaId().block(TIMEOUT)).isInstanceOf(ClaimResult.Granted.class);
        assertThat(heartbeat(process)).isEmpty();
    }

    @Test
    void idOfALiveProcessIsNotGranted() {
        ReplicaRegistry first = registryOf("a");
        ReplicaRegistry second = registryOf("a");
        first.claimReplicaId().block(TIMEOUT);

        var taken = (ClaimResult.Taken) second.claimReplicaId().blockOptional(TIMEOUT).orElseThrow();
        // The record has milliseconds: the next beat may fall into the same one.
        Awaitility.await().atMost(TIMEOUT).until(() -> {
            heartbeat(first);
            return ((ClaimResult.Taken) second.claimReplicaId().blockOptional(TIMEOUT).orElseThrow()).lastHeartbeat()
                    .isAfter(taken.lastHeartbeat());
        });

        assertThat(taken.incarnation()).isEqualTo(first.incarnation()).isNotEqualTo(second.incarnation());
        assertThat(taken.remainingLiveness()).isPositive().isLessThanOrEqualTo(ReplicaRegistry.LIVENESS_TIMEOUT);
    }

    @Test
    void idOfADeadProcessIsGrantedAfterTheLivenessTimeout() {
        registryOf("a").claimReplicaId().block(TIMEOUT);
        ReplicaRegistry second = registryOf("a");
        assertThat(second.claimReplicaId().block(TIMEOUT)).isInstanceOf(ClaimResult.Taken.class);

        Awaitility.await()
                .atMost(TIMEOUT)
                .until(() -> second.claimReplicaId().block(TIMEOUT) instanceof ClaimResult.Granted);
        assertThat(heartbeat(second)).isEmpty();
    }

    @Test
    void processesWithTheSameIdAreDetectedAndBothListed() {
        ReplicaRegistry first = registryOf("a");
        ReplicaRegistry second = registryOf("a");
        heartbeat(first);

        assertThat(heartbeat(second)).contains(first.incarnation());
        assertThat(heartbeat(first)).contains(second.incarnation());
        assertThat(memberIds()).containsExactly("a", "a/" + second.incarnation());

        second.deregister().block(TIMEOUT);
        assertThat(heartbeat(first)).isEmpty();
        assertThat(memberIds()).containsExactly("a");
    }

    @Test
    void historyHasTheStatusOfEachReplicaPerStep() {
        ReplicaRegistry a = registryOf("a");
        ReplicaRegistry b = registryOf("b");
        Instant now = Instant.ofEpochSecond(1_800_000_000);
        Instant before = now.minusSeconds(20);
        assertThat(a.isHistoryPointDue(before)).isTrue();
        a.heartbeat(STATUS, "{\"hits\":1}", before).block(TIMEOUT);
        assertThat(a.isHistoryPointDue(before.plusSeconds(9))).isFalse();
        assertThat(a.isHistoryPointDue(now)).isTrue();
        a.heartbeat(STATUS, "{\"hits\":2}", now.minusSeconds(10)).block(TIMEOUT);
        b.heartbeat(STATUS, "{\"hits\":3}", now.minusSeconds(10)).block(TIMEOUT);
        // Outside the last five minutes, and in the step of which some may not have written yet.
        a.heartbeat(STATUS, "{\"hits\":0}", now.minusSeconds(320)).block(TIMEOUT);
        a.heartbeat(STATUS, "{\"hits\":4}", now).block(TIMEOUT);

        List<ReplicaRegistry.HistoryPoint> history = a.history(now.plusSeconds(1)).blockOptional(TIMEOUT).orElseThrow();

        assertThat(history).extracting(ReplicaRegistry.HistoryPoint::time)
                .containsExactly(before, now.minusSeconds(10));
        assertThat(history.getLast().replicas()).extracting(ReplicaRecord::id).containsExactly("a", "b");
        assertThat(history.getFirst().replicas()).extracting(ReplicaRecord::statusJson).containsExactly("{\"hits\":1}");
        assertThat(Long.parseLong(redis.execute("TTL corral:{fleet}:history:180000000"))).isBetween(250L, 310L);
    }
}
