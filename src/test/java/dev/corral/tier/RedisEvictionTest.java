package dev.corral.tier;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.SharedTier.Attempt.Led;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.Published;
import dev.corral.coalesce.SharedTier.Seen;
import dev.corral.coalesce.SharedTier.Sight;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierUnavailable;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
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

    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final Duration LIFE = Duration.ofHours(1);
    /** What is asked for is about twice as much as there is room for. */
    private static final int MAX_MEMORY = 8 << 20;
    private static final String BODY = "x".repeat(8 << 10);
    private static final int KEYS = 2 * MAX_MEMORY / BODY.length();
    private static final int HOT = 50;

    private final EmbeddedRedis redis = RedisServer.embedded("--maxmemory", Integer.toString(MAX_MEMORY),
            "--maxmemory-policy", "volatile-lfu");
    private final Replica replica = Replica.start("a", redis.settings());

    @AfterEach
    void close() {
        replica.close();
        redis.close();
    }

    private long stat(String name) {
        Matcher stat = Pattern.compile("(?m)^" + name + ":(\\d+)").matcher(redis.ask("INFO"));
        assertThat(stat.find()).as(name).isTrue();
        return Long.parseLong(stat.group(1));
    }

    private Lease<Key> lease(Key key) {
        return ((Led<Key>) replica.tier.tryLead(key, Duration.ofSeconds(30)).blockOptional(BOUND).orElseThrow())
                .lease();
    }

    private Published publish(Lease<Key> lease) {
        Optional<String> stoodOn = replica.tier.stand(lease).blockOptional(BOUND).orElseThrow().version();
        return replica.tier.publish(lease, stoodOn, List.of(new Write<>(lease.key(), BODY, LIFE)))
                .blockOptional(BOUND)
                .orElseThrow();
    }

    private Optional<String> find(String key) {
        return replica.tier.find(Key.of(key)).map(Seen::value).blockOptional(BOUND);
    }

    private static String hot(int number) {
        return "hot" + number;
    }

    @Test
    void aWorkingSetOfTwiceTheMemoryGoesOnBeingStoredAndThePurgeLogStays() {
        long first = purge("first");
        for (int i = 0; i < HOT; i++) {
            publish(lease(Key.of(hot(i))));
            for (int read = 0; read < 20; read++) {
                find(hot(i));
            }
        }
        Map<Published, Integer> outcomes = new EnumMap<>(Published.class);
        for (int i = 0; i < KEYS; i++) {
            // As in traffic: hot keys are read while the cold ones go by.
            find(hot(i % HOT));
            outcomes.merge(publish(lease(Key.of("cold" + i))), 1, Integer::sum);
        }
        long last = purge("last");

        assertThat(stat("evicted_keys")).isGreaterThan(KEYS / 4);
        assertThat(outcomes).doesNotContainKey(Published.FULL);
        // A lock may be evicted between the attempt and the publish; it hardly ever is, for it is used more than what is new.
        assertThat(outcomes.getOrDefault(Published.FENCED, 0)).isLessThanOrEqualTo(KEYS / 100);
        assertThat(IntStream.range(0, HOT).filter(i -> find(hot(i)).isPresent()).count()).isGreaterThan(HOT * 9 / 10);
        assertThat(find("cold" + (KEYS - 1))).isPresent();
        assertThat(redis.ask("GET corral:{purge}:seq")).isEqualTo(Long.toString(last));
        assertThat(redis.ask("XRANGE corral:{purge}:log " + first + "-0 " + first + "-0")).contains("first");
        assertThat(redis.ask("TTL corral:{purge}:log")).isEqualTo("-1");
        assertThat(replica.purges.verdict(List.of("first"), first - 1)).isEqualTo(new Purges.Verdict.Gone());
    }

    /** What the policy that was recommended before does with the same: the figure behind the advice. */
    @Test
    void withNoevictionNothingNewIsStoredOrCoalesced() {
        redis.ask("CONFIG SET maxmemory-policy noeviction");
        int refused = 0;
        for (int i = 0; i < KEYS; i++) {
            try {
                if (publish(lease(Key.of("cold" + i))) != Published.STORED) {
                    refused++;
                }
            } catch (TierUnavailable full) {
                refused++;
            }
        }

        assertThat(refused).isGreaterThan(KEYS / 4);
        assertThat(stat("evicted_keys")).isZero();
    }

    @Test
    void aLeaderWhoseLockWasEvictedWritesNothingAndAnotherLeads() {
        Key key = Key.of("k");
        try (Replica other = Replica.start("b", redis.settings())) {
            Lease<Key> lost = lease(key);
            assertThat(other.tier.follow(key, Optional.empty(), 0).block(BOUND)).isInstanceOf(Sight.Waiting.class);
            evict("corral:{k}:lock");

            assertThat(replica.tier.renew(lost, BOUND).block(BOUND)).isFalse();
            assertThat(other.tier.follow(key, Optional.empty(), 0).block(BOUND)).isInstanceOf(Sight.Free.class);
            var next = ((Led<Key>) other.tier.tryLead(key, BOUND).blockOptional(BOUND).orElseThrow()).lease();
            assertThat(publish(lost)).isEqualTo(Published.FENCED);
            assertThat(find("k")).isEmpty();
            assertThat(other.tier.publish(next, Optional.empty(), List.of(new Write<>(key, "next", LIFE))).block(BOUND))
                    .isEqualTo(Published.STORED);
            assertThat(publish(lost)).isEqualTo(Published.FENCED);
            assertThat(find("k")).contains("next");
        }
    }

    @Test
    void aFollowerWhoseRegistrationWasEvictedFindsTheEntryAtItsNextLook() {
        Key key = Key.of("k");
        try (Replica other = Replica.start("b", redis.settings())) {
            Lease<Key> lease = lease(key);
            try (var latch = other.tier.listen(key)) {
                other.tier.follow(key, Optional.empty(), 0).block(BOUND);
                evict("corral:{k}:wait");

                assertThat(publish(lease)).isEqualTo(Published.STORED);

                assertThat(other.tier.follow(key, Optional.empty(), 0).block(BOUND)).isInstanceOf(Sight.Changed.class);
                assertThat(latch.rung().timeout(Duration.ofMillis(100)).onErrorComplete().blockOptional()).isEmpty();
            }
        }
    }

    private long purge(String name) {
        return replica.purges.purge(List.of(name)).blockOptional(BOUND).orElseThrow().position();
    }

    /** As Redis does: the key is gone, and nobody is told. */
    private void evict(String key) {
        Awaitility.await().until(() -> redis.ask("DEL " + key).equals("1"));
    }
}
