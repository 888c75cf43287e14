package dev.corral.coalesce;

import java.util.Optional;

/** How a flight ended for one of those aboard. */
public sealed interface Outcome<V> {

    /**
     * There is a value.
     *
     * @param role   who got it
     * @param stored whether it is known to be stored: not when it was refused, or is still being written
     */
    record Landed<V>(V value, String version, Role role, boolean stored) implements Outcome<V> {}

    /**
     * No value for everybody: each is on its own. The one that fetched has its own answer.
     *
     * @param marker what the one that fetched left for those to come; empty when nothing, or when another replica released
     */
    record Released<V>(Optional<V> marker) implements Outcome<V> {

        /** Without a word why. */
        public Released() {
            this(Optional.empty());
        }
    }

    /**
     * The fetch failed.
     *
     * @param stale what was there before the fetch; empty when nothing was
     */
    record Failed<V>(V failure, Optional<V> stale) implements Outcome<V> {}

    /** Too many wait already; at once, without having waited. */
    record Crowded<V>() implements Outcome<V> {}

    /** Which way a flight went. */
    enum Role {
        /** The value was there. */
        LOOKED,
        /** This replica fetched it, under a lease. */
        LED,
        /** Another replica fetched it. */
        FOLLOWED,
        /** This replica fetched it without a lease: the tier was away, or patience ended. */
        ALONE
    }
}
