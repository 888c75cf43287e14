package dev.corral.coalesce;

import dev.corral.coalesce.Events.Reason;
import dev.corral.coalesce.Page.Nature;
import dev.corral.coalesce.SimulatedFleet.Fault;
import dev.corral.coalesce.SimulatedOrigin.Fetch;
import java.time.Duration;
import java.util.List;
import java.util.function.ToIntFunction;
import java.util.stream.Stream;

/** Holds a run of the fleet to the safety rules of the design. What is broken is written in the run's journal. */
final class Verdict {

    /** Nanoseconds within which all who wait hear of a landing, or have begun to wait, when nothing is lost. */
    private static final long NEWS = 20_000_000;

    /** More commands than this no replica needs in one second, for some tens of callers of three keys. */
    private static final int BUSIEST = 150;

    private final SimulatedFleet fleet;
    private final SimulatedWorld world;

    private Verdict(SimulatedFleet fleet) {
        this.fleet = fleet;
        this.world = fleet.world;
    }

    /** Runs the fleet and judges it. */
    static void on(SimulatedFleet fleet) {
        Verdict verdict = new Verdict(fleet);
        fleet.run();
        fleet.world.callers.forEach(verdict::judge);
        fleet.world.tier.countLapsed();
        verdict.judgeFetches();
        verdict.judgeSlowness();
        verdict.judgePace();
        verdict.judgeReleases();
        verdict.judgeRest();
        verdict.judgeHealth();
    }

    private void judge(SimulatedCaller caller) {
        if (!caller.broken.isEmpty()) {
            violated(caller, "is broken by " + caller.broken);
        }
        boolean mayMiss = caller.left || caller.arrivedAt < 0 || !caller.replica.process.alive();
        if (caller.got.size() > 1 || (caller.got.isEmpty() && !mayMiss)) {
            violated(caller, "got " + caller.got.size() + " answers");
        }
        if (fleet.calm()) {
            judgeFailures(caller);
        }
        if (caller.gaveUp && fleet.calm() && world.purges(caller.key) < 3) {
            violated(caller, "asked and asked in vain");
        }
        caller.got.forEach(page -> judge(caller, page));
    }

    private void judge(SimulatedCaller caller, Page page) {
        if (caller.took().compareTo(bound(caller)) > 0) {
            violated(caller, "waited " + caller.took() + ", longer than " + bound(caller));
        }
        boolean own = caller.fetches.contains(page.fetch());
        switch (page.nature()) {
            case SHARED -> judgePurge(caller, page);
            case BORN_STALE -> {
                judgePurge(caller, page);
                long stored = Math.max(page.landedAt(), world.tier.storedAt.getOrDefault(page.fetch(), 0L));
                if (!caller.servedStale && stored < caller.arrivedAt - grace().toNanos()) {
                    violated(caller, "got what was stale before it came: " + page);
                }
                if (fleet.calm() && !caller.servedStale && heard(page) < caller.arrivedAt && !boarded(caller, page)) {
                    violated(caller, "got what another had heard of before it came: " + page);
                }
            }
            case PRIVATE, PRIVATE_UNMARKED -> {
                judgePurge(caller, page);
                if (!own) {
                    violated(caller, "rule 3: got what is another's: " + page);
                }
            }
            case FAILURE -> {
                if (page.landedAt() < caller.arrivedAt - grace().toNanos()) {
                    violated(caller, "rule 5: is told of a failure before it came: " + page);
                }
            }
            case MARKER -> violated(caller, "got a marker");
            case CROWDED -> {
                if (fleet.timing.perKey() > 100) {
                    violated(caller, "rule 7: was turned away without need");
                }
            }
        }
        if (!page.key().equals(caller.key)) {
            violated(caller, "got the answer of another key: " + page);
        }
    }

    /** When somebody first got that page. */
    private long heard(Page page) {
        return readers(page).mapToLong(caller -> caller.endedAt).min().orElse(Long.MAX_VALUE);
    }

    /** Whether he came to a flight with one aboard who had waited, and which had not heard of the landing yet. */
    private boolean boarded(SimulatedCaller late, Page page) {
        return readers(page).anyMatch(caller -> caller.replica == late.replica && caller.arrivedAt < heard(page)
                && caller.endedAt >= late.arrivedAt);
    }

