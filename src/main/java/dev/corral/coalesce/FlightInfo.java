package dev.corral.coalesce;

import java.time.Duration;

/**
 * A flight in the air in this process, as operators see it.
 *
 * @param displayName of the key, for people
 * @param age         since take-off
 * @param waiters     who wait for it in this process
 */
public record FlightInfo<K>(K key, String displayName, FlightRole role, Duration age, int waiters) {

    /** What this process does for it. */
    public enum FlightRole {
        /** It looks whether the value is there, or may not ask the fleet and fetches alone. */
        LOOKING,
        /** It fetches for the fleet. */
        LEADER,
        /** It waits for another process. */
        FOLLOWER
    }
}
