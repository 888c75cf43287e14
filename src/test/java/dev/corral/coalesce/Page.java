package dev.corral.coalesce;

/**
 * What the simulated origin answers, and what becomes of it: the value of the simulation.
 *
 * @param content    which content the origin had when it answered; grows with each change
 * @param position   the purge position the fetch stood on
 * @param fetch      which fetch brought it; unique in a run
 * @param landedAt   when the answer was there
 * @param freshUntil fresh before this
 */
record Page(String key, Nature nature, int content, long position, int fetch, long landedAt, long freshUntil) {

    /** How an answer may be used. */
    enum Nature {
        /** By everybody, for a while. */
        SHARED,
        /** By everybody who waits for it, and by nobody later without asking again. */
        BORN_STALE,
        /** By one request; a marker spares others the wait. */
        PRIVATE,
        /** By one request; no marker is left. */
        PRIVATE_UNMARKED,
        /** Nobody: the fetch failed. */
        FAILURE,
        /** It is no answer but says that answers of this key are private. */
        MARKER,
        /** It is no answer: there were too many waiters. */
        CROWDED
    }

    Page as(Nature other) {
        return new Page(key, other, content, position, fetch, landedAt, freshUntil);
    }
}
