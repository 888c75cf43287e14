package dev.corral.coalesce;

import dev.corral.coalesce.CoalescerListener.ReleaseReason;
import dev.corral.coalesce.FlightResult.Source;
import dev.corral.coalesce.SimulatedResponse.ResponseKind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;

/** Where the facts about the coalescer are shown: a world in which everything takes a known time. */
final class CoalescerFixture {

    static final Duration ONE_WAY = Duration.ofMillis(1);
    static final Duration LEASE = Duration.ofSeconds(2);
    static final Duration ORIGIN_LATENCY = Duration.ofMillis(120);
    static final Duration MAX_WAIT = Duration.ofSeconds(10);
    static final Duration JITTER = Duration.ofMillis(100);

    private final RandomGenerator random = new SplittableRandom(1);

    SimulatedWorld world() {
        return world(CoalescerLimits.of(LEASE, 1_000, 10_000));
    }

    SimulatedWorld world(CoalescerLimits timing) {
        return new SimulatedWorld(random, NetworkConditions.steady(random, ONE_WAY), timing, Duration.ofSeconds(60),
                Duration.ofSeconds(1), false);
    }

    /** Starts replicas, and has callers of "a" arrive at each of them. */
    static List<SimulatedCaller> arriveAtNewReplicas(SimulatedWorld world, int replicas, int callers) {
        List<SimulatedReplica> started = IntStream.range(0, replicas).mapToObj(i -> world.start()).toList();
        return started.stream()
                .flatMap(replica -> IntStream.range(0, callers)
                        .mapToObj(i -> world.arrive(replica, "a", MAX_WAIT)))
                .toList();
    }

    /** Has callers of "a" arrive at each replica there is. */
    static List<SimulatedCaller> arriveAtEachReplica(SimulatedWorld world, int callers) {
        return List.copyOf(world.replicas)
                .stream()
                .flatMap(replica -> IntStream.range(0, callers)
                        .mapToObj(i -> world.arrive(replica, "a", MAX_WAIT)))
                .toList();
    }

    static FillRequest<String, SimulatedResponse> withFill(SimulatedCaller ask,
            Mono<FillResult<String, SimulatedResponse>> fill) {
        return new FillRequest<>() {
            @Override
            public String key() {
                return ask.key();
            }

            @Override
            public boolean isUsable(SimulatedResponse value, boolean awaited) {
                return ask.isUsable(value, awaited);
            }

            @Override
            public Mono<FillResult<String, SimulatedResponse>> fill(Optional<SimulatedResponse> seen, long position) {
                return fill;
            }

            @Override
            public Duration maxWait() {
                return ask.maxWait();
            }
        };
    }

    static boolean isRejected(SimulatedCaller caller) {
        return caller.received.stream().anyMatch(page -> page.kind() == ResponseKind.REJECTED);
    }

    static int releaseCount(SimulatedWorld world, ReleaseReason reason) {
        return world.replicas.stream().mapToInt(replica -> replica.counters.releaseCount(reason)).sum();
    }

    static List<FlightResult.Value<SimulatedResponse>> values(List<SimulatedCaller> callers) {
        List<FlightResult.Value<SimulatedResponse>> landings = new ArrayList<>();
        callers.forEach(caller -> caller.outcomes.forEach(outcome -> {
            if (outcome instanceof FlightResult.Value<SimulatedResponse> landed) {
                landings.add(landed);
            }
        }));
        return landings;
    }

    static List<Source> sources(List<SimulatedCaller> callers) {
        return values(callers).stream().map(FlightResult.Value::source).toList();
    }

    static void assertServed(SimulatedCaller caller) {
        assertThat(caller.errors).isEmpty();
        assertThat(caller.received).hasSize(1)
                .extracting(SimulatedResponse::kind)
                .isSubsetOf(ResponseKind.SHARED, ResponseKind.BORN_STALE);
    }

    static void assertIdle(SimulatedWorld world) {
        world.advance(Duration.ofMinutes(1));
        assertThat(world.replicas).filteredOn(replica -> replica.process.isAlive()).allSatisfy(replica -> {
            assertThat(replica.coalescer.flightCount()).as("flights in the air").isZero();
            assertThat(replica.coalescer.flights()).as("flights that operators see").isEmpty();
            assertThat(replica.coalescer.waiterCount()).as("waiting").isZero();
            assertThat(replica.connection.openSubscriptions()).as("open latches").isZero();
            assertThat(replica.process.pendingCount()).as("pending timers").isZero();
        });
    }
}
