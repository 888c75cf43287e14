package dev.corral.coalesce;

import java.util.Optional;

/** The result of a flight for one of its callers. */
public sealed interface FlightResult<V> {

    /**
     * The flight ended with a value.
     *
     * @param version  the version of the value in the tier; empty when the flight had no lease
     * @param source   where the value came from
     * @param isStored whether the value is known to be stored; false when the tier refused it, or the write is still in
     *              progress
     */
    record Value<V>(V value, String version, Source source, boolean isStored) implements FlightResult<V> {}

    /**
     * There is no value to share: each caller fetches for itself. The caller that fetched already has its own response.
     *
     * @param marker the hit-for-miss marker that the fill stored for later requests; empty when it stored none, or when the
     *              leader was in another replica
     */
    record Uncoalesced<V>(Optional<V> marker) implements FlightResult<V> {

        /** Without a marker. */
        public Uncoalesced() {
            this(Optional.empty());
        }
    }

    /**
     * The fetch failed.
     *
     * @param staleValue the value stored before the fetch; empty when the key was absent
     */
    record FlightFailed<V>(V failure, Optional<V> staleValue) implements FlightResult<V> {}

    /** There are too many waiters. Emitted at once: the caller has not waited. */
    record Rejected<V>() implements FlightResult<V> {}

    /** Where the value of a flight came from. */
    enum Source {
        /** The value was already stored. */
        FOUND,
        /** This replica fetched the value, with a lease. */
        LEADER,
        /** Another replica fetched the value. */
        FOLLOWER,
        /** This replica fetched the value without a lease: the tier was unavailable, or the maximum wait had passed. */
        WITHOUT_LEASE
    }
}
