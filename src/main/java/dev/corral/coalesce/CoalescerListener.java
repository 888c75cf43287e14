package dev.corral.coalesce;

import java.time.Duration;

/**
 * Receives the coalescer's events, for metrics and logs. Called on event loops: implementations never block and never throw.
 */
public interface CoalescerListener {

    /** Ignores all events. */
    CoalescerListener NO_OP = new CoalescerListener() {
    };

    /** A fill was published: the value is visible to the fleet. */
    default void onFilled() {}

    /** A publish was refused because the lease had been lost. */
    default void onFenced() {}

    /** This replica became the leader after it had waited for another leader. */
    default void onTakeover() {}

    /** Waiters were released, each to a fetch of its own. */
    default void onReleased(ReleaseReason reason) {}

    /** A follower's wait has ended, with any result. */
    default void onFollowerWaitEnd(Duration time) {}

    /** The tier was unavailable: this flight was coalesced within this replica only. */
    default void onDegraded() {}

    /** A background step failed that never should. The consequences are limited; the cause is worth a log line. */
    default void onBackgroundError(String step, Throwable cause) {}

    /** Why waiters were released. */
    enum ReleaseReason {
        /** The response is not shareable: it is for one request only. */
        NOT_SHAREABLE,
        /** The leader in another replica reported that the response is not shareable. */
        NOT_SHAREABLE_REMOTE,
        /** The maximum wait has passed. */
        WAIT_TIMEOUT,
        /** The tier had no room for the response, or was too slow to take it. */
        OUT_OF_MEMORY
    }
}
