package dev.corral.coalesce;

import dev.corral.coalesce.Events.Reason;
import dev.corral.coalesce.Page.Nature;
import dev.corral.coalesce.SimulatedTier.Flaw;
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
    void noFleetBreaksARule() {
        Map<String, LongAdder> reached = new ConcurrentHashMap<>();
        LongStream seeds = replayed() ? LongStream.of(Long.getLong("corral.seed", 0)) : LongStream.range(0, SEEDS);

        List<Long> broken = seeds.parallel().filter(seed -> {
            SimulatedFleet fleet = run(seed, false, sound -> {});
            count(fleet, reached);
            return !fleet.world.journal.violations().isEmpty();
        }).boxed().toList();

        if (replayed()) {
            System.out.println(trace(Long.getLong("corral.seed", 0)));
        }
        if (!broken.isEmpty()) {
            fail("%d seeds broke a rule: %s; -Dcorral.seed=%d replays the first:%n%s", broken.size(), broken,
                    broken.getFirst(), trace(broken.getFirst()));
        }
        if (!replayed()) {
            // What is never reached is never tested.
            assertThat(reached).allSatisfy((state, times) -> assertThat(times.sum()).as(state).isPositive());
        }
    }

    @Test
    void aSeedReplaysExactly() {
        LongStream.range(0, 20).forEach(seed -> assertThat(trace(seed)).isEqualTo(trace(seed)).contains("probing"));
    }

    @ParameterizedTest
    @CsvSource({
            "UNFENCED, rule 2", "BLIND, fetches in excess", "FORGETFUL, fetches in excess"})
    void aFlawInTheTierIsFound(Flaw flaw, String rule) {
        assertThat(found(rule, fleet -> fleet.world.tier.flaws.add(flaw))).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
            "OPENS_BY_SLOWNESS, fetches in excess", "UNCLEAN, held by nobody", "UNCLEAN_RETRIES, held by nobody",
            "LEASE_ENDS_BEFORE_PUBLISH, fetches in excess"})
    void aFlawInTheWayToTheTierIsFound(SimulatedConnection.Flaw flaw, String rule) {
        assertThat(found(rule, fleet -> fleet.world.flaws.add(flaw))).isTrue();
    }

    @Test
    void aPositionReadAfterTheFetchIsFound() {
        assertThat(found("rule 1", fleet -> fleet.world.stampsLate = true)).isTrue();
    }

    /** Whether any of the first seeds shows the flaw for what it is. */
    private static boolean found(String rule, Consumer<SimulatedFleet> flaw) {
        return LongStream.range(0, 4_000)
                .parallel()
                .anyMatch(seed -> run(seed, false, flaw).world.journal.violations()
                        .stream()
                        .anyMatch(violation -> violation.contains(rule)));
    }

    private static SimulatedFleet run(long seed, boolean traced, Consumer<SimulatedFleet> flaw) {
        SimulatedFleet fleet = new SimulatedFleet(seed, traced);
        flaw.accept(fleet);
        Verdict.on(fleet);
        return fleet;
    }

    private static boolean replayed() {
        return Long.getLong("corral.seed") != null;
    }

    private static String trace(long seed) {
        Journal journal = run(seed, true, sound -> {}).world.journal;
        return String.join("\n", journal.violations()) + "\n\n" + String.join("\n", journal.lines());
    }

    private static void count(SimulatedFleet fleet, Map<String, LongAdder> reached) {
        SimulatedWorld world = fleet.world;
        for (SimulatedReplica replica : world.replicas) {
            add(reached, "fills", replica.counts.filled);
            add(reached, "fenced", replica.counts.fenced);
            add(reached, "takeovers", replica.counts.tookOver);
            add(reached, "degraded", replica.counts.degraded);
            add(reached, "sent again", replica.connection.retried);
            add(reached, "attempts given up", replica.connection.givenUp);
            for (Reason reason : Reason.values()) {
                add(reached, "released: " + reason, replica.counts.times(reason));
            }
        }
        add(reached, "lapses", world.tier.lapses);
        // A marker is for the edge, and no caller gets it.
        EnumSet.complementOf(EnumSet.of(Nature.MARKER)).forEach(nature -> add(reached, "got " + nature, 0));
        for (SimulatedCaller caller : world.callers) {
            add(reached, "left", caller.left ? 1 : 0);
            add(reached, "served stale", caller.servedStale ? 1 : 0);
            add(reached, "asked again", caller.outcomes.size() > 1 ? 1 : 0);
            add(reached, "offered", caller.offers);
            caller.got.forEach(page -> add(reached, "got " + page.nature(), 1));
        }
    }

    private static void add(Map<String, LongAdder> reached, String state, int times) {
        reached.computeIfAbsent(state, s -> new LongAdder()).add(times);
    }
}
