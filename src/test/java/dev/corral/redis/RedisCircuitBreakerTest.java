package dev.corral.redis;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.redis.RedisCircuitBreaker.RedisState;
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
class RedisCircuitBreakerTest {

    private static final Duration TIMEOUT = Duration.ofSeconds(20);
    private static final String PURGE_LOG_SERVER = "log";
    private static final String OTHER_SERVER = "shard";

    /** A clock that is moved by hand. */
    private static final class ManualClock extends Clock {

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

    private final ManualClock clock = new ManualClock();
    /** Keys are named by their servers. */
    private final RedisCircuitBreaker circuitBreaker = new RedisCircuitBreaker(key -> key, PURGE_LOG_SERVER, clock);
    private final Queue<ILoggingEvent> logEvents = new ConcurrentLinkedQueue<>();
    private final AppenderBase<ILoggingEvent> logAppender = new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent line) {
            logEvents.add(line);
        }
    };

    @BeforeEach
    void attachAppender() {
        logAppender.start();
        logger().addAppender(logAppender);
        logger().setLevel(Level.INFO);
    }

    @AfterEach
    void detachAppender() {
        logger().detachAppender(logAppender);
        logger().setLevel(null);
    }

    @Test
    void noCommandIsSentBeforeAResponseAndThePurgeSync() {
        assertUnavailable(PURGE_LOG_SERVER, "not connected yet");

        circuitBreaker.onServerAvailable(PURGE_LOG_SERVER);
        assertUnavailable(PURGE_LOG_SERVER, "the purge log is being read");
        assertThat(circuitBreaker.isAvailable()).isFalse();
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Unavailable.class);

        circuitBreaker.onPurgesSynced();
        assertThat(circuitBreaker.isAvailable()).isTrue();
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);
        assertThat(circuitBreaker.guard(PURGE_LOG_SERVER, Mono.just("sent")).block(TIMEOUT)).isEqualTo("sent");
    }

    @Test
    void lostServerFailsOnlyItsCommandsInFlight() {
        makeAvailable();
        List<Throwable> lost = new ArrayList<>();
        List<Object> kept = new ArrayList<>();
        Sinks.One<String> other = Sinks.one();
        circuitBreaker.guard(PURGE_LOG_SERVER, Mono.never()).subscribe(never -> {}, lost::add);
        circuitBreaker.guard(OTHER_SERVER, other.asMono()).subscribe(kept::add, kept::add);

        circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, "no response for a second");

        assertThat(lost).singleElement()
                .isInstanceOf(TierUnavailableException.class)
                .extracting(Throwable::getMessage)
                .asString()
                .contains("no response for a second");
        assertThat(kept).isEmpty();
        other.tryEmitValue("late").orThrow();
        assertThat(kept).containsExactly("late");
    }

    @Test
    void commandIsCancelledOnServerLossOrCallerCancellation() {
        makeAvailable();
        var cancelled = new AtomicInteger();
        Mono<String> endless = Mono.<String>never().doOnCancel(cancelled::incrementAndGet);

        circuitBreaker.guard(OTHER_SERVER, endless).subscribe(never -> {}, lost -> {});
        circuitBreaker.onServerUnavailable(OTHER_SERVER, "gone");
        assertThat(cancelled).hasValue(1);
        circuitBreaker.onServerAvailable(OTHER_SERVER);
        circuitBreaker.guard(OTHER_SERVER, endless).subscribe().dispose();

        assertThat(cancelled).hasValue(2);
    }

    /** A late reply makes nobody go on alone. */
    @Test
    void lateCommandIsAwaited() {
        makeAvailable();

        assertThat(circuitBreaker.guard(OTHER_SERVER, Mono.delay(Duration.ofMillis(400))).block(TIMEOUT)).isZero();
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);
    }

    @Test
    void commandWithABrokenConnectionIsRetriedUntilItSucceeds() {
        makeAvailable();
        var tries = new AtomicInteger();
        Mono<String> third = Mono.defer(() -> tries.incrementAndGet() < 3
                ? Mono.error(new ClosedChannelException())
                : Mono.just("through"));

        assertThat(circuitBreaker.guard(OTHER_SERVER, third).block(TIMEOUT)).isEqualTo("through");

        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);
        assertThat(logEvents).hasSize(1);
    }

    @Test
    void brokenCommandIsRetriedWithAPauseUntilServerLoss() {
        makeAvailable();
        var tries = new AtomicInteger();
        List<Throwable> lost = new ArrayList<>();
        Mono<String> broken = Mono.defer(() -> {
            tries.incrementAndGet();
            return Mono.error(new ClosedChannelException());
        });
        circuitBreaker.guard(OTHER_SERVER, broken).subscribe(never -> {}, lost::add);
        assertThat(tries).hasValue(1);

        circuitBreaker.onServerUnavailable(OTHER_SERVER, "gone");

        assertThatThrownBy(() -> circuitBreaker.guard(OTHER_SERVER, broken).block(TIMEOUT))
                .isInstanceOf(TierUnavailableException.class);
        Awaitility.await().atMost(TIMEOUT).until(() -> lost.size() == 1);
        assertThat(lost).hasOnlyElementsOfType(TierUnavailableException.class);
        // The second try may have been sent just before.
        assertThat(tries.get()).isBetween(1, 2);
    }

    @Test
    void notServingReplyMakesTheServerUnavailableAtOnce() {
        makeAvailable();

        assertThatThrownBy(
                () -> circuitBreaker.guard(OTHER_SERVER, errorReply("LOADING Redis is loading the dataset in memory"))
                        .block(TIMEOUT))
                .isInstanceOf(TierUnavailableException.class);

        assertUnavailable(OTHER_SERVER, "LOADING Redis is loading the dataset in memory");
        assertThat(circuitBreaker.isAvailable(PURGE_LOG_SERVER)).isTrue();
    }

    @Test
    void rejectedCommandFailsWithoutRetryOrStateChange() {
        makeAvailable();
        var tries = new AtomicInteger();

        for (int i = 0; i < 50; i++) {
            assertThatThrownBy(() -> circuitBreaker.guard(OTHER_SERVER, errorReply("WRONGTYPE Operation against a key")
                    .doOnSubscribe(sent -> tries.incrementAndGet())).block(TIMEOUT))
                    .isInstanceOf(TierUnavailableException.class);
        }

        assertThat(tries).hasValue(50);
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);
        assertThat(logEvents).filteredOn(line -> line.getFormattedMessage().contains("WRONGTYPE")).hasSize(1);
    }

    @Test
    void rejectedWriteMeansReadOnlyOnlyAfterARejectedProbe() {
        makeAvailable();

        assertThatThrownBy(
                () -> circuitBreaker.guard(OTHER_SERVER, errorReply("NOREPLICAS Not enough good replicas to write."))
                        .block(TIMEOUT))
                .isInstanceOf(TierUnavailableException.class);

        assertThat(circuitBreaker.isWriteProbeNeeded(OTHER_SERVER)).isTrue();
        assertThat(circuitBreaker.isWriteProbeNeeded(PURGE_LOG_SERVER)).isFalse();
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);

        circuitBreaker.onWriteRefused(OTHER_SERVER, "NOREPLICAS Not enough good replicas to write.");
        assertThat(circuitBreaker.state()).isInstanceOfSatisfying(RedisState.ReadOnly.class,
                readOnly -> assertThat(readOnly.reason()).startsWith("NOREPLICAS"));
        assertThat(circuitBreaker.isWriteProbeNeeded(OTHER_SERVER)).isTrue();
        // It reads.
        assertThat(circuitBreaker.guard(OTHER_SERVER, Mono.just("read")).block(TIMEOUT)).isEqualTo("read");

        circuitBreaker.onWriteSucceeded(OTHER_SERVER);
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);
        assertThat(circuitBreaker.isWriteProbeNeeded(OTHER_SERVER)).isFalse();
    }

    @Test
    void rejectedWriteWithSuccessfulProbeChangesNothing() {
        makeAvailable();
        assertThatThrownBy(
                () -> circuitBreaker.guard(OTHER_SERVER, errorReply("OOM command not allowed")).block(TIMEOUT))
                .isInstanceOf(TierUnavailableException.class);

        circuitBreaker.onWriteSucceeded(OTHER_SERVER);

        assertThat(circuitBreaker.isWriteProbeNeeded(OTHER_SERVER)).isFalse();
        assertThat(logEvents).hasSize(1);
    }

    @Test
    void outageOfThePurgeLogServerDoesNotAffectOthers() {
        makeAvailable();

        circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, "no response for a second");

        assertThat(circuitBreaker.isAvailable()).isFalse();
        assertThat(circuitBreaker.isAvailable(OTHER_SERVER)).isTrue();
        assertThat(circuitBreaker.guard(OTHER_SERVER, Mono.just("sent")).block(TIMEOUT)).isEqualTo("sent");
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Unavailable.class);
    }

    @Test
    void purgeLogServerIsAvailableOnlyAfterAPurgeSync() {
        makeAvailable();
        circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, "gone");

        circuitBreaker.onServerAvailable(PURGE_LOG_SERVER);
        assertUnavailable(PURGE_LOG_SERVER, "the purge log is being read");
        assertThat(circuitBreaker.isAvailable(OTHER_SERVER)).isTrue();

        circuitBreaker.onPurgesSynced();
        assertThat(circuitBreaker.guard(PURGE_LOG_SERVER, Mono.just("sent")).block(TIMEOUT)).isEqualTo("sent");
    }

    @Test
    void recoveredOtherServerIsAvailableAtOnce() {
        makeAvailable();
        circuitBreaker.onServerUnavailable(OTHER_SERVER, "gone");
        assertUnavailable(OTHER_SERVER, "gone");
        assertThat(circuitBreaker.isAvailable()).isTrue();

        circuitBreaker.onServerAvailable(OTHER_SERVER);

        assertThat(circuitBreaker.guard(OTHER_SERVER, Mono.just("sent")).block(TIMEOUT)).isEqualTo("sent");
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);
    }

    @Test
    void noServerIsAvailableBeforeTheFirstPurgeSync() {
        circuitBreaker.onServerAvailable(OTHER_SERVER);

        assertUnavailable(OTHER_SERVER, "the purge log is being read");
    }

    @Test
    void serverRemovedFromTheClusterIsForgotten() {
        makeAvailable();
        circuitBreaker.onServerUnavailable(OTHER_SERVER, "gone");
        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Unavailable.class);

        circuitBreaker.retainServers(Set.of(PURGE_LOG_SERVER));

        assertThat(circuitBreaker.state()).isInstanceOf(RedisState.Available.class);
    }

    @Test
    void everyStateChangeIsLoggedOnce() {
        makeAvailable();
        for (int i = 0; i < 100; i++) {
            circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, "no response for a second");
            clock.now = clock.now.plusMillis(200);
        }
        Instant since = circuitBreaker.state().since();
        circuitBreaker.onServerAvailable(PURGE_LOG_SERVER);
        circuitBreaker.onPurgesSynced();
        circuitBreaker.onWriteRefused(PURGE_LOG_SERVER, "OOM");
        circuitBreaker.onWriteRefused(PURGE_LOG_SERVER, "OOM");
        circuitBreaker.onWriteSucceeded(PURGE_LOG_SERVER);
        circuitBreaker.onWriteSucceeded(PURGE_LOG_SERVER);

        assertThat(logEvents).extracting(ILoggingEvent::getLevel)
                .containsExactly(Level.INFO, Level.WARN, Level.INFO, Level.WARN, Level.INFO);
        assertThat(logEvents).extracting(ILoggingEvent::getFormattedMessage)
                .satisfiesExactly(
                        first -> assertThat(first).startsWith("Redis available"),
                        lost -> assertThat(lost).contains("no response for a second"),
                        back -> assertThat(back).isEqualTo("Redis available again after 20000 ms"),
                        readOnly -> assertThat(readOnly).contains("OOM"),
                        again -> assertThat(again).startsWith("Redis available"));
        assertThat(since).isEqualTo(clock.now.minusSeconds(20));
    }

    @Test
    void changedReasonIsLoggedOnceAMinute() {
        makeAvailable();
        circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, "Connection refused");
        for (int i = 0; i < 10; i++) {
            clock.now = clock.now.plusSeconds(1);
            circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, i % 2 == 0 ? "LOADING" : "Connection refused");
        }
        assertThat(logEvents).filteredOn(line -> line.getLevel() == Level.WARN).hasSize(1);

        clock.now = clock.now.plusSeconds(60);
        circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, "WRONGPASS");

        assertThat(logEvents).filteredOn(line -> line.getLevel() == Level.WARN).hasSize(2);
        assertThat(circuitBreaker.state()).isInstanceOfSatisfying(RedisState.Unavailable.class,
                state -> assertThat(state.reason()).isEqualTo("WRONGPASS"));
    }

    @Test
    void commandFailureAfterServerLossIsNotLogged() {
        makeAvailable();
        Sinks.One<String> pending = Sinks.one();
        circuitBreaker.guard(PURGE_LOG_SERVER, pending.asMono()).subscribe(never -> {}, lost -> {});
        circuitBreaker.onServerUnavailable(PURGE_LOG_SERVER, "gone");

        pending.tryEmitError(new RedisCommandExecutionException("WRONGTYPE late"));

        assertThat(logEvents).hasSize(2);
    }

    private void makeAvailable() {
        circuitBreaker.onServerAvailable(PURGE_LOG_SERVER);
        circuitBreaker.onServerAvailable(OTHER_SERVER);
        circuitBreaker.onPurgesSynced();
    }

    private void assertUnavailable(String key, String reason) {
        var sent = new AtomicInteger();
        assertThatThrownBy(() -> circuitBreaker.guard(key, Mono.fromCallable(sent::incrementAndGet)).block(TIMEOUT))
                .isInstanceOf(TierUnavailableException.class)
                .hasMessage("Redis is unavailable: " + reason);
        assertThat(sent).hasValue(0);
        assertThat(circuitBreaker.isAvailable(key)).isFalse();
    }

    private static Mono<String> errorReply(String reply) {
        return Mono.error(new RedisCommandExecutionException(reply));
    }

    private static Logger logger() {
        return (Logger) LoggerFactory.getLogger(RedisCircuitBreaker.class);
    }
}
