package dev.corral.redis;

import dev.corral.coalesce.SharedTier.FillNotification;
import dev.corral.coalesce.SharedTier.FillSubscription;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.LeaseAttempt.Acquired;
import dev.corral.coalesce.SharedTier.PublishResult;
import dev.corral.coalesce.SharedTier.Versioned;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.dev.RedisSentinels;
import dev.corral.purge.PurgeRegistry;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A master with a replica, watched by Sentinels: the master dies. */
class RedisFailoverTest {

    private static final Duration LEASE = Duration.ofSeconds(30);
    private static final Duration TIMEOUT = Duration.ofSeconds(10);
    private static final TierKey KEY = TierKey.of("k");

    @Test
    void replicasFollowAFailoverAndKeepReplicatedData() {
        try (RedisSentinels redis = RedisSentinels.start();
                RedisTierFixture here = RedisTierFixture.start("a", redis.settings());
                RedisTierFixture there = RedisTierFixture.start("b", redis.settings())) {
            publish(here, "before");
            long purged = purge(here, "hats");
            Awaitility.await()
                    .until(() -> redis.second().execute("GET corral:{purge}:seq").equals(Long.toString(purged)));

            redis.failOver();

            Awaitility.await()
                    .atMost(Duration.ofSeconds(30))
                    .ignoreExceptions()
                    .until(() -> findValue(there).equals(Optional.of("before")));
            Awaitility.await()
                    .until(() -> here.circuitBreaker.isAvailable() && there.circuitBreaker.isAvailable()
                            && here.purges.isUpToDate());
            publish(here, "after");
            assertThat(findValue(there)).contains("after");
            assertThat(purge(there, "shoes")).isGreaterThan(purged);
            Awaitility.await()
                    .until(() -> here.purges.verdict(List.of("shoes"),
                            purged) instanceof PurgeRegistry.PurgeVerdict.Removed);
            assertNotificationsArrive(here, there);
        }
    }

    private static void assertNotificationsArrive(RedisTierFixture here, RedisTierFixture there) {
        Lease<TierKey> lease = lease(here);
        Awaitility.await().atMost(TIMEOUT).until(() -> {
            try (FillSubscription latch = there.tier.subscribe(KEY)) {
                Optional<String> seen = there.tier.find(KEY).map(Versioned::version).blockOptional(TIMEOUT);
                there.tier.follow(KEY, seen, Long.MAX_VALUE).block(TIMEOUT);
                here.tier.release(lease, FillNotification.STATE_CHANGED).block(TIMEOUT);
                return latch.notification().block(TIMEOUT) == FillNotification.STATE_CHANGED;
            }
        });
    }

    private static void publish(RedisTierFixture replica, String value) {
        Lease<TierKey> lease = lease(replica);
        Optional<String> stoodOn = replica.tier.snapshot(lease).blockOptional(TIMEOUT).orElseThrow().version();
        assertThat(replica.tier.publish(lease, stoodOn, List.of(new Write<>(KEY, value, LEASE))).block(TIMEOUT))
                .isEqualTo(PublishResult.STORED);
    }

    private static Lease<TierKey> lease(RedisTierFixture replica) {
        return ((Acquired<TierKey>) replica.tier.tryLead(KEY, LEASE).blockOptional(TIMEOUT).orElseThrow()).lease();
    }

    private static long purge(RedisTierFixture replica, String name) {
        return replica.purges.purge(List.of(name)).blockOptional(TIMEOUT).orElseThrow().position();
    }

    private static Optional<String> findValue(RedisTierFixture replica) {
        return replica.tier.find(KEY).map(Versioned::value).blockOptional(TIMEOUT);
    }
}
