package dev.corral.redis;

import java.time.Duration;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A silent server is found within a second, and nothing that happens in this process makes a server silent. */
class SilenceDetectorTest {

    private static final long INTERVAL = Duration.ofMillis(200).toNanos();

    private final SilenceDetector judge = new SilenceDetector();
    private long now = Duration.ofHours(1).toNanos();

    @Test
    void unresponsiveServerIsSilentAfterASecondOfProbes() {
        writeProbe();
        for (int i = 0; i < 4; i++) {
            advance(INTERVAL);
            writeProbe();
            assertThat(judge.isSilent()).isFalse();
        }

        advance(INTERVAL);
        writeProbe();

        assertThat(judge.isSilent()).isTrue();
        assertThat(judge.unansweredProbes()).isEqualTo(6);
    }

    @Test
    void firstProbeAfterIdleTimeIsNotSilence() {
        advance(Duration.ofMinutes(5).toNanos());
        writeProbe();

        assertThat(judge.isSilent()).isFalse();
    }

    @Test
    void replyResetsTheSilence() {
        for (int i = 0; i < 20; i++) {
            writeProbe();
            advance(INTERVAL);
            writeProbe();
            advance(INTERVAL);
            judge.onReply();
            judge.onReply();
            advance(INTERVAL);
            assertThat(judge.isSilent()).isFalse();
        }

        assertThat(judge.unansweredProbes()).isZero();
    }

    /** A round trip of three seconds, with a reply every 200 ms: slow, and not silent. */
    @Test
    void steadyButLateRepliesAreNotSilence() {
        for (int i = 0; i < 4; i++) {
            writeProbe();
            advance(INTERVAL);
        }
        for (int i = 0; i < 100; i++) {
            judge.onReply();
            writeProbe();
            advance(INTERVAL);
            assertThat(judge.isSilent()).isFalse();
            assertThat(judge.unansweredProbes()).isEqualTo(4);
        }
    }

    @Test
    void replyEndsADetectedSilence() {
        becomeSilent();

        judge.onReply();

        assertThat(judge.isSilent()).isFalse();
    }

    @Test
    void processPauseCountsAsTwoProbesOnly() {
        writeProbe();
        advance(Duration.ofSeconds(30).toNanos());
        writeProbe();

        assertThat(judge.isSilent()).isFalse();
        advance(INTERVAL);
        writeProbe();
        advance(INTERVAL);
        writeProbe();
        assertThat(judge.isSilent()).isFalse();
        advance(INTERVAL);
        writeProbe();
        assertThat(judge.isSilent()).isTrue();
    }

    /** The loop that writes late reads late: replies come before the next write. */
    @Test
    void lateEventLoopIsNotSilence() {
        for (int i = 0; i < 100; i++) {
            writeProbe();
            advance(Duration.ofSeconds(3).toNanos());
            judge.onReply();
            assertThat(judge.isSilent()).isFalse();
        }
    }

    /** Ticks that were held back are written all at once: the time between them is none. */
    @Test
    void burstOfProbesIsNotSilence() {
        writeProbe();
        advance(Duration.ofSeconds(10).toNanos());
        for (int i = 0; i < 50; i++) {
            writeProbe();
        }

        assertThat(judge.isSilent()).isFalse();
        assertThat(judge.unansweredProbes()).isEqualTo(51);
    }

    @Test
    void idleTimeBetweenReplyAndNextProbeIsNotCounted() {
        for (int i = 0; i < 10; i++) {
            writeProbe();
            judge.onReply();
            advance(Duration.ofSeconds(1).toNanos());
        }
        writeProbe();

        assertThat(judge.isSilent()).isFalse();
    }

    @Test
    void serverThatOnlyAcceptsConnectionsIsSilent() {
        int probes = 0;
        while (!judge.isSilent() && probes < 100) {
            writeProbe();
            advance(INTERVAL);
            probes++;
            if (probes % 3 == 0) {
                judge.onDisconnect();
            }
        }

        assertThat(judge.isSilent()).isTrue();
        assertThat(probes).isLessThanOrEqualTo(10);
    }

    @Test
    void probesLostWithTheirConnectionAreNotAwaited() {
        writeProbe();
        writeProbe();

        judge.onDisconnect();

        assertThat(judge.unansweredProbes()).isZero();
    }

    @Test
    void lostConnectionIsSilenceAfterASecond() {
        writeProbe();
        judge.onDisconnect();
        for (int i = 0; i < 4; i++) {
            advance(INTERVAL);
            judge.onNotConnected(now);
            assertThat(judge.isSilent()).isFalse();
        }

        advance(INTERVAL);
        judge.onNotConnected(now);

        assertThat(judge.isSilent()).isTrue();
    }

    @Test
    void missingConnectionIsSilenceAfterASecond() {
        judge.onNotConnected(now);
        for (int i = 0; i < 5; i++) {
            assertThat(judge.isSilent()).isFalse();
            advance(INTERVAL);
            judge.onNotConnected(now);
        }

        assertThat(judge.isSilent()).isTrue();
    }

    @Test
    void replyOnANewConnectionEndsTheSilence() {
        becomeSilent();
        judge.onDisconnect();
        judge.onNotConnected(now);
        writeProbe();
        judge.onReply();

        assertThat(judge.isSilent()).isFalse();
        advance(INTERVAL);
        writeProbe();
        assertThat(judge.isSilent()).isFalse();
    }

    @Test
    void clockStepBackIsNotSilence() {
        writeProbe();
        advance(-Duration.ofHours(1).toNanos());
        writeProbe();

        assertThat(judge.isSilent()).isFalse();
    }

    private void becomeSilent() {
        for (int i = 0; i < 6; i++) {
            writeProbe();
            advance(INTERVAL);
        }
        assertThat(judge.isSilent()).isTrue();
    }

    private void writeProbe() {
        judge.onProbeWritten(now);
    }

    private void advance(long nanos) {
        now += nanos;
    }
}
