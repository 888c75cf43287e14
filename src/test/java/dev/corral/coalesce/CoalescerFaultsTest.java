package dev.corral.coalesce;

import dev.corral.coalesce.Events.Reason;
import dev.corral.coalesce.Outcome.Role;
import dev.corral.coalesce.Page.Nature;
import dev.corral.coalesce.SimulatedConnection.Command;
import dev.corral.coalesce.SimulatedOrigin.Reply;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Mono;

import static dev.corral.coalesce.Stage.JITTER;
import static dev.corral.coalesce.Stage.LEASE;
import static dev.corral.coalesce.Stage.LEG;
import static dev.corral.coalesce.Stage.ORIGIN;
import static dev.corral.coalesce.Stage.PATIENCE;
import static dev.corral.coalesce.Stage.arrive;
import static dev.corral.coalesce.Stage.arriveAt;
import static dev.corral.coalesce.Stage.assertAtRest;
import static dev.corral.coalesce.Stage.assertServed;
import static dev.corral.coalesce.Stage.breaking;
import static dev.corral.coalesce.Stage.released;
import static dev.corral.coalesce.Stage.roles;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

/**
 * The coalescer's promises for when something goes wrong, one by one: only what the test says does, at the moment it says.
 */
@Timeout(30)
class CoalescerFaultsTest {

    private final Stage stage = new Stage();

