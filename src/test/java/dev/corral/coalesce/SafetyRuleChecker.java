package dev.corral.coalesce;

import dev.corral.coalesce.CoalescerListener.ReleaseReason;
import dev.corral.coalesce.SimulatedFleet.SimulatedFault;
import dev.corral.coalesce.SimulatedOrigin.SimulatedFetch;
import dev.corral.coalesce.SimulatedResponse.ResponseKind;
import java.time.Duration;
import java.util.List;
import java.util.function.ToIntFunction;
import java.util.stream.Stream;

/** Holds a run of the fleet to the safety rules of the design. What is broken is written in the run's journal. */
final class SafetyRuleChecker {

    /** Nanoseconds within which all who wait hear of a landing, or have begun to wait, when nothing is lost. */
    private static final long DELIVERY_NANOS = 20_000_000;

    /** More commands than this no replica needs in one second, for some tens of callers of three keys. */
    private static final int MAX_COMMANDS_PER_SECOND = 150;

    private final SimulatedFleet fleet;
    private final SimulatedWorld world;

    private SafetyRuleChecker(SimulatedFleet fleet) {
        this.fleet = fleet;
        this.world = fleet.world;
    }

    /** Runs the fleet and judges it. */
    static void runAndCheck(SimulatedFleet fleet) {
        SafetyRuleChecker verdict = new SafetyRuleChecker(fleet);
        fleet.run();
        fleet.world.callers.forEach(verdict::checkCaller);
        fleet.world.tier.countExpiredLeases();
        verdict.checkFetches();
        verdict.checkServingTier();
        verdict.checkCommandRate();
        verdict.checkReleases();
        verdict.checkIdle();
        verdict.checkHealedFleet();
    }

    private void checkCaller(SimulatedCaller caller) {
        if (!caller.errors.isEmpty()) {
            recordViolation(caller, "is broken by " + caller.errors);
        }
        boolean mayMiss = caller.disconnected || caller.arrivedAt < 0 || !caller.replica.process.isAlive();
        if (caller.received.size() > 1 || (caller.received.isEmpty() && !mayMiss)) {
            recordViolation(caller, "got " + caller.received.size() + " answers");
        }
        if (fleet.isFaultFree()) {
            checkFailures(caller);
        }
        if (caller.gaveUp && fleet.isFaultFree() && world.purgeCount(caller.key) < 3) {
            recordViolation(caller, "asked and asked in vain");
        }
        caller.received.forEach(page -> checkCaller(caller, page));
    }

    private void checkCaller(SimulatedCaller caller, SimulatedResponse page) {
        if (caller.duration().compareTo(maxWait(caller)) > 0) {
            recordViolation(caller, "waited " + caller.duration() + ", longer than " + maxWait(caller));
        }
        boolean own = caller.fetches.contains(page.fetch());
        switch (page.kind()) {
            case SHARED -> checkPurge(caller, page);
            case BORN_STALE -> {
                checkPurge(caller, page);
                long stored = Math.max(page.receivedAt(), world.tier.storedAt.getOrDefault(page.fetch(), 0L));
                if (!caller.servedStale && stored < caller.arrivedAt - deliveryTolerance().toNanos()) {
                    recordViolation(caller, "got what was stale before it came: " + page);
                }
                if (fleet.isFaultFree() && !caller.servedStale && firstReceivedAt(page) < caller.arrivedAt
                        && !joinedOpenFlight(caller, page)) {
                    recordViolation(caller, "got what another had heard of before it came: " + page);
                }
            }
            case PRIVATE, PRIVATE_UNMARKED -> {
                checkPurge(caller, page);
                if (!own) {
                    recordViolation(caller, "rule 3: got what is another's: " + page);
                }
            }
            case FAILURE -> {
                if (page.receivedAt() < caller.arrivedAt - deliveryTolerance().toNanos()) {
                    recordViolation(caller, "rule 5: is told of a failure before it came: " + page);
                }
            }
            case MARKER -> recordViolation(caller, "got a marker");
            case REJECTED -> {
                if (fleet.timing.maxWaitersPerKey() > 100) {
                    recordViolation(caller, "rule 7: was turned away without need");
                }
            }
        }
        if (!page.key().equals(caller.key)) {
            recordViolation(caller, "got the answer of another key: " + page);
        }
    }

    /** When somebody first got that page. */
    private long firstReceivedAt(SimulatedResponse page) {
        return readers(page).mapToLong(caller -> caller.endedAt).min().orElse(Long.MAX_VALUE);
    }

    /** Whether he came to a flight with one aboard who had waited, and which had not heard of the landing yet. */
    private boolean joinedOpenFlight(SimulatedCaller late, SimulatedResponse page) {
        return readers(page)
                .anyMatch(caller -> caller.replica == late.replica && caller.arrivedAt < firstReceivedAt(page)
                        && caller.endedAt >= late.arrivedAt);
    }

