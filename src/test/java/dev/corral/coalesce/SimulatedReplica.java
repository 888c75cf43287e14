package dev.corral.coalesce;

import dev.corral.coalesce.SimulatedOrigin.Fetch;
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
    static final class Counts implements Events {

        int filled;
        int fenced;
        int tookOver;
        int degraded;
        final Map<Reason, Integer> released = new HashMap<>();
        final List<Duration> waits = new ArrayList<>();
        int failures;

        int times(Reason reason) {
            return released.getOrDefault(reason, 0);
        }

        @Override
        public void filled() {
            filled++;
        }

        @Override
        public void fenced() {
            fenced++;
        }

        @Override
        public void tookOver() {
            tookOver++;
        }

        @Override
        public void released(Reason reason) {
            released.merge(reason, 1, Integer::sum);
        }

        @Override
        public void waited(Duration time) {
            waits.add(time);
        }

        @Override
        public void degraded() {
            degraded++;
        }

        @Override
        public void failed(String step, Throwable cause) {
            failures++;
        }
    }

    final String name;
    final SimulatedWorld world;
    final VirtualProcess process;
    final SimulatedConnection connection;
    final Coalescer<String, Page> coalescer;
    final Counts counts = new Counts();

    /** How long it has been paused, in all. */
    Duration pauses = Duration.ZERO;

    private final Map<String, Long> purges = new HashMap<>();
    private long position;

    SimulatedReplica(String name, SimulatedWorld world, Timing timing, RandomGenerator random) {
        this.name = name;
        this.world = world;
        this.process = new VirtualProcess(world.time);
        this.connection = new SimulatedConnection(world.tier, world.time, process, world.weather, world.journal, name,
                world.recency);
        this.coalescer = new Coalescer<>(connection, timing, () -> position, process, process, random, counts);
    }

    /** The last purge this replica has heard of. */
    long position() {
        return position;
    }

    /** Hears of a purge; those heard late or twice change nothing. */
    void hear(String key, long purge) {
        purges.merge(key, purge, Math::max);
        position = Math.max(position, purge);
    }

    boolean purged(Page page) {
        return page.position() < purges.getOrDefault(page.key(), 0L);
    }

    /** Whether the newest flight of the key leads: an older one may still be writing. */
    private boolean leads(String key) {
        return coalescer.flights()
                .stream()
                .filter(flight -> flight.key().equals(key))
                .min(Comparator.comparing(InFlight::age))
                .filter(flight -> flight.role() == InFlight.Role.LEADER)
                .isPresent();
    }

    /** Starts a request, and asks whether anybody needed it. */
    Fetch fetch(String key, boolean inFlight) {
        if (inFlight && world.origin.flies(key, process)) {
            world.journal.violated("two flights of " + name + " fetch " + key + " at once");
        }
        boolean rival = inFlight && world.origin.overtake(key);
        boolean there = world.tier.find(key)
                .map(SharedTier.Seen::value)
                .filter(page -> page.freshUntil() > world.now() && !purged(page))
                .isPresent();
        Fetch fetch = world.origin.begin(key, process, inFlight);
        fetch.leased = inFlight && world.tier.leads(key, name) && leads(key);
        fetch.needless = rival || there || !fetch.leased;
        return fetch;
    }
}
