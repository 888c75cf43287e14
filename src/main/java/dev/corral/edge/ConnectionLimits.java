package dev.corral.edge;

import java.time.Duration;

/**
 * What one connection of a client may cost, on either port and before any login.
 *
 * @param head      how long the head of a request may take from its first byte to its last
 * @param body      how long the body of a request may bring less than {@link #LEAST_BODY} bytes while it is being read
 * @param write     how long a client may read nothing of a response that is being sent
 * @param pipelined requests that may be read and not be answered yet; then no more is read
 */
public record ConnectionLimits(Duration head, Duration body, Duration write, int pipelined) {

    /** Bytes: what the body of a request must bring within its limit of time, so that one byte now and then is not enough. */
    static final int LEAST_BODY = 1024;

    /** 60 s for each, as nginx has them; 32 requests, more than browsers send. */
    public static final ConnectionLimits DEFAULT = new ConnectionLimits(Duration.ofSeconds(60), Duration.ofSeconds(60),
            Duration.ofSeconds(60), 32);

    /** How often a connection is looked at: it may live that much longer than its limits say. */
    Duration interval() {
        Duration shortest = head.compareTo(body) < 0 ? head : body;
        Duration least = shortest.compareTo(write) < 0 ? shortest : write;
        return least.dividedBy(8);
    }
}
