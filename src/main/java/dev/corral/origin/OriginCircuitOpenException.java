package dev.corral.origin;

import java.time.Duration;

/** The circuit breaker is open: the origin has failed too often to be asked now. Nothing was sent. */
public final class OriginCircuitOpenException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    private final Duration retryAfter;

    /** How long it stays shut, for Retry-After. */
    public OriginCircuitOpenException(String origin, Duration retryAfter) {
        super("origin " + origin + " is not asked after too many failures", null, false, false);
        this.retryAfter = retryAfter;
    }

    /** How long it is worth waiting; positive. */
    public Duration retryAfter() {
        return retryAfter;
    }
}
