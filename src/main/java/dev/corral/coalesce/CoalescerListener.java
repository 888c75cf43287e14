package dev.corral.coalesce;

import java.time.Duration;

/** What the coalescer tells its operators. Called on event loops: implementations never block and never throw. */
public interface CoalescerListener {

    /** Hears nothing. */
    CoalescerListener NO_OP = new CoalescerListener() {
    };

    /** A fill was published: the value is visible to the fleet. */
    default void onFilled() {}

    /** A publish was refused because the lease had been lost. */
    default void onFenced() {}

    /** This replica became the leader after it had waited for another one. */
    default void onTakeover() {}

    /** Waiters were sent off to fetch for themselves. */
    default void onReleased(ReleaseReason reason) {}

    /** A follower's wait has ended, whatever the outcome. */
    default void onFollowerWaitEnd(Duration time) {}

    /** The tier was away: this flight was coalesced in this replica only. */
    default void onDegraded() {}

    /** A step that must not fail did; its consequences are bounded, its cause is of interest. */
    default void onBackgroundError(String step, Throwable cause) {}

    /** Why waiters were released. */
    enum ReleaseReason {
        /** The answer is for one request only. */
        NOT_SHAREABLE,
        /** Another replica's leader said so. */
        NOT_SHAREABLE_REMOTE,
        /** The wait reached its bound. */
        WAIT_TIMEOUT,
        /** The tier had no room for the response, or was too slow to take it. */
        OUT_OF_MEMORY
    }
}
