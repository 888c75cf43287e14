package dev.corral.origin;

/** What to do with the body of a response. */
public enum BodyMode {

    /**
     * Read it whole, if it is no larger than {@link OriginConfig#maxObjectSize()} and complete within {@link OriginConfig#timeout()}; else as
     * {@link #STREAM}. A body of which nothing came in the second half of that time is a failure.
     */
    BUFFER,

    /**
     * As {@link #BUFFER}, but only for a moment: nothing says how long the body is or that it is worth keeping, so it may be a
     * stream. One that is not complete by then is handed on as {@link #STREAM}.
     */
    BUFFER_BRIEFLY,

    /** Pass it on as it comes. */
    STREAM,

    /**
     * Pass it on as it comes, and expect pauses: an event stream may be silent for longer than the origin takes to respond. A
     * silence that is too long even for that ends the body, and is not held against the origin.
     */
    STREAM_WITH_PAUSES
}
