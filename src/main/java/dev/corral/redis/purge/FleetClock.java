package dev.corral.redis.purge;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;

/**
 * The fleet's clock: this machine's clock plus its offset to the clock of Redis, so that all replicas compute the same age for
 * an entry. The offset comes from the sample with the shortest round trip among the last few, because the error of a sample is
 * at most half its round trip. Thread-safe.
 */
final class FleetClock implements InstantSource {

    private record ClockSample(Duration roundTrip, Duration offset) {}

    // Four seconds of samples: long enough to contain one with a short round trip, short enough to follow a clock that was set.
    private static final int MAX_SAMPLES = 8;

    private final InstantSource localClock;
    private final Deque<ClockSample> samples = new ArrayDeque<>(); // guarded by this
    private volatile Duration offset = Duration.ZERO;

    FleetClock(InstantSource localClock) {
        this.localClock = localClock;
    }

    /**
     * Adds a sample: the time of Redis was {@code redisTime} at a moment between these two readings of this machine's clock.
     */
    synchronized void addSample(Instant sentAt, Instant redisTime, Instant receivedAt) {
        Duration roundTrip = Duration.between(sentAt, receivedAt);
        samples.addLast(new ClockSample(roundTrip, Duration.between(sentAt.plus(roundTrip.dividedBy(2)), redisTime)));
        if (samples.size() > MAX_SAMPLES) {
            samples.removeFirst();
        }
        offset = samples.stream().min(Comparator.comparing(ClockSample::roundTrip)).orElseThrow().offset();
    }

    /** The offset that is added to this machine's clock; may be negative. */
    Duration offset() {
        return offset;
    }

    @Override
    public Instant instant() {
        return localClock.instant().plus(offset);
    }
}