    private Stream<SimulatedCaller> readers(Page page) {
        return world.callers.stream()
                .filter(caller -> caller.got.stream().anyMatch(got -> got.fetch() == page.fetch()));
    }

    /** Who waits when a flight's fetch fails is told of it then, and once; nobody tries for him again. */
    private void judgeFailures(SimulatedCaller caller) {
        if (caller.failures.stream().distinct().count() < caller.failures.size()) {
            violated(caller, "rule 5: was told twice of " + caller.failures);
        }
        boolean waitedOn = caller.fetches.isEmpty() && caller.ended() && world.origin.fetches.stream()
                .anyMatch(
                        fetch -> fetch.inFlight && fetch.key.equals(caller.key)
                                && fetch.failedAt > caller.insistedAt + NEWS
                                && fetch.failedAt < caller.endedAt - NEWS);
        if (waitedOn) {
            violated(caller, "rule 5: waited on when a fetch had failed");
        }
    }

    private void judgePurge(SimulatedCaller caller, Page page) {
        int least = world.least(caller.key, caller.sentAt - fleet.mirrorLag.toNanos());
        if (page.content() < least) {
            violated(caller, "rule 1: got " + page + " after content " + least + " had been purged for");
        }
    }

    /** How late the news of an answer may reach those who join a flight that waits for it: they came after it landed. */
    private Duration grace() {
        Duration news = Duration.ofNanos(NEWS);
        return fleet.calm()
                ? news
                : news.plus(slowness().multipliedBy(4))
                        .plus(fleet.timing.poll())
                        .plus(fleet.timing.jitter())
                        .plus(longestPause());
    }

    /** The longest that a command waits for its reply, or to be known to have none. */
    private Duration slowness() {
        boolean unreachable = Stream.of(Fault.CUT, Fault.STALL, Fault.AWAY, Fault.FAILOVER)
                .anyMatch(fleet.faults::contains);
        Duration late = fleet.world.weather.latest.multipliedBy(2);
        Duration lost = fleet.faults.contains(Fault.LOST_COMMANDS) ? Duration.ofMillis(400) : Duration.ZERO;
        return late.plus(lost).plus(unreachable ? SimulatedConnection.SILENCE : Duration.ZERO);
    }

    private Duration longestPause() {
        return world.replicas.stream()
                .map(replica -> replica.pauses)
                .max(Duration::compareTo)
                .orElse(Duration.ZERO)
                .plus(fleet.faults.contains(Fault.STALL) ? Duration.ofSeconds(3) : Duration.ZERO)
                .plus(fleet.faults.contains(Fault.CLOCK_STEP) ? Duration.ofSeconds(6) : Duration.ZERO);
    }

    /**
     * Without faults: the fetch one waits for, the next one where that was fenced out by a purge or was another's alone, and the
     * own one. With faults: patience, then the fetch, as often as the caller asked.
     */
    private Duration bound(SimulatedCaller caller) {
        if (fleet.calm()) {
            return fleet.slowest.multipliedBy((caller.insists ? 6 : 3) + world.purges(caller.key)).plusMillis(60);
        }
        // The patience for the others, and for the write; the lease for what is said at the end.
        Duration round = fleet.patience.multipliedBy(2)
                .plus(fleet.timing.jitter())
                .plus(fleet.timing.lease())
                .plus(SimulatedOrigin.BUDGET);
        return round.multipliedBy(caller.outcomes.size()).plus(SimulatedOrigin.BUDGET).plus(caller.replica.pauses);
    }

    /**
     * A flight's fetch is in excess if another was under way or what it was for was there already, or if its answer was stored
     * nowhere. The lease is for that: without faults there is none, and each fault costs one at most.
     */
    private void judgeFetches() {
        long excess = world.origin.fetches.stream().filter(this::inExcess).count();
        long patienceLost = sum(replica -> replica.counts.times(Reason.IMPATIENT) + replica.counts.times(Reason.FULL));
        long faults = sum(replica -> replica.connection.unavailable) + patienceLost + world.tier.lapses
                + world.tier.fenced + world.tier.fullRefusals + (long) fleet.failovers * fleet.keys.size()
                + fleet.crashes + (fleet.faults.contains(Fault.SPLIT) ? sum(replica -> replica.counts.degraded) : 0);
        // A tier that serves is waited for, and leads one to each key.
        long allowed = fleet.soft() ? (fleet.patient ? 0 : patienceLost) : faults;
        if (excess > allowed) {
            world.journal.violated(excess + " fetches in excess, " + allowed + " faults: "
                    + world.origin.fetches.stream()
                            .filter(this::inExcess)
                            .map(fetch -> fetch.id)
                            .toList());
        }
    }

