package dev.corral.redis;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import dev.corral.coalesce.SharedTier.FillNotification;
import dev.corral.coalesce.SharedTier.FillSubscription;
import dev.corral.coalesce.SharedTier.FollowResult;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.LeaseAttempt;
import dev.corral.coalesce.SharedTier.LeaseAttempt.Acquired;
import dev.corral.coalesce.SharedTier.LeaseAttempt.HeldByOther;
import dev.corral.coalesce.SharedTier.PublishResult;
import dev.corral.coalesce.SharedTier.Versioned;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FaultProxy;
import dev.corral.dev.RedisServer;
import dev.corral.purge.PurgeRegistry;
import io.lettuce.core.cluster.SlotHash;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
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
    /** Of what hangs; how long a busy machine takes is nothing that these tests are about, where they do not say so. */
    private static final Duration AWAIT_LIMIT = Duration.ofSeconds(60);
    /** Of one of several tries. */
    private static final Duration TRY = Duration.ofSeconds(10);
    private static final Duration COMMAND_TIMEOUT = Duration.ofMillis(1_500);
    private static final TierKey KEY = TierKey.of("k");

    private final Queue<ILoggingEvent> logEvents = new ConcurrentLinkedQueue<>();
    private final AppenderBase<ILoggingEvent> logAppender = new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent line) {
            logEvents.add(line);
        }
    };
    private EmbeddedRedis redis;
    private RedisTierFixture replica;

    @BeforeEach
    void start() {
        redis = RedisServer.embedded();
        replica = RedisTierFixture.startWithoutWaiting("a", withShortTimeout(redis.settings()));
        Awaitility.await().until(replica.circuitBreaker::isAvailable);
        logAppender.start();
        logger().addAppender(logAppender);
        logger().setLevel(Level.INFO);
    }

    @AfterEach
    void stop() {
        logger().detachAppender(logAppender);
        logger().setLevel(null);
        replica.close();
        redis.close();
    }

    @Test
    void stoppedRedisFailsAtOnceAndRecovers() {
        assertThat(roundTrip("before")).isEqualTo("before");

        redis.stop();

        Awaitility.await()
                .until(() -> replica.circuitBreaker.state() instanceof RedisCircuitBreaker.RedisState.Unavailable);
        assertUnavailableAtOnce(replica.tier.find(KEY));
        assertUnavailableAtOnce(replica.tier.tryLead(KEY, LEASE));
        assertUnavailableAtOnce(replica.purges.purge(List.of("x")));
        Awaitility.await().until(() -> !replica.purges.isUpToDate());

        redis.restart();

        Awaitility.await().until(replica.circuitBreaker::isAvailable);
        assertThat(replica.purges.isUpToDate()).isTrue();
        assertThat(roundTrip("after")).isEqualTo("after");
    }

    @Test
    void outageAndRecoveryAreLoggedOnceEach() {
        redis.stop();
        Awaitility.await()
                .until(() -> replica.circuitBreaker.state() instanceof RedisCircuitBreaker.RedisState.Unavailable);
        Flux.range(0, 100).concatMap(i -> replica.tier.find(KEY).onErrorComplete()).blockLast(AWAIT_LIMIT);
        redis.restart();
        Awaitility.await().until(replica.circuitBreaker::isAvailable);

        assertThat(logEvents).extracting(ILoggingEvent::getLevel).containsExactly(Level.WARN, Level.INFO);
        assertThat(logEvents).allSatisfy(line -> assertThat(line.getThrowableProxy()).isNull());
    }

    @Test
    void pausedRedisCostsOneTimeoutAndThenFailsAtOnce() {
        redis.pause();

        assertUnavailable(COMMAND_TIMEOUT.multipliedBy(2), replica.tier.find(KEY));
        Flux.range(0, 20)
                .flatMap(i -> replica.tier.tryLead(TierKey.of("p" + i), LEASE).onErrorComplete())
                .blockLast(AWAIT_LIMIT);

        assertThat(replica.circuitBreaker.state()).isInstanceOf(RedisCircuitBreaker.RedisState.Unavailable.class);
        assertUnavailableAtOnce(replica.tier.find(KEY));
        redis.resume();
        Awaitility.await().until(replica.circuitBreaker::isAvailable);
        assertThat(roundTrip("after")).isEqualTo("after");
    }

    @Test
    void pausedRedisIsDetectedWithoutTraffic() {
        redis.pause();

        Awaitility.await()
                .until(() -> replica.circuitBreaker.state() instanceof RedisCircuitBreaker.RedisState.Unavailable);

        assertThat(replica.purges.isUpToDate()).isFalse();
        redis.resume();
        Awaitility.await()
                .until(() -> replica.circuitBreaker.state() instanceof RedisCircuitBreaker.RedisState.Available);
    }

    @Test
    void replicaStartsWithoutRedisAndConnectsLater() {
        replica.close();
        redis.stop();

        replica = RedisTierFixture.startWithoutWaiting("b", withShortTimeout(redis.settings()));

        assertUnavailableAtOnce(replica.tier.find(KEY));
        assertThat(replica.circuitBreaker.state()).isInstanceOf(RedisCircuitBreaker.RedisState.Unavailable.class);
        assertThat(replica.purges.isUpToDate()).isFalse();
        redis.restart();
        Awaitility.await().until(replica.circuitBreaker::isAvailable);
        assertThat(roundTrip("found")).isEqualTo("found");
    }

    @Test
    void notificationChannelIsSubscribedAgainAfterARestart() {
        redis.restart();
        Awaitility.await().until(() -> redis.execute("PUBSUB CHANNELS").contains("corral:inbox:a"));
        Awaitility.await().until(replica.circuitBreaker::isAvailable);

        Lease<TierKey> lease = lease(KEY);
        try (FillSubscription latch = replica.tier.subscribe(KEY)) {
            replica.tier.follow(KEY, Optional.empty(), 0).block(AWAIT_LIMIT);
            replica.tier.release(lease, FillNotification.NOT_SHAREABLE).block(AWAIT_LIMIT);

            assertThat(latch.notification().block(AWAIT_LIMIT)).isEqualTo(FillNotification.NOT_SHAREABLE);
        }
    }

    /** Lettuce subscribes once after a reconnection, and does not try again when that fails. */
    @Test
    void failedSubscriptionIsRetried() {
        redis.execute("ACL SETUSER default -subscribe", "CLIENT KILL TYPE pubsub");
        // The connection is back, and was refused its subscription.
        Awaitility.await().until(() -> redis.execute("ACL LOG").contains("subscribe"));

        redis.execute("ACL SETUSER default +subscribe");

        // Four messages to itself, one each two seconds, are not heard; then it connects anew.
        Awaitility.await().until(() -> subscriberCount() == 1);
        Awaitility.await().until(replica.circuitBreaker::isAvailable);
        // Logged when the old connections are closed.
        Awaitility.await()
                .untilAsserted(() -> assertThat(logEvents).extracting(ILoggingEvent::getFormattedMessage)
                        .anyMatch(line -> line.contains("this replica does not receive its own messages")));
        assertThat(roundTrip("after")).isEqualTo("after");
    }

    /** Of the connections some lead to one server and some to another, as behind an address that has moved. */
    @Test
    void locksAndEntriesConvergeOnOneServer() throws Exception {
        try (EmbeddedRedis other = RedisServer.embedded();
                FaultProxy proxy = FaultProxy.start(redis.port(), 1);
                RedisTierFixture moved = RedisTierFixture.start("moved", Map.of("spring.data.redis.host", "127.0.0.1",
                        "spring.data.redis.port", Integer.toString(proxy.port())))) {
            proxy.retarget(other.port());
            // Those that are left open still lead to the first server, the others to the second.
            redis.execute("CLIENT KILL TYPE pubsub");
            moved.connections.redisson().shutdown();
            moved.connections.reportSuspicion("a test");

            Awaitility.await().ignoreExceptions().until(() -> {
                TierKey key = TierKey.of("split" + System.nanoTime());
                return moved.tier.tryLead(key, LEASE).block(TRY) instanceof Acquired<TierKey>(Lease<TierKey> lease)
                        && moved.tier.snapshot(lease).blockOptional(TRY).orElseThrow().isLeaseHeld();
            });
        }
    }

    @Test
    void flushedScriptsAreSentAgain() {
        roundTrip("a");
        redis.execute("SCRIPT FLUSH");

        assertThat(roundTrip("b")).isEqualTo("b");
        redis.execute("SCRIPT FLUSH");
        Lease<TierKey> lease = lease(KEY);
        assertThat(replica.tier.renew(lease, LEASE).block(AWAIT_LIMIT)).isTrue();
        long since = ((HeldByOther<TierKey>) attempt(KEY)).observedAt();
        redis.execute("SCRIPT FLUSH");
        replica.tier.publishFailure(lease, "refused").block(AWAIT_LIMIT);
        redis.execute("SCRIPT FLUSH");
        Optional<String> seen = replica.tier.find(KEY).map(Versioned::version).blockOptional(AWAIT_LIMIT);
        assertThat(replica.tier.follow(KEY, seen, since).block(AWAIT_LIMIT))
                .isEqualTo(new FollowResult.LeaderFailed<>("refused"));
        redis.execute("SCRIPT FLUSH");
        assertThat(replica.purges.purge(List.of("x")).map(PurgeRegistry.PurgeReceipt::position).block(AWAIT_LIMIT))
                .isPositive();
    }

    @Test
    void leaseHolderIsTheLockNameOfRedisson() {
        Lease<TierKey> lease = lease(KEY);

        assertThat(redis.execute("HGETALL corral:{k}:lock").lines()).containsExactly(lease.holder(), "1");
        assertThat(Long.parseLong(redis.execute("PTTL corral:{k}:lock"))).isPositive()
                .isLessThanOrEqualTo(LEASE.toMillis());
    }

    @Test
    void allKeysOfAResourceAreInOneSlot() {
        var keys = new RedisKeys("corral", 0);
        EntryKeys resource = keys.entryKeys(KEY);
        EntryKeys variant = keys.entryKeys(KEY.withSubkey("v:1"));

        assertThat(List.of(resource.entry(), resource.lock(), resource.waiters(), resource.failure(), variant.entry(),
                variant.lock())).extracting(SlotHash::getSlot).containsOnly(SlotHash.getSlot("k"));
        assertThat(variant.entry()).isEqualTo("corral:{k}:v:1");
    }

    @Test
    void entryOfANewerVersionIsTreatedAsAbsent() {
        redis.execute("SET corral:{k} \"\\x01\\x03a:1\\x02future\"");

        assertThat(replica.tier.find(KEY).blockOptional(AWAIT_LIMIT)).isEmpty();
        Lease<TierKey> lease = lease(KEY);
        assertThat(replica.tier.snapshot(lease).blockOptional(AWAIT_LIMIT).orElseThrow().current()).isEmpty();
        assertThat(replica.tier.follow(KEY, Optional.empty(), 0).block(AWAIT_LIMIT))
                .isInstanceOf(FollowResult.Locked.class);
        publish(lease, "present");
        assertThat(replica.tier.follow(KEY, Optional.empty(), 0).block(AWAIT_LIMIT))
                .isInstanceOf(FollowResult.Changed.class);
    }

    @Test
    void foreignBytesAreTreatedAsAbsent() {
        for (String foreign : List.of("x", "\\x09future", "\\x01", "\\x01\\x05abc")) {
            redis.execute("SET corral:{k} \"" + foreign + "\"");

            assertThat(replica.tier.find(KEY).blockOptional(AWAIT_LIMIT)).isEmpty();
            Lease<TierKey> lease = lease(KEY);
            assertThat(replica.tier.follow(KEY, Optional.empty(), 0).block(AWAIT_LIMIT))
                    .isInstanceOf(FollowResult.Locked.class);
            publish(lease, "mine");
            assertThat(replica.tier.find(KEY).map(Versioned::value).block(AWAIT_LIMIT)).isEqualTo("mine");
        }
    }

    @Test
    void fullRedisGrantsNoLeaseButReadsAndPurges() {
        publish(lease(KEY), "a");
        redis.execute("CONFIG SET maxmemory 1");

        for (int i = 0; i < 30; i++) {
            TierKey other = TierKey.of("full" + i);
            assertThatThrownBy(() -> attempt(other)).isInstanceOf(TierUnavailableException.class);
        }

        assertThat(replica.circuitBreaker.isAvailable()).isTrue();
        assertThat(replica.tier.find(KEY).map(Versioned::value).block(AWAIT_LIMIT)).isEqualTo("a");
        long position = replica.purges.purge(List.of("x")).blockOptional(AWAIT_LIMIT).orElseThrow().position();
        assertThat(redis.execute("GET corral:{purge}:seq")).isEqualTo(Long.toString(position));
    }

    @Test
    void abandonedLeaseAttemptLeavesNoLock() {
        redis.pause();
        Flux.range(0, 4)
                // Far longer than anybody waits below: the lock does not lapse, it is given back.
                .flatMap(i -> replica.tier.tryLead(KEY, Duration.ofMinutes(10)).onErrorComplete())
                .blockLast(AWAIT_LIMIT);
        redis.resume();

        Awaitility.await()
                .until(() -> replica.circuitBreaker.isAvailable() && attempt(KEY) instanceof Acquired<TierKey>);
    }

    private long subscriberCount() {
        String reply = redis.execute("PUBSUB NUMSUB corral:inbox:a");
        return Long.parseLong(reply.lines().reduce((first, last) -> last).orElse("0").strip());
    }

    private String roundTrip(String value) {
        publish(lease(KEY), value);
        return replica.tier.find(KEY).map(Versioned::value).blockOptional(AWAIT_LIMIT).orElseThrow();
    }

    private void publish(Lease<TierKey> lease, String value) {
        Optional<String> stoodOn = replica.tier.snapshot(lease).blockOptional(AWAIT_LIMIT).orElseThrow().version();
        assertThat(replica.tier.publish(lease, stoodOn, List.of(new Write<>(KEY, value, LEASE))).block(AWAIT_LIMIT))
                .isEqualTo(PublishResult.STORED);
    }

    private Lease<TierKey> lease(TierKey key) {
        return ((Acquired<TierKey>) attempt(key)).lease();
    }

    private LeaseAttempt<TierKey> attempt(TierKey key) {
        return replica.tier.tryLead(key, LEASE).blockOptional(AWAIT_LIMIT).orElseThrow();
    }

    /** Before the call returns, so that no clock is needed to say that nothing is waited for. */
    private static void assertUnavailableAtOnce(Mono<?> command) {
        var failures = new ArrayList<Throwable>();
        command.subscribe(some -> {}, failures::add);
        assertThat(failures).hasSize(1).first().isInstanceOf(TierUnavailableException.class);
    }

    private static void assertUnavailable(Duration bound, Mono<?> command) {
        Instant start = Instant.now();
        assertThatThrownBy(() -> command.block(AWAIT_LIMIT)).isInstanceOf(TierUnavailableException.class);
        assertThat(Duration.between(start, Instant.now())).isLessThan(bound);
    }

    private static Map<String, String> withShortTimeout(Map<String, String> settings) {
        var impatient = new HashMap<>(settings);
        impatient.put("spring.data.redis.timeout", COMMAND_TIMEOUT.toMillis() + "ms");
        return impatient;
    }

    private static Logger logger() {
        return (Logger) LoggerFactory.getLogger("dev.corral.redis");
    }
}