    @Test
    void aKilledLeaderDelaysTheOthersByItsLeaseAtMost() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 10);
        world.pass(Duration.ofMillis(50));

        leader.process.kill();
        world.pass(Duration.ofSeconds(5));

        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(others).hasSize(20).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(LEASE.plus(JITTER).plus(ORIGIN).plus(LEG.multipliedBy(20)));
        });
        assertThat(world.replicas).extracting(replica -> replica.counts.tookOver).contains(1);
        assertAtRest(world);
    }

    /** Public behaviour 3. */
    @Test
    void aLeaderPausedPastItsLeaseIsFencedAndStillServesItsOwn() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        List<SimulatedCaller> own = List.of(world.arrive(leader, "a", PATIENCE), world.arrive(leader, "a", PATIENCE));
        world.pass(Duration.ofMillis(50));
        leader.process.pause();
        world.pass(Duration.ofMillis(100));
        world.origin.change("a");
        SimulatedCaller other = world.arrive(world.start(), "a", PATIENCE);
        world.pass(Duration.ofSeconds(3));
        assertThat(other.got).extracting(Page::content).containsExactly(2);

        leader.process.resume();
        world.pass(Duration.ofSeconds(1));

        assertThat(own).allSatisfy(caller -> assertThat(caller.got).extracting(Page::content).containsExactly(1));
        assertThat(leader.counts.fenced).isEqualTo(1);
        assertThat(world.tier.find("a").orElseThrow().value().content()).isEqualTo(2);
        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(world.journal.violations()).isEmpty();
        assertAtRest(world);
    }

    @Test
    void withAllRingsLostThereIsStillOneFetchAndEachPollBoundsTheDelay() {
        SimulatedWorld world = stage.world();
        world.weather.ringLost = 1;
        List<SimulatedCaller> callers = arrive(world, 3, 10);

        world.pass(Duration.ofSeconds(3));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(callers).hasSize(30).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(Duration.ofSeconds(1).plus(JITTER).plus(LEG.multipliedBy(10)));
        });
        assertAtRest(world);
    }

    @Test
    void aRingThatOvertakesTheReplyToTheLookIsHeard() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        SimulatedReplica follower = world.start();
        world.arrive(leader, "a", PATIENCE);
        // Its look registers at 126 ms, the publish rings at 127, and the reply to the look comes at 157.
        world.pass(Duration.ofMillis(121));
        follower.connection.slowed.put(Command.FOLLOW, Duration.ofMillis(30));
        SimulatedCaller late = world.arrive(follower, "a", PATIENCE);

        world.pass(Duration.ofSeconds(2));

        assertServed(late);
        assertThat(late.took()).isLessThan(Duration.ofMillis(80));
        assertThat(world.origin.asked("a")).isEqualTo(1);
    }

    /** Public behaviours 2 and 17. */
    @Test
    void whoeverLosesPatienceFetchesAloneAndItsAnswerIsNotKept() {
        SimulatedWorld world = stage.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replies = key -> new Reply(Nature.SHARED,
                fetches.incrementAndGet() == 1 ? Duration.ofSeconds(4) : ORIGIN);
        Duration patience = Duration.ofMillis(500);
        SimulatedReplica leader = world.start();
        SimulatedReplica follower = world.start();
        world.arrive(leader, "a", patience);
        world.pass(Duration.ofMillis(10));
        List<SimulatedCaller> impatient = List.of(world.arrive(follower, "a", patience),
                world.arrive(follower, "a", patience));
        world.pass(Duration.ofSeconds(1));

        assertThat(fetches).hasValue(2);
        assertThat(roles(impatient)).containsExactly(Role.ALONE, Role.ALONE);
        assertThat(impatient).allSatisfy(caller -> assertThat(caller.took())
                .isCloseTo(patience.plus(ORIGIN), Duration.ofMillis(10)));
        assertThat(released(world, Reason.IMPATIENT)).isEqualTo(1);
        assertThat(world.tier.find("a")).isEmpty();

        world.arrive(follower, "a", patience);
        world.pass(Duration.ofSeconds(5));

        assertThat(fetches).hasValue(3);
        assertThat(leader.counts.filled).isEqualTo(1);
        assertAtRest(world);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void withTheTierAwayEachReplicaFetchesOnceAndKeepsTheAnswer(boolean refuses) {
        SimulatedWorld world = stage.world();
        world.tier.goAway(refuses);
        List<SimulatedCaller> callers = arrive(world, 3, 10);
        world.pass(Duration.ofSeconds(2));

        assertThat(world.origin.asked("a")).isEqualTo(3);
        assertThat(roles(callers)).containsOnly(Role.ALONE);
        assertThat(callers).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took())
                    .isLessThanOrEqualTo(refuses ? ORIGIN : SimulatedConnection.SILENCE.plus(ORIGIN));
        });
        assertThat(world.replicas).allSatisfy(replica -> assertThat(replica.counts.degraded).isEqualTo(1));

        List<SimulatedCaller> later = arriveAt(world, 10);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(3);
        assertThat(later).allSatisfy(Stage::assertServed);
        assertAtRest(world);
    }

    @Test
    void aTierLostBetweenLeaseAndLookCostsNobodyTheLease() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        leader.connection.refused.add(Command.STAND);
        SimulatedCaller own = world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 5);

        world.pass(Duration.ofSeconds(5));

        assertServed(own);
        assertThat(own.took()).isLessThanOrEqualTo(ORIGIN.plus(LEG.multipliedBy(4)));
        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(Duration.ofMillis(500));
        });
        assertAtRest(world);
    }

    @Test
    void aFailureOfAFlightThatLostTheTierIsNotRememberedEither() {
        SimulatedWorld world = stage.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replies = key -> new Reply(fetches.incrementAndGet() == 1 ? Nature.FAILURE : Nature.SHARED,
                ORIGIN);
        SimulatedReplica replica = world.start();
        replica.connection.refused.add(Command.STAND);
        replica.connection.refused.add(Command.RELEASE);
        SimulatedCaller ask = new SimulatedCaller(1, replica, "a", PATIENCE);
        List<Outcome<Page>> second = new ArrayList<>();

        replica.coalescer.join(ask).flatMap(failed -> replica.coalescer.join(ask)).subscribe(second::add);
        world.pass(Duration.ofSeconds(10));

        assertThat(second).hasSize(1).allMatch(outcome -> outcome instanceof Outcome.Landed);
        assertAtRest(world);
    }

    @Test
    void aTierLostAtPublishCostsTheOthersTheLeaseAndThisReplicaNothing() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        leader.connection.refused.add(Command.PUBLISH);
        SimulatedCaller own = world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 5);
        world.pass(Duration.ofMillis(500));
        SimulatedCaller later = world.arrive(leader, "a", PATIENCE);

        world.pass(Duration.ofSeconds(5));

        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(own.took()).isEqualTo(ORIGIN.plus(LEG.multipliedBy(6)));
        assertThat(later.took()).isZero();
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(LEASE.plus(JITTER).plus(ORIGIN).plus(LEG.multipliedBy(20)));
        });
        assertAtRest(world);
    }

    @Test
    void aPublishWhoseReplyIsLostIsStillAPublish() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        leader.connection.unanswered.add(Command.PUBLISH);
        world.arrive(leader, "a", PATIENCE);
        arrive(world, 2, 5);

        world.pass(Duration.ofSeconds(5));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(world.callers).allSatisfy(Stage::assertServed);
        assertAtRest(world);
    }

    @Test
    void aFullTierReleasesAllWaitersInParallel() {
        SimulatedWorld world = stage.world();
        world.tier.full = true;
        List<SimulatedCaller> callers = arrive(world, 3, 10);

        world.pass(Duration.ofSeconds(2));

        assertThat(callers).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(ORIGIN.multipliedBy(2).plus(LEG.multipliedBy(12)));
        });
        assertThat(released(world, Reason.FULL)).isEqualTo(1);
        assertThat(released(world, Reason.DISMISSED)).isEqualTo(2);
        assertAtRest(world);
    }

    @Test
    void aLongFetchKeepsItsLeaseByRenewingItEveryThirdOfIt() {
        SimulatedWorld world = stage.world(Timing.of(Duration.ofMillis(300), 1_000, 10_000));
        world.origin.replies = key -> new Reply(Nature.SHARED, Duration.ofSeconds(4));
        List<SimulatedCaller> callers = arrive(world, 3, 5);

        world.pass(Duration.ofSeconds(5));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(callers).allSatisfy(Stage::assertServed);
        assertThat(world.tier.renewals).isCloseTo(39, within(1));
        assertThat(world.tier.lapses).isZero();
        assertAtRest(world);
    }

    @Test
    void aRenewalThatGetsNoAnswerIsTriedAgain() {
        SimulatedWorld world = stage.world(Timing.of(Duration.ofMillis(600), 1_000, 10_000));
        world.origin.replies = key -> new Reply(Nature.SHARED, Duration.ofSeconds(3));
        SimulatedReplica leader = world.start();
        world.arrive(leader, "a", PATIENCE);
        arrive(world, 2, 5);
        world.pass(Duration.ofMillis(100));
        for (int i = 0; i < 6; i++) {
            leader.connection.lost.add(Command.RENEW);
            world.pass(Duration.ofMillis(200));
            leader.connection.lost.clear();
            world.pass(Duration.ofMillis(200));
        }

        world.pass(Duration.ofSeconds(2));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(world.tier.lapses).isZero();
        assertAtRest(world);
    }

    @Test
    void onceTheFetchHasEndedTheLeaseIsNotRenewedAnyMore() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        leader.connection.refused.add(Command.PUBLISH);
        world.arrive(leader, "a", PATIENCE);

        world.pass(Duration.ofSeconds(10));

        assertThat(world.tier.renewals).isZero();
        assertThat(world.tier.holder("a")).isEmpty();
        assertAtRest(world);
    }

    /** Public behaviour 16. */
    @Test
    void aFillThatBreaksItsContractBreaksForItsOwnAndCostsTheOthersNoLease() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        SimulatedCaller asks = new SimulatedCaller(1, leader, "a", PATIENCE);
        List<Throwable> broken = new ArrayList<>();
        Ask<String, Page> breaking = breaking(asks, Mono.delay(ORIGIN, leader.process)
                .then(Mono.error(new IllegalStateException("broken"))));
        leader.coalescer.join(breaking).subscribe(outcome -> {}, broken::add);
        SimulatedCaller other = world.arrive(world.start(), "a", PATIENCE);

        world.pass(Duration.ofSeconds(5));

        assertThat(broken).singleElement().isInstanceOf(IllegalStateException.class);
        assertServed(other);
        assertThat(other.took()).isLessThan(Duration.ofSeconds(1));
        assertAtRest(world);
    }

    @Test
    void everyFollowersWaitIsCountedHoweverItEnds() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        world.arrive(leader, "a", PATIENCE);
        SimulatedReplica successor = world.start();
        world.arrive(successor, "a", PATIENCE);
        world.pass(Duration.ofMillis(50));

        leader.process.kill();
        world.pass(Duration.ofSeconds(5));

        assertThat(successor.counts.tookOver).isEqualTo(1);
        assertThat(successor.counts.waits).hasSize(1);
        assertThat(successor.counts.waits.getFirst()).isBetween(Duration.ofMillis(1_900), LEASE.plus(JITTER));
    }

    @Test
    void aLeaderThatLearnsThatItsLeaseIsLostFetchesOnForItsOwn() {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(Nature.SHARED, Duration.ofSeconds(3));
        SimulatedReplica leader = world.start();
        List<SimulatedCaller> own = List.of(world.arrive(leader, "a", PATIENCE), world.arrive(leader, "a", PATIENCE));
        world.pass(Duration.ofMillis(500));

        world.tier.step(LEASE);
        world.pass(Duration.ofSeconds(5));

        assertThat(own).allSatisfy(Stage::assertServed);
        assertThat(world.tier.renewals).isZero();
        assertThat(leader.counts.fenced).isEqualTo(1);
        assertAtRest(world);
    }

    @Test
    void whoeverIsToldOfAFailureIsToldAfterTheFleet() {
        SimulatedWorld world = stage.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replies = key -> new Reply(fetches.incrementAndGet() == 1 ? Nature.FAILURE : Nature.SHARED,
                ORIGIN);
        SimulatedReplica replica = world.start();
        replica.connection.delayed.put(Command.FAIL, Duration.ofMillis(30));
        SimulatedCaller ask = new SimulatedCaller(1, replica, "a", PATIENCE);
        List<Outcome<Page>> second = new ArrayList<>();

        replica.coalescer.join(ask).flatMap(failed -> replica.coalescer.join(ask)).subscribe(second::add);
        world.pass(Duration.ofSeconds(1));

        assertThat(second).hasSize(1).allMatch(outcome -> outcome instanceof Outcome.Landed);
        assertAtRest(world);
    }

    @Test
    void aReplicaThatResignsIsSucceededAtOnceAndStillServesItsOwn() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        SimulatedCaller own = world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 5);
        world.pass(Duration.ofMillis(50));

        leader.coalescer.resign().subscribe();
        world.pass(Duration.ofSeconds(1));

        assertServed(own);
        assertThat(own.took()).isLessThan(ORIGIN.plus(LEG.multipliedBy(10)));
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(Duration.ofMillis(200));
        });
        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(leader.counts.fenced).isEqualTo(1);
        assertAtRest(world);
        leader.coalescer.resign().subscribe();
        world.pass(Duration.ofSeconds(1));
        assertThat(leader.connection.times(Command.RELEASE)).isEqualTo(1);
    }

    /** Slow is not down. */
    @ParameterizedTest
    @EnumSource(value = Command.class, names = {"FIND", "TRY_LEAD", "STAND", "LOOK", "FOLLOW", "PUBLISH", "RENEW"})
    void aLateCommandIsWaitedForAndMakesNobodyFetchAlone(Command late) {
        SimulatedWorld world = stage.world();
        List<SimulatedReplica> replicas = List.of(world.start(), world.start(), world.start());
        replicas.forEach(replica -> {
            replica.connection.delayed.put(late, Duration.ofMillis(700));
            replica.connection.slowed.put(late, Duration.ofMillis(600));
        });
        List<SimulatedCaller> callers = arriveAt(world, 10);

        world.pass(Duration.ofSeconds(9));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(callers).hasSize(30).allSatisfy(Stage::assertServed);
        assertThat(replicas).allSatisfy(replica -> assertThat(replica.counts.degraded).isZero());
        assertThat(world.tier.lapses).isZero();
        assertAtRest(world);
    }

    @Test
    void aRenewalIsSentWhetherOrNotTheOneBeforeHasItsReply() {
        SimulatedWorld world = stage.world(Timing.of(Duration.ofMillis(600), 1_000, 10_000));
        world.origin.replies = key -> new Reply(Nature.SHARED, Duration.ofSeconds(4));
        SimulatedReplica leader = world.start();
        leader.connection.slowed.put(Command.RENEW, Duration.ofSeconds(2));
        world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 5);

        world.pass(Duration.ofSeconds(6));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(others).allSatisfy(Stage::assertServed);
        assertThat(world.tier.fenced).isZero();
        assertAtRest(world);
    }

    @ParameterizedTest
    @EnumSource(value = Command.class, names = {"STAND", "LOOK", "PUBLISH"})
    void theLeaseIsKeptFromTheAttemptToTheEndOfTheWrite(Command slow) {
        SimulatedWorld world = stage.world(Timing.of(Duration.ofMillis(600), 1_000, 10_000));
        SimulatedReplica leader = world.start();
        leader.connection.delayed.put(slow, Duration.ofSeconds(3));
        leader.connection.slowed.put(slow, Duration.ofSeconds(3));
        world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 5);

        world.pass(Duration.ofSeconds(9));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(others).allSatisfy(Stage::assertServed);
        assertThat(world.tier.find("a")).isPresent();
        assertThat(world.tier.lapses).isZero();
        assertAtRest(world);
    }

    @Test
    void aLeaseWhoseGrantIsHeardLateIsRenewedAtOnce() {
        SimulatedWorld world = stage.world(Timing.of(Duration.ofMillis(600), 1_000, 10_000));
        world.origin.replies = key -> new Reply(Nature.SHARED, Duration.ofSeconds(2));
        SimulatedReplica leader = world.start();
        leader.connection.slowed.put(Command.TRY_LEAD, Duration.ofMillis(500));
        world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 5);

        world.pass(Duration.ofSeconds(5));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(others).allSatisfy(Stage::assertServed);
        assertThat(world.tier.lapses).isZero();
        assertAtRest(world);
    }

    @Test
    void aFlightThatGoesOnAloneGivesItsLeaseBackBeforeItFetches() {
        SimulatedWorld world = stage.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replies = key -> new Reply(Nature.SHARED,
                fetches.incrementAndGet() == 1 ? Duration.ofSeconds(4) : ORIGIN);
        SimulatedReplica leader = world.start();
        leader.connection.refused.add(Command.STAND);
        world.arrive(leader, "a", PATIENCE);
        List<SimulatedCaller> others = arrive(world, 2, 5);

        world.pass(Duration.ofSeconds(5));

        assertThat(fetches).hasValue(2);
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(ORIGIN.plus(LEG.multipliedBy(20)));
        });
        assertAtRest(world);
    }

    @Test
    void whoeverHasTheLeaseAndLosesPatienceFetchesForAll() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        leader.connection.slowed.put(Command.LOOK, Duration.ofSeconds(3));
        SimulatedCaller impatient = world.arrive(leader, "a", Duration.ofMillis(500));
        List<SimulatedCaller> others = arrive(world, 2, 5);

        world.pass(Duration.ofSeconds(5));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(impatient.took()).isLessThan(Duration.ofMillis(500).plus(ORIGIN).plus(LEG.multipliedBy(6)));
        assertThat(others).allSatisfy(Stage::assertServed);
        assertAtRest(world);
    }

    @Test
    void anAttemptThatWasGivenUpAndIsGrantedAfterAllCostsNobodyItsLease() {
        SimulatedWorld world = stage.world();
        SimulatedReplica slow = world.start();
        slow.connection.delayed.put(Command.TRY_LEAD, Duration.ofSeconds(1));
        world.arrive(slow, "a", Duration.ofMillis(500));
        world.pass(Duration.ofMillis(1_010));

        List<SimulatedCaller> others = arrive(world, 2, 5);
        world.pass(Duration.ofSeconds(1));

        assertThat(slow.connection.givenUp).isEqualTo(1);
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.took()).isLessThan(ORIGIN.plus(LEG.multipliedBy(20)));
        });
        assertAtRest(world);
    }

    @Test
    void anOfferThatIsGivenUpGivesItsLeaseBack() {
        SimulatedWorld world = stage.world();
        SimulatedReplica replica = world.start();
        replica.connection.slowed.put(Command.LOOK, Duration.ofSeconds(5));
        List<Boolean> stored = new ArrayList<>();

        replica.coalescer.offer("a", "none", List.of()).subscribe(stored::add);
        world.pass(Duration.ofMillis(100));
        assertThat(world.tier.holder("a")).isPresent();
        world.pass(LEASE.dividedBy(2));

        assertThat(stored).containsExactly(false);
        assertThat(world.tier.holder("a")).isEmpty();
        assertAtRest(world);
        assertThat(world.tier.lapses).isZero();
    }

    /** Two views of one state that are not the same: no wait for a lock that the values' side does not see, and no loop. */
    @Test
    void withTheLocksElsewhereThanTheValuesEachReplicaGoesOnByItselfAtOnce() {
        SimulatedWorld world = stage.world();
        List<SimulatedReplica> replicas = List.of(world.start(), world.start(), world.start());
        replicas.forEach(replica -> replica.connection.locks = world.elsewhere);
        List<SimulatedCaller> callers = arriveAt(world, 10);

        world.pass(Duration.ofSeconds(3));

        assertThat(world.origin.asked("a")).isEqualTo(3);
        assertThat(callers).hasSize(30).allSatisfy(caller -> {
            assertServed(caller);
            // Three pauses of 25, 50 and 100 ms, each by up to as much longer.
            assertThat(caller.took()).isBetween(ORIGIN.plus(Duration.ofMillis(175)),
                    ORIGIN.plus(Duration.ofMillis(450)));
        });
        assertThat(replicas).allSatisfy(replica -> {
            assertThat(replica.counts.degraded).isEqualTo(1);
            assertThat(replica.connection.commands()).isLessThanOrEqualTo(25);
        });

        replicas.forEach(replica -> replica.connection.locks = world.tier);
        replicas.forEach(replica -> world.arrive(replica, "b", PATIENCE));
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("b")).isEqualTo(1);
        assertAtRest(world);
    }

    /** However many keys are asked for meanwhile. */
    @Test
    void withTheLocksElsewhereThanTheValuesTheTierIsNotFloodedWithCommands() {
        SimulatedWorld world = stage.world();
        List<SimulatedReplica> replicas = List.of(world.start(), world.start());
        replicas.forEach(replica -> replica.connection.locks = world.elsewhere);
        int keys = 300;
        for (int i = 0; i < keys; i++) {
            String key = "k" + i;
            replicas.forEach(replica -> world.arrive(replica, key, PATIENCE));
            world.pass(Duration.ofMillis(33));
        }

        world.pass(Duration.ofSeconds(5));

        assertThat(world.callers).allSatisfy(Stage::assertServed);
        assertThat(replicas).allSatisfy(replica -> {
            assertThat(replica.connection.commands()).isLessThanOrEqualTo(25 * keys);
            assertThat(replica.connection.busiest).isLessThanOrEqualTo(25 * 30);
        });
        assertAtRest(world);
    }
}
