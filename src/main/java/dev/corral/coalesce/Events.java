package dev.corral.coalesce;

import java.time.Duration;

/** What the coalescer tells its operators. Called on event loops: implementations never block and never throw. */
public interface Events {

    /** Hears nothing. */
    Events NONE = new Events() {
    };

    /** A fill was published: the value is visible to the fleet. */
    default void filled() {}

    /** A publish was refused because the lease had been lost. */
    default void fenced() {}

    /** This replica became the leader after it had waited for another one. */
    default void tookOver() {}

    /** Waiters were sent off to fetch for themselves. */
    default void released(Reason reason) {}

    /** A follower's wait has ended, whatever the outcome. */
    default void waited(Duration time) {}

    /** The tier was away: this flight was coalesced in this replica only. */
    default void degraded() {}

    /** A step that must not fail did; its consequences are bounded, its cause is of interest. */
    default void failed(String step, Throwable cause) {}

    /** Why waiters were released. */
    enum Reason {
        /** The answer is for one request only. */
        WITHHELD,
        /** Another replica's leader said so. */
        DISMISSED,
        /** The wait reached its bound. */
        IMPATIENT,
        /** The tier had no room for the response, or was too slow to take it. */
        FULL
    }
}
