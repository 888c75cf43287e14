package dev.corral.tier;

/**
 * Judges by probes whether a server is silent. A probe is a small command on a connection of its own. Not thread-safe; time is an
 * argument, in nanoseconds.
 *
 * <p>The silence is counted between probes that were written to the socket: from one write to the next, while an earlier probe is
 * unanswered. Writes and replies are handled by the same event loop, so a loop that is late writes late: its own lag, a pause of
 * the garbage collector, or a process without CPU adds at most one {@link #LONGEST_GAP} and never makes a server silent.
 */
final class ProbeJudge {

    /** A server without a reply for so long is taken to be gone: five probes, four times a lost packet's 200 ms on Linux. */
    static final long SILENCE = 1_000_000_000L;

    /** The most that one gap between two writes counts: twice the interval of the probes. Longer gaps are this process' own. */
    static final long LONGEST_GAP = 400_000_000L;

    private int unanswered;
    private long lastWrite;
    private long silence;

    /** A probe has been written to the socket. */
    void written(long now) {
        if (unanswered > 0) {
            silence += Math.min(Math.max(0, now - lastWrite), LONGEST_GAP);
        }
        unanswered++;
        lastWrite = now;
    }

    /** The server has responded to the oldest probe, with a value or an error. */
    void replied() {
        unanswered = Math.max(0, unanswered - 1);
        silence = 0;
    }

    /** The connection was lost, and with it the probes on it. What was counted stays: a new connection may be silent as well. */
    void disconnected() {
        unanswered = 0;
    }

    /** A probe could not be written for want of a connection: the time since the last try counts as silence. */
    void notConnected(long now) {
        if (lastWrite != 0) {
            silence += Math.min(Math.max(0, now - lastWrite), LONGEST_GAP);
        }
        lastWrite = now;
    }

    /** Whether the server has been silent for too long. */
    boolean silent() {
        return silence >= SILENCE;
    }

    /** Probes written and not answered. */
    int unanswered() {
        return unanswered;
    }
}