    private boolean inExcess(Fetch fetch) {
        boolean wasted = fetch.shareable && fetch.process.alive() && !world.tier.storedAt.containsKey(fetch.id);
        return fetch.inFlight && (fetch.needless || wasted);
    }

    /** While the tier serves nobody goes on without it, nor for want of patience if there is enough; and nobody waits for a lease. */
    private void judgeSlowness() {
        if (!fleet.soft()) {
            return;
        }
        int degraded = sum(replica -> replica.counts.degraded);
        int impatient = sum(replica -> replica.counts.times(Reason.IMPATIENT) + replica.counts.times(Reason.FULL));
        if (degraded > 0 || (fleet.patient && impatient > 0)) {
            world.journal.violated("the tier serves, but " + degraded + " flights went without it and " + impatient
                    + " lost their patience");
        }
        int lapsed = world.tier.lapses - world.tier.ghostLapses;
        if (lapsed > 0) {
            world.journal.violated(lapsed + " leases lapsed that were held by nobody, or not renewed in time");
        }
    }

    /** No loop without a pause. */
    private void judgePace() {
        for (SimulatedReplica replica : world.replicas) {
            if (replica.connection.busiest > BUSIEST) {
                world.journal.violated(replica.name + " sent " + replica.connection.busiest + " commands in a second");
            }
        }
    }

    /** Nobody is sent off unless a leader said so. */
    private void judgeReleases() {
        int reasons = sum(replica -> replica.counts.times(Reason.WITHHELD) + replica.counts.times(Reason.FULL))
                + world.tier.fullRefusals;
        boolean released = world.callers.stream()
                .flatMap(caller -> caller.outcomes.stream())
                .anyMatch(Outcome.Released.class::isInstance);
        if (released && reasons == 0) {
            world.journal.violated("rule 4: waiters were released without a reason");
        }
    }

    private void judgeRest() {
        for (SimulatedReplica replica : fleet.alive()) {
            int seen = replica.coalescer.flights().size();
            int left = replica.coalescer.inFlight() + seen + replica.coalescer.waiting() + replica.connection.openEars()
                    + replica.connection.openCalls() + replica.process.pending();
            if (left > 0) {
                world.journal.violated("at rest " + replica.name + " has " + replica.coalescer.inFlight() + " flights, "
                        + seen + " that operators see, " + replica.coalescer.waiting() + " waiting, "
                        + replica.connection.openEars() + " open latches, "
                        + replica.connection.openCalls() + " commands, "
                        + replica.process.pending() + " timers");
            }
            if (replica.counts.failures > 0) {
                world.journal.violated(replica.name + ": a step failed that must not");
            }
        }
    }

    /** Nothing is poisoned: everybody is served at once, and still each key is fetched once at most. */
    private void judgeHealth() {
        long before = flown();
        List<SimulatedCaller> probes = fleet.probe();
        for (SimulatedCaller probe : probes) {
            judge(probe);
            boolean served = probe.got.stream()
                    .allMatch(page -> page.nature() == Nature.SHARED
                            || page.nature() == Nature.CROWDED);
            if (!served || probe.took().compareTo(Duration.ofMillis(100)) > 0) {
                violated(probe, "is not served in a healthy fleet");
            }
        }
        if (flown() - before > fleet.keys.size()) {
            world.journal.violated("a healthy fleet fetched " + (flown() - before) + " times");
        }
        judgeRest();
    }

    private long flown() {
        return world.origin.fetches.stream().filter(fetch -> fetch.inFlight).count();
    }

    private int sum(ToIntFunction<SimulatedReplica> count) {
        return world.replicas.stream().mapToInt(count).sum();
    }

    private void violated(SimulatedCaller caller, String how) {
        world.journal.violated("caller " + caller.id + " of " + caller.key + " at " + caller.replica.name + " " + how);
    }
}
