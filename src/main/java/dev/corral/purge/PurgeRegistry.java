package dev.corral.purge;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;

import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * What has been purged, as this replica knows it. A purge is a position in one sequence of the fleet; a value carries the
 * position that was read before its fetch began, and is valid only while no purge that names it has a later one. Thread-safe.
 *
 * <p>A value is purged by its names. A purge names {@link #ALL_ENTRIES_NAME}, or what is said to the letter, or, with
 * {@link #PREFIX_NAME_MARKER} before it, every name that begins so.
 */
public interface PurgeRegistry {

    /** The name every value has. */
    String ALL_ENTRIES_NAME = "*";

    /** What begins the name of a purge that names all that begins likewise. */
    String PREFIX_NAME_MARKER = "p:";

    /** The last position this replica knows of. Never goes back. */
    long latestPosition();

    /** The position up to which no purge is missing here; at most {@link #latestPosition()}. */
    long syncedPosition();

    /** Whether this replica has heard from the fleet within the last second, so that it may trust what is in its own memory. */
    boolean isUpToDate();

    /**
     * What the purges after {@code position} make of a value.
     *
     * @param names what the value can be purged by: {@link #ALL_ENTRIES_NAME} is implied
     */
    PurgeVerdict verdict(List<String> names, long position);

    /** Purges; see {@link Purge}. Errors with {@code TierUnavailableException} when it cannot be written, and then nothing is promised. */
    Mono<PurgeReceipt> purge(Purge purge);

    /** {@link #purge} of these names, hard, by this replica's own decision. */
    default Mono<PurgeReceipt> purge(List<String> names) {
        return purge(new Purge(names, false, List.of(), "", false));
    }

    /** When, by the shared tier's clock, a purge was given its position: the position counts microseconds. */
    static Instant timeOf(long position) {
        return Instant.EPOCH.plus(position, ChronoUnit.MICROS);
    }

    /** What has become of a value. */
    sealed interface PurgeVerdict {

        /** The verdict on most values, made once. */
        PurgeVerdict VALID = new Valid();

        /** No purge names it. */
        record Valid() implements PurgeVerdict {}

        /**
         * It is stale since a soft purge.
         *
         * @param position of the last soft purge that names it
         */
        record Stale(long position) implements PurgeVerdict {}

        /** It must not be used. */
        record Removed() implements PurgeVerdict {}
    }

    /**
     * One purge.
     *
     * @param names                      what is purged; 1 to {@link #MAX_NAMES}, none with a control character in it
     * @param isSoft                     stale from now on instead of gone; its stale windows begin now, its life never grows
     * @param description                the same in words for people, for the fleet's record; may be empty
     * @param requestedBy                who purges, for the fleet's record; empty when nobody in particular
     * @param isAcknowledgementRequested whether the other replicas are to say that they know of it
     */
    record Purge(List<String> names, boolean isSoft, List<String> description, String requestedBy,
            boolean isAcknowledgementRequested) {

        /** Names in one purge: a script's stack does not take many thousands. */
        public static final int MAX_NAMES = 1_000;

        /** Copies the lists. */
        public Purge {
            names = List.copyOf(names);
            description = List.copyOf(description);
        }
    }

    /**
     * A purge that is written.
     *
     * @param position         its own
     * @param acknowledgements replicas as they say that they know of it, this one among them; each once. Does not end by itself; empty when
     *                 none was to say so
     */
    record PurgeReceipt(long position, Flux<String> acknowledgements) {}
}
