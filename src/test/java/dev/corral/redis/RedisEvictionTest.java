package dev.corral.redis;

import dev.corral.coalesce.SharedTier.FollowResult;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.LeaseAttempt.Acquired;
import dev.corral.coalesce.SharedTier.PublishResult;
import dev.corral.coalesce.SharedTier.Versioned;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.purge.PurgeRegistry;
import java.time.Duration;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A Redis too small for the cache, with the policy that the README recommends. */
class RedisEvictionTest {

    private static final Duration TIMEOUT = Duration.ofSeconds(20);
    private static final Duration TTL = Duration.ofHours(1);
    /** What is asked for is about twice as much as there is room for. */
    private static final int MAX_MEMORY = 8 << 20;
    private static final String BODY = "x".repeat(8 << 10);
    private static final int KEYS = 2 * MAX_MEMORY / BODY.length();
    private static final int HOT_KEYS = 50;

    private final EmbeddedRedis redis = RedisServer.embedded("--maxmemory", Integer.toString(MAX_MEMORY),
            "--maxmemory-policy", "volatile-lfu");
    private final RedisTierFixture replica = RedisTierFixture.start("a", redis.settings());

    @AfterEach
    void close() {
        replica.close();
        redis.close();
    }

    private long infoValue(String name) {
        Matcher stat = Pattern.compile("(?m)^" + name + ":(\\d+)").matcher(redis.execute("INFO"));
        assertThat(stat.find()).as(name).isTrue();
        return Long.parseLong(stat.group(1));
    }

    private Lease<TierKey> lease(TierKey key) {
        return ((Acquired<TierKey>) replica.tier.tryLead(key, Duration.ofSeconds(30))
                .blockOptional(TIMEOUT)
                .orElseThrow())
                .lease();
    }

    private PublishResult publish(Lease<TierKey> lease) {
        Optional<String> stoodOn = replica.tier.snapshot(lease).blockOptional(TIMEOUT).orElseThrow().version();
        return replica.tier.publish(lease, stoodOn, List.of(new Write<>(lease.key(), BODY, TTL)))
                .blockOptional(TIMEOUT)
                .orElseThrow();
    }

    private Optional<String> find(String key) {
        return replica.tier.find(TierKey.of(key)).map(Versioned::value).blockOptional(TIMEOUT);
    }

    private static String hotKey(int number) {
        return "hot" + number;
    }

    @Test
    void workingSetOfTwiceTheMemoryIsStoredAndThePurgeLogStays() {
        long first = purge("first");
        for (int i = 0; i < HOT_KEYS; i++) {
            publish(lease(TierKey.of(hotKey(i))));
            for (int read = 0; read < 20; read++) {
                find(hotKey(i));
            }
        }
        Map<PublishResult, Integer> outcomes = new EnumMap<>(PublishResult.class);
        for (int i = 0; i < KEYS; i++) {
            // As in traffic: hot keys are read while the cold ones go by.
            find(hotKey(i % HOT_KEYS));
            outcomes.merge(publish(lease(TierKey.of("cold" + i))), 1, Integer::sum);
        }
        long last = purge("last");

        assertThat(infoValue("evicted_keys")).isGreaterThan(KEYS / 4);
        assertThat(outcomes).doesNotContainKey(PublishResult.OUT_OF_MEMORY);
        // A lock may be evicted between the attempt and the publish; it hardly ever is, for it is used more than what is new.
        assertThat(outcomes.getOrDefault(PublishResult.FENCED, 0)).isLessThanOrEqualTo(KEYS / 100);
        assertThat(IntStream.range(0, HOT_KEYS).filter(i -> find(hotKey(i)).isPresent()).count())
                .isGreaterThan(HOT_KEYS * 9 / 10);
        assertThat(find("cold" + (KEYS - 1))).isPresent();
        assertThat(redis.execute("GET corral:{purge}:seq")).isEqualTo(Long.toString(last));
        assertThat(redis.execute("XRANGE corral:{purge}:log " + first + "-0 " + first + "-0")).contains("first");
        assertThat(redis.execute("TTL corral:{purge}:log")).isEqualTo("-1");
        assertThat(replica.purges.verdict(List.of("first"), first - 1))
                .isEqualTo(new PurgeRegistry.PurgeVerdict.Removed());
    }

    /** What the policy that was recommended before does with the same: the figure behind the advice. */
    @Test
    void noevictionPolicyRejectsNewEntriesAndLeases() {
        redis.execute("CONFIG SET maxmemory-policy noeviction");
        int refused = 0;
        for (int i = 0; i < KEYS; i++) {
            try {
                if (publish(lease(TierKey.of("cold" + i))) != PublishResult.STORED) {
                    refused++;
                }
            } catch (TierUnavailableException full) {
                refused++;
            }
        }

        assertThat(refused).isGreaterThan(KEYS / 4);
        assertThat(infoValue("evicted_keys")).isZero();
    }

    @Test
    void leaderWithEvictedLockIsFencedAndAnotherLeads() {
        TierKey key = TierKey.of("k");
        try (RedisTierFixture other = RedisTierFixture.start("b", redis.settings())) {
            Lease<TierKey> lost = lease(key);
            assertThat(other.tier.follow(key, Optional.empty(), 0).block(TIMEOUT))
                    .isInstanceOf(FollowResult.Locked.class);
            evict("corral:{k}:lock");

            assertThat(replica.tier.renew(lost, TIMEOUT).block(TIMEOUT)).isFalse();
            assertThat(other.tier.follow(key, Optional.empty(), 0).block(TIMEOUT))
                    .isInstanceOf(FollowResult.Unlocked.class);
            var next = ((Acquired<TierKey>) other.tier.tryLead(key, TIMEOUT).blockOptional(TIMEOUT).orElseThrow())
                    .lease();
            assertThat(publish(lost)).isEqualTo(PublishResult.FENCED);
            assertThat(find("k")).isEmpty();
            assertThat(
                    other.tier.publish(next, Optional.empty(), List.of(new Write<>(key, "next", TTL))).block(TIMEOUT))
                    .isEqualTo(PublishResult.STORED);
            assertThat(publish(lost)).isEqualTo(PublishResult.FENCED);
            assertThat(find("k")).contains("next");
        }
    }

    @Test
    void followerWithEvictedRegistrationFindsTheEntryAtItsNextPoll() {
        TierKey key = TierKey.of("k");
        try (RedisTierFixture other = RedisTierFixture.start("b", redis.settings())) {
            Lease<TierKey> lease = lease(key);
            try (var latch = other.tier.subscribe(key)) {
                other.tier.follow(key, Optional.empty(), 0).block(TIMEOUT);
                evict("corral:{k}:wait");

                assertThat(publish(lease)).isEqualTo(PublishResult.STORED);

                assertThat(other.tier.follow(key, Optional.empty(), 0).block(TIMEOUT))
                        .isInstanceOf(FollowResult.Changed.class);
                assertThat(latch.notification().timeout(Duration.ofMillis(100)).onErrorComplete().blockOptional())
                        .isEmpty();
            }
        }
    }

    private long purge(String name) {
        return replica.purges.purge(List.of(name)).blockOptional(TIMEOUT).orElseThrow().position();
    }

    /** As Redis does: the key is gone, and nobody is told. */
    private void evict(String key) {
        Awaitility.await().until(() -> redis.execute("DEL " + key).equals("1"));
    }
}
