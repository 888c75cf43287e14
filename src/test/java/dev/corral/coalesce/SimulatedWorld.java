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
    record Acknowledged(long at, int content) {}

    final VirtualTimeScheduler time = VirtualTimeScheduler.create();
    final RandomGenerator random;
    final Journal journal;
    final Weather weather;
    final SimulatedTier tier;
    /** Another server, to which locks may be led astray. */
    final SimulatedTier elsewhere;
    final SimulatedOrigin origin;
    final List<SimulatedReplica> replicas = new ArrayList<>();
    final List<SimulatedCaller> callers = new ArrayList<>();
    /** How long the memory of a replica answers for the tier. */
    final Duration recency;
    private final Timing timing;
    private final Map<String, Long> purged = new HashMap<>();
    private final Map<String, List<Acknowledged>> acknowledged = new HashMap<>();

    /** What is wrong with every replica's way to the tier. */
    final Set<SimulatedConnection.Flaw> flaws = EnumSet.noneOf(SimulatedConnection.Flaw.class);

    /** The purge position is put on a page when the answer is there, as it must not be. */
    boolean stampsLate;

    SimulatedWorld(RandomGenerator random, Weather weather, Timing timing, Duration freshness, Duration recency,
            boolean traced) {
        this.random = random;
        this.weather = weather;
        this.timing = timing;
        this.recency = recency;
        this.journal = new Journal(time, traced);
        this.tier = new SimulatedTier(time, journal);
        this.elsewhere = new SimulatedTier(time, journal);
        this.origin = new SimulatedOrigin(time, journal, freshness);
    }

    /** Starts a replica; it knows of all purges, for it trusts nothing before it does. */
    SimulatedReplica start() {
        SimulatedReplica replica = new SimulatedReplica("r" + replicas.size(), this, timing, random);
        replica.connection.flaws.addAll(flaws);
        purged.forEach(replica::hear);
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
        if (!tier.answers()) {
            return false;
        }
        long position = ++tier.position;
        purged.put(key, position);
        journal.note(() -> "purge " + position + " of " + key);
        for (SimulatedReplica replica : replicas) {
            if (longest.isZero()) {
                replica.hear(key, position);
            } else {
                Duration lag = weather.between(Duration.ZERO, longest);
                time.schedule(() -> replica.process.schedule(() -> replica.hear(key, position)), lag.toNanos(),
                        TimeUnit.NANOSECONDS);
            }
        }
        acknowledged.computeIfAbsent(key, k -> new ArrayList<>()).add(new Acknowledged(now(), origin.content(key)));
        return true;
    }

    /** The least content a caller may get for whom a purge that was acknowledged by then counts. */
    int least(String key, long by) {
        return acknowledged.getOrDefault(key, List.of())
                .stream()
                .filter(purge -> purge.at() <= by)
                .mapToInt(Acknowledged::content)
                .max()
                .orElse(1);
    }

    /** How often the key has been purged. */
    int purges(String key) {
        return acknowledged.getOrDefault(key, List.of()).size();
    }

    void pass(Duration duration) {
        time.advanceTimeBy(duration);
    }

    void after(Duration delay, Runnable what) {
        time.schedule(what, delay.toNanos(), TimeUnit.NANOSECONDS);
    }

    long now() {
        return time.now(TimeUnit.NANOSECONDS);
    }
}
