package dev.corral.coalesce;

import java.time.Duration;

/**
 * A flight in progress in this process, for operators.
 *
 * @param displayName the key in a form for people
 * @param role        what this process does for the flight
 * @param age         the time since the flight started
 * @param waiters     the callers in this process that wait for it
 */
public record FlightInfo<K>(K key, String displayName, FlightRole role, Duration age, int waiters) {

    /** What this process does for a flight. */
    public enum FlightRole {
        /** The flight reads the tier, or fills without a lease. */
        LOOKING,
        /** The flight holds the lease and fetches for the fleet. */
        LEADER,
        /** The flight waits for the leader in another process. */
        FOLLOWER
    }
}
