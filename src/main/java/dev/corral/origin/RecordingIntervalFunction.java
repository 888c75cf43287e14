package dev.corral.origin;

import io.github.resilience4j.core.IntervalFunction;

/**
 * Remembers the last interval that another function gave: a random one is told to clients as it was. For one circuit breaker.
 * Thread-safe.
 */
public final class RecordingIntervalFunction implements IntervalFunction {

    private final IntervalFunction delegate;
    private volatile long lastMillis;

    /** Remembers what this function gives. */
    public RecordingIntervalFunction(IntervalFunction intervals) {
        this.delegate = intervals;
    }

    @Override
    public Long apply(Integer attempt) {
        long interval = delegate.apply(attempt);
        lastMillis = interval;
        return interval;
    }

    /** One of its own for another breaker. */
    RecordingIntervalFunction copy() {
        return new RecordingIntervalFunction(delegate);
    }

    /** The last interval, in milliseconds; 0 before the first. */
    long lastMillis() {
        return lastMillis;
    }
}
