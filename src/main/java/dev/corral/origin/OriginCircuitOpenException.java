package dev.corral.origin;

import java.time.Duration;

/** The circuit breaker of the origin or of the endpoint is open after too many failures. Nothing was sent. */
public final class OriginCircuitOpenException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    private final Duration retryAfter;

    /**
     * @param originId   the route's id, for the message
     * @param retryAfter how long the breaker stays open; positive
     */
    public OriginCircuitOpenException(String originId, Duration retryAfter) {
        super("the circuit breaker of origin " + originId + " is open", null, false, false);
        this.retryAfter = retryAfter;
    }

    /** How long the breaker stays open, for Retry-After; positive. */
    public Duration retryAfter() {
        return retryAfter;
    }
}
