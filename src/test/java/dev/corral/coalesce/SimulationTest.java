package dev.corral.coalesce;

import dev.corral.coalesce.CoalescerListener.ReleaseReason;
import dev.corral.coalesce.SimulatedResponse.ResponseKind;
import dev.corral.coalesce.SimulatedTier.TierFlaw;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

/**
 * Thousands of fleets, each from one seed. {@code -Dcorral.seed=N} runs only that one and prints all that happened in it;
 * {@code -Dcorral.seeds=N} runs that many.
 */
@Timeout(600)
class SimulationTest {

    private static final long SEEDS = Long.getLong("corral.seeds", 15_000);

    @Test
    void noSimulatedFleetViolatesASafetyRule() {
        Map<String, LongAdder> reached = new ConcurrentHashMap<>();
        LongStream seeds = isReplay() ? LongStream.of(Long.getLong("corral.seed", 0)) : LongStream.range(0, SEEDS);

        List<Long> broken = seeds.parallel().filter(seed -> {
            SimulatedFleet fleet = simulate(seed, false, sound -> {});
            countStates(fleet, reached);
            return !fleet.world.log.violations().isEmpty();
        }).boxed().toList();

        if (isReplay()) {
            System.out.println(trace(Long.getLong("corral.seed", 0)));
        }
        if (!broken.isEmpty()) {
            fail("%d seeds broke a rule: %s; -Dcorral.seed=%d replays the first:%n%s", broken.size(), broken,
                    broken.getFirst(), trace(broken.getFirst()));
        }
        if (!isReplay()) {
            // What is never reached is never tested.
            assertThat(reached).allSatisfy((state, times) -> assertThat(times.sum()).as(state).isPositive());
        }
    }

    @Test
    void seedReplaysExactly() {
        LongStream.range(0, 20).forEach(seed -> assertThat(trace(seed)).isEqualTo(trace(seed)).contains("probing"));
    }

    @ParameterizedTest
    @CsvSource({
            "UNFENCED, rule 2", "BLIND, fetches in excess", "FORGETFUL, fetches in excess"})
    void flawInTheTierIsDetected(TierFlaw flaw, String rule) {
        assertThat(isDetected(rule, fleet -> fleet.world.tier.flaws.add(flaw))).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
            "OPENS_BY_SLOWNESS, fetches in excess", "UNCLEAN, held by nobody", "UNCLEAN_RETRIES, held by nobody",
            "LEASE_ENDS_BEFORE_PUBLISH, fetches in excess"})
    void flawInTheConnectionIsDetected(SimulatedConnection.ConnectionFlaw flaw, String rule) {
        assertThat(isDetected(rule, fleet -> fleet.world.flaws.add(flaw))).isTrue();
    }

    @Test
    void purgePositionReadAfterTheFetchIsDetected() {
        assertThat(isDetected("rule 1", fleet -> fleet.world.readsPositionAfterFetch = true)).isTrue();
    }

    /** Whether any of the first seeds shows the flaw for what it is. */
    private static boolean isDetected(String rule, Consumer<SimulatedFleet> flaw) {
        return LongStream.range(0, 4_000)
                .parallel()
                .anyMatch(seed -> simulate(seed, false, flaw).world.log.violations()
                        .stream()
                        .anyMatch(violation -> violation.contains(rule)));
    }

    private static SimulatedFleet simulate(long seed, boolean traced, Consumer<SimulatedFleet> flaw) {
        SimulatedFleet fleet = new SimulatedFleet(seed, traced);
        flaw.accept(fleet);
        SafetyRuleChecker.runAndCheck(fleet);
        return fleet;
    }

    private static boolean isReplay() {
        return Long.getLong("corral.seed") != null;
    }

    private static String trace(long seed) {
        SimulationLog journal = simulate(seed, true, sound -> {}).world.log;
        return String.join("\n", journal.violations()) + "\n\n" + String.join("\n", journal.lines());
    }

    private static void countStates(SimulatedFleet fleet, Map<String, LongAdder> reached) {
        SimulatedWorld world = fleet.world;
        for (SimulatedReplica replica : world.replicas) {
            add(reached, "fills", replica.counters.filled);
            add(reached, "fenced", replica.counters.fenced);
            add(reached, "takeovers", replica.counters.tookOver);
            add(reached, "degraded", replica.counters.degraded);
            add(reached, "sent again", replica.connection.retryCount);
            add(reached, "attempts given up", replica.connection.abandonedAttempts);
            for (ReleaseReason reason : ReleaseReason.values()) {
                add(reached, "released: " + reason, replica.counters.releaseCount(reason));
            }
        }
        add(reached, "lapses", world.tier.expiredLeases);
        // A marker is for the edge, and no caller gets it.
        EnumSet.complementOf(EnumSet.of(ResponseKind.MARKER)).forEach(nature -> add(reached, "got " + nature, 0));
        for (SimulatedCaller caller : world.callers) {
            add(reached, "left", caller.disconnected ? 1 : 0);
            add(reached, "served stale", caller.servedStale ? 1 : 0);
            add(reached, "asked again", caller.outcomes.size() > 1 ? 1 : 0);
            add(reached, "offered", caller.offers);
            caller.received.forEach(page -> add(reached, "got " + page.kind(), 1));
        }
    }

    private static void add(Map<String, LongAdder> reached, String state, int times) {
        reached.computeIfAbsent(state, s -> new LongAdder()).add(times);
    }
}
