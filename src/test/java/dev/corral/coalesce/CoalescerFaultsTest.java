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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Mono;

import static dev.corral.coalesce.CoalescerFixture.JITTER;
import static dev.corral.coalesce.CoalescerFixture.LEASE;
import static dev.corral.coalesce.CoalescerFixture.MAX_WAIT;
import static dev.corral.coalesce.CoalescerFixture.ONE_WAY;
import static dev.corral.coalesce.CoalescerFixture.ORIGIN_LATENCY;
import static dev.corral.coalesce.CoalescerFixture.arriveAtEachReplica;
import static dev.corral.coalesce.CoalescerFixture.arriveAtNewReplicas;
import static dev.corral.coalesce.CoalescerFixture.assertIdle;
import static dev.corral.coalesce.CoalescerFixture.assertServed;
import static dev.corral.coalesce.CoalescerFixture.releaseCount;
import static dev.corral.coalesce.CoalescerFixture.sources;
import static dev.corral.coalesce.CoalescerFixture.withFill;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

/**
 * The coalescer's promises for when something goes wrong, one by one: only what the test says does, at the moment it says.
 */
@Timeout(30)
class CoalescerFaultsTest {

    private final CoalescerFixture fixture = new CoalescerFixture();

    @Test
    void killedLeaderDelaysFollowersNoLongerThanItsLease() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 10);
        world.advance(Duration.ofMillis(50));

        leader.process.kill();
        world.advance(Duration.ofSeconds(5));

        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(others).hasSize(20).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration())
                    .isLessThan(LEASE.plus(JITTER).plus(ORIGIN_LATENCY).plus(ONE_WAY.multipliedBy(20)));
        });
        assertThat(world.replicas).extracting(replica -> replica.counters.tookOver).contains(1);
        assertIdle(world);
    }

    /** Public behavior 3. */
    @Test
    void leaderPausedPastItsLeaseIsFencedAndServesItsCallers() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        List<SimulatedCaller> own = List.of(world.arrive(leader, "a", MAX_WAIT), world.arrive(leader, "a", MAX_WAIT));
        world.advance(Duration.ofMillis(50));
        leader.process.pause();
        world.advance(Duration.ofMillis(100));
        world.origin.changeContent("a");
        SimulatedCaller other = world.arrive(world.start(), "a", MAX_WAIT);
        world.advance(Duration.ofSeconds(3));
        assertThat(other.received).extracting(SimulatedResponse::content).containsExactly(2);

        leader.process.resume();
        world.advance(Duration.ofSeconds(1));

        assertThat(own).allSatisfy(
                caller -> assertThat(caller.received).extracting(SimulatedResponse::content).containsExactly(1));
        assertThat(leader.counters.fenced).isEqualTo(1);
        assertThat(world.tier.find("a").orElseThrow().value().content()).isEqualTo(2);
        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(world.log.violations()).isEmpty();
        assertIdle(world);
    }

    @Test
    void lostNotificationsCauseOneFetchAndOnlyPollDelay() {
        SimulatedWorld world = fixture.world();
        world.network.notificationLossProbability = 1;
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 3, 10);

        world.advance(Duration.ofSeconds(3));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(callers).hasSize(30).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration()).isLessThan(Duration.ofSeconds(1).plus(JITTER).plus(ONE_WAY.multipliedBy(10)));
        });
        assertIdle(world);
    }

    @Test
    void notificationThatOvertakesTheReadReplyIsReceived() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        SimulatedReplica follower = world.start();
        world.arrive(leader, "a", MAX_WAIT);
        // Its look registers at 126 ms, the publish rings at 127, and the reply to the look comes at 157.
        world.advance(Duration.ofMillis(121));
        follower.connection.replyDelays.put(TierCommand.FOLLOW, Duration.ofMillis(30));
        SimulatedCaller late = world.arrive(follower, "a", MAX_WAIT);

        world.advance(Duration.ofSeconds(2));

        assertServed(late);
        assertThat(late.duration()).isLessThan(Duration.ofMillis(80));
        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
    }

    /** Public behaviors 2 and 17. */
    @Test
    void followerPastMaxWaitFetchesAloneAndDoesNotStore() {
        SimulatedWorld world = fixture.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED,
                fetches.incrementAndGet() == 1 ? Duration.ofSeconds(4) : ORIGIN_LATENCY);
        Duration patience = Duration.ofMillis(500);
        SimulatedReplica leader = world.start();
        SimulatedReplica follower = world.start();
        world.arrive(leader, "a", patience);
        world.advance(Duration.ofMillis(10));
        List<SimulatedCaller> impatient = List.of(world.arrive(follower, "a", patience),
                world.arrive(follower, "a", patience));
        world.advance(Duration.ofSeconds(1));

        assertThat(fetches).hasValue(2);
        assertThat(sources(impatient)).containsExactly(Source.WITHOUT_LEASE, Source.WITHOUT_LEASE);
        assertThat(impatient).allSatisfy(caller -> assertThat(caller.duration())
                .isCloseTo(patience.plus(ORIGIN_LATENCY), Duration.ofMillis(10)));
        assertThat(releaseCount(world, ReleaseReason.WAIT_TIMEOUT)).isEqualTo(1);
        assertThat(world.tier.find("a")).isEmpty();

        world.arrive(follower, "a", patience);
        world.advance(Duration.ofSeconds(5));

        assertThat(fetches).hasValue(3);
        assertThat(leader.counters.filled).isEqualTo(1);
        assertIdle(world);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void unavailableTierCausesOneFetchPerReplica(boolean refuses) {
        SimulatedWorld world = fixture.world();
        world.tier.becomeUnavailable(refuses);
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 3, 10);
        world.advance(Duration.ofSeconds(2));

        assertThat(world.origin.fetchCount("a")).isEqualTo(3);
        assertThat(sources(callers)).containsOnly(Source.WITHOUT_LEASE);
        assertThat(callers).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration())
                    .isLessThanOrEqualTo(
                            refuses ? ORIGIN_LATENCY : SimulatedConnection.SILENCE_TIMEOUT.plus(ORIGIN_LATENCY));
        });
        assertThat(world.replicas).allSatisfy(replica -> assertThat(replica.counters.degraded).isEqualTo(1));

        List<SimulatedCaller> later = arriveAtEachReplica(world, 10);
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("a")).isEqualTo(3);
        assertThat(later).allSatisfy(CoalescerFixture::assertServed);
        assertIdle(world);
    }

    @Test
    void tierLostAfterLeaseAcquisitionReleasesTheLease() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        leader.connection.refusedCommands.add(TierCommand.STAND);
        SimulatedCaller own = world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);

        world.advance(Duration.ofSeconds(5));

        assertServed(own);
        assertThat(own.duration()).isLessThanOrEqualTo(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(4)));
        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration()).isLessThan(Duration.ofMillis(500));
        });
        assertIdle(world);
    }

    @Test
    void failureOfAFlightWithoutTierIsNotRemembered() {
        SimulatedWorld world = fixture.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replyFor = key -> new OriginReply(
                fetches.incrementAndGet() == 1 ? ResponseKind.FAILURE : ResponseKind.SHARED,
                ORIGIN_LATENCY);
        SimulatedReplica replica = world.start();
        replica.connection.refusedCommands.add(TierCommand.STAND);
        replica.connection.refusedCommands.add(TierCommand.RELEASE);
        SimulatedCaller ask = new SimulatedCaller(1, replica, "a", MAX_WAIT);
        List<FlightResult<SimulatedResponse>> second = new ArrayList<>();

        replica.coalescer.join(ask).flatMap(failed -> replica.coalescer.join(ask)).subscribe(second::add);
        world.advance(Duration.ofSeconds(10));

        assertThat(second).hasSize(1).allMatch(outcome -> outcome instanceof FlightResult.Value);
        assertIdle(world);
    }

    @Test
    void tierLostAtPublishDelaysOtherReplicasOnly() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        leader.connection.refusedCommands.add(TierCommand.PUBLISH);
        SimulatedCaller own = world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);
        world.advance(Duration.ofMillis(500));
        SimulatedCaller later = world.arrive(leader, "a", MAX_WAIT);

        world.advance(Duration.ofSeconds(5));

        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(own.duration()).isEqualTo(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(6)));
        assertThat(later.duration()).isZero();
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration())
                    .isLessThan(LEASE.plus(JITTER).plus(ORIGIN_LATENCY).plus(ONE_WAY.multipliedBy(20)));
        });
        assertIdle(world);
    }

    @Test
    void publishWithLostReplyTakesEffect() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        leader.connection.commandsWithLostReply.add(TierCommand.PUBLISH);
        world.arrive(leader, "a", MAX_WAIT);
        arriveAtNewReplicas(world, 2, 5);

        world.advance(Duration.ofSeconds(5));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(world.callers).allSatisfy(CoalescerFixture::assertServed);
        assertIdle(world);
    }

    @Test
    void fullTierReleasesAllWaitersInParallel() {
        SimulatedWorld world = fixture.world();
        world.tier.full = true;
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 3, 10);

        world.advance(Duration.ofSeconds(2));

        assertThat(callers).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration()).isLessThan(ORIGIN_LATENCY.multipliedBy(2).plus(ONE_WAY.multipliedBy(12)));
        });
        assertThat(releaseCount(world, ReleaseReason.OUT_OF_MEMORY)).isEqualTo(1);
        assertThat(releaseCount(world, ReleaseReason.NOT_SHAREABLE_REMOTE)).isEqualTo(2);
        assertIdle(world);
    }

    @Test
    void longFetchRenewsItsLeaseEveryThirdOfTheTtl() {
        SimulatedWorld world = fixture.world(CoalescerLimits.of(Duration.ofMillis(300), 1_000, 10_000));
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED, Duration.ofSeconds(4));
        List<SimulatedCaller> callers = arriveAtNewReplicas(world, 3, 5);

        world.advance(Duration.ofSeconds(5));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(callers).allSatisfy(CoalescerFixture::assertServed);
        assertThat(world.tier.renewalCount).isCloseTo(39, within(1));
        assertThat(world.tier.expiredLeases).isZero();
        assertIdle(world);
    }

    @Test
    void renewalWithoutReplyIsRetried() {
        SimulatedWorld world = fixture.world(CoalescerLimits.of(Duration.ofMillis(600), 1_000, 10_000));
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED, Duration.ofSeconds(3));
        SimulatedReplica leader = world.start();
        world.arrive(leader, "a", MAX_WAIT);
        arriveAtNewReplicas(world, 2, 5);
        world.advance(Duration.ofMillis(100));
        for (int i = 0; i < 6; i++) {
            leader.connection.lostCommands.add(TierCommand.RENEW);
            world.advance(Duration.ofMillis(200));
            leader.connection.lostCommands.clear();
            world.advance(Duration.ofMillis(200));
        }

        world.advance(Duration.ofSeconds(2));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(world.tier.expiredLeases).isZero();
        assertIdle(world);
    }

    @Test
    void leaseIsNotRenewedAfterTheFetch() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        leader.connection.refusedCommands.add(TierCommand.PUBLISH);
        world.arrive(leader, "a", MAX_WAIT);

        world.advance(Duration.ofSeconds(10));

        assertThat(world.tier.renewalCount).isZero();
        assertThat(world.tier.holder("a")).isEmpty();
        assertIdle(world);
    }

    /** Public behavior 16. */
    @Test
    void fillThatThrowsFailsItsCallersAndReleasesTheLease() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        SimulatedCaller asks = new SimulatedCaller(1, leader, "a", MAX_WAIT);
        List<Throwable> broken = new ArrayList<>();
        FillRequest<String, SimulatedResponse> breaking = withFill(asks, Mono.delay(ORIGIN_LATENCY, leader.process)
                .then(Mono.error(new IllegalStateException("broken"))));
        leader.coalescer.join(breaking).subscribe(outcome -> {}, broken::add);
        SimulatedCaller other = world.arrive(world.start(), "a", MAX_WAIT);

        world.advance(Duration.ofSeconds(5));

        assertThat(broken).singleElement().isInstanceOf(IllegalStateException.class);
        assertServed(other);
        assertThat(other.duration()).isLessThan(Duration.ofSeconds(1));
        assertIdle(world);
    }

    @Test
    void everyFollowerWaitIsCounted() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        world.arrive(leader, "a", MAX_WAIT);
        SimulatedReplica successor = world.start();
        world.arrive(successor, "a", MAX_WAIT);
        world.advance(Duration.ofMillis(50));

        leader.process.kill();
        world.advance(Duration.ofSeconds(5));

        assertThat(successor.counters.tookOver).isEqualTo(1);
        assertThat(successor.counters.waits).hasSize(1);
        assertThat(successor.counters.waits.getFirst()).isBetween(Duration.ofMillis(1_900), LEASE.plus(JITTER));
    }

    @Test
    void leaderThatLostItsLeaseStillServesItsCallers() {
        SimulatedWorld world = fixture.world();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED, Duration.ofSeconds(3));
        SimulatedReplica leader = world.start();
        List<SimulatedCaller> own = List.of(world.arrive(leader, "a", MAX_WAIT), world.arrive(leader, "a", MAX_WAIT));
        world.advance(Duration.ofMillis(500));

        world.tier.stepClock(LEASE);
        world.advance(Duration.ofSeconds(5));

        assertThat(own).allSatisfy(CoalescerFixture::assertServed);
        assertThat(world.tier.renewalCount).isZero();
        assertThat(leader.counters.fenced).isEqualTo(1);
        assertIdle(world);
    }

    @Test
    void failureIsWrittenToTheTierBeforeItIsEmitted() {
        SimulatedWorld world = fixture.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replyFor = key -> new OriginReply(
                fetches.incrementAndGet() == 1 ? ResponseKind.FAILURE : ResponseKind.SHARED,
                ORIGIN_LATENCY);
        SimulatedReplica replica = world.start();
        replica.connection.requestDelays.put(TierCommand.FAIL, Duration.ofMillis(30));
        SimulatedCaller ask = new SimulatedCaller(1, replica, "a", MAX_WAIT);
        List<FlightResult<SimulatedResponse>> second = new ArrayList<>();

        replica.coalescer.join(ask).flatMap(failed -> replica.coalescer.join(ask)).subscribe(second::add);
        world.advance(Duration.ofSeconds(1));

        assertThat(second).hasSize(1).allMatch(outcome -> outcome instanceof FlightResult.Value);
        assertIdle(world);
    }

    @Test
    void replicaThatReleasesItsLeasesIsSucceededAtOnce() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        SimulatedCaller own = world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);
        world.advance(Duration.ofMillis(50));

        leader.coalescer.releaseAllLeases().subscribe();
        world.advance(Duration.ofSeconds(1));

        assertServed(own);
        assertThat(own.duration()).isLessThan(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(10)));
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration()).isLessThan(Duration.ofMillis(200));
        });
        assertThat(world.origin.fetchCount("a")).isEqualTo(2);
        assertThat(leader.counters.fenced).isEqualTo(1);
        assertIdle(world);
        leader.coalescer.releaseAllLeases().subscribe();
        world.advance(Duration.ofSeconds(1));
        assertThat(leader.connection.sentCount(TierCommand.RELEASE)).isEqualTo(1);
    }

    /** Slow is not down. */
    @ParameterizedTest
    @EnumSource(value = TierCommand.class, names = {"FIND", "TRY_LEAD", "STAND", "LOOK", "FOLLOW", "PUBLISH", "RENEW"})
    void lateCommandIsAwaitedWithoutUncoalescedFetch(TierCommand late) {
        SimulatedWorld world = fixture.world();
        List<SimulatedReplica> replicas = List.of(world.start(), world.start(), world.start());
        replicas.forEach(replica -> {
            replica.connection.requestDelays.put(late, Duration.ofMillis(700));
            replica.connection.replyDelays.put(late, Duration.ofMillis(600));
        });
        List<SimulatedCaller> callers = arriveAtEachReplica(world, 10);

        world.advance(Duration.ofSeconds(9));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(callers).hasSize(30).allSatisfy(CoalescerFixture::assertServed);
        assertThat(replicas).allSatisfy(replica -> assertThat(replica.counters.degraded).isZero());
        assertThat(world.tier.expiredLeases).isZero();
        assertIdle(world);
    }

    @Test
    void renewalDoesNotAwaitThePreviousReply() {
        SimulatedWorld world = fixture.world(CoalescerLimits.of(Duration.ofMillis(600), 1_000, 10_000));
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED, Duration.ofSeconds(4));
        SimulatedReplica leader = world.start();
        leader.connection.replyDelays.put(TierCommand.RENEW, Duration.ofSeconds(2));
        world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);

        world.advance(Duration.ofSeconds(6));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(others).allSatisfy(CoalescerFixture::assertServed);
        assertThat(world.tier.fencedCount).isZero();
        assertIdle(world);
    }

    @ParameterizedTest
    @EnumSource(value = TierCommand.class, names = {"STAND", "LOOK", "PUBLISH"})
    void leaseIsHeldFromTheAttemptToTheEndOfTheWrite(TierCommand slow) {
        SimulatedWorld world = fixture.world(CoalescerLimits.of(Duration.ofMillis(600), 1_000, 10_000));
        SimulatedReplica leader = world.start();
        leader.connection.requestDelays.put(slow, Duration.ofSeconds(3));
        leader.connection.replyDelays.put(slow, Duration.ofSeconds(3));
        world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);

        world.advance(Duration.ofSeconds(9));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(others).allSatisfy(CoalescerFixture::assertServed);
        assertThat(world.tier.find("a")).isPresent();
        assertThat(world.tier.expiredLeases).isZero();
        assertIdle(world);
    }

    @Test
    void leaseWithLateGrantIsRenewedAtOnce() {
        SimulatedWorld world = fixture.world(CoalescerLimits.of(Duration.ofMillis(600), 1_000, 10_000));
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED, Duration.ofSeconds(2));
        SimulatedReplica leader = world.start();
        leader.connection.replyDelays.put(TierCommand.TRY_LEAD, Duration.ofMillis(500));
        world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);

        world.advance(Duration.ofSeconds(5));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(others).allSatisfy(CoalescerFixture::assertServed);
        assertThat(world.tier.expiredLeases).isZero();
        assertIdle(world);
    }

    @Test
    void flightWithoutTierReleasesItsLeaseBeforeFetching() {
        SimulatedWorld world = fixture.world();
        AtomicInteger fetches = new AtomicInteger();
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED,
                fetches.incrementAndGet() == 1 ? Duration.ofSeconds(4) : ORIGIN_LATENCY);
        SimulatedReplica leader = world.start();
        leader.connection.refusedCommands.add(TierCommand.STAND);
        world.arrive(leader, "a", MAX_WAIT);
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);

        world.advance(Duration.ofSeconds(5));

        assertThat(fetches).hasValue(2);
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration()).isLessThan(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(20)));
        });
        assertIdle(world);
    }

    @Test
    void leaderPastMaxWaitFetchesForAllFollowers() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica leader = world.start();
        leader.connection.replyDelays.put(TierCommand.LOOK, Duration.ofSeconds(3));
        SimulatedCaller impatient = world.arrive(leader, "a", Duration.ofMillis(500));
        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);

        world.advance(Duration.ofSeconds(5));

        assertThat(world.origin.fetchCount("a")).isEqualTo(1);
        assertThat(impatient.duration())
                .isLessThan(Duration.ofMillis(500).plus(ORIGIN_LATENCY).plus(ONE_WAY.multipliedBy(6)));
        assertThat(others).allSatisfy(CoalescerFixture::assertServed);
        assertIdle(world);
    }

    @Test
    void abandonedAttemptThatIsGrantedLateIsReleased() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica slow = world.start();
        slow.connection.requestDelays.put(TierCommand.TRY_LEAD, Duration.ofSeconds(1));
        world.arrive(slow, "a", Duration.ofMillis(500));
        world.advance(Duration.ofMillis(1_010));

        List<SimulatedCaller> others = arriveAtNewReplicas(world, 2, 5);
        world.advance(Duration.ofSeconds(1));

        assertThat(slow.connection.abandonedAttempts).isEqualTo(1);
        assertThat(others).allSatisfy(caller -> {
            assertServed(caller);
            assertThat(caller.duration()).isLessThan(ORIGIN_LATENCY.plus(ONE_WAY.multipliedBy(20)));
        });
        assertIdle(world);
    }

    @Test
    void abandonedOfferReleasesItsLease() {
        SimulatedWorld world = fixture.world();
        SimulatedReplica replica = world.start();
        replica.connection.replyDelays.put(TierCommand.LOOK, Duration.ofSeconds(5));
        List<Boolean> stored = new ArrayList<>();

        replica.coalescer.tryPublish("a", "none", List.of()).subscribe(stored::add);
        world.advance(Duration.ofMillis(100));
        assertThat(world.tier.holder("a")).isPresent();
        world.advance(LEASE.dividedBy(2));

        assertThat(stored).containsExactly(false);
        assertThat(world.tier.holder("a")).isEmpty();
        assertIdle(world);
        assertThat(world.tier.expiredLeases).isZero();
    }

    /** Two views of one state that are not the same: no wait for a lock that the values' side does not see, and no loop. */
    @Test
    void locksOnAnotherServerThanValuesCauseOneFetchPerReplica() {
        SimulatedWorld world = fixture.world();
        List<SimulatedReplica> replicas = List.of(world.start(), world.start(), world.start());
        replicas.forEach(replica -> replica.connection.lockTier = world.otherTier);
        List<SimulatedCaller> callers = arriveAtEachReplica(world, 10);

        world.advance(Duration.ofSeconds(3));

        assertThat(world.origin.fetchCount("a")).isEqualTo(3);
        assertThat(callers).hasSize(30).allSatisfy(caller -> {
            assertServed(caller);
            // Three pauses of 25, 50 and 100 ms, each by up to as much longer.
            assertThat(caller.duration()).isBetween(ORIGIN_LATENCY.plus(Duration.ofMillis(175)),
                    ORIGIN_LATENCY.plus(Duration.ofMillis(450)));
        });
        assertThat(replicas).allSatisfy(replica -> {
            assertThat(replica.counters.degraded).isEqualTo(1);
            assertThat(replica.connection.totalSentCount()).isLessThanOrEqualTo(25);
        });

        replicas.forEach(replica -> replica.connection.lockTier = world.tier);
        replicas.forEach(replica -> world.arrive(replica, "b", MAX_WAIT));
        world.advance(Duration.ofSeconds(1));

        assertThat(world.origin.fetchCount("b")).isEqualTo(1);
        assertIdle(world);
    }

    /** However many keys are asked for meanwhile. */
    @Test
    void locksOnAnotherServerThanValuesDoNotFloodTheTier() {
        SimulatedWorld world = fixture.world();
        List<SimulatedReplica> replicas = List.of(world.start(), world.start());
        replicas.forEach(replica -> replica.connection.lockTier = world.otherTier);
        int keys = 300;
        for (int i = 0; i < keys; i++) {
            String key = "k" + i;
            replicas.forEach(replica -> world.arrive(replica, key, MAX_WAIT));
            world.advance(Duration.ofMillis(33));
        }

        world.advance(Duration.ofSeconds(5));

        assertThat(world.callers).allSatisfy(CoalescerFixture::assertServed);
        assertThat(replicas).allSatisfy(replica -> {
            assertThat(replica.connection.totalSentCount()).isLessThanOrEqualTo(25 * keys);
            assertThat(replica.connection.maxCommandsPerSecond).isLessThanOrEqualTo(25 * 30);
        });
        assertIdle(world);
    }
}
