package dev.corral.purge;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;

import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * The purges that this replica knows. Each purge has a position in one sequence of the fleet. A value carries the purge
 * position that was read before its fetch began, and is valid only while no later purge matches one of its names. Thread-safe.
 *
 * <p>A purge matches values by their names. A name of a purge is {@link #ALL_ENTRIES_NAME}, an exact name, or, after {@link
 * #PREFIX_NAME_MARKER}, a prefix that matches every name that starts with it.
 */
public interface PurgeRegistry {

    /** The name that every value has. */
    String ALL_ENTRIES_NAME = "*";

    /** The start of a purge's name that is a prefix. The names of values that prefixes match start with it, too. */
    String PREFIX_NAME_MARKER = "p:";

    /** The last position that this replica knows. Never decreases. */
    long latestPosition();

    /** The position up to which this replica knows every purge; at most {@link #latestPosition()}. */
    long syncedPosition();

    /**
     * Whether this replica has read the fleet's purges within the last second, so that it may use values from its own memory.
     */
    boolean isUpToDate();

    /**
     * The verdict on a value, by the purges after {@code position}.
     *
     * @param names    the names of the value; {@link #ALL_ENTRIES_NAME} is implied
     * @param position the purge position that the value carries
     */
    PurgeVerdict verdict(List<String> names, long position);

    /**
     * Writes a purge; see {@link Purge}. Errors with {@code TierUnavailableException} when it cannot be written; then it may or
     * may not take effect.
     */
    Mono<PurgeReceipt> purge(Purge purge);

    /** Writes a hard purge of these names, with no description and no acknowledgements. */
    default Mono<PurgeReceipt> purge(List<String> names) {
        return purge(new Purge(names, false, List.of(), "", false));
    }

    /** The time of a purge, by the shared tier's clock: a position is a number of microseconds. */
    static Instant timeOf(long position) {
        return Instant.EPOCH.plus(position, ChronoUnit.MICROS);
    }

    /** What the purges mean for a value. */
    sealed interface PurgeVerdict {

        /** The most frequent verdict, as a shared instance. */
        PurgeVerdict VALID = new Valid();

        /** No purge matches the value. */
        record Valid() implements PurgeVerdict {}

        /**
         * A soft purge has made the value stale.
         *
         * @param position the position of the last soft purge that matches the value
         */
        record Stale(long position) implements PurgeVerdict {}

        /** A hard purge has removed the value: it must not be used. */
        record Removed() implements PurgeVerdict {}
    }

    /**
     * One purge.
     *
     * @param names                      the names to purge; 1 to {@link #MAX_NAMES}, without control characters
     * @param isSoft                     whether matching values become stale instead of being removed; their stale windows
     *              begin now, their lifetimes do not grow
     * @param description                the purged things in words, for the fleet's record; may be empty
     * @param requestedBy                the user that requested the purge, for the fleet's record; empty when there is none
     * @param isAcknowledgementRequested whether the other replicas acknowledge that they know the purge
     */
    record Purge(List<String> names, boolean isSoft, List<String> description, String requestedBy,
            boolean isAcknowledgementRequested) {

        /** The maximum number of names in one purge: the stack of a Lua script does not hold many thousands. */
        public static final int MAX_NAMES = 1_000;

        /** Copies the lists. */
        public Purge {
            names = List.copyOf(names);
            description = List.copyOf(description);
        }
    }

    /**
     * A purge that has been written.
     *
     * @param position         the position of the purge; microseconds
     * @param acknowledgements the ids of the replicas that have acknowledged the purge, each once, including this one. Never
     *              completes by itself; empty when no acknowledgement was requested
     */
    record PurgeReceipt(long position, Flux<String> acknowledgements) {}
}