    private Stream<SimulatedCaller> readers(SimulatedResponse page) {
        return world.callers.stream()
                .filter(caller -> caller.received.stream().anyMatch(got -> got.fetch() == page.fetch()));
    }

    /** Who waits when a flight's fetch fails is told of it then, and once; nobody tries for him again. */
    private void checkFailures(SimulatedCaller caller) {
        if (caller.failures.stream().distinct().count() < caller.failures.size()) {
            recordViolation(caller, "rule 5: was told twice of " + caller.failures);
        }
        boolean waitedOn = caller.fetches.isEmpty() && caller.isEnded() && world.origin.fetches.stream()
                .anyMatch(
                        fetch -> fetch.inFlight && fetch.key.equals(caller.key)
                                && fetch.failedAt > caller.retriedAt + DELIVERY_NANOS
                                && fetch.failedAt < caller.endedAt - DELIVERY_NANOS);
        if (waitedOn) {
            recordViolation(caller, "rule 5: waited on when a fetch had failed");
        }
    }

    private void checkPurge(SimulatedCaller caller, SimulatedResponse page) {
        int least = world.minContent(caller.key, caller.sentAt - fleet.mirrorLag.toNanos());
        if (page.content() < least) {
            recordViolation(caller, "rule 1: got " + page + " after content " + least + " had been purged for");
        }
    }

    /** How late the news of an answer may reach those who join a flight that waits for it: they came after it landed. */
    private Duration deliveryTolerance() {
        Duration news = Duration.ofNanos(DELIVERY_NANOS);
        return fleet.isFaultFree()
                ? news
                : news.plus(maxCommandDelay().multipliedBy(4))
                        .plus(fleet.timing.pollInterval())
                        .plus(fleet.timing.pollJitter())
                        .plus(maxPause());
    }

    /** The longest that a command waits for its reply, or to be known to have none. */
    private Duration maxCommandDelay() {
        boolean unreachable = Stream
                .of(SimulatedFault.CUT, SimulatedFault.STALL, SimulatedFault.UNAVAILABLE, SimulatedFault.FAILOVER)
                .anyMatch(fleet.faults::contains);
        Duration late = fleet.world.network.maxLateDelay.multipliedBy(2);
        Duration lost = fleet.faults.contains(SimulatedFault.LOST_COMMANDS) ? Duration.ofMillis(400) : Duration.ZERO;
        return late.plus(lost).plus(unreachable ? SimulatedConnection.SILENCE_TIMEOUT : Duration.ZERO);
    }

    private Duration maxPause() {
        return world.replicas.stream()
                .map(replica -> replica.pauses)
                .max(Duration::compareTo)
                .orElse(Duration.ZERO)
                .plus(fleet.faults.contains(SimulatedFault.STALL) ? Duration.ofSeconds(3) : Duration.ZERO)
                .plus(fleet.faults.contains(SimulatedFault.CLOCK_STEP) ? Duration.ofSeconds(6) : Duration.ZERO);
    }

    /**
     * Without faults: the fetch one waits for, the next one where that was fenced out by a purge or was another's alone, and the
     * own one. With faults: patience, then the fetch, as often as the caller asked.
     */
    private Duration maxWait(SimulatedCaller caller) {
        if (fleet.isFaultFree()) {
            return fleet.maxOriginLatency
                    .multipliedBy((caller.retriesAfterFailure ? 6 : 3) + world.purgeCount(caller.key))
                    .plusMillis(60);
        }
        // The patience for the others, and for the write; the lease for what is said at the end.
        Duration round = fleet.maxWait.multipliedBy(2)
                .plus(fleet.timing.pollJitter())
                .plus(fleet.timing.leaseTtl())
                .plus(SimulatedOrigin.FETCH_TIMEOUT);
        return round.multipliedBy(caller.outcomes.size())
                .plus(SimulatedOrigin.FETCH_TIMEOUT)
                .plus(caller.replica.pauses);
    }

    /**
     * A flight's fetch is in excess if another was under way or what it was for was there already, or if its answer was stored
     * nowhere. The lease is for that: without faults there is none, and each fault costs one at most.
     */
    private void checkFetches() {
        long excess = world.origin.fetches.stream().filter(this::isExcess).count();
        long patienceLost = sum(replica -> replica.counters.releaseCount(ReleaseReason.WAIT_TIMEOUT)
                + replica.counters.releaseCount(ReleaseReason.OUT_OF_MEMORY));
        long faults = sum(replica -> replica.connection.unavailableCount) + patienceLost + world.tier.expiredLeases
                + world.tier.fencedCount + world.tier.outOfMemoryCount + (long) fleet.failovers * fleet.keys.size()
                + fleet.crashes
                + (fleet.faults.contains(SimulatedFault.SPLIT) ? sum(replica -> replica.counters.degraded) : 0);
        // A tier that serves is waited for, and leads one to each key.
        long allowed = fleet.tierKeepsServing() ? (fleet.hasAmpleMaxWait ? 0 : patienceLost) : faults;
        if (excess > allowed) {
            world.log.recordViolation(excess + " fetches in excess, " + allowed + " faults: "
                    + world.origin.fetches.stream()
                            .filter(this::isExcess)
                            .map(fetch -> fetch.id)
                            .toList());
        }
    }

