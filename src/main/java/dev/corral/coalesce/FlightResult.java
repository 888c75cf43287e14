package dev.corral.coalesce;

import java.util.Optional;

/** How a flight ended for one of those aboard. */
public sealed interface FlightResult<V> {

    /**
     * There is a value.
     *
     * @param source   who got it
     * @param isStored whether it is known to be stored: not when it was refused, or is still being written
     */
    record Value<V>(V value, String version, Source source, boolean isStored) implements FlightResult<V> {}

    /**
     * No value for everybody: each is on its own. The one that fetched has its own answer.
     *
     * @param marker what the one that fetched left for those to come; empty when nothing, or when another replica released
     */
    record Uncoalesced<V>(Optional<V> marker) implements FlightResult<V> {

        /** Without a word why. */
        public Uncoalesced() {
            this(Optional.empty());
        }
    }

    /**
     * The fetch failed.
     *
     * @param staleValue what was there before the fetch; empty when nothing was
     */
    record FlightFailed<V>(V failure, Optional<V> staleValue) implements FlightResult<V> {}

    /** Too many wait already; at once, without having waited. */
    record Rejected<V>() implements FlightResult<V> {}

    /** Which way a flight went. */
    enum Source {
        /** The value was there. */
        FOUND,
        /** This replica fetched it, under a lease. */
        LEADER,
        /** Another replica fetched it. */
        FOLLOWER,
        /** This replica fetched it without a lease: the tier was away, or patience ended. */
        WITHOUT_LEASE
    }
}
