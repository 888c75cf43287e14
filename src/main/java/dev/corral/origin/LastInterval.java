package dev.corral.origin;

import io.github.resilience4j.core.IntervalFunction;

/**
 * Remembers the last interval that another function gave: a random one is told to clients as it was. For one circuit breaker.
 * Thread-safe.
 */
public final class LastInterval implements IntervalFunction {

    private final IntervalFunction intervals;
    private volatile long millis;

    /** Remembers what this function gives. */
    public LastInterval(IntervalFunction intervals) {
        this.intervals = intervals;
    }

    @Override
    public Long apply(Integer attempt) {
        long interval = intervals.apply(attempt);
        millis = interval;
        return interval;
    }

    /** One of its own for another breaker. */
    LastInterval copy() {
        return new LastInterval(intervals);
    }

    /** The last interval, in milliseconds; 0 before the first. */
    long millis() {
        return millis;
    }
}
