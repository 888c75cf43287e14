package dev.corral.origin;

/** What to do with the body of an answer. */
public enum Intake {

    /** Read it whole, if it is no larger than {@link Upstream#maxBody()}; else as {@link #STREAM}. */
    COLLECT,

    /** Pass it on as it comes. */
    STREAM
}
