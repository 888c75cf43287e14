package dev.corral.redis.purge;

import dev.corral.coalesce.SharedTier.FillSubscription;
import dev.corral.coalesce.TierKey;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.purge.PurgeRegistry;
import dev.corral.purge.PurgedName;
import dev.corral.redis.RedisKeys;
import dev.corral.redis.RedisTierFixture;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.test.scheduler.VirtualTimeScheduler;
import reactor.util.retry.Retry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** Two replicas' mirrors of one log. */
class RedisPurgeRegistryTest {

    /** Of what hangs; how long a busy machine takes is nothing that these tests are about. */
    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    private static final Duration SYNC_INTERVAL = Duration.ofMillis(500);

    private final List<AutoCloseable> opened = new ArrayList<>();
    /** Moves only when told: between two looks there are only messages. */
    private final VirtualTimeScheduler syncClock = VirtualTimeScheduler.create();

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable one : opened.reversed()) {
            one.close();
        }
    }

    @Test
    void positionsGrowAndReachOtherReplicasByMessage() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);
        long start = there.latestPosition();

        long first = purge(here, "hats");
        long second = purge(there, "shoes");

        assertThat(first).isGreaterThan(start);
        assertThat(second).isGreaterThan(first);
        Awaitility.await().until(() -> here.latestPosition() == second && there.latestPosition() == second);
        assertThat(isPurged(here, "shoes", first)).isTrue();
        assertThat(isPurged(there, "hats", start)).isTrue();
        assertThat(isPurged(there, "hats", first)).isFalse();
        assertThat(isPurged(there, "socks", start)).isFalse();
    }

    @Test
    void purgingReplicaAppliesItsPurgeAtOnce() {
        RedisPurgeRegistry here = replica("a", redis());

        long position = purge(here, "hats");

        assertThat(isPurged(here, "hats", position - 1)).isTrue();
        assertThat(here.latestPosition()).isEqualTo(position);
    }

    @Test
    void replicasWithoutMessagesAgreeAtTheNextSync() {
        EmbeddedRedis redis = redis("--rename-command", "PUBLISH", "unpublished");
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);

        long position = purge(here, "hats");
        assertThat(there.latestPosition()).isLessThan(position);
        syncClock.advanceTimeBy(SYNC_INTERVAL);

        Awaitility.await().until(() -> there.latestPosition() == position);
        assertThat(isPurged(there, "hats", position - 1)).isTrue();
    }

    @Test
    void messageAfterAGapTriggersASync() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);
        long unheard = there.latestPosition() + 1;
        inTransaction(redis, "XADD corral:{purge}:log " + unheard + "-0 h hats", "SET corral:{purge}:seq " + unheard);

        purge(here, "shoes");

        Awaitility.await().until(() -> isPurged(there, "hats", unheard - 1));
        Awaitility.await().until(() -> isPurged(here, "hats", unheard - 1));
    }

    @Test
    void messageWithoutNamesTriggersASync() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);
        List<String> many = IntStream.range(0, PurgeRegistry.Purge.MAX_NAMES).mapToObj(i -> "product " + i).toList();

        long position = here.purge(many).blockOptional(TIMEOUT).orElseThrow().position();

        Awaitility.await().until(() -> isPurged(there, "product 999", position - 1));
        assertThat(there.mirroredNameCount()).isEqualTo(PurgeRegistry.Purge.MAX_NAMES);
    }

    @Test
    void malformedMessagesAreIgnored() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry there = replica("b", redis);

        redis.execute("PUBLISH corral:purges nonsense", "PUBLISH corral:purges \"\"", "PUBLISH corral:purges \"1\\n\"",
                "PUBLISH corral:inbox:b \"\"", "PUBLISH corral:inbox:b X");
        long position = purge(there, "hats");

        assertThat(isPurged(there, "hats", position - 1)).isTrue();
        assertThat(redis.execute("PUBSUB NUMSUB corral:purges")).endsWith("1");
    }

    @Test
    void newReplicaReadsAllPurgesAtItsFirstSync() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long start = here.latestPosition();
        // More than a page of the log.
        Flux.range(0, 2_500).flatMap(i -> here.purge(List.of("product " + i)), 64).blockLast(TIMEOUT);

        RedisPurgeRegistry late = replica("late", redis);

        assertThat(late.latestPosition()).isEqualTo(here.latestPosition());
        assertThat(late.mirroredNameCount()).isEqualTo(2_500);
        assertThat(isPurged(late, "product 0", start)).isTrue();
        assertThat(isPurged(late, "product 2499", start)).isTrue();
        assertThat(isPurged(late, "never", start)).isFalse();
        assertThat(isPurged(late, "never", start - 1)).isTrue();
    }

    @Test
    void repeatedlyPurgedNameIsOnceInTheLogAndEachMirror() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);
        long start = here.latestPosition();

        Flux.range(0, 2_000)
                .flatMap(i -> (i % 2 == 0 ? here : there).purge(List.of("hats", "shoes")), 64)
                .blockLast(TIMEOUT);
        long last = purge(here, "hats");

        // The one that stands for all before it, the last purge of both, and the last one of hats.
        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("3");
        assertThat(redis.execute("HLEN corral:{purge}:names")).isEqualTo("3");
        Awaitility.await().until(() -> there.syncedPosition() == last);
        RedisPurgeRegistry late = replica("late", redis);
        for (RedisPurgeRegistry each : List.of(here, there, late)) {
            assertThat(each.mirroredNameCount()).isEqualTo(2);
            assertThat(isPurged(each, "hats", last - 1)).isTrue();
            assertThat(isPurged(each, "shoes", start)).isTrue();
            assertThat(isPurged(each, "shoes", last - 1)).isFalse();
            assertThat(isPurged(each, "never", start)).isFalse();
        }
    }

    @Test
    void logElementStaysUntilAllItsNamesAreSuperseded() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long both = here.purge(List.of("hats", "shoes")).blockOptional(TIMEOUT).orElseThrow().position();
        purge(here, "hats");
        long softened = softPurge(here, "shoes");
        long again = softPurge(here, "shoes");

        RedisPurgeRegistry late = replica("late", redis);

        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("4");
        assertThat(late.verdict(List.of("shoes"), both - 1)).isEqualTo(new PurgeRegistry.PurgeVerdict.Removed());
        assertThat(late.verdict(List.of("shoes"), softened)).isEqualTo(new PurgeRegistry.PurgeVerdict.Stale(again));
        long hard = purge(here, "shoes");
        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("3");
        read(late);
        assertThat(late.verdict(List.of("shoes"), hard - 1)).isEqualTo(new PurgeRegistry.PurgeVerdict.Removed());
    }

    @Test
    void purgeOfEverythingReplacesTheLog() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        purge(here, "hats");
        purge(here, "shoes");

        long all = purge(here, PurgeRegistry.ALL_ENTRIES_NAME);

        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("1");
        assertThat(redis.execute("EXISTS corral:{purge}:names")).isEqualTo("0");
        assertThat(isPurged(replica("late", redis), "never", all - 1)).isTrue();
        assertThat(isPurged(here, "never", all)).isFalse();
    }

    @Test
    void firstLogElementIsNotDeleted() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long first = purge(here, "hats");
        redis.execute("XTRIM corral:{purge}:log MINID " + first);
        long second = purge(here, "shoes");

        purge(here, "hats");

        RedisPurgeRegistry late = replica("late", redis);
        assertThat(isPurged(late, "never", first)).isFalse();
        assertThat(isPurged(late, "hats", second)).isTrue();
    }

    /** What is superseded while a replica does not read is no loss, and what it has missed is not overlooked. */
    @Test
    void supersededPurgesAreNotTakenForALoss() {
        EmbeddedRedis redis = redis("--rename-command", "PUBLISH", "unpublished");
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);
        purge(here, "hats");
        long known = purge(here, "shoes");
        read(there);
        assertThat(there.syncedPosition()).isEqualTo(known);

        purge(here, "hats");
        purge(here, "socks");
        purge(here, "shoes");
        long last = purge(here, "hats");
        read(there);

        for (String name : List.of("hats", "shoes", "socks")) {
            assertThat(isPurged(there, name, known)).as(name).isTrue();
        }
        assertThat(there.syncedPosition()).isEqualTo(last);
        assertThat(redis.execute("GET corral:{purge}:seq")).isEqualTo(Long.toString(last));
    }

    /** A failover takes back the later purge of a name, and with it the deletion of the earlier one. */
    @Test
    void repeatedPurgeLostInAFailoverIsRewritten() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long start = here.latestPosition();
        long kept = purge(here, "hats");
        long lost = purge(here, "hats");
        inTransaction(redis, "DEL corral:{purge}:log corral:{purge}:names",
                "XADD corral:{purge}:log " + start + "-0 h *",
                "XADD corral:{purge}:log " + kept + "-0 h hats", "HSET corral:{purge}:names hats \"" + kept + " 0\"",
                "SET corral:{purge}:seq " + kept);

        read(here);

        RedisPurgeRegistry later = replica("later", redis);
        assertThat(isPurged(later, "hats", lost - 1)).isTrue();
        assertThat(isPurged(later, "never", start)).isFalse();
        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("2");
    }

    @Test
    void oldestPurgesBeyondTheLogLimitPurgeEverythingBefore() {
        EmbeddedRedis redis = redis();
        RedisTierFixture replica = start("a", redis);
        long start = replica.purges.latestPosition();
        var positions = new ArrayList<Long>();
        for (int i = 0; i < 20; i++) {
            var purge = new PurgeStream.PurgeStreamEntry(0, PurgedName.of(List.of("product " + i), false), List.of(),
                    "");
            positions.add(PurgeStream
                    .append(replica.connections.controlCommands(), new RedisKeys(RedisKeys.DEFAULT_PREFIX, 0), purge,
                            "", start,
                            Duration.ofHours(25), 5)
                    .map(PurgeStream.AssignedPosition::position)
                    .blockOptional(TIMEOUT)
                    .orElseThrow());
        }

        RedisPurgeRegistry late = replica("late", redis);

        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("5");
        assertThat(redis.execute("HLEN corral:{purge}:names")).isEqualTo("5");
        assertThat(isPurged(late, "never", positions.get(15))).isFalse();
        assertThat(isPurged(late, "never", positions.get(14))).isTrue();
        assertThat(isPurged(late, "product 19", positions.get(18))).isTrue();
    }

    @Test
    void messageAloneChangesNothing() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long before = here.latestPosition();
        long told = before + 1_000_000_000;

        redis.execute(
                "EVAL \"redis.call('PUBLISH', 'corral:purges', '" + told + "\\\\n" + before + "\\\\n\\\\nh*')\" 0");
        // Its own message comes after that one.
        long position = purge(here, "hats");

        read(here);
        assertThat(here.latestPosition()).isEqualTo(position).isLessThan(told);
        assertThat(isPurged(here, "never", before)).isFalse();
    }

    @Test
    void burstOfMessagesCausesFewReads() {
        EmbeddedRedis redis = redis();
        RedisTierFixture replica = start("a", redis);
        TierKey last = TierKey.of("last");
        String ring = "L" + new RedisKeys(RedisKeys.DEFAULT_PREFIX, 0).entryKeys(last).entry();
        long reads = readCount(redis);

        try (FillSubscription heard = replica.tier.subscribe(last)) {
            // No read ends before all have been heard: how many there are is not for the speed of the machine to say.
            redis.execute("MULTI",
                    "EVAL \"for i = 1, 5000 do redis.call('PUBLISH', 'corral:purges', '99999999999999999\\\\n1\\\\n') end "
                            + "redis.call('PUBLISH', 'corral:inbox:a', '" + ring + "')\" 0",
                    "CLIENT PAUSE 600000 WRITE", "EXEC");
            heard.notification().block(TIMEOUT);
            redis.execute("CLIENT UNPAUSE");
        }

        read(replica.purges);
        // The one in progress, the one queued, the one asked for here, and those that were given up after two seconds.
        assertThat(readCount(redis) - reads).isLessThan(20);
    }

    private static long readCount(EmbeddedRedis redis) {
        return redis.execute("INFO commandstats")
                .lines()
                .filter(line -> line.startsWith("cmdstat_evalsha:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("[^:]*:calls=(\\d+).*", "$1")))
                .sum();
    }

    @Test
    void syncReadsTheLogToItsEnd() {
        EmbeddedRedis redis = redis("--rename-command", "PUBLISH", "unpublished");
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);
        long position = purge(here, "hats");
        assertThat(there.syncedPosition()).isLessThan(position);

        read(there);

        assertThat(there.syncedPosition()).isEqualTo(position);
        assertThat(isPurged(there, "hats", position - 1)).isTrue();
    }

    @Test
    void syncAfterALossPurgesEverythingOlder() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long before = purge(here, "hats");
        redis.execute("FLUSHALL");

        read(here);

        assertThat(here.syncedPosition()).isGreaterThan(before);
        assertThat(isPurged(here, "socks", before)).isTrue();
    }

    @Test
    void purgeOfEverythingReachesAllReplicas() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);

        long position = purge(here, PurgeRegistry.ALL_ENTRIES_NAME);

        Awaitility.await().until(() -> there.latestPosition() == position);
        assertThat(isPurged(there, "anything", position - 1)).isTrue();
        assertThat(isPurged(there, "anything", position)).isFalse();
    }

    @Test
    void lossOfTheStatePurgesEverythingOlder() {
        for (String loss : List.of("FLUSHALL", "DEL corral:{purge}:log", "DEL corral:{purge}:seq",
                "SET corral:{purge}:seq 1")) {
            EmbeddedRedis redis = redis();
            RedisPurgeRegistry here = replica("a", redis);
            RedisPurgeRegistry there = replica("b", redis);
            long before = purge(here, "hats");
            redis.execute(loss);

            syncClock.advanceTimeBy(SYNC_INTERVAL);

            Awaitility.await()
                    .until(() -> here.latestPosition() > before && there.latestPosition() == here.latestPosition());
            assertThat(isPurged(here, "socks", before)).as(loss).isTrue();
            assertThat(isPurged(there, "socks", before)).as(loss).isTrue();
            assertThat(redis.execute("GET corral:{purge}:seq")).isEqualTo(Long.toString(here.latestPosition()));
            assertThat(isPurged(there, "socks", there.latestPosition())).isFalse();
        }
    }

    @Test
    void purgeAfterALossHasAHigherPosition() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long before = purge(here, "hats");
        redis.execute("FLUSHALL");

        long after = purge(here, "shoes");

        assertThat(after).isGreaterThan(before);
        syncClock.advanceTimeBy(SYNC_INTERVAL);
        Awaitility.await().until(() -> isPurged(here, "socks", before));
    }

    @Test
    void purgeLostInAFailoverIsRewritten() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);
        long kept = purge(here, "kept");
        Awaitility.await().until(() -> there.latestPosition() == kept);
        there.close();
        long lost = purge(here, "lost");
        inTransaction(redis, "XDEL corral:{purge}:log " + lost + "-0", "SET corral:{purge}:seq " + kept);

        syncClock.advanceTimeBy(SYNC_INTERVAL);
        Awaitility.await().until(() -> Long.parseLong(redis.execute("GET corral:{purge}:seq")) > lost);
        RedisPurgeRegistry later = replica("later", redis);

        assertThat(isPurged(later, "lost", lost)).isTrue();
        assertThat(isPurged(later, "kept", kept)).isFalse();
        assertThat(isPurged(later, "never", kept)).isFalse();
    }

    @Test
    void purgeLostInAFailoverIsRewrittenAfterNewerPurges() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        long kept = purge(here, "kept");
        long lost = purge(here, "lost");
        long next = lost + 1_000_000;
        inTransaction(redis, "XDEL corral:{purge}:log " + lost + "-0", "XADD corral:{purge}:log " + next + "-0 h next",
                "SET corral:{purge}:seq " + next);

        syncClock.advanceTimeBy(SYNC_INTERVAL);
        Awaitility.await().until(() -> isPurged(here, "next", kept));
        Awaitility.await().until(() -> Long.parseLong(redis.execute("GET corral:{purge}:seq")) > next);
        RedisPurgeRegistry later = replica("later", redis);

        assertThat(isPurged(later, "lost", lost)).isTrue();
        assertThat(isPurged(later, "next", next - 1)).isTrue();
    }

    @Test
    void messageDuringASyncIsNotTakenForALoss() {
        EmbeddedRedis redis = redis();
        RedisPurgeRegistry here = replica("a", redis);
        RedisPurgeRegistry there = replica("b", redis);

        for (int i = 0; i < 300; i++) {
            syncClock.advanceTimeBy(SYNC_INTERVAL);
            purge(i % 2 == 0 ? here : there, "product " + i);
        }

        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("301");
    }

    @Test
    void logIsTrimmedAndItsFirstElementCoversTheRest() {
        EmbeddedRedis redis = redis();
        long now = Long.parseLong(redis.execute("TIME").lines().findFirst().orElseThrow()) * 1_000_000;
        long day = Duration.ofHours(24).toNanos() / 1_000;
        redis.execute("XADD corral:{purge}:log " + (now - 4 * day) + "-0 h *",
                "XADD corral:{purge}:log " + (now - 3 * day) + "-0 h ancient",
                "XADD corral:{purge}:log " + (now - 2 * day) + "-0 h old",
                "XADD corral:{purge}:log " + (now - day / 2) + "-0 h recent",
                "SET corral:{purge}:seq " + (now - day / 2));
        RedisPurgeRegistry here = replica("a", redis);

        purge(here, "hats");

        assertThat(redis.execute("XLEN corral:{purge}:log")).isEqualTo("3");
        RedisPurgeRegistry later = replica("later", redis);
        assertThat(isPurged(later, "never", now - 2 * day)).isFalse();
        assertThat(isPurged(later, "never", now - 2 * day - 1)).isTrue();
        assertThat(isPurged(later, "recent", now - 2 * day)).isTrue();
    }

    @Test
    void registryIsCurrentForASecondAfterASync() {
        var nanos = new AtomicLong();
        RedisTierFixture replica = RedisTierFixture.start("a", redis().settings(), syncClock, nanos::get);
        opened.add(replica);
        RedisPurgeRegistry here = replica.purges;

        nanos.set(999_999_999);
        assertThat(here.isUpToDate()).isTrue();
        nanos.set(1_000_000_000);
        assertThat(here.isUpToDate()).isFalse();
        syncClock.advanceTimeBy(SYNC_INTERVAL);

        Awaitility.await().until(here::isUpToDate);
    }

    @Test
    void fleetClockIsTheRedisClock() {
        RedisPurgeRegistry here = replica("a", redis());

        // One machine: what is left is the error of the comparison.
        assertThat(here.clockOffset().abs()).isLessThan(Duration.ofSeconds(1));
        assertThat(Duration.between(here.fleetClock().instant(), java.time.Instant.now()).abs())
                .isLessThan(Duration.ofSeconds(1));
    }

    @Test
    void invalidPurgeIsRejected() {
        RedisPurgeRegistry here = replica("a", redis());

        assertThatThrownBy(() -> here.purge(List.of()).block(TIMEOUT)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> purge(here, "a\nb")).isInstanceOf(IllegalArgumentException.class);
        List<String> many = IntStream.rangeClosed(0, PurgeRegistry.Purge.MAX_NAMES)
                .mapToObj(Integer::toString)
                .toList();
        assertThatThrownBy(() -> here.purge(many).block(TIMEOUT)).isInstanceOf(IllegalArgumentException.class);
    }

    /** In one step: a read in between would take the log for another than the position's. */
    private static void inTransaction(EmbeddedRedis redis, String... commands) {
        var all = new ArrayList<String>(List.of("MULTI"));
        all.addAll(List.of(commands));
        all.add("EXEC");
        redis.execute(all.toArray(String[]::new));
    }

    private EmbeddedRedis redis(String... args) {
        EmbeddedRedis redis = RedisServer.embedded(args);
        opened.add(redis);
        return redis;
    }

    private RedisPurgeRegistry replica(String id, EmbeddedRedis redis) {
        return start(id, redis).purges;
    }

    private RedisTierFixture start(String id, EmbeddedRedis redis) {
        RedisTierFixture replica = RedisTierFixture.start(id, redis.settings(), syncClock);
        opened.add(replica);
        return replica;
    }

    /** To the end of the log. A read has two seconds, which a busy machine may exceed, and then the next one is the retry. */
    private static void read(RedisPurgeRegistry purges) {
        purges.sync()
                .retryWhen(Retry.indefinitely().filter(TierUnavailableException.class::isInstance))
                .block(TIMEOUT);
    }

    private static long purge(RedisPurgeRegistry purges, String name) {
        return purges.purge(List.of(name)).blockOptional(TIMEOUT).orElseThrow().position();
    }

    private static long softPurge(RedisPurgeRegistry purges, String name) {
        return purges.purge(new PurgeRegistry.Purge(List.of(name), true, List.of(), "", false))
                .blockOptional(TIMEOUT)
                .orElseThrow()
                .position();
    }

    private static boolean isPurged(RedisPurgeRegistry purges, String name, long since) {
        return purges.verdict(List.of(name), since) instanceof PurgeRegistry.PurgeVerdict.Removed;
    }
}
