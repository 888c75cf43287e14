package dev.corral.coalesce;

import dev.corral.coalesce.CoalescerListener.ReleaseReason;
import dev.corral.coalesce.FlightResult.Source;
import dev.corral.coalesce.SimulatedConnection.TierCommand;
import dev.corral.coalesce.SimulatedOrigin.OriginReply;
import dev.corral.coalesce.SimulatedResponse.ResponseKind;
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

import static dev.corral.coalesce.CoalescerFixture.LEASE;
import static dev.corral.coalesce.CoalescerFixture.MAX_WAIT;
import static dev.corral.coalesce.CoalescerFixture.ONE_WAY;
import static dev.corral.coalesce.CoalescerFixture.ORIGIN_LATENCY;
import static dev.corral.coalesce.CoalescerFixture.arriveAtEachReplica;
import static dev.corral.coalesce.CoalescerFixture.arriveAtNewReplicas;
import static dev.corral.coalesce.CoalescerFixture.assertIdle;
import static dev.corral.coalesce.CoalescerFixture.assertServed;
import static dev.corral.coalesce.CoalescerFixture.isRejected;
import static dev.corral.coalesce.CoalescerFixture.releaseCount;
import static dev.corral.coalesce.CoalescerFixture.sources;
import static org.assertj.core.api.Assertions.assertThat;

/**
 * The coalescer's promises, one by one, while nothing goes wrong: in virtual time, where each way to the tier takes exactly a
 * millisecond and the origin 120.
 */
@Timeout(30)
class CoalescerTest {

    private final CoalescerFixture fixture = new CoalescerFixture();

