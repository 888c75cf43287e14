package dev.corral.coalesce;

import java.util.List;

import reactor.core.publisher.Mono;

/**
 * What has been purged, as this replica knows it. A purge is a position in one sequence of the fleet; a value carries the
 * position that was read before its fetch began, and is valid only while no purge that names it has a later one. Thread-safe.
 */
public interface Purges {

    /** The last position this replica knows of. Never goes back. */
    long position();

    /** Whether this replica has heard from the fleet within the last second, so that it may trust what is in its own memory. */
    boolean current();

    /**
     * Whether a purge after {@code position} names the value.
     *
     * @param names what the value can be purged by: {@link #EVERYTHING} is implied
     */
    boolean purged(List<String> names, long position);

    /**
     * Purges whatever carries one of the names. Emits the new position once the fleet's record of it is written; errors with
     * {@link TierUnavailable} when it cannot be, and then nothing is promised.
     */
    Mono<Long> purge(List<String> names);

    /** The name every value has. */
    String EVERYTHING = "*";
}
