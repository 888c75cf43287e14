package dev.corral.coalesce;

import java.time.Duration;

/**
 * A flight in the air in this process, as operators see it.
 *
 * @param name    of the key, for people
 * @param age     since take-off
 * @param waiters who wait for it in this process
 */
public record InFlight<K>(K key, String name, Role role, Duration age, int waiters) {

    /** What this process does for it. */
    public enum Role {
        /** It looks whether the value is there, or may not ask the fleet and fetches alone. */
        LOOKING,
        /** It fetches for the fleet. */
        LEADER,
        /** It waits for another process. */
        FOLLOWER
    }
}
