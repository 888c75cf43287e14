package dev.corral.redis;

import dev.corral.coalesce.SharedTier.LeaseAttempt.Acquired;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.purge.PurgeRegistry;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** Spring's settings reach both clients. */
class RedisSettingsTest {

    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final TierKey KEY = TierKey.of("k");

    @Test
    void usernameAndPasswordAreApplied() {
        try (EmbeddedRedis redis = RedisServer.embedded("--user", "corral", "on", ">secret", "~*", "&*", "+@all",
                "--user",
                "default", "off")) {
            assertServes(Map.of("spring.data.redis.host", redis.host(), "spring.data.redis.port",
                    Integer.toString(redis.port()), "spring.data.redis.username", "corral",
                    "spring.data.redis.password", "secret"));
        }
    }

    @Test
    void urlWithPasswordAndDatabaseIsApplied() {
        try (EmbeddedRedis redis = RedisServer.embedded("--requirepass", "secret")) {
            assertServes(Map.of("spring.data.redis.url", "redis://:secret@127.0.0.1:" + redis.port() + "/3",
                    "spring.data.redis.client-name", "corral-test"));

            assertThat(redis.execute("AUTH secret", "SELECT 3", "EXISTS corral:3:{k}")).isEqualTo("1");
        }
    }

    @Test
    void clientNameIsSetOnEveryConnection() {
        try (EmbeddedRedis redis = RedisServer.embedded();
                RedisTierFixture replica = RedisTierFixture.start("a", Map.of("spring.data.redis.host", redis.host(),
                        "spring.data.redis.port", Integer.toString(redis.port()), "spring.data.redis.client-name",
                        "corral"))) {
            assertThat(replica.circuitBreaker.isAvailable()).isTrue();

            long named = redis.execute("CLIENT LIST").lines().filter(line -> line.contains(" name=corral ")).count();

            // Two for commands, one for messages, one for probes, four for locks.
            assertThat(named).isBetween(5L, 8L);
        }
    }

    private static void assertServes(Map<String, String> settings) {
        try (RedisTierFixture here = RedisTierFixture.start("a", settings);
                RedisTierFixture there = RedisTierFixture.start("b", settings)) {
            var lease = ((Acquired<TierKey>) here.tier.tryLead(KEY, TIMEOUT).blockOptional(TIMEOUT).orElseThrow())
                    .lease();
            here.tier.publish(lease, Optional.empty(), List.of(new Write<>(KEY, "a", TIMEOUT))).block(TIMEOUT);

            assertThat(there.tier.find(KEY).blockOptional(TIMEOUT)).isPresent();
            assertThat(here.purges.purge(List.of("hats")).map(PurgeRegistry.PurgeReceipt::position).block(TIMEOUT))
                    .isPositive();
        }
    }
}