    @Test
    void coldKeyIsFetchedOncePerFleet() {
        SimulatedWorld world = fixture.world();
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 4, 50);

        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(callers).hasSize(200).allSatisfy(caller -> {
            assertServed(caller);
            // Three round trips before the origin; one way to publish, one to ring, and one round trip to look.
            assertThat(caller.duration()).isLessThanOrEqualTo(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(10)));
        });
        assertThat(sources(callers)).containsOnly(Source.LEADER, Source.FOLLOWER);
        assertIdle(world);
    }

    @Test
    void storedValueIsServedWithoutAFetch() {
        SimulatedWorld world = fixture.world();
        arriveAtNewReplicas(world, 2, 1);
        world.advance(Duration.ofSeconds(1));

        List<SimulatedCaller> later = arriveAtEachReplica(world, 2);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(CoalescerFixture.values(later)).allSatisfy(landing -> {
            assertThat(landing.source()).isEqualTo(Source.FOUND);
            assertThat(landing.isStored()).isTrue();
        });
        assertThat(later)
                .allSatisfy(caller -> assertThat(caller.duration()).isLessThanOrEqualTo(ONE_WAY.multipliedBy(2)));
        assertIdle(world);
    }

    @Test
    void secondReadFindsAValuePublishedAfterTheFirst() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        SimulatedReplica other = world.start();
        world.arrive(leader, "a", MAX_WAIT);
        // The leader's publish takes effect 127 ms after: three round trips, the origin, one way.
        world.advance(Duration.ofMillis(125));

        SimulatedCaller late = world.arrive(other, "a", MAX_WAIT);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertServed(late);
        assertThat(sources(List.of(late))).containsExactly(Source.FOLLOWER);
        assertThat(late.duration()).isEqualTo(ONE_WAY.multipliedBy(6));
        assertThat(world.tier.holder("a")).isEmpty();
        assertIdle(world);
    }

    @Test
    void valueIsAlwaysInFlightOrStored() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        SimulatedReplica other = world.start();

        for (int arrival = 0; arrival < 300; arrival++) {
            world.arrive(leader, "a", MAX_WAIT);
            world.arrive(other, "a", MAX_WAIT);
            world.advance(Duration.ofMillis(1));
        }
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(world.callers).allSatisfy(CoalescerFixture::assertServed);
        assertIdle(world);
    }

    @Test
    void slowKeyDoesNotDelayAnotherKey() {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED,
                key.equals("slow") ? Duration.ofSeconds(4) : ORIGIN_LATENCY);
        SimulatedReplica one = world.start();
        SimulatedReplica two = world.start();
        SimulatedCaller slow = world.arrive(one, "slow", MAX_WAIT);
        world.advance(Duration.ofMillis(50));
        List<SimulatedCaller> quick = List.of(world.arrive(one, "b", MAX_WAIT), world.arrive(two, "b", MAX_WAIT));

        world.advance(Duration.ofSeconds(1));

        assertThat(quick).allSatisfy(caller -> assertThat(caller.duration()).isLessThan(Duration.ofMillis(135)));
        assertThat(slow.isEnded()).isFalse();
        world.advance(Duration.ofSeconds(4));
        assertServed(slow);
        assertIdle(world);
    }

    @Test
    void failureIsSharedButNotCached() {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.FAILURE, ORIGIN_LATENCY);
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 3, 10);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(callers).hasSize(30).allSatisfy(caller -> {
            assertThat(caller.received).extracting(SimulatedResponse::kind).containsExactly(ResponseKind.FAILURE);
            assertThat(caller.duration()).isLessThan(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(12)));
        });

        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED, ORIGIN_LATENCY);
        List<SimulatedCaller> later = arriveAtEachReplica(world, 3);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(later).allSatisfy(CoalescerFixture::assertServed);
        assertIdle(world);
    }

    @Test
    void immediateRetryAfterAFailureDoesNotGetItAgain() {
        SimulatedWorld world = fixture.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replyFor = key -> new OriginReply(
                fetches.incrementAndGet() == 1 ? ResponseKind.FAILURE : ResponseKind.SHARED,
                ORIGIN_LATENCY);
        List<FlightResult<SimulatedResponse>> second = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            SimulatedReplica replica = world.start();
            for (int j = 0; j < 5; j++) {
                SimulatedCaller ask = new SimulatedCaller(j, replica, "a", MAX_WAIT);
                replica.coalescer.join(ask).flatMap(failed -> replica.coalescer.join(ask)).subscribe(second::add);
            }
        }

        world.advance(Duration.ofSeconds(1));

        assertThat(fetches).hasValue(2);
        assertThat(second).hasSize(15).allMatch(outcome -> outcome instanceof FlightResult.Value);
        assertIdle(world);
    }

    @Test
    void failureCarriesThePreviousValue() {
        SimulatedWorld world = fixture.world();
        arriveAtNewReplicas(world, 2, 1);
        world.advance(world.origin.freshness.plusSeconds(1));
        world.origin.replyFor = key -> new OriginReply(ResponseKind.FAILURE, ORIGIN_LATENCY);

        List<SimulatedCaller> later = arriveAtEachReplica(world, 2);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(later).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.servedStale).isTrue();
        });
    }

    @ParameterizedTest
    @EnumSource(names = {"PRIVATE", "PRIVATE_UNMARKED"})
    void unshareableResponseReleasesAllWaitersInParallel(ResponseKind nature) {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(nature, ORIGIN_LATENCY);
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 3, 10);
        world.advance(Duration.ofSeconds(2));

        assertThat(world.origin.fetchCount("a")).isEqualTo(30);
        assertThat(callers).allSatisfy(caller -> {
            assertThat(caller.received).hasSize(1);
            assertThat(caller.duration()).isLessThan(ORIGIN_LATENCY.multipliedBy(2).plus(ONE_WAY.multipliedBy(12)));
        });
        assertThat(callers.stream().map(caller -> caller.received.getFirst().fetch()).distinct()).hasSize(30);
        assertThat(releaseCount(world, ReleaseReason.NOT_SHAREABLE)).isEqualTo(1);
        assertThat(releaseCount(world, ReleaseReason.NOT_SHAREABLE_REMOTE))
                .isEqualTo(nature == ResponseKind.PRIVATE ? 0 : 2);
        assertIdle(world);
    }

    @Test
    void hitForMissMarkerSavesLaterRequestsTheWait() {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.PRIVATE, ORIGIN_LATENCY);
        arriveAtNewReplicas(world, 3, 1);
        world.advance(Duration.ofSeconds(2));

        List<SimulatedCaller> later = arriveAtEachReplica(world, 5);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(3 + 15);
        assertThat(later)
                .allSatisfy(caller -> assertThat(caller.duration())
                        .isLessThanOrEqualTo(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(2))));
    }

    @Test
    void purgeFencesAnEarlierFillAndCostsOneMoreFetch() {
        SimulatedWorld world = fixture.world();
        List<SimulatedCaller> before = arriveAtNewReplicas(world, 3, 10);
        world.advance(Duration.ofMillis(100));
        world.origin.changeContent("a");

        assertThat(world.purge("a", Duration.ZERO)).isTrue();
        List<SimulatedCaller> after = arriveAtEachReplica(world, 10);
        world.advance(Duration.ofSeconds(2));

        assertThat(after).allSatisfy(
                caller -> assertThat(caller.received).extracting(SimulatedResponse::content).containsExactly(2));
        assertThat(before).allSatisfy(CoalescerFixture::assertServed);
        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertIdle(world);
    }

    @Test
    void valueThatIsStaleOnArrivalServesWaitersOnly() {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.BORN_STALE, ORIGIN_LATENCY);
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 3, 10);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(callers).allSatisfy(CoalescerFixture::assertServed);

        List<SimulatedCaller> later = arriveAtEachReplica(world, 10);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(later).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.received).extracting(SimulatedResponse::fetch).containsExactly(2);
        });
        assertIdle(world);
    }

    /** However long the write takes: else what was fetched before they asked would be given to them as to those who waited. */
    @Test
    void neverFreshValueIsNotReusedOnAnotherReplica() {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.BORN_STALE, ORIGIN_LATENCY);
        SimulatedReplica leader = world.start();
        SimulatedReplica other = world.start();
        leader.connection.requestDelays.put(TierCommand.PUBLISH, Duration.ofMillis(40));
        SimulatedCaller first = world.arrive(leader, "a", MAX_WAIT);
        while (!first.isEnded()) {
            world.advance(Duration.ofMillis(1));
        }

        List<SimulatedCaller> later = List.of(world.arrive(other, "a", MAX_WAIT), world.arrive(leader, "a", MAX_WAIT));
        world.advance(Duration.ofSeconds(1));

        assertThat(first.received).extracting(SimulatedResponse::fetch).containsExactly(1);
        assertThat(later).allSatisfy(
                caller -> assertThat(caller.received).extracting(SimulatedResponse::fetch).containsExactly(2));
        assertIdle(world);
    }

    /** The wait of a quarter of a second is for the truth of "stored"; it is not the price of a slow write. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void reusableResponseWaitsBrieflyForItsWrite(boolean slow) {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        if (slow) {
            leader.connection.replyDelays.put(TierCommand.PUBLISH, Duration.ofSeconds(3));
        }
        SimulatedCaller caller = world.arrive(leader, "a", MAX_WAIT);

        world.advance(Duration.ofSeconds(10));

        Duration most = ORIGIN_LATENCY.plus(Duration.ofMillis(slow ? 300 : 20));
        assertThat(caller.duration()).isLessThan(most);
        assertThat(caller.outcomes).allSatisfy(outcome -> assertThat(outcome)
                .isInstanceOfSatisfying(FlightResult.Value.class,
                        landed -> assertThat(landed.isStored()).isEqualTo(!slow)));
        assertIdle(world);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void valueStoredBeforeArrivalDoesNotServeAWaiter(boolean somebodyLeads) {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.BORN_STALE, ORIGIN_LATENCY);
        arriveAtNewReplicas(world, 3, 1);
        world.advance(Duration.ofMillis(300));
        SimulatedReplica behind = world.replicas.getLast();
        world.arrive(world.replicas.getFirst(), "a", MAX_WAIT);
        world.advance(Duration.ofMillis(300));
        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        if (somebodyLeads) {
            world.arrive(world.replicas.getFirst(), "a", MAX_WAIT);
            world.advance(Duration.ofMillis(50));
        }

        SimulatedCaller late = world.arrive(behind, "a", MAX_WAIT);
        world.advance(Duration.ofSeconds(1));

        assertThat(late.received).extracting(SimulatedResponse::fetch).containsExactly(3);
        assertIdle(world);
    }

    @Test
    void disconnectedCallerCancelsNothing() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        SimulatedCaller opener = world.arrive(leader, "a", MAX_WAIT);
        SimulatedCaller last = world.arrive(leader, "a", MAX_WAIT);
        SimulatedCaller follower = world.arrive(world.start(), "a", MAX_WAIT);
        world.advance(Duration.ofMillis(50));
        opener.disconnect();
        last.disconnect();
        world.advance(ONE_WAY);
        assertThat(leader.coalescer.waiterCount()).isZero();

        world.advance(Duration.ofSeconds(1));

        assertThat(opener.received).isEmpty();
        assertServed(follower);
        assertThat(world.tier.find("a")).isPresent();
        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertIdle(world);
    }

    @Test
    void callerOverTheWaiterLimitIsRejectedAtOnce() {
        SimulatedWorld world = fixture.world(CoalescerLimits.of(LEASE, 5, 7));
        SimulatedReplica replica = world.start();
        List<SimulatedCaller> one = IntStream.range(0, 8).mapToObj(i -> world.arrive(replica, "a", MAX_WAIT)).toList();
        List<SimulatedCaller> two = IntStream.range(0, 8).mapToObj(i -> world.arrive(replica, "b", MAX_WAIT)).toList();
        world.advance(Duration.ofSeconds(1));

        assertThat(one).filteredOn(CoalescerFixture::isRejected).hasSize(3);
        assertThat(two).filteredOn(CoalescerFixture::isRejected).hasSize(6);
        assertThat(world.callers).filteredOn(CoalescerFixture::isRejected)
                .allSatisfy(caller -> assertThat(caller.duration()).isZero());
        assertThat(world.callers).filteredOn(caller -> !isRejected(caller)).allSatisfy(CoalescerFixture::assertServed);
        assertIdle(world);
    }

    @Test
    void uncoalescedResponseReplacesOnlyTheVersionItSaw() {
        SimulatedWorld world = fixture.world();
        arriveAtNewReplicas(world, 2, 1);
        world.advance(Duration.ofSeconds(1));
        SimulatedReplica replica = world.replicas.getFirst();
        SharedTier.Versioned<SimulatedResponse> seen = world.tier.find("a").orElseThrow();
        SimulatedResponse newer = new SimulatedResponse("a", ResponseKind.SHARED, 2, 0, 99, world.now(),
                world.now() + Duration.ofSeconds(60).toNanos());
        List<SharedTier.Write<String, SimulatedResponse>> writes = List
                .of(new SharedTier.Write<>("a", newer, Duration.ofSeconds(60)));

        replica.coalescer.tryPublish("a", "another", writes).subscribe();
        world.advance(Duration.ofSeconds(1));
        assertThat(world.tier.find("a")).contains(seen);
        assertThat(world.tier.holder("a")).isEmpty();

        replica.coalescer.tryPublish("a", seen.version(), writes).subscribe();
        world.advance(Duration.ofSeconds(1));
        assertThat(world.tier.find("a").orElseThrow().value()).isEqualTo(newer);
        assertThat(world.tier.holder("a")).isEmpty();
        assertIdle(world);
    }
}
