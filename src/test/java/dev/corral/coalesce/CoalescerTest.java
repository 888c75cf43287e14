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
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import static dev.corral.coalesce.Stage.LEASE;
import static dev.corral.coalesce.Stage.LEG;
import static dev.corral.coalesce.Stage.ORIGIN;
import static dev.corral.coalesce.Stage.PATIENCE;
import static dev.corral.coalesce.Stage.arrive;
import static dev.corral.coalesce.Stage.arriveAt;
import static dev.corral.coalesce.Stage.assertAtRest;
import static dev.corral.coalesce.Stage.assertServed;
import static dev.corral.coalesce.Stage.crowded;
import static dev.corral.coalesce.Stage.landings;
import static dev.corral.coalesce.Stage.released;
import static dev.corral.coalesce.Stage.roles;
import static org.assertj.core.api.Assertions.assertThat;

/**
 * The coalescer's promises, one by one, while nothing goes wrong: in virtual time, where each way to the tier takes exactly a
 * millisecond and the origin 120.
 */
@Timeout(30)
class CoalescerTest {

    private final Stage stage = new Stage();

    @Test
    void aFleetAsksTheOriginOnce() {
        SimulatedWorld world = stage.world();
        List<SimulatedCaller> callers = arrive(world, 4, 50);

        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(callers).hasSize(200).allSatisfy(caller -> {
            assertServed(caller);
            // Three round trips before the origin; one way to publish, one to ring, and one round trip to look.
            assertThat(caller.took()).isLessThanOrEqualTo(ORIGIN.plus(LEG.multipliedBy(10)));
        });
        assertThat(roles(callers)).containsOnly(Role.LED, Role.FOLLOWED);
        assertAtRest(world);
    }

    @Test
    void whatIsStoredIsServedWithoutAFetch() {
        SimulatedWorld world = stage.world();
        arrive(world, 2, 1);
        world.pass(Duration.ofSeconds(1));

        List<SimulatedCaller> later = arriveAt(world, 2);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(landings(later)).allSatisfy(landing -> {
            assertThat(landing.role()).isEqualTo(Role.LOOKED);
            assertThat(landing.stored()).isTrue();
        });
        assertThat(later).allSatisfy(caller -> assertThat(caller.took()).isLessThanOrEqualTo(LEG.multipliedBy(2)));
        assertAtRest(world);
    }

    @Test
    void theSecondLookFindsWhatWasPublishedAfterTheFirst() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        SimulatedReplica other = world.start();
        world.arrive(leader, "a", PATIENCE);
        // The leader's publish takes effect 127 ms after: three round trips, the origin, one way.
        world.pass(Duration.ofMillis(125));

