package dev.corral.coalesce;

import dev.corral.coalesce.SimulatedOrigin.SimulatedFetch;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;

/** One replica: a real coalescer in a virtual process, with its connection to the tier and its mirror of the purges. */
final class SimulatedReplica {

    /** Counts what the coalescer tells. */
    static final class CountingListener implements CoalescerListener {

        int filled;
        int fenced;
        int tookOver;
        int degraded;
        final Map<ReleaseReason, Integer> released = new HashMap<>();
        final List<Duration> waits = new ArrayList<>();
        int failures;

        int releaseCount(ReleaseReason reason) {
            return released.getOrDefault(reason, 0);
        }

        @Override
        public void onFilled() {
            filled++;
        }

        @Override
        public void onFenced() {
            fenced++;
        }

        @Override
        public void onTakeover() {
            tookOver++;
        }

        @Override
        public void onReleased(ReleaseReason reason) {
            released.merge(reason, 1, Integer::sum);
        }

        @Override
        public void onFollowerWaitEnd(Duration time) {
            waits.add(time);
        }

        @Override
        public void onDegraded() {
            degraded++;
        }

        @Override
        public void onBackgroundError(String step, Throwable cause) {
            failures++;
        }
    }

    final String name;
    final SimulatedWorld world;
    final VirtualProcess process;
    final SimulatedConnection connection;
    final Coalescer<String, SimulatedResponse> coalescer;
    final CountingListener counters = new CountingListener();

    /** How long it has been paused, in all. */
    Duration pauses = Duration.ZERO;

    private final Map<String, Long> purgedPositions = new HashMap<>();
    private long position;

    SimulatedReplica(String name, SimulatedWorld world, CoalescerLimits timing, RandomGenerator random) {
        this.name = name;
        this.world = world;
        this.process = new VirtualProcess(world.time);
        this.connection = new SimulatedConnection(world.tier, world.time, process, world.network, world.log, name,
                world.maxUnvalidatedAge);
        this.coalescer = new Coalescer<>(connection, timing, () -> position, process, process, random, counters);
    }

    /** The last purge this replica has heard of. */
    long position() {
        return position;
    }

    /** Hears of a purge; those heard late or twice change nothing. */
    void onPurge(String key, long purge) {
        purgedPositions.merge(key, purge, Math::max);
        position = Math.max(position, purge);
    }

    boolean isPurged(SimulatedResponse page) {
        return page.position() < purgedPositions.getOrDefault(page.key(), 0L);
    }

    /** Whether the newest flight of the key leads: an older one may still be writing. */
    private boolean isLeader(String key) {
        return coalescer.flights()
                .stream()
                .filter(flight -> flight.key().equals(key))
                .min(Comparator.comparing(FlightInfo::age))
                .filter(flight -> flight.role() == FlightInfo.FlightRole.LEADER)
                .isPresent();
    }

    /** Starts a request, and asks whether anybody needed it. */
    SimulatedFetch startFetch(String key, boolean inFlight) {
        if (inFlight && world.origin.isFetching(key, process)) {
            world.log.recordViolation("two flights of " + name + " fetch " + key + " at once");
        }
        boolean rival = inFlight && world.origin.overtake(key);
        boolean there = world.tier.find(key)
                .map(SharedTier.Versioned::value)
                .filter(page -> page.freshUntil() > world.now() && !isPurged(page))
                .isPresent();
        SimulatedFetch fetch = world.origin.beginFetch(key, process, inFlight);
        fetch.leased = inFlight && world.tier.isLedBy(key, name) && isLeader(key);
        fetch.needless = rival || there || !fetch.leased;
        return fetch;
    }
}
