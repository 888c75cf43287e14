package dev.corral.coalesce;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;

import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * What has been purged, as this replica knows it. A purge is a position in one sequence of the fleet; a value carries the
 * position that was read before its fetch began, and is valid only while no purge that names it has a later one. Thread-safe.
 *
 * <p>A value is purged by its names. A purge names {@link #EVERYTHING}, or what is said to the letter, or, with
 * {@link #PREFIX} before it, every name that begins so.
 */
public interface Purges {

    /** The name every value has. */
    String EVERYTHING = "*";

    /** What begins the name of a purge that names all that begins likewise. */
    String PREFIX = "p:";

    /** The last position this replica knows of. Never goes back. */
    long position();

    /** The position up to which no purge is missing here; at most {@link #position()}. */
    long complete();

    /** Whether this replica has heard from the fleet within the last second, so that it may trust what is in its own memory. */
    boolean current();

    /**
     * What the purges after {@code position} make of a value.
     *
     * @param names what the value can be purged by: {@link #EVERYTHING} is implied
     */
    Verdict verdict(List<String> names, long position);

    /** Purges; see {@link Purge}. Errors with {@code TierUnavailableException} when it cannot be written, and then nothing is promised. */
    Mono<Purged> purge(Purge purge);

    /** {@link #purge} of these names, hard, by this replica's own decision. */
    default Mono<Purged> purge(List<String> names) {
        return purge(new Purge(names, false, List.of(), "", false));
    }

    /** When, by the shared tier's clock, a purge was given its position: the position counts microseconds. */
    static Instant time(long position) {
        return Instant.EPOCH.plus(position, ChronoUnit.MICROS);
    }

    /** What has become of a value. */
    sealed interface Verdict {

        /** The verdict on most values, made once. */
        Verdict VALID = new Valid();

        /** No purge names it. */
        record Valid() implements Verdict {}

        /**
         * It is stale since a soft purge.
         *
         * @param position of the last soft purge that names it
         */
        record Stale(long position) implements Verdict {}

        /** It must not be used. */
        record Gone() implements Verdict {}
    }

    /**
     * One purge.
     *
     * @param names  what is purged; 1 to {@link #MOST}, none with a control character in it
     * @param soft   stale from now on instead of gone; its stale windows begin now, its life never grows
     * @param told   the same in words for people, for the fleet's record; may be empty
     * @param by     who purges, for the fleet's record; empty when nobody in particular
     * @param awaits whether the other replicas are to say that they know of it
     */
    record Purge(List<String> names, boolean soft, List<String> told, String by, boolean awaits) {

        /** Names in one purge: a script's stack does not take many thousands. */
        public static final int MOST = 1_000;

        /** Copies the lists. */
        public Purge {
            names = List.copyOf(names);
            told = List.copyOf(told);
        }
    }

    /**
     * A purge that is written.
     *
     * @param position its own
     * @param heard    replicas as they say that they know of it, this one among them; each once. Does not end by itself; empty when
     *                 none was to say so
     */
    record Purged(long position, Flux<String> heard) {}
}
