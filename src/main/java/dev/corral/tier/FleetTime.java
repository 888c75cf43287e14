package dev.corral.tier;

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
final class FleetTime implements InstantSource {

    private record Sample(Duration roundTrip, Duration offset) {}

    // Four seconds of looks: long enough to contain a quick one, short enough to follow a stepped clock.
    private static final int SAMPLES = 8;

    private final InstantSource machine;
    private final Deque<Sample> samples = new ArrayDeque<>(); // guarded by this
    private volatile Duration offset = Duration.ZERO;

    FleetTime(InstantSource machine) {
        this.machine = machine;
    }

    /** Takes note that Redis said {@code redis} between these two readings of this machine's clock. */
    synchronized void compare(Instant asked, Instant redis, Instant answered) {
        Duration roundTrip = Duration.between(asked, answered);
        samples.addLast(new Sample(roundTrip, Duration.between(asked.plus(roundTrip.dividedBy(2)), redis)));
        if (samples.size() > SAMPLES) {
            samples.removeFirst();
        }
        offset = samples.stream().min(Comparator.comparing(Sample::roundTrip)).orElseThrow().offset();
    }

    /** What is added to this machine's clock. */
    Duration offset() {
        return offset;
    }

    @Override
    public Instant instant() {
        return machine.instant().plus(offset);
    }
}
