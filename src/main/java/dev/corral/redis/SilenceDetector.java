package dev.corral.redis;

/**
 * Judges by probes whether a server is silent. A probe is a small command on a connection of its own. Not thread-safe; time is an
 * argument, in nanoseconds.
 *
 * <p>The silence is counted between probes that were written to the socket: from one write to the next, while an earlier probe is
 * unanswered. Writes and replies are handled by the same event loop, so a loop that is late writes late: its own lag, a pause of
 * the garbage collector, or a process without CPU adds at most one {@link #MAX_GAP_NANOS} and never makes a server silent.
 */
final class SilenceDetector {

    /** A server without a reply for so long is taken to be gone: five probes, four times a lost packet's 200 ms on Linux. */
    static final long SILENCE_TIMEOUT_NANOS = 1_000_000_000L;

    /** The most that one gap between two writes counts: twice the interval of the probes. Longer gaps are this process' own. */
    static final long MAX_GAP_NANOS = 400_000_000L;

    private int unansweredProbes;
    private long lastWriteNanos;
    private long silenceNanos;

    /** A probe has been written to the socket. */
    void onProbeWritten(long now) {
        if (unansweredProbes > 0) {
            silenceNanos += Math.min(Math.max(0, now - lastWriteNanos), MAX_GAP_NANOS);
        }
        unansweredProbes++;
        lastWriteNanos = now;
    }

    /** The server has responded to the oldest probe, with a value or an error. */
    void onReply() {
        unansweredProbes = Math.max(0, unansweredProbes - 1);
        silenceNanos = 0;
    }

    /** The connection was lost, and with it the probes on it. What was counted stays: a new connection may be silent as well. */
    void onDisconnect() {
        unansweredProbes = 0;
    }

    /** A probe could not be written for want of a connection: the time since the last try counts as silence. */
    void onNotConnected(long now) {
        if (lastWriteNanos != 0) {
            silenceNanos += Math.min(Math.max(0, now - lastWriteNanos), MAX_GAP_NANOS);
        }
        lastWriteNanos = now;
    }

    /** Whether the server has been silent for too long. */
    boolean isSilent() {
        return silenceNanos >= SILENCE_TIMEOUT_NANOS;
    }

    /** Probes written and not answered. */
    int unansweredProbes() {
        return unansweredProbes;
    }
}