    private boolean isExcess(SimulatedFetch fetch) {
        boolean wasted = fetch.shareable && fetch.process.isAlive() && !world.tier.storedAt.containsKey(fetch.id);
        return fetch.inFlight && (fetch.needless || wasted);
    }

    /** While the tier serves nobody goes on without it, nor for want of patience if there is enough; and nobody waits for a lease. */
    private void checkServingTier() {
        if (!fleet.tierKeepsServing()) {
            return;
        }
        int degraded = sum(replica -> replica.counters.degraded);
        int impatient = sum(replica -> replica.counters.releaseCount(ReleaseReason.WAIT_TIMEOUT)
                + replica.counters.releaseCount(ReleaseReason.OUT_OF_MEMORY));
        if (degraded > 0 || (fleet.hasAmpleMaxWait && impatient > 0)) {
            world.log.recordViolation("the tier serves, but " + degraded + " flights went without it and " + impatient
                    + " lost their patience");
        }
        int lapsed = world.tier.expiredLeases - world.tier.expiredUnheardLeases;
        if (lapsed > 0) {
            world.log.recordViolation(lapsed + " leases lapsed that were held by nobody, or not renewed in time");
        }
    }

    /** No loop without a pause. */
    private void checkCommandRate() {
        for (SimulatedReplica replica : world.replicas) {
            if (replica.connection.maxCommandsPerSecond > MAX_COMMANDS_PER_SECOND) {
                world.log.recordViolation(
                        replica.name + " sent " + replica.connection.maxCommandsPerSecond + " commands in a second");
            }
        }
    }

    /** Nobody is sent off unless a leader said so. */
    private void checkReleases() {
        int reasons = sum(replica -> replica.counters.releaseCount(ReleaseReason.NOT_SHAREABLE)
                + replica.counters.releaseCount(ReleaseReason.OUT_OF_MEMORY))
                + world.tier.outOfMemoryCount;
        boolean released = world.callers.stream()
                .flatMap(caller -> caller.outcomes.stream())
                .anyMatch(FlightResult.Uncoalesced.class::isInstance);
        if (released && reasons == 0) {
            world.log.recordViolation("rule 4: waiters were released without a reason");
        }
    }

    private void checkIdle() {
        for (SimulatedReplica replica : fleet.aliveReplicas()) {
            int seen = replica.coalescer.flights().size();
            int left = replica.coalescer.flightCount() + seen + replica.coalescer.waiterCount()
                    + replica.connection.openSubscriptions()
                    + replica.connection.openCalls() + replica.process.pendingCount();
            if (left > 0) {
                world.log.recordViolation(
                        "at rest " + replica.name + " has " + replica.coalescer.flightCount() + " flights, "
                                + seen + " that operators see, " + replica.coalescer.waiterCount() + " waiting, "
                                + replica.connection.openSubscriptions() + " open latches, "
                                + replica.connection.openCalls() + " commands, "
                                + replica.process.pendingCount() + " timers");
            }
            if (replica.counters.failures > 0) {
                world.log.recordViolation(replica.name + ": a step failed that must not");
            }
        }
    }

    /** Nothing is poisoned: everybody is served at once, and still each key is fetched once at most. */
    private void checkHealedFleet() {
        long before = flightFetchCount();
        List<SimulatedCaller> probes = fleet.probe();
        for (SimulatedCaller probe : probes) {
            checkCaller(probe);
            boolean served = probe.received.stream()
                    .allMatch(page -> page.kind() == ResponseKind.SHARED
                            || page.kind() == ResponseKind.REJECTED);
            if (!served || probe.duration().compareTo(Duration.ofMillis(100)) > 0) {
                recordViolation(probe, "is not served in a healthy fleet");
            }
        }
        if (flightFetchCount() - before > fleet.keys.size()) {
            world.log.recordViolation("a healthy fleet fetched " + (flightFetchCount() - before) + " times");
        }
        checkIdle();
    }

    private long flightFetchCount() {
        return world.origin.fetches.stream().filter(fetch -> fetch.inFlight).count();
    }

    private int sum(ToIntFunction<SimulatedReplica> count) {
        return world.replicas.stream().mapToInt(count).sum();
    }

    private void recordViolation(SimulatedCaller caller, String how) {
        world.log.recordViolation(
                "caller " + caller.id + " of " + caller.key + " at " + caller.replica.name + " " + how);
    }
}
