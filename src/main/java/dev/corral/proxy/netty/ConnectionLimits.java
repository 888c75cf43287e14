package dev.corral.proxy.netty;

import java.time.Duration;

/**
 * Limits of one client connection. They apply to both ports, and before any login.
 *
 * @param headTimeout          maximum time from the first byte of a request head to its last
 * @param bodyTimeout          maximum time in which a request body that is being read brings fewer than {@link #MIN_BODY_BYTES}
 *                             bytes
 * @param writeTimeout         maximum time in which a client reads nothing of a response that is being sent
 * @param maxPipelinedRequests maximum number of requests read without a complete response; at this limit, reading stops
 */
public record ConnectionLimits(Duration headTimeout, Duration bodyTimeout, Duration writeTimeout,
        int maxPipelinedRequests) {

    /** Bytes that a request body must bring within {@code bodyTimeout}; single bytes now and then are too slow. */
    static final int MIN_BODY_BYTES = 1024;

    /** 60 s for each timeout, as in nginx; 32 requests, more than browsers pipeline. */
    public static final ConnectionLimits DEFAULT = new ConnectionLimits(Duration.ofSeconds(60), Duration.ofSeconds(60),
            Duration.ofSeconds(60), 32);

    /** How often the limits are checked. A connection may exceed a timeout by this much. */
    Duration checkInterval() {
        Duration shorter = headTimeout.compareTo(bodyTimeout) < 0 ? headTimeout : bodyTimeout;
        Duration shortest = shorter.compareTo(writeTimeout) < 0 ? shorter : writeTimeout;
        return shortest.dividedBy(8);
    }
}
