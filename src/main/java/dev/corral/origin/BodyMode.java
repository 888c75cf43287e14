package dev.corral.origin;

/** How the body of an origin's response is read. */
public enum BodyMode {

    /**
     * Collect the whole body, if it is no larger than {@link OriginConfig#maxObjectSize()} and complete within
     * {@link OriginConfig#timeout()}. A body that is larger or slower becomes a {@link #STREAM}; a body of which nothing arrived
     * in the second half of the timeout is a failure.
     */
    BUFFER,

    /**
     * Collect the body as for {@link #BUFFER}, but for 100 ms at most: neither its length nor its storability is known, so it may
     * be an endless stream. A body that is not complete by then becomes a {@link #STREAM}.
     */
    BUFFER_BRIEFLY,

    /** Pass the pieces on as they arrive. */
    STREAM,

    /**
     * Pass the pieces on as they arrive, and allow pauses: an event stream may be silent for longer than the origin's timeout. A
     * longer silence ends the body with an error that the circuit breaker does not count.
     */
    STREAM_WITH_PAUSES
}