        SimulatedCaller late = world.arrive(other, "a", PATIENCE);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertServed(late);
        assertThat(roles(List.of(late))).containsExactly(Role.FOLLOWED);
        assertThat(late.took()).isEqualTo(LEG.multipliedBy(6));
        assertThat(world.tier.holder("a")).isEmpty();
        assertAtRest(world);
    }

    @Test
    void thereIsNoMomentInWhichTheValueIsNeitherInFlightNorStored() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        SimulatedReplica other = world.start();

        for (int arrival = 0; arrival < 300; arrival++) {
            world.arrive(leader, "a", PATIENCE);
            world.arrive(other, "a", PATIENCE);
            world.pass(Duration.ofMillis(1));
        }
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(world.callers).allSatisfy(Stage::assertServed);
        assertAtRest(world);
    }

    @Test
    void aSlowKeyDoesNotDelayAnother() {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(Nature.SHARED, key.equals("slow") ? Duration.ofSeconds(4) : ORIGIN);
        SimulatedReplica one = world.start();
        SimulatedReplica two = world.start();
        SimulatedCaller slow = world.arrive(one, "slow", PATIENCE);
        world.pass(Duration.ofMillis(50));
        List<SimulatedCaller> quick = List.of(world.arrive(one, "b", PATIENCE), world.arrive(two, "b", PATIENCE));

        world.pass(Duration.ofSeconds(1));

        assertThat(quick).allSatisfy(caller -> assertThat(caller.took()).isLessThan(Duration.ofMillis(135)));
        assertThat(slow.ended()).isFalse();
        world.pass(Duration.ofSeconds(4));
        assertServed(slow);
        assertAtRest(world);
    }

    @Test
    void aFailureIsSharedOnceAndTheNextRequestStartsAfresh() {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(Nature.FAILURE, ORIGIN);
        List<SimulatedCaller> callers = arrive(world, 3, 10);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(callers).hasSize(30).allSatisfy(caller -> {
            assertThat(caller.got).extracting(Page::nature).containsExactly(Nature.FAILURE);
            assertThat(caller.took()).isLessThan(ORIGIN.plus(LEG.multipliedBy(12)));
        });

        world.origin.replies = key -> new Reply(Nature.SHARED, ORIGIN);
        List<SimulatedCaller> later = arriveAt(world, 3);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(later).allSatisfy(Stage::assertServed);
        assertAtRest(world);
    }

    @Test
    void whoeverIsToldOfAFailureAndComesBackAtOnceIsNotToldOfItAgain() {
        SimulatedWorld world = stage.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replies = key -> new Reply(fetches.incrementAndGet() == 1 ? Nature.FAILURE : Nature.SHARED,
                ORIGIN);
        List<Outcome<Page>> second = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            SimulatedReplica replica = world.start();
            for (int j = 0; j < 5; j++) {
                SimulatedCaller ask = new SimulatedCaller(j, replica, "a", PATIENCE);
                replica.coalescer.join(ask).flatMap(failed -> replica.coalescer.join(ask)).subscribe(second::add);
            }
        }

        world.pass(Duration.ofSeconds(1));

        assertThat(fetches).hasValue(2);
        assertThat(second).hasSize(15).allMatch(outcome -> outcome instanceof Outcome.Landed);
        assertAtRest(world);
    }

    @Test
    void aFailureCarriesWhatWasThereBefore() {
        SimulatedWorld world = stage.world();
        arrive(world, 2, 1);
        world.pass(world.origin.freshness.plusSeconds(1));
        world.origin.replies = key -> new Reply(Nature.FAILURE, ORIGIN);

        List<SimulatedCaller> later = arriveAt(world, 2);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(later).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.servedStale).isTrue();
        });
    }

    @ParameterizedTest
    @EnumSource(names = {"PRIVATE", "PRIVATE_UNMARKED"})
    void aWithheldAnswerReleasesAllWaitersOfAllReplicasInParallel(Nature nature) {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(nature, ORIGIN);
        List<SimulatedCaller> callers = arrive(world, 3, 10);
        world.pass(Duration.ofSeconds(2));

        assertThat(world.origin.asked("a")).isEqualTo(30);
        assertThat(callers).allSatisfy(caller -> {
            assertThat(caller.got).hasSize(1);
            assertThat(caller.took()).isLessThan(ORIGIN.multipliedBy(2).plus(LEG.multipliedBy(12)));
        });
        assertThat(callers.stream().map(caller -> caller.got.getFirst().fetch()).distinct()).hasSize(30);
        assertThat(released(world, Reason.WITHHELD)).isEqualTo(1);
        assertThat(released(world, Reason.DISMISSED)).isEqualTo(nature == Nature.PRIVATE ? 0 : 2);
        assertAtRest(world);
    }

    @Test
    void aMarkerSparesLaterRequestsTheWait() {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(Nature.PRIVATE, ORIGIN);
        arrive(world, 3, 1);
        world.pass(Duration.ofSeconds(2));

        List<SimulatedCaller> later = arriveAt(world, 5);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(3 + 15);
        assertThat(later)
                .allSatisfy(caller -> assertThat(caller.took()).isLessThanOrEqualTo(ORIGIN.plus(LEG.multipliedBy(2))));
    }

    @Test
    void aPurgeFencesOutTheFillThatBeganBeforeItAndCostsTheFleetOneMoreFetch() {
        SimulatedWorld world = stage.world();
        List<SimulatedCaller> before = arrive(world, 3, 10);
        world.pass(Duration.ofMillis(100));
        world.origin.change("a");

        assertThat(world.purge("a", Duration.ZERO)).isTrue();
        List<SimulatedCaller> after = arriveAt(world, 10);
        world.pass(Duration.ofSeconds(2));

        assertThat(after).allSatisfy(caller -> assertThat(caller.got).extracting(Page::content).containsExactly(2));
        assertThat(before).allSatisfy(Stage::assertServed);
        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertAtRest(world);
    }

    @Test
    void aValueThatIsStaleWhenItLandsServesThoseWhoWaitAndNobodyLater() {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(Nature.BORN_STALE, ORIGIN);
        List<SimulatedCaller> callers = arrive(world, 3, 10);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertThat(callers).allSatisfy(Stage::assertServed);

        List<SimulatedCaller> later = arriveAt(world, 10);
        world.pass(Duration.ofSeconds(1));

        assertThat(world.origin.asked("a")).isEqualTo(2);
        assertThat(later).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.got).extracting(Page::fetch).containsExactly(2);
        });
        assertAtRest(world);
    }

    /** However long the write takes: else what was fetched before they asked would be given to them as to those who waited. */
    @Test
    void whoeverHasHeardOfWhatIsNeverFreshAndAsksElsewhereGetsAnother() {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(Nature.BORN_STALE, ORIGIN);
        SimulatedReplica leader = world.start();
        SimulatedReplica other = world.start();
        leader.connection.delayed.put(Command.PUBLISH, Duration.ofMillis(40));
        SimulatedCaller first = world.arrive(leader, "a", PATIENCE);
        while (!first.ended()) {
            world.pass(Duration.ofMillis(1));
        }

        List<SimulatedCaller> later = List.of(world.arrive(other, "a", PATIENCE), world.arrive(leader, "a", PATIENCE));
        world.pass(Duration.ofSeconds(1));

        assertThat(first.got).extracting(Page::fetch).containsExactly(1);
        assertThat(later).allSatisfy(caller -> assertThat(caller.got).extracting(Page::fetch).containsExactly(2));
        assertAtRest(world);
    }

    /** The wait of a quarter of a second is for the truth of "stored"; it is not the price of a slow write. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aReusableResponseWaitsForItsWriteAQuarterOfASecondAtMost(boolean slow) {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        if (slow) {
            leader.connection.slowed.put(Command.PUBLISH, Duration.ofSeconds(3));
        }
        SimulatedCaller caller = world.arrive(leader, "a", PATIENCE);

        world.pass(Duration.ofSeconds(10));

        Duration most = ORIGIN.plus(Duration.ofMillis(slow ? 300 : 20));
        assertThat(caller.took()).isLessThan(most);
        assertThat(caller.outcomes).allSatisfy(outcome -> assertThat(outcome)
                .isInstanceOfSatisfying(Outcome.Landed.class, landed -> assertThat(landed.stored()).isEqualTo(!slow)));
        assertAtRest(world);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatWasThereBeforeIsNotAwaitedThoughMemoryKnewAnother(boolean somebodyLeads) {
        SimulatedWorld world = stage.world();
        world.origin.replies = key -> new Reply(Nature.BORN_STALE, ORIGIN);
        arrive(world, 3, 1);
        world.pass(Duration.ofMillis(300));
        SimulatedReplica behind = world.replicas.getLast();
        world.arrive(world.replicas.getFirst(), "a", PATIENCE);
        world.pass(Duration.ofMillis(300));
        assertThat(world.origin.asked("a")).isEqualTo(2);
        if (somebodyLeads) {
            world.arrive(world.replicas.getFirst(), "a", PATIENCE);
            world.pass(Duration.ofMillis(50));
        }

        SimulatedCaller late = world.arrive(behind, "a", PATIENCE);
        world.pass(Duration.ofSeconds(1));

        assertThat(late.got).extracting(Page::fetch).containsExactly(3);
        assertAtRest(world);
    }

    @Test
    void whoeverLeavesCancelsNothing() {
        SimulatedWorld world = stage.world();
        SimulatedReplica leader = world.start();
        SimulatedCaller opener = world.arrive(leader, "a", PATIENCE);
        SimulatedCaller last = world.arrive(leader, "a", PATIENCE);
        SimulatedCaller follower = world.arrive(world.start(), "a", PATIENCE);
        world.pass(Duration.ofMillis(50));
        opener.leave();
        last.leave();
        world.pass(LEG);
        assertThat(leader.coalescer.waiting()).isZero();

        world.pass(Duration.ofSeconds(1));

        assertThat(opener.got).isEmpty();
        assertServed(follower);
        assertThat(world.tier.find("a")).isPresent();
        assertThat(world.origin.asked("a")).isEqualTo(1);
        assertAtRest(world);
    }

    @Test
    void overALimitACallerIsTurnedAwayAtOnce() {
        SimulatedWorld world = stage.world(Timing.of(LEASE, 5, 7));
        SimulatedReplica replica = world.start();
        List<SimulatedCaller> one = IntStream.range(0, 8).mapToObj(i -> world.arrive(replica, "a", PATIENCE)).toList();
        List<SimulatedCaller> two = IntStream.range(0, 8).mapToObj(i -> world.arrive(replica, "b", PATIENCE)).toList();
        world.pass(Duration.ofSeconds(1));

        assertThat(one).filteredOn(Stage::crowded).hasSize(3);
        assertThat(two).filteredOn(Stage::crowded).hasSize(6);
        assertThat(world.callers).filteredOn(Stage::crowded)
                .allSatisfy(caller -> assertThat(caller.took()).isZero());
        assertThat(world.callers).filteredOn(caller -> !crowded(caller)).allSatisfy(Stage::assertServed);
        assertAtRest(world);
    }

    @Test
    void whatWasFetchedOutsideAFlightIsPublishedInPlaceOfWhatWasSeenAndOfNothingElse() {
        SimulatedWorld world = stage.world();
        arrive(world, 2, 1);
        world.pass(Duration.ofSeconds(1));
        SimulatedReplica replica = world.replicas.getFirst();
        SharedTier.Seen<Page> seen = world.tier.find("a").orElseThrow();
        Page newer = new Page("a", Nature.SHARED, 2, 0, 99, world.now(),
                world.now() + Duration.ofSeconds(60).toNanos());
        List<SharedTier.Write<String, Page>> writes = List
                .of(new SharedTier.Write<>("a", newer, Duration.ofSeconds(60)));

        replica.coalescer.offer("a", "another", writes).subscribe();
        world.pass(Duration.ofSeconds(1));
        assertThat(world.tier.find("a")).contains(seen);
        assertThat(world.tier.holder("a")).isEmpty();

        replica.coalescer.offer("a", seen.version(), writes).subscribe();
        world.pass(Duration.ofSeconds(1));
        assertThat(world.tier.find("a").orElseThrow().value()).isEqualTo(newer);
        assertThat(world.tier.holder("a")).isEmpty();
        assertAtRest(world);
    }
}
