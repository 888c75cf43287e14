package dev.corral.tier;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.SharedTier.Attempt;
import dev.corral.coalesce.SharedTier.Attempt.Led;
import dev.corral.coalesce.SharedTier.Attempt.Lost;
import dev.corral.coalesce.SharedTier.Latch;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.Published;
import dev.corral.coalesce.SharedTier.Ring;
import dev.corral.coalesce.SharedTier.Seen;
import dev.corral.coalesce.SharedTier.Sight;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierUnavailable;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FaultProxy;
import dev.corral.dev.RedisServer;
import io.lettuce.core.cluster.SlotHash;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** What becomes of a replica when its Redis goes, stalls, forgets or speaks another dialect. */
class RedisFaultsTest {

    private static final Duration LEASE = Duration.ofSeconds(30);
    private static final Duration BOUND = Duration.ofSeconds(10);
    private static final Duration TIMEOUT = Duration.ofMillis(1_500);
    private static final Key KEY = Key.of("k");

    private final Queue<ILoggingEvent> lines = new ConcurrentLinkedQueue<>();
    private final AppenderBase<ILoggingEvent> listener = new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent line) {
            lines.add(line);
        }
    };
    private EmbeddedRedis redis;
    private Replica replica;

    @BeforeEach
    void start() {
        redis = RedisServer.embedded();
        replica = Replica.startAlone("a", impatient(redis.settings()));
        Awaitility.await().until(replica.gate::open);
        listener.start();
        logger().addAppender(listener);
        logger().setLevel(Level.INFO);
    }

    @AfterEach
    void stop() {
        logger().detachAppender(listener);
        logger().setLevel(null);
        replica.close();
        redis.close();
    }

    @Test
    void aStoppedRedisFailsAtOnceAndComesBackUnaided() {
        assertThat(roundTrip("before")).isEqualTo("before");

        redis.stop();

        Awaitility.await().until(() -> replica.gate.state() instanceof RedisGate.State.Unavailable);
        assertUnavailableAtOnce(replica.tier.find(KEY));
        assertUnavailableAtOnce(replica.tier.tryLead(KEY, LEASE));
        assertUnavailableAtOnce(replica.purges.purge(List.of("x")));
        Awaitility.await().until(() -> !replica.purges.current());

        redis.restart();

        Awaitility.await().until(replica.gate::open);
        assertThat(replica.purges.current()).isTrue();
        assertThat(roundTrip("after")).isEqualTo("after");
    }

    @Test
    void itSaysOnceThatRedisIsAwayAndOnceThatItIsBack() {
        redis.stop();
        Awaitility.await().until(() -> replica.gate.state() instanceof RedisGate.State.Unavailable);
        Flux.range(0, 100).concatMap(i -> replica.tier.find(KEY).onErrorComplete()).blockLast(BOUND);
        redis.restart();
        Awaitility.await().until(replica.gate::open);

        assertThat(lines).extracting(ILoggingEvent::getLevel).containsExactly(Level.WARN, Level.INFO);
        assertThat(lines).allSatisfy(line -> assertThat(line.getThrowableProxy()).isNull());
    }

    @Test
    void aPausedRedisCostsACommandItsTimeLimitAndThenNothing() {
        redis.pause();

        assertUnavailable(TIMEOUT.multipliedBy(2), replica.tier.find(KEY));
        Flux.range(0, 20).flatMap(i -> replica.tier.tryLead(Key.of("p" + i), LEASE).onErrorComplete()).blockLast(BOUND);

        assertThat(replica.gate.state()).isInstanceOf(RedisGate.State.Unavailable.class);
        assertUnavailableAtOnce(replica.tier.find(KEY));
        redis.resume();
        Awaitility.await().until(replica.gate::open);
        assertThat(roundTrip("after")).isEqualTo("after");
    }

    @Test
    void aPauseIsNoticedWithoutTraffic() {
        redis.pause();

        Awaitility.await().until(() -> replica.gate.state() instanceof RedisGate.State.Unavailable);

        assertThat(replica.purges.current()).isFalse();
        redis.resume();
        Awaitility.await().until(() -> replica.gate.state() instanceof RedisGate.State.Available);
    }

    @Test
    void aReplicaStartsWithoutRedisAndFindsItLater() {
        replica.close();
        redis.stop();

        replica = Replica.startAlone("b", impatient(redis.settings()));

        assertUnavailableAtOnce(replica.tier.find(KEY));
        assertThat(replica.gate.state()).isInstanceOf(RedisGate.State.Unavailable.class);
        assertThat(replica.purges.current()).isFalse();
        redis.restart();
        Awaitility.await().until(replica.gate::open);
        assertThat(roundTrip("found")).isEqualTo("found");
    }

    @Test
    void theInboxIsHeardAgainAfterARestart() {
        redis.restart();
        Awaitility.await().until(() -> redis.ask("PUBSUB CHANNELS").contains("corral:inbox:a"));
        Awaitility.await().until(replica.gate::open);

        Lease<Key> lease = lease(KEY);
        try (Latch latch = replica.tier.listen(KEY)) {
            replica.tier.follow(KEY, Optional.empty(), 0).block(BOUND);
            replica.tier.release(lease, Ring.DISMISSED).block(BOUND);

            assertThat(latch.rung().block(BOUND)).isEqualTo(Ring.DISMISSED);
        }
    }

    /** Lettuce subscribes once after a reconnection, and does not try again when that fails. */
    @Test
    void aSubscriptionThatFailedIsMadeAgain() {
        redis.ask("ACL SETUSER default -subscribe", "CLIENT KILL TYPE pubsub");
        // The connection is back, and was refused its subscription.
        Awaitility.await().until(() -> redis.ask("ACL LOG").contains("subscribe"));

        redis.ask("ACL SETUSER default +subscribe");

        // Four messages to itself, one each two seconds, are not heard; then it connects anew.
        Awaitility.await().atMost(Duration.ofSeconds(60)).until(() -> subscribers() == 1);
        Awaitility.await().until(replica.gate::open);
        assertThat(lines).extracting(ILoggingEvent::getFormattedMessage)
                .anyMatch(line -> line.contains("the messages of this replica do not reach itself"));
        assertThat(roundTrip("after")).isEqualTo("after");
    }

    /** Of the connections some lead to one server and some to another, as behind an address that has moved. */
    @Test
    void locksAreNeverElsewhereThanEntriesForLong() throws Exception {
        try (EmbeddedRedis other = RedisServer.embedded();
                FaultProxy proxy = FaultProxy.start(redis.port(), 1);
                Replica moved = Replica.start("moved", Map.of("spring.data.redis.host", "127.0.0.1",
                        "spring.data.redis.port", Integer.toString(proxy.port())))) {
            proxy.retarget(other.port());
            // Those that are left open still lead to the first server, the others to the second.
            redis.ask("CLIENT KILL TYPE pubsub");
            moved.connections.redisson().shutdown();
            moved.connections.doubt("a test");

            Awaitility.await().atMost(Duration.ofSeconds(30)).ignoreExceptions().until(() -> {
                Key key = Key.of("split" + System.nanoTime());
                return moved.tier.tryLead(key, LEASE).block(BOUND) instanceof Led<Key>(Lease<Key> lease)
                        && moved.tier.stand(lease).blockOptional(BOUND).orElseThrow().held();
            });
        }
    }

    @Test
    void forgottenScriptsAreSentAgain() {
        roundTrip("a");
        redis.ask("SCRIPT FLUSH");

        assertThat(roundTrip("b")).isEqualTo("b");
        redis.ask("SCRIPT FLUSH");
        Lease<Key> lease = lease(KEY);
        assertThat(replica.tier.renew(lease, LEASE).block(BOUND)).isTrue();
        long since = ((Lost<Key>) attempt(KEY)).since();
        redis.ask("SCRIPT FLUSH");
        replica.tier.fail(lease, "refused").block(BOUND);
        redis.ask("SCRIPT FLUSH");
        Optional<String> seen = replica.tier.find(KEY).map(Seen::version).blockOptional(BOUND);
        assertThat(replica.tier.follow(KEY, seen, since).block(BOUND)).isEqualTo(new Sight.Failed<>("refused"));
        redis.ask("SCRIPT FLUSH");
        assertThat(replica.purges.purge(List.of("x")).map(Purges.Purged::position).block(BOUND)).isPositive();
    }

    @Test
    void theHolderIsRedissonsOwnNameForTheLock() {
        Lease<Key> lease = lease(KEY);

        assertThat(redis.ask("HGETALL corral:{k}:lock").lines()).containsExactly(lease.holder(), "1");
        assertThat(Long.parseLong(redis.ask("PTTL corral:{k}:lock"))).isPositive()
                .isLessThanOrEqualTo(LEASE.toMillis());
    }

    @Test
    void allOfAResourceLiesInOneSlot() {
        var keys = new RedisKeys("corral", 0);
        Names resource = keys.names(KEY);
        Names variant = keys.names(KEY.lane("v:1"));

        assertThat(List.of(resource.entry(), resource.lock(), resource.waiters(), resource.fail(), variant.entry(),
                variant.lock())).extracting(SlotHash::getSlot).containsOnly(SlotHash.getSlot("k"));
        assertThat(variant.entry()).isEqualTo("corral:{k}:v:1");
    }

    @Test
    void whatANewerVersionStoredIsAbsentAndNoChange() {
        redis.ask("SET corral:{k} \"\\x01\\x03a:1\\x02future\"");

        assertThat(replica.tier.find(KEY).blockOptional(BOUND)).isEmpty();
        Lease<Key> lease = lease(KEY);
        assertThat(replica.tier.stand(lease).blockOptional(BOUND).orElseThrow().seen()).isEmpty();
        assertThat(replica.tier.follow(KEY, Optional.empty(), 0).block(BOUND)).isInstanceOf(Sight.Waiting.class);
        publish(lease, "present");
        assertThat(replica.tier.follow(KEY, Optional.empty(), 0).block(BOUND)).isInstanceOf(Sight.Changed.class);
    }

    @Test
    void bytesOfAnotherKindAreAbsentAndNoChange() {
        for (String foreign : List.of("x", "\\x09future", "\\x01", "\\x01\\x05abc")) {
            redis.ask("SET corral:{k} \"" + foreign + "\"");

            assertThat(replica.tier.find(KEY).blockOptional(BOUND)).isEmpty();
            Lease<Key> lease = lease(KEY);
            assertThat(replica.tier.follow(KEY, Optional.empty(), 0).block(BOUND)).isInstanceOf(Sight.Waiting.class);
            publish(lease, "mine");
            assertThat(replica.tier.find(KEY).map(Seen::value).block(BOUND)).isEqualTo("mine");
        }
    }

    @Test
    void aFullRedisGivesNoLeaseButStillAnswersAndPurges() {
        publish(lease(KEY), "a");
        redis.ask("CONFIG SET maxmemory 1");

        for (int i = 0; i < 30; i++) {
            Key other = Key.of("full" + i);
            assertThatThrownBy(() -> attempt(other)).isInstanceOf(TierUnavailable.class);
        }

        assertThat(replica.gate.open()).isTrue();
        assertThat(replica.tier.find(KEY).map(Seen::value).block(BOUND)).isEqualTo("a");
        long position = replica.purges.purge(List.of("x")).blockOptional(BOUND).orElseThrow().position();
        assertThat(redis.ask("GET corral:{purge}:seq")).isEqualTo(Long.toString(position));
    }

    @Test
    void anAttemptThatWasGivenUpLeavesNoLockForLong() {
        redis.pause();
        Flux.range(0, 4)
                // Far longer than anybody waits below: the lock does not lapse, it is given back.
                .flatMap(i -> replica.tier.tryLead(KEY, Duration.ofMinutes(10)).onErrorComplete())
                .blockLast(BOUND);
        redis.resume();

        Awaitility.await().atMost(BOUND).until(() -> replica.gate.open() && attempt(KEY) instanceof Led<Key>);
    }

    private long subscribers() {
        String reply = redis.ask("PUBSUB NUMSUB corral:inbox:a");
        return Long.parseLong(reply.lines().reduce((first, last) -> last).orElse("0").strip());
    }

    private String roundTrip(String value) {
        publish(lease(KEY), value);
        return replica.tier.find(KEY).map(Seen::value).blockOptional(BOUND).orElseThrow();
    }

    private void publish(Lease<Key> lease, String value) {
        Optional<String> stoodOn = replica.tier.stand(lease).blockOptional(BOUND).orElseThrow().version();
        assertThat(replica.tier.publish(lease, stoodOn, List.of(new Write<>(KEY, value, LEASE))).block(BOUND))
                .isEqualTo(Published.STORED);
    }

    private Lease<Key> lease(Key key) {
        return ((Led<Key>) attempt(key)).lease();
    }

    private Attempt<Key> attempt(Key key) {
        return replica.tier.tryLead(key, LEASE).blockOptional(BOUND).orElseThrow();
    }

    /** Without waiting for an answer; the machine may be busy. */
    private static void assertUnavailableAtOnce(Mono<?> command) {
        assertUnavailable(TIMEOUT, command);
    }

    private static void assertUnavailable(Duration bound, Mono<?> command) {
        Instant start = Instant.now();
        assertThatThrownBy(() -> command.block(BOUND)).isInstanceOf(TierUnavailable.class);
        assertThat(Duration.between(start, Instant.now())).isLessThan(bound);
    }

    private static Map<String, String> impatient(Map<String, String> settings) {
        var impatient = new HashMap<>(settings);
        impatient.put("spring.data.redis.timeout", TIMEOUT.toMillis() + "ms");
        return impatient;
    }

    private static Logger logger() {
        return (Logger) LoggerFactory.getLogger("dev.corral.tier");
    }
}
