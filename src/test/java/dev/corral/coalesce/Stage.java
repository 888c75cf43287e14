package dev.corral.coalesce;

import dev.corral.coalesce.Events.Reason;
import dev.corral.coalesce.Outcome.Role;
import dev.corral.coalesce.Page.Nature;
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
final class Stage {

    static final Duration LEG = Duration.ofMillis(1);
    static final Duration LEASE = Duration.ofSeconds(2);
    static final Duration ORIGIN = Duration.ofMillis(120);
    static final Duration PATIENCE = Duration.ofSeconds(10);
    static final Duration JITTER = Duration.ofMillis(100);

    private final RandomGenerator random = new SplittableRandom(1);

    SimulatedWorld world() {
        return world(Timing.of(LEASE, 1_000, 10_000));
    }

    SimulatedWorld world(Timing timing) {
        return new SimulatedWorld(random, Weather.steady(random, LEG), timing, Duration.ofSeconds(60),
                Duration.ofSeconds(1), false);
    }

    /** Starts replicas, and has callers of "a" arrive at each of them. */
    static List<SimulatedCaller> arrive(SimulatedWorld world, int replicas, int callers) {
        List<SimulatedReplica> started = IntStream.range(0, replicas).mapToObj(i -> world.start()).toList();
        return started.stream()
                .flatMap(replica -> IntStream.range(0, callers)
                        .mapToObj(i -> world.arrive(replica, "a", PATIENCE)))
                .toList();
    }

    /** Has callers of "a" arrive at each replica there is. */
    static List<SimulatedCaller> arriveAt(SimulatedWorld world, int callers) {
        return List.copyOf(world.replicas)
                .stream()
                .flatMap(replica -> IntStream.range(0, callers)
                        .mapToObj(i -> world.arrive(replica, "a", PATIENCE)))
                .toList();
    }

    static Ask<String, Page> breaking(SimulatedCaller ask, Mono<Filled<String, Page>> fill) {
        return new Ask<>() {
            @Override
            public String key() {
                return ask.key();
            }

            @Override
            public boolean accepts(Page value, boolean awaited) {
                return ask.accepts(value, awaited);
            }

            @Override
            public Mono<Filled<String, Page>> fill(Optional<Page> seen, long position) {
                return fill;
            }

            @Override
            public Duration patience() {
                return ask.patience();
            }
        };
    }

    static boolean crowded(SimulatedCaller caller) {
        return caller.got.stream().anyMatch(page -> page.nature() == Nature.CROWDED);
    }

    static int released(SimulatedWorld world, Reason reason) {
        return world.replicas.stream().mapToInt(replica -> replica.counts.times(reason)).sum();
    }

    static List<Outcome.Landed<Page>> landings(List<SimulatedCaller> callers) {
        List<Outcome.Landed<Page>> landings = new ArrayList<>();
        callers.forEach(caller -> caller.outcomes.forEach(outcome -> {
            if (outcome instanceof Outcome.Landed<Page> landed) {
                landings.add(landed);
            }
        }));
        return landings;
    }

    static List<Role> roles(List<SimulatedCaller> callers) {
        return landings(callers).stream().map(Outcome.Landed::role).toList();
    }

    static void assertServed(SimulatedCaller caller) {
        assertThat(caller.broken).isEmpty();
        assertThat(caller.got).hasSize(1).extracting(Page::nature).isSubsetOf(Nature.SHARED, Nature.BORN_STALE);
    }

    static void assertAtRest(SimulatedWorld world) {
        world.pass(Duration.ofMinutes(1));
        assertThat(world.replicas).filteredOn(replica -> replica.process.alive()).allSatisfy(replica -> {
            assertThat(replica.coalescer.inFlight()).as("flights in the air").isZero();
            assertThat(replica.coalescer.flights()).as("flights that operators see").isEmpty();
            assertThat(replica.coalescer.waiting()).as("waiting").isZero();
            assertThat(replica.connection.openEars()).as("open latches").isZero();
            assertThat(replica.process.pending()).as("pending timers").isZero();
        });
    }
}
