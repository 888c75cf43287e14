package dev.corral.redis.purge;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;

/**
 * The time of the fleet: this machine's clock, corrected by how far it is from Redis', so that all replicas judge an age alike.
 * Of the last few comparisons the quickest counts, for its error is at most half of its round trip. Thread-safe.
 */
final class FleetClock implements InstantSource {

    private record ClockSample(Duration roundTrip, Duration offset) {}

    // Four seconds of looks: long enough to contain a quick one, short enough to follow a stepped clock.
    private static final int MAX_SAMPLES = 8;

    private final InstantSource localClock;
    private final Deque<ClockSample> samples = new ArrayDeque<>(); // guarded by this
    private volatile Duration offset = Duration.ZERO;

    FleetClock(InstantSource machine) {
        this.localClock = machine;
    }

    /** Takes note that Redis said {@code redis} between these two readings of this machine's clock. */
    synchronized void addSample(Instant asked, Instant redis, Instant answered) {
        Duration roundTrip = Duration.between(asked, answered);
        samples.addLast(new ClockSample(roundTrip, Duration.between(asked.plus(roundTrip.dividedBy(2)), redis)));
        if (samples.size() > MAX_SAMPLES) {
            samples.removeFirst();
        }
        offset = samples.stream().min(Comparator.comparing(ClockSample::roundTrip)).orElseThrow().offset();
    }

    /** What is added to this machine's clock. */
    Duration offset() {
        return offset;
    }

    @Override
    public Instant instant() {
        return localClock.instant().plus(offset);
    }
}
