package dev.corral.coalesce;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.random.RandomGenerator;
import reactor.test.scheduler.VirtualTimeScheduler;

/** One virtual time, one tier, one origin, some replicas. What happens between them is the reader's plot. */
final class SimulatedWorld {

    /** An acknowledged purge: from then on nobody may get less. */
    record AcknowledgedPurge(long at, int content) {}

    final VirtualTimeScheduler time = VirtualTimeScheduler.create();
    final RandomGenerator random;
    final SimulationLog log;
    final NetworkConditions network;
    final SimulatedTier tier;
    /** Another server, to which locks may be led astray. */
    final SimulatedTier otherTier;
    final SimulatedOrigin origin;
    final List<SimulatedReplica> replicas = new ArrayList<>();
    final List<SimulatedCaller> callers = new ArrayList<>();
    /** How long the memory of a replica answers for the tier. */
    final Duration maxUnvalidatedAge;
    private final CoalescerLimits timing;
    private final Map<String, Long> purged = new HashMap<>();
    private final Map<String, List<AcknowledgedPurge>> acknowledged = new HashMap<>();

    /** What is wrong with every replica's way to the tier. */
    final Set<SimulatedConnection.ConnectionFlaw> flaws = EnumSet.noneOf(SimulatedConnection.ConnectionFlaw.class);

    /** The purge position is put on a page when the answer is there, as it must not be. */
    boolean readsPositionAfterFetch;

    SimulatedWorld(RandomGenerator random, NetworkConditions weather, CoalescerLimits timing, Duration freshness,
            Duration recency,
            boolean traced) {
        this.random = random;
        this.network = weather;
        this.timing = timing;
        this.maxUnvalidatedAge = recency;
        this.log = new SimulationLog(time, traced);
        this.tier = new SimulatedTier(time, log);
        this.otherTier = new SimulatedTier(time, log);
        this.origin = new SimulatedOrigin(time, log, freshness);
    }

    /** Starts a replica; it knows of all purges, for it trusts nothing before it does. */
    SimulatedReplica start() {
        SimulatedReplica replica = new SimulatedReplica("r" + replicas.size(), this, timing, random);
        replica.connection.flaws.addAll(flaws);
        purged.forEach(replica::onPurge);
        replicas.add(replica);
        return replica;
    }

    /** A caller asks the replica for the key, now. */
    SimulatedCaller arrive(SimulatedReplica replica, String key, Duration patience) {
        SimulatedCaller caller = new SimulatedCaller(callers.size() + 1, replica, key, patience);
        callers.add(caller);
        replica.process.schedule(caller::arrive);
        return caller;
    }

    /** Purges the key; false, and nothing done, when the tier cannot. Each replica hears of it after a while of its own. */
    boolean purge(String key, Duration longest) {
        if (!tier.isReachable()) {
            return false;
        }
        long position = ++tier.purgePosition;
        purged.put(key, position);
        log.log(() -> "purge " + position + " of " + key);
        for (SimulatedReplica replica : replicas) {
            if (longest.isZero()) {
                replica.onPurge(key, position);
            } else {
                Duration lag = network.between(Duration.ZERO, longest);
                time.schedule(() -> replica.process.schedule(() -> replica.onPurge(key, position)), lag.toNanos(),
                        TimeUnit.NANOSECONDS);
            }
        }
        acknowledged.computeIfAbsent(key, k -> new ArrayList<>())
                .add(new AcknowledgedPurge(now(), origin.contentVersion(key)));
        return true;
    }

    /** The least content a caller may get for whom a purge that was acknowledged by then counts. */
    int minContent(String key, long by) {
        return acknowledged.getOrDefault(key, List.of())
                .stream()
                .filter(purge -> purge.at() <= by)
                .mapToInt(AcknowledgedPurge::content)
                .max()
                .orElse(1);
    }

    /** How often the key has been purged. */
    int purgeCount(String key) {
        return acknowledged.getOrDefault(key, List.of()).size();
    }

    void advance(Duration duration) {
        time.advanceTimeBy(duration);
    }

    void schedule(Duration delay, Runnable what) {
        time.schedule(what, delay.toNanos(), TimeUnit.NANOSECONDS);
    }

    long now() {
        return time.now(TimeUnit.NANOSECONDS);
    }
}
