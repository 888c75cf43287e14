package dev.corral.tier;

import java.time.Duration;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A silent server is found within a second, and nothing that happens in this process makes a server silent. */
class ProbeJudgeTest {

    private static final long INTERVAL = Duration.ofMillis(200).toNanos();

    private final ProbeJudge judge = new ProbeJudge();
    private long now = Duration.ofHours(1).toNanos();

    @Test
    void aServerThatNeverRespondsIsSilentAfterASecondOfProbes() {
        write();
        for (int i = 0; i < 4; i++) {
            pass(INTERVAL);
            write();
            assertThat(judge.silent()).isFalse();
        }

        pass(INTERVAL);
        write();

        assertThat(judge.silent()).isTrue();
        assertThat(judge.unanswered()).isEqualTo(6);
    }

    @Test
    void theFirstProbeSaysNothingHoweverLongNoneWasWritten() {
        pass(Duration.ofMinutes(5).toNanos());
        write();

        assertThat(judge.silent()).isFalse();
    }

    @Test
    void aReplyEndsTheSilence() {
        for (int i = 0; i < 20; i++) {
            write();
            pass(INTERVAL);
            write();
            pass(INTERVAL);
            judge.replied();
            judge.replied();
            pass(INTERVAL);
            assertThat(judge.silent()).isFalse();
        }

        assertThat(judge.unanswered()).isZero();
    }

    /** A round trip of three seconds, with a reply every 200 ms: slow, and not silent. */
    @Test
    void aServerWhoseEveryReplyIsSecondsLateIsNotSilent() {
        for (int i = 0; i < 4; i++) {
            write();
            pass(INTERVAL);
        }
        for (int i = 0; i < 100; i++) {
            judge.replied();
            write();
            pass(INTERVAL);
            assertThat(judge.silent()).isFalse();
            assertThat(judge.unanswered()).isEqualTo(4);
        }
    }

    @Test
    void aReplyEndsTheSilenceOfAServerThatWasFoundSilent() {
        beSilent();

        judge.replied();

        assertThat(judge.silent()).isFalse();
    }

    @Test
    void aPauseOfThisProcessCountsForNoMoreThanTwoProbes() {
        write();
        pass(Duration.ofSeconds(30).toNanos());
        write();

        assertThat(judge.silent()).isFalse();
        pass(INTERVAL);
        write();
        pass(INTERVAL);
        write();
        assertThat(judge.silent()).isFalse();
        pass(INTERVAL);
        write();
        assertThat(judge.silent()).isTrue();
    }

    /** The loop that writes late reads late: replies come before the next write. */
    @Test
    void anEventLoopThatIsAlwaysSecondsLateMakesNoServerSilent() {
        for (int i = 0; i < 100; i++) {
            write();
            pass(Duration.ofSeconds(3).toNanos());
            judge.replied();
            assertThat(judge.silent()).isFalse();
        }
    }

    /** Ticks that were held back are written all at once: the time between them is none. */
    @Test
    void aBurstOfWritesIsNotSilence() {
        write();
        pass(Duration.ofSeconds(10).toNanos());
        for (int i = 0; i < 50; i++) {
            write();
        }

        assertThat(judge.silent()).isFalse();
        assertThat(judge.unanswered()).isEqualTo(51);
    }

    @Test
    void timeThatIsIdleBetweenAReplyAndTheNextProbeDoesNotCount() {
        for (int i = 0; i < 10; i++) {
            write();
            judge.replied();
            pass(Duration.ofSeconds(1).toNanos());
        }
        write();

        assertThat(judge.silent()).isFalse();
    }

    @Test
    void aServerThatAcceptsConnectionsAndNeverRespondsIsSilentAllTheSame() {
        int probes = 0;
        while (!judge.silent() && probes < 100) {
            write();
            pass(INTERVAL);
            probes++;
            if (probes % 3 == 0) {
                judge.disconnected();
            }
        }

        assertThat(judge.silent()).isTrue();
        assertThat(probes).isLessThanOrEqualTo(10);
    }

    @Test
    void probesLostWithTheirConnectionAreNotAwaited() {
        write();
        write();

        judge.disconnected();

        assertThat(judge.unanswered()).isZero();
    }

    @Test
    void whatCannotBeWrittenForWantOfAConnectionIsSilenceAfterASecond() {
        write();
        judge.disconnected();
        for (int i = 0; i < 4; i++) {
            pass(INTERVAL);
            judge.notConnected(now);
            assertThat(judge.silent()).isFalse();
        }

        pass(INTERVAL);
        judge.notConnected(now);

        assertThat(judge.silent()).isTrue();
    }

    @Test
    void aConnectionThatWasNeverThereIsSilenceAfterASecond() {
        judge.notConnected(now);
        for (int i = 0; i < 5; i++) {
            assertThat(judge.silent()).isFalse();
            pass(INTERVAL);
            judge.notConnected(now);
        }

        assertThat(judge.silent()).isTrue();
    }

    @Test
    void aReplyToANewConnectionEndsTheSilence() {
        beSilent();
        judge.disconnected();
        judge.notConnected(now);
        write();
        judge.replied();

        assertThat(judge.silent()).isFalse();
        pass(INTERVAL);
        write();
        assertThat(judge.silent()).isFalse();
    }

    @Test
    void aClockThatStepsBackIsNoTime() {
        write();
        pass(-Duration.ofHours(1).toNanos());
        write();

        assertThat(judge.silent()).isFalse();
    }

    private void beSilent() {
        for (int i = 0; i < 6; i++) {
            write();
            pass(INTERVAL);
        }
        assertThat(judge.silent()).isTrue();
    }

    private void write() {
        judge.written(now);
    }

    private void pass(long nanos) {
        now += nanos;
    }
}
