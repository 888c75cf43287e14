package dev.corral.tier;

import dev.corral.coalesce.Purges;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.test.scheduler.VirtualTimeScheduler;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** Two replicas' mirrors of one log. */
class RedisPurgesTest {

    private static final Duration BOUND = Duration.ofSeconds(10);
    private static final Duration LOOK = Duration.ofMillis(500);

    private final List<AutoCloseable> opened = new ArrayList<>();
    /** Moves only when told: between two looks there are only messages. */
    private final VirtualTimeScheduler looks = VirtualTimeScheduler.create();

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable one : opened.reversed()) {
            one.close();
        }
    }

    @Test
    void positionsGrowAndReachTheOthersByMessage() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);
        long start = there.position();

        long first = purge(here, "hats");
        long second = purge(there, "shoes");

        assertThat(first).isGreaterThan(start);
        assertThat(second).isGreaterThan(first);
        Awaitility.await().until(() -> here.position() == second && there.position() == second);
        assertThat(purged(here, "shoes", first)).isTrue();
        assertThat(purged(there, "hats", start)).isTrue();
        assertThat(purged(there, "hats", first)).isFalse();
        assertThat(purged(there, "socks", start)).isFalse();
    }

    @Test
    void theOneThatPurgesKnowsAtOnce() {
        RedisPurges here = replica("a", redis());

        long position = purge(here, "hats");

        assertThat(purged(here, "hats", position - 1)).isTrue();
        assertThat(here.position()).isEqualTo(position);
    }

    @Test
    void withAllMessagesCutTheyAgreeAtTheNextLook() {
        EmbeddedRedis redis = redis("--rename-command", "PUBLISH", "unpublished");
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);

        long position = purge(here, "hats");
        assertThat(there.position()).isLessThan(position);
        looks.advanceTimeBy(LOOK);

        Awaitility.await().until(() -> there.position() == position);
        assertThat(purged(there, "hats", position - 1)).isTrue();
    }

    @Test
    void aMessageThatDoesNotFollowMakesTheMirrorRead() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);
        long unheard = there.position() + 1;
        atOnce(redis, "XADD corral:{purge}:log " + unheard + "-0 h hats", "SET corral:{purge}:seq " + unheard);

        purge(here, "shoes");

        Awaitility.await().until(() -> purged(there, "hats", unheard - 1));
        Awaitility.await().until(() -> purged(here, "hats", unheard - 1));
    }

    @Test
    void aMessageWithoutNamesMakesTheMirrorRead() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);
        List<String> many = IntStream.range(0, Purges.Purge.MOST).mapToObj(i -> "product " + i).toList();

        long position = here.purge(many).blockOptional(BOUND).orElseThrow().position();

        Awaitility.await().until(() -> purged(there, "product 999", position - 1));
        assertThat(there.mirrored()).isEqualTo(Purges.Purge.MOST);
    }

    @Test
    void nonsenseOnTheChannelDoesNoHarm() {
        EmbeddedRedis redis = redis();
        RedisPurges there = replica("b", redis);

        redis.ask("PUBLISH corral:purges nonsense", "PUBLISH corral:purges \"\"", "PUBLISH corral:purges \"1\\n\"",
                "PUBLISH corral:inbox:b \"\"", "PUBLISH corral:inbox:b X");
        long position = purge(there, "hats");

        assertThat(purged(there, "hats", position - 1)).isTrue();
        assertThat(redis.ask("PUBSUB NUMSUB corral:purges")).endsWith("1");
    }

    @Test
    void aNewReplicaLearnsAllAtItsFirstLook() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long start = here.position();
        // More than a page of the log.
        Flux.range(0, 2_500).flatMap(i -> here.purge(List.of("product " + i)), 64).blockLast(BOUND.multipliedBy(3));

        RedisPurges late = replica("late", redis);

        assertThat(late.position()).isEqualTo(here.position());
        assertThat(late.mirrored()).isEqualTo(2_500);
        assertThat(purged(late, "product 0", start)).isTrue();
        assertThat(purged(late, "product 2499", start)).isTrue();
        assertThat(purged(late, "never", start)).isFalse();
        assertThat(purged(late, "never", start - 1)).isTrue();
    }

    @Test
    void aNameIsInTheLogAndInEachMirrorOnceHoweverOftenItIsPurged() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);
        long start = here.position();

        Flux.range(0, 2_000)
                .flatMap(i -> (i % 2 == 0 ? here : there).purge(List.of("hats", "shoes")), 64)
                .blockLast(BOUND.multipliedBy(3));
        long last = purge(here, "hats");

        // The one that stands for all before it, the last purge of both, and the last one of hats.
        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("3");
        assertThat(redis.ask("HLEN corral:{purge}:names")).isEqualTo("3");
        Awaitility.await().until(() -> there.complete() == last);
        RedisPurges late = replica("late", redis);
        for (RedisPurges each : List.of(here, there, late)) {
            assertThat(each.mirrored()).isEqualTo(2);
            assertThat(purged(each, "hats", last - 1)).isTrue();
            assertThat(purged(each, "shoes", start)).isTrue();
            assertThat(purged(each, "shoes", last - 1)).isFalse();
            assertThat(purged(each, "never", start)).isFalse();
        }
    }

    @Test
    void anElementStaysWhileOneOfItsNamesHasNotBeenPurgedAgainAsHard() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long both = here.purge(List.of("hats", "shoes")).blockOptional(BOUND).orElseThrow().position();
        purge(here, "hats");
        long softened = soften(here, "shoes");
        long again = soften(here, "shoes");

        RedisPurges late = replica("late", redis);

        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("4");
        assertThat(late.verdict(List.of("shoes"), both - 1)).isEqualTo(new Purges.Verdict.Gone());
        assertThat(late.verdict(List.of("shoes"), softened)).isEqualTo(new Purges.Verdict.Stale(again));
        long hard = purge(here, "shoes");
        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("3");
        late.sync().block(BOUND);
        assertThat(late.verdict(List.of("shoes"), hard - 1)).isEqualTo(new Purges.Verdict.Gone());
    }

    @Test
    void aPurgeOfEverythingIsAllThatTheLogNeeds() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        purge(here, "hats");
        purge(here, "shoes");

        long all = purge(here, Purges.EVERYTHING);

        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("1");
        assertThat(redis.ask("EXISTS corral:{purge}:names")).isEqualTo("0");
        assertThat(purged(replica("late", redis), "never", all - 1)).isTrue();
        assertThat(purged(here, "never", all)).isFalse();
    }

    @Test
    void theFirstElementIsNotDeletedForItStandsForAllBeforeIt() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long first = purge(here, "hats");
        redis.ask("XTRIM corral:{purge}:log MINID " + first);
        long second = purge(here, "shoes");

        purge(here, "hats");

        RedisPurges late = replica("late", redis);
        assertThat(purged(late, "never", first)).isFalse();
        assertThat(purged(late, "hats", second)).isTrue();
    }

    /** What is superseded while a replica does not read is no loss, and what it has missed is not overlooked. */
    @Test
    void aReplicaThatWasAwayTakesWhatIsSupersededForNoLoss() {
        EmbeddedRedis redis = redis("--rename-command", "PUBLISH", "unpublished");
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);
        purge(here, "hats");
        long known = purge(here, "shoes");
        there.sync().block(BOUND);
        assertThat(there.complete()).isEqualTo(known);

        purge(here, "hats");
        purge(here, "socks");
        purge(here, "shoes");
        long last = purge(here, "hats");
        there.sync().block(BOUND);

        for (String name : List.of("hats", "shoes", "socks")) {
            assertThat(purged(there, name, known)).as(name).isTrue();
        }
        assertThat(there.complete()).isEqualTo(last);
        assertThat(redis.ask("GET corral:{purge}:seq")).isEqualTo(Long.toString(last));
    }

    /** A failover takes back the later purge of a name, and with it the deletion of the earlier one. */
    @Test
    void aRepeatedPurgeThatAFailoverHasLostIsWrittenAgain() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long start = here.position();
        long kept = purge(here, "hats");
        long lost = purge(here, "hats");
        atOnce(redis, "DEL corral:{purge}:log corral:{purge}:names", "XADD corral:{purge}:log " + start + "-0 h *",
                "XADD corral:{purge}:log " + kept + "-0 h hats", "HSET corral:{purge}:names hats \"" + kept + " 0\"",
                "SET corral:{purge}:seq " + kept);

        here.sync().block(BOUND);

        RedisPurges later = replica("later", redis);
        assertThat(purged(later, "hats", lost - 1)).isTrue();
        assertThat(purged(later, "never", start)).isFalse();
        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("2");
    }

    @Test
    void beyondItsBoundTheLogsOldestPurgesArePurgesOfEverythingBefore() {
        EmbeddedRedis redis = redis();
        Replica replica = start("a", redis);
        long start = replica.purges.position();
        var positions = new ArrayList<Long>();
        for (int i = 0; i < 20; i++) {
            var purge = new PurgeLog.Purge(0, PurgedName.of(List.of("product " + i), false), List.of(), "");
            positions.add(PurgeLog
                    .write(replica.connections.control(), new RedisKeys(RedisKeys.DEFAULT_PREFIX, 0), purge, "", start,
                            Duration.ofHours(25), 5)
                    .map(PurgeLog.Given::position)
                    .blockOptional(BOUND)
                    .orElseThrow());
        }

        RedisPurges late = replica("late", redis);

        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("5");
        assertThat(redis.ask("HLEN corral:{purge}:names")).isEqualTo("5");
        assertThat(purged(late, "never", positions.get(15))).isFalse();
        assertThat(purged(late, "never", positions.get(14))).isTrue();
        assertThat(purged(late, "product 19", positions.get(18))).isTrue();
    }

    @Test
    void aMessageByItselfChangesNothing() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long before = here.position();
        long told = before + 1_000_000_000;

        redis.ask("EVAL \"redis.call('PUBLISH', 'corral:purges', '" + told + "\\\\n" + before + "\\\\n\\\\nh*')\" 0");
        // Its own message comes after that one.
        long position = purge(here, "hats");

        here.sync().block(BOUND);
        assertThat(here.position()).isEqualTo(position).isLessThan(told);
        assertThat(purged(here, "never", before)).isFalse();
    }

    @Test
    void manyMessagesAtOnceCostFewReads() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long reads = reads(redis);

        // No read ends before all have been heard: how many there are is not for the speed of the machine to say.
        redis.ask("MULTI",
                "EVAL \"for i = 1, 5000 do redis.call('PUBLISH', 'corral:purges', '99999999999999999\\\\n1\\\\n') end\" 0",
                "CLIENT PAUSE 3000 WRITE", "EXEC");

        here.sync().block(BOUND);
        // The one in progress, the one queued, the one asked for here, and those of the clock.
        assertThat(reads(redis) - reads).isLessThan(20);
    }

    private static long reads(EmbeddedRedis redis) {
        return redis.ask("INFO commandstats")
                .lines()
                .filter(line -> line.startsWith("cmdstat_evalsha:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("[^:]*:calls=(\\d+).*", "$1")))
                .sum();
    }

    @Test
    void aReplicaCanReadTheLogToItsEndNow() {
        EmbeddedRedis redis = redis("--rename-command", "PUBLISH", "unpublished");
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);
        long position = purge(here, "hats");
        assertThat(there.complete()).isLessThan(position);

        there.sync().block(BOUND);

        assertThat(there.complete()).isEqualTo(position);
        assertThat(purged(there, "hats", position - 1)).isTrue();
    }

    @Test
    void aReadAfterALossPurgesEverythingOlder() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long before = purge(here, "hats");
        redis.ask("FLUSHALL");

        here.sync().block(BOUND);

        assertThat(here.complete()).isGreaterThan(before);
        assertThat(purged(here, "socks", before)).isTrue();
    }

    @Test
    void everythingCanBePurged() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);

        long position = purge(here, Purges.EVERYTHING);

        Awaitility.await().until(() -> there.position() == position);
        assertThat(purged(there, "anything", position - 1)).isTrue();
        assertThat(purged(there, "anything", position)).isFalse();
    }

    @Test
    void whenTheStateIsLostEverythingOlderIsCold() {
        for (String loss : List.of("FLUSHALL", "DEL corral:{purge}:log", "DEL corral:{purge}:seq",
                "SET corral:{purge}:seq 1")) {
            EmbeddedRedis redis = redis();
            RedisPurges here = replica("a", redis);
            RedisPurges there = replica("b", redis);
            long before = purge(here, "hats");
            redis.ask(loss);

            looks.advanceTimeBy(LOOK);

            Awaitility.await().until(() -> here.position() > before && there.position() == here.position());
            assertThat(purged(here, "socks", before)).as(loss).isTrue();
            assertThat(purged(there, "socks", before)).as(loss).isTrue();
            assertThat(redis.ask("GET corral:{purge}:seq")).isEqualTo(Long.toString(here.position()));
            assertThat(purged(there, "socks", there.position())).isFalse();
        }
    }

    @Test
    void aPurgeAfterALossIsAboveIt() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long before = purge(here, "hats");
        redis.ask("FLUSHALL");

        long after = purge(here, "shoes");

        assertThat(after).isGreaterThan(before);
        looks.advanceTimeBy(LOOK);
        Awaitility.await().until(() -> purged(here, "socks", before));
    }

    @Test
    void whatAFailoverHasLostIsWrittenAgain() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);
        long kept = purge(here, "kept");
        Awaitility.await().until(() -> there.position() == kept);
        there.close();
        long lost = purge(here, "lost");
        atOnce(redis, "XDEL corral:{purge}:log " + lost + "-0", "SET corral:{purge}:seq " + kept);

        looks.advanceTimeBy(LOOK);
        Awaitility.await().until(() -> Long.parseLong(redis.ask("GET corral:{purge}:seq")) > lost);
        RedisPurges later = replica("later", redis);

        assertThat(purged(later, "lost", lost)).isTrue();
        assertThat(purged(later, "kept", kept)).isFalse();
        assertThat(purged(later, "never", kept)).isFalse();
    }

    @Test
    void whatAFailoverHasLostIsWrittenAgainEvenWhenOthersHaveGoneOn() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        long kept = purge(here, "kept");
        long lost = purge(here, "lost");
        long next = lost + 1_000_000;
        atOnce(redis, "XDEL corral:{purge}:log " + lost + "-0", "XADD corral:{purge}:log " + next + "-0 h next",
                "SET corral:{purge}:seq " + next);

        looks.advanceTimeBy(LOOK);
        Awaitility.await().until(() -> purged(here, "next", kept));
        Awaitility.await().until(() -> Long.parseLong(redis.ask("GET corral:{purge}:seq")) > next);
        RedisPurges later = replica("later", redis);

        assertThat(purged(later, "lost", lost)).isTrue();
        assertThat(purged(later, "next", next - 1)).isTrue();
    }

    @Test
    void aMessageHeardDuringALookIsNotTakenForALoss() {
        EmbeddedRedis redis = redis();
        RedisPurges here = replica("a", redis);
        RedisPurges there = replica("b", redis);

        for (int i = 0; i < 300; i++) {
            looks.advanceTimeBy(LOOK);
            purge(i % 2 == 0 ? here : there, "product " + i);
        }

        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("301");
    }

    @Test
    void theLogIsTrimmedAndItsFirstElementStandsForTheRest() {
        EmbeddedRedis redis = redis();
        long now = Long.parseLong(redis.ask("TIME").lines().findFirst().orElseThrow()) * 1_000_000;
        long day = Duration.ofHours(24).toNanos() / 1_000;
        redis.ask("XADD corral:{purge}:log " + (now - 4 * day) + "-0 h *",
                "XADD corral:{purge}:log " + (now - 3 * day) + "-0 h ancient",
                "XADD corral:{purge}:log " + (now - 2 * day) + "-0 h old",
                "XADD corral:{purge}:log " + (now - day / 2) + "-0 h recent",
                "SET corral:{purge}:seq " + (now - day / 2));
        RedisPurges here = replica("a", redis);

        purge(here, "hats");

        assertThat(redis.ask("XLEN corral:{purge}:log")).isEqualTo("3");
        RedisPurges later = replica("later", redis);
        assertThat(purged(later, "never", now - 2 * day)).isFalse();
        assertThat(purged(later, "never", now - 2 * day - 1)).isTrue();
        assertThat(purged(later, "recent", now - 2 * day)).isTrue();
    }

    @Test
    void itIsCurrentForASecondAfterALook() {
        RedisPurges here = replica("a", redis());
        assertThat(here.current()).isTrue();

        Awaitility.await().until(() -> !here.current());
        looks.advanceTimeBy(LOOK);

        Awaitility.await().until(here::current);
    }

    @Test
    void theFleetsClockIsRedis() {
        RedisPurges here = replica("a", redis());

        // One machine: what is left is the error of the comparison.
        assertThat(here.clockOffset().abs()).isLessThan(Duration.ofSeconds(1));
        assertThat(Duration.between(here.fleetClock().instant(), java.time.Instant.now()).abs())
                .isLessThan(Duration.ofSeconds(1));
    }

    @Test
    void nonsenseIsRefused() {
        RedisPurges here = replica("a", redis());

        assertThatThrownBy(() -> here.purge(List.of()).block(BOUND)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> purge(here, "a\nb")).isInstanceOf(IllegalArgumentException.class);
        List<String> many = IntStream.rangeClosed(0, Purges.Purge.MOST).mapToObj(Integer::toString).toList();
        assertThatThrownBy(() -> here.purge(many).block(BOUND)).isInstanceOf(IllegalArgumentException.class);
    }

    /** In one step: a read in between would take the log for another than the position's. */
    private static void atOnce(EmbeddedRedis redis, String... commands) {
        var all = new ArrayList<String>(List.of("MULTI"));
        all.addAll(List.of(commands));
        all.add("EXEC");
        redis.ask(all.toArray(String[]::new));
    }

    private EmbeddedRedis redis(String... args) {
        EmbeddedRedis redis = RedisServer.embedded(args);
        opened.add(redis);
        return redis;
    }

    private RedisPurges replica(String id, EmbeddedRedis redis) {
        return start(id, redis).purges;
    }

    private Replica start(String id, EmbeddedRedis redis) {
        Replica replica = Replica.start(id, redis.settings(), looks);
        opened.add(replica);
        return replica;
    }

    private static long purge(RedisPurges purges, String name) {
        return purges.purge(List.of(name)).blockOptional(BOUND).orElseThrow().position();
    }

    private static long soften(RedisPurges purges, String name) {
        return purges.purge(new Purges.Purge(List.of(name), true, List.of(), "", false))
                .blockOptional(BOUND)
                .orElseThrow()
                .position();
    }

    private static boolean purged(RedisPurges purges, String name, long since) {
        return purges.verdict(List.of(name), since) instanceof Purges.Verdict.Gone;
    }
}
