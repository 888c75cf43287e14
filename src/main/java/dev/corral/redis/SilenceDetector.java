package dev.corral.redis;

/**
 * Determines from probes whether a server is silent. A probe is a small command on a separate connection. Not thread-safe; time
 * is an argument, in nanoseconds.
 *
 * <p>Silence is measured between probes that were written to the socket: from one write to the next, while an earlier probe has
 * no reply. The same event loop handles writes and replies, so an event loop that is late also writes late: its own delay, a
 * garbage collection pause, or a process without CPU time adds at most one {@link #MAX_GAP_NANOS} and never makes a server
 * silent.
 */
final class SilenceDetector {

    /**
     * The silence after which a server counts as unavailable: five probes, four times the 200 ms that Linux takes to retransmit
     * a lost packet.
     */
    static final long SILENCE_TIMEOUT_NANOS = 1_000_000_000L;

    /**
     * The maximum that one gap between two writes counts: twice the probe interval. A longer gap is a delay of this process.
     */
    static final long MAX_GAP_NANOS = 400_000_000L;

    private int unansweredProbes;
    private long lastWriteNanos;
    private long silenceNanos;

    /** Called when a probe has been written to the socket. */
    void onProbeWritten(long now) {
        if (unansweredProbes > 0) {
            silenceNanos += Math.min(Math.max(0, now - lastWriteNanos), MAX_GAP_NANOS);
        }
        unansweredProbes++;
        lastWriteNanos = now;
    }

    /** Called when the server has responded to the oldest probe, with a value or an error. */
    void onReply() {
        unansweredProbes = Math.max(0, unansweredProbes - 1);
        silenceNanos = 0;
    }

    /**
     * Called when the connection was lost, and its probes with it. The measured silence remains: a new connection may be silent
     * as well.
     */
    void onDisconnect() {
        unansweredProbes = 0;
    }

    /**
     * Called when a probe could not be written because there is no connection: the time since the last attempt counts as
     * silence.
     */
    void onNotConnected(long now) {
        if (lastWriteNanos != 0) {
            silenceNanos += Math.min(Math.max(0, now - lastWriteNanos), MAX_GAP_NANOS);
        }
        lastWriteNanos = now;
    }

    /** Whether the server has been silent for {@link #SILENCE_TIMEOUT_NANOS}. */
    boolean isSilent() {
        return silenceNanos >= SILENCE_TIMEOUT_NANOS;
    }

    /** The number of probes without a reply. */
    int unansweredProbes() {
        return unansweredProbes;
    }
}
