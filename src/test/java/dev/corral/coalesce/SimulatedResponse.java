package dev.corral.coalesce;

/**
 * What the simulated origin answers, and what becomes of it: the value of the simulation.
 *
 * @param content    which content the origin had when it answered; grows with each change
 * @param position   the purge position the fetch stood on
 * @param fetch      which fetch brought it; unique in a run
 * @param receivedAt when the answer was there
 * @param freshUntil fresh before this
 */
record SimulatedResponse(String key, ResponseKind kind, int content, long position, int fetch, long receivedAt,
        long freshUntil) {

    /** How an answer may be used. */
    enum ResponseKind {
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
        REJECTED
    }

    SimulatedResponse withKind(ResponseKind other) {
        return new SimulatedResponse(key, other, content, position, fetch, receivedAt, freshUntil);
    }
}
