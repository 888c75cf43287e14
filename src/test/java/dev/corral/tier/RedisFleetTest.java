package dev.corral.tier;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.tier.RedisFleet.Claim;
import dev.corral.tier.RedisFleet.Member;
import dev.corral.tier.RedisFleet.Standing;
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
class RedisFleetTest {

    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final String STATUS = "{\"version\":\"1\",\"position\":42,\"top\":[\"x\\\"position\\\":7\"]}";

    private final EmbeddedRedis redis = RedisServer.embedded();
    private final Replica replica = Replica.start("a", redis.settings());

    @AfterEach
    void close() {
        replica.close();
        redis.close();
    }

    private RedisFleet process(String id) {
        return new RedisFleet(replica.connections, replica.gate, id);
    }

    private static Optional<String> beat(RedisFleet process) {
        return process.beat(STATUS).blockOptional(BOUND).orElseThrow();
    }

    private List<String> ids() {
        return process("reader").members().blockOptional(BOUND).orElseThrow().stream().map(Member::id).toList();
    }

    private long counted(String section, String field) {
        Matcher counted = Pattern.compile("(?m)^" + field + "(\\d+)").matcher(redis.ask("INFO " + section));
        return counted.find() ? Long.parseLong(counted.group(1)) : 0;
    }

    /** Bytes that Redis sends for a beat; the other replica's purges are not looked at meanwhile. */
    private long sentFor(int beats, RedisFleet process) {
        long before = counted("stats", "total_net_output_bytes:");
        for (int i = 0; i < beats; i++) {
            beat(process);
        }
        return (counted("stats", "total_net_output_bytes:") - before) / beats;
    }

    @Test
    void aMemberIsWhatItReported() {
        beat(process("b"));
        beat(process("a"));

        List<Member> members = process("reader").members().blockOptional(BOUND).orElseThrow();
        List<Standing> standings = process("reader").standings().blockOptional(BOUND).orElseThrow();

        assertThat(members).extracting(Member::id).containsExactly("a", "b");
        assertThat(members).allSatisfy(member -> {
            assertThat(member.live()).isTrue();
            assertThat(member.status()).isEqualTo(STATUS);
        });
        // The text in "top" is not the position.
        assertThat(standings).extracting(Standing::position).containsExactly(42L, 42L);
        assertThat(standings).extracting(Standing::id).containsExactly("a", "b");
        assertThat(standings).allMatch(Standing::live);
    }

    @Test
    void aBeatCostsTheSameInALargeFleet() {
        replica.purges.close();
        RedisFleet one = process("one");
        beat(one);
        long alone = sentFor(50, one);
        long commands = counted("commandstats", "cmdstat_hset:calls=");

        for (int i = 0; i < 300; i++) {
            beat(process("r" + i));
        }
        redis.ask("CONFIG RESETSTAT");
        long among = sentFor(50, one);

        // A reply is a few bytes; INFO itself is in the measure.
        assertThat(among).isLessThan(alone + 200);
        assertThat(commands).isPositive();
        assertThat(counted("commandstats", "cmdstat_hgetall:calls=")).isZero();
        assertThat(counted("commandstats", "cmdstat_hset:calls=")).isEqualTo(100);
    }

    @Test
    void theGoneAreRemovedByTheBeatsOfTheOthers() {
        for (int i = 0; i < 5; i++) {
            redis.ask("HSET corral:{fleet} gone" + i + " \"1 {}\"",
                    "HSET corral:{fleet}:processes gone" + i + " \"1 x\"",
                    "ZADD corral:{fleet}:seen 1 gone" + i);
        }

        RedisFleet live = process("live");
        for (int i = 0; i < 3; i++) {
            beat(live);
        }

        assertThat(redis.ask("HKEYS corral:{fleet}")).isEqualTo("live");
        assertThat(redis.ask("HKEYS corral:{fleet}:processes")).isEqualTo("live");
        assertThat(redis.ask("ZCARD corral:{fleet}:seen")).isEqualTo("1");
    }

    /** What Redis evicts must not be what a purge waits for. */
    @Test
    void theRecordHasNoTimeToLive() {
        beat(process("a"));

        for (String key : List.of("corral:{fleet}", "corral:{fleet}:seen", "corral:{fleet}:processes")) {
            assertThat(redis.ask("TTL " + key)).as(key).isEqualTo("-1");
        }
    }

