package dev.corral.tier;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import dev.corral.coalesce.TierUnavailable;
import dev.corral.tier.RedisGate.State;
import io.lettuce.core.RedisCommandExecutionException;
import java.nio.channels.ClosedChannelException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** What is known of Redis decides, for each server by itself; a late or broken command says nothing. */
@Timeout(60)
class RedisGateTest {

    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final String LOG = "log";
    private static final String SHARD = "shard";

    /** A clock that is moved by hand. */
    private static final class Hands extends Clock {

        private Instant now = Instant.parse("2026-01-01T00:00:00Z");

        @Override
        public Instant instant() {
            return now;
        }

        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            return this;
        }
    }

    private final Hands clock = new Hands();
    /** Keys are named by their servers. */
    private final RedisGate gate = new RedisGate(key -> key, LOG, clock);
    private final Queue<ILoggingEvent> lines = new ConcurrentLinkedQueue<>();
    private final AppenderBase<ILoggingEvent> listener = new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent line) {
            lines.add(line);
        }
    };

    @BeforeEach
    void listen() {
        listener.start();
        logger().addAppender(listener);
        logger().setLevel(Level.INFO);
    }

    @AfterEach
    void stopListening() {
        logger().detachAppender(listener);
        logger().setLevel(null);
    }

    @Test
    void nothingIsSentBeforeAServerHasRespondedAndTheLogOfPurgesHasBeenRead() {
        assertUnavailable(LOG, "not connected yet");

        gate.responds(LOG);
        assertUnavailable(LOG, "its purges are being read");
        assertThat(gate.open()).isFalse();
        assertThat(gate.state()).isInstanceOf(State.Unavailable.class);

        gate.recovered();
        assertThat(gate.open()).isTrue();
        assertThat(gate.state()).isInstanceOf(State.Available.class);
        assertThat(gate.guard(LOG, Mono.just("sent")).block(BOUND)).isEqualTo("sent");
    }

    @Test
    void whatIsInFlightFailsAtOnceWhenItsServerIsLostAndOnlyThat() {
        serve();
        List<Throwable> lost = new ArrayList<>();
        List<Object> kept = new ArrayList<>();
        Sinks.One<String> other = Sinks.one();
        gate.guard(LOG, Mono.never()).subscribe(never -> {}, lost::add);
        gate.guard(SHARD, other.asMono()).subscribe(kept::add, kept::add);

        gate.doesNotServe(LOG, "no response for a second");

        assertThat(lost).singleElement()
                .isInstanceOf(TierUnavailable.class)
                .extracting(Throwable::getMessage)
                .asString()
                .contains("no response for a second");
        assertThat(kept).isEmpty();
        other.tryEmitValue("late").orThrow();
        assertThat(kept).containsExactly("late");
    }

    @Test
    void aCommandIsCancelledWhenItsServerIsLostAndWhenItsCallerGivesUp() {
        serve();
        var cancelled = new AtomicInteger();
        Mono<String> endless = Mono.<String>never().doOnCancel(cancelled::incrementAndGet);

        gate.guard(SHARD, endless).subscribe(never -> {}, lost -> {});
        gate.doesNotServe(SHARD, "gone");
        assertThat(cancelled).hasValue(1);
        gate.responds(SHARD);
        gate.guard(SHARD, endless).subscribe().dispose();

        assertThat(cancelled).hasValue(2);
    }

    /** A late reply makes nobody go on alone. */
    @Test
    void aLateCommandIsWaitedFor() {
        serve();

        assertThat(gate.guard(SHARD, Mono.delay(Duration.ofMillis(400))).block(BOUND)).isZero();
        assertThat(gate.state()).isInstanceOf(State.Available.class);
    }

    @Test
    void aCommandWhoseConnectionBreaksIsSentAgainUntilItIsThrough() {
        serve();
        var tries = new AtomicInteger();
        Mono<String> third = Mono.defer(() -> tries.incrementAndGet() < 3
                ? Mono.error(new ClosedChannelException())
                : Mono.just("through"));

        assertThat(gate.guard(SHARD, third).block(BOUND)).isEqualTo("through");

        assertThat(gate.state()).isInstanceOf(State.Available.class);
        assertThat(lines).hasSize(1);
    }

    @Test
    void aBrokenCommandIsSentAgainWithAPauseAndNotOnceTheServerIsLost() {
        serve();
        var tries = new AtomicInteger();
        List<Throwable> lost = new ArrayList<>();
        Mono<String> broken = Mono.defer(() -> {
            tries.incrementAndGet();
            return Mono.error(new ClosedChannelException());
        });
        gate.guard(SHARD, broken).subscribe(never -> {}, lost::add);
        assertThat(tries).hasValue(1);

        gate.doesNotServe(SHARD, "gone");

        assertThatThrownBy(() -> gate.guard(SHARD, broken).block(BOUND)).isInstanceOf(TierUnavailable.class);
        Awaitility.await().atMost(BOUND).until(() -> lost.size() == 1);
        assertThat(lost).hasOnlyElementsOfType(TierUnavailable.class);
        // The second try may have been sent just before.
        assertThat(tries.get()).isBetween(1, 2);
    }

    @Test
    void anErrorReplyThatSaysSoMakesTheServerUnavailableAtOnce() {
        serve();

        assertThatThrownBy(
                () -> gate.guard(SHARD, failing("LOADING Redis is loading the dataset in memory")).block(BOUND))
                .isInstanceOf(TierUnavailable.class);

        assertUnavailable(SHARD, "LOADING Redis is loading the dataset in memory");
        assertThat(gate.open(LOG)).isTrue();
    }

    @Test
    void aCommandThatIsRefusedFailsWithoutASecondTryAndSaysNothingOfTheServer() {
        serve();
        var tries = new AtomicInteger();

        for (int i = 0; i < 50; i++) {
            assertThatThrownBy(() -> gate.guard(SHARD, failing("WRONGTYPE Operation against a key")
                    .doOnSubscribe(sent -> tries.incrementAndGet())).block(BOUND)).isInstanceOf(TierUnavailable.class);
        }

        assertThat(tries).hasValue(50);
        assertThat(gate.state()).isInstanceOf(State.Available.class);
        assertThat(lines).filteredOn(line -> line.getFormattedMessage().contains("WRONGTYPE")).hasSize(1);
    }

    @Test
    void aServerThatRefusesAWriteIsDoubtedAndReadOnlyOnceItRefusesTheProbe() {
        serve();

        assertThatThrownBy(
                () -> gate.guard(SHARD, failing("NOREPLICAS Not enough good replicas to write.")).block(BOUND))
                .isInstanceOf(TierUnavailable.class);

        assertThat(gate.doubtsWrites(SHARD)).isTrue();
        assertThat(gate.doubtsWrites(LOG)).isFalse();
        assertThat(gate.state()).isInstanceOf(State.Available.class);

        gate.refusesWrites(SHARD, "NOREPLICAS Not enough good replicas to write.");
        assertThat(gate.state()).isInstanceOfSatisfying(State.ReadOnly.class,
                readOnly -> assertThat(readOnly.reason()).startsWith("NOREPLICAS"));
        assertThat(gate.doubtsWrites(SHARD)).isTrue();
        // It reads.
        assertThat(gate.guard(SHARD, Mono.just("read")).block(BOUND)).isEqualTo("read");

        gate.writes(SHARD);
        assertThat(gate.state()).isInstanceOf(State.Available.class);
        assertThat(gate.doubtsWrites(SHARD)).isFalse();
    }

    @Test
    void aRefusedWriteWhoseProbeSucceedsChangesNothing() {
        serve();
        assertThatThrownBy(() -> gate.guard(SHARD, failing("OOM command not allowed")).block(BOUND))
                .isInstanceOf(TierUnavailable.class);

        gate.writes(SHARD);

        assertThat(gate.doubtsWrites(SHARD)).isFalse();
        assertThat(lines).hasSize(1);
    }

    @Test
    void theServerOfThePurgeLogIsNotTheJudgeOfTheOthers() {
        serve();

        gate.doesNotServe(LOG, "no response for a second");

        assertThat(gate.open()).isFalse();
        assertThat(gate.open(SHARD)).isTrue();
        assertThat(gate.guard(SHARD, Mono.just("sent")).block(BOUND)).isEqualTo("sent");
        assertThat(gate.state()).isInstanceOf(State.Unavailable.class);
    }

    @Test
    void theServerOfThePurgeLogServesAgainOnlyWhenItsLogHasBeenRead() {
        serve();
        gate.doesNotServe(LOG, "gone");

        gate.responds(LOG);
        assertUnavailable(LOG, "its purges are being read");
        assertThat(gate.open(SHARD)).isTrue();

        gate.recovered();
        assertThat(gate.guard(LOG, Mono.just("sent")).block(BOUND)).isEqualTo("sent");
    }

    @Test
    void anotherServerThatIsBackServesAtOnce() {
        serve();
        gate.doesNotServe(SHARD, "gone");
        assertUnavailable(SHARD, "gone");
        assertThat(gate.open()).isTrue();

        gate.responds(SHARD);

        assertThat(gate.guard(SHARD, Mono.just("sent")).block(BOUND)).isEqualTo("sent");
        assertThat(gate.state()).isInstanceOf(State.Available.class);
    }

    @Test
    void noServerServesBeforeTheLogHasBeenReadForTheFirstTime() {
        gate.responds(SHARD);

        assertUnavailable(SHARD, "its purges are being read");
    }

    @Test
    void aServerThatLeftTheClusterIsForgotten() {
        serve();
        gate.doesNotServe(SHARD, "gone");
        assertThat(gate.state()).isInstanceOf(State.Unavailable.class);

        gate.keep(Set.of(LOG));

        assertThat(gate.state()).isInstanceOf(State.Available.class);
    }

    @Test
    void itSaysOneLineForEachChangeHoweverOftenItIsTold() {
        serve();
        for (int i = 0; i < 100; i++) {
            gate.doesNotServe(LOG, "no response for a second");
            clock.now = clock.now.plusMillis(200);
        }
        Instant since = gate.state().since();
        gate.responds(LOG);
        gate.recovered();
        gate.refusesWrites(LOG, "OOM");
        gate.refusesWrites(LOG, "OOM");
        gate.writes(LOG);
        gate.writes(LOG);

        assertThat(lines).extracting(ILoggingEvent::getLevel)
                .containsExactly(Level.INFO, Level.WARN, Level.INFO, Level.WARN, Level.INFO);
        assertThat(lines).extracting(ILoggingEvent::getFormattedMessage)
                .satisfiesExactly(
                        first -> assertThat(first).startsWith("Redis serves"),
                        lost -> assertThat(lost).contains("no response for a second"),
                        back -> assertThat(back).isEqualTo("Redis serves after 20000 ms"),
                        readOnly -> assertThat(readOnly).contains("OOM"),
                        again -> assertThat(again).startsWith("Redis serves"));
        assertThat(since).isEqualTo(clock.now.minusSeconds(20));
    }

    @Test
    void anotherReasonIsWorthALineButNotMoreThanOneAMinute() {
        serve();
        gate.doesNotServe(LOG, "Connection refused");
        for (int i = 0; i < 10; i++) {
            clock.now = clock.now.plusSeconds(1);
            gate.doesNotServe(LOG, i % 2 == 0 ? "LOADING" : "Connection refused");
        }
        assertThat(lines).filteredOn(line -> line.getLevel() == Level.WARN).hasSize(1);

        clock.now = clock.now.plusSeconds(60);
        gate.doesNotServe(LOG, "WRONGPASS");

        assertThat(lines).filteredOn(line -> line.getLevel() == Level.WARN).hasSize(2);
        assertThat(gate.state()).isInstanceOfSatisfying(State.Unavailable.class,
                state -> assertThat(state.reason()).isEqualTo("WRONGPASS"));
    }

    @Test
    void aCommandThatFailsAfterItsServerWasLostAddsNoLine() {
        serve();
        Sinks.One<String> pending = Sinks.one();
        gate.guard(LOG, pending.asMono()).subscribe(never -> {}, lost -> {});
        gate.doesNotServe(LOG, "gone");

        pending.tryEmitError(new RedisCommandExecutionException("WRONGTYPE late"));

        assertThat(lines).hasSize(2);
    }

    private void serve() {
        gate.responds(LOG);
        gate.responds(SHARD);
        gate.recovered();
    }

    private void assertUnavailable(String key, String reason) {
        var sent = new AtomicInteger();
        assertThatThrownBy(() -> gate.guard(key, Mono.fromCallable(sent::incrementAndGet)).block(BOUND))
                .isInstanceOf(TierUnavailable.class)
                .hasMessage("Redis is unavailable: " + reason);
        assertThat(sent).hasValue(0);
        assertThat(gate.open(key)).isFalse();
    }

    private static Mono<String> failing(String reply) {
        return Mono.error(new RedisCommandExecutionException(reply));
    }

    private static Logger logger() {
        return (Logger) LoggerFactory.getLogger(RedisGate.class);
    }
}
