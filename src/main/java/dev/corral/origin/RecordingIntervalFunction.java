package dev.corral.origin;

import io.github.resilience4j.core.IntervalFunction;

/**
 * Remembers the last interval of another function, so that Retry-After can report an interval that was drawn at random. For one
 * circuit breaker. Thread-safe.
 */
public final class RecordingIntervalFunction implements IntervalFunction {

    private final IntervalFunction delegate;
    private volatile long lastMillis;

    /** @param delegate the function whose intervals are used and remembered */
    public RecordingIntervalFunction(IntervalFunction delegate) {
        this.delegate = delegate;
    }

    @Override
    public Long apply(Integer attempt) {
        long interval = delegate.apply(attempt);
        lastMillis = interval;
        return interval;
    }

    /** A function with the same delegate and no interval yet, for another breaker. */
    RecordingIntervalFunction copy() {
        return new RecordingIntervalFunction(delegate);
    }

    /** The last interval, in milliseconds; 0 before the first. */
    long lastMillis() {
        return lastMillis;
    }
}