    /** An older version writes its status alone, and reads and removes by the time in it. */
    @Test
    void aReplicaOfAnOlderVersionIsSeenAndSeesThisOne() {
        String now = redis.ask("TIME").lines().findFirst().orElseThrow() + "000";
        redis.ask("HSET corral:{fleet} old \"" + now + " {}\"");
        beat(process("new"));

        assertThat(ids()).containsExactly("new", "old");
        assertThat(redis.ask("HGET corral:{fleet} new")).matches("\\d{13} " + Pattern.quote(STATUS));
    }

    @Test
    void oneThatLeavesIsGoneAtOnce() {
        RedisFleet a = process("a");
        beat(a);
        beat(process("b"));

        a.leave().block(BOUND);

        assertThat(ids()).containsExactly("b");
        assertThat(redis.ask("HKEYS corral:{fleet}:processes")).isEqualTo("b");
    }

    @Test
    void anIdThatIsFreeIsGrantedAndGrantedAgainToItsProcess() {
        RedisFleet process = process("a");

        assertThat(process.claim().block(BOUND)).isInstanceOf(Claim.Granted.class);
        assertThat(process.claim().block(BOUND)).isInstanceOf(Claim.Granted.class);
        assertThat(beat(process)).isEmpty();
    }

    @Test
    void anIdOfALiveProcessIsNotGranted() {
        RedisFleet first = process("a");
        RedisFleet second = process("a");
        first.claim().block(BOUND);

        var taken = (Claim.Taken) second.claim().blockOptional(BOUND).orElseThrow();
        // The record has milliseconds: the next beat may fall into the same one.
        Awaitility.await().atMost(BOUND).until(() -> {
            beat(first);
            return ((Claim.Taken) second.claim().blockOptional(BOUND).orElseThrow()).seen().isAfter(taken.seen());
        });

        assertThat(taken.incarnation()).isEqualTo(first.incarnation()).isNotEqualTo(second.incarnation());
        assertThat(taken.left()).isPositive().isLessThanOrEqualTo(RedisFleet.LIVES);
    }

    @Test
    void anIdOfADeadProcessIsGrantedOnceItNoLongerCountsAsLive() {
        process("a").claim().block(BOUND);
        RedisFleet second = process("a");
        assertThat(second.claim().block(BOUND)).isInstanceOf(Claim.Taken.class);

        Awaitility.await()
                .atMost(BOUND)
                .until(() -> second.claim().block(BOUND) instanceof Claim.Granted);
        assertThat(beat(second)).isEmpty();
    }

    @Test
    void twoProcessesOfOneIdNoticeEachOtherAndHideNothing() {
        RedisFleet first = process("a");
        RedisFleet second = process("a");
        beat(first);

        assertThat(beat(second)).contains(first.incarnation());
        assertThat(beat(first)).contains(second.incarnation());
        assertThat(ids()).containsExactly("a", "a/" + second.incarnation());

        second.leave().block(BOUND);
        assertThat(beat(first)).isEmpty();
        assertThat(ids()).containsExactly("a");
    }

    @Test
    void theHistoryHasWhatEachReplicaWroteForAStep() {
        RedisFleet a = process("a");
        RedisFleet b = process("b");
        Instant now = Instant.ofEpochSecond(1_800_000_000);
        Instant before = now.minusSeconds(20);
        assertThat(a.wantsPoint(before)).isTrue();
        a.beat(STATUS, "{\"hits\":1}", before).block(BOUND);
        assertThat(a.wantsPoint(before.plusSeconds(9))).isFalse();
        assertThat(a.wantsPoint(now)).isTrue();
        a.beat(STATUS, "{\"hits\":2}", now.minusSeconds(10)).block(BOUND);
        b.beat(STATUS, "{\"hits\":3}", now.minusSeconds(10)).block(BOUND);
        // Outside the last five minutes, and in the step of which some may not have written yet.
        a.beat(STATUS, "{\"hits\":0}", now.minusSeconds(320)).block(BOUND);
        a.beat(STATUS, "{\"hits\":4}", now).block(BOUND);

        List<RedisFleet.Past> history = a.history(now.plusSeconds(1)).blockOptional(BOUND).orElseThrow();

        assertThat(history).extracting(RedisFleet.Past::time).containsExactly(before, now.minusSeconds(10));
        assertThat(history.getLast().members()).extracting(Member::id).containsExactly("a", "b");
        assertThat(history.getFirst().members()).extracting(Member::status).containsExactly("{\"hits\":1}");
        assertThat(Long.parseLong(redis.ask("TTL corral:{fleet}:history:180000000"))).isBetween(250L, 310L);
    }
}
