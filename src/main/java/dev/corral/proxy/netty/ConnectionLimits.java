package dev.corral.proxy.netty;

import java.time.Duration;

/**
 * What one connection of a client may cost, on either port and before any login.
 *
 * @param headTimeout          how long the head of a request may take from its first byte to its last
 * @param bodyTimeout          how long the body of a request may bring less than {@link #MIN_BODY_BYTES} bytes while it is being read
 * @param writeTimeout         how long a client may read nothing of a response that is being sent
 * @param maxPipelinedRequests requests that may be read and not be answered yet; then no more is read
 */
public record ConnectionLimits(Duration headTimeout, Duration bodyTimeout, Duration writeTimeout,
        int maxPipelinedRequests) {

    /** Bytes: what the body of a request must bring within its limit of time, so that one byte now and then is not enough. */
    static final int MIN_BODY_BYTES = 1024;

    /** 60 s for each, as nginx has them; 32 requests, more than browsers send. */
    public static final ConnectionLimits DEFAULT = new ConnectionLimits(Duration.ofSeconds(60), Duration.ofSeconds(60),
            Duration.ofSeconds(60), 32);

    /** How often a connection is looked at: it may live that much longer than its limits say. */
    Duration checkInterval() {
        Duration shortest = headTimeout.compareTo(bodyTimeout) < 0 ? headTimeout : bodyTimeout;
        Duration least = shortest.compareTo(writeTimeout) < 0 ? shortest : writeTimeout;
        return least.dividedBy(8);
    }
}
