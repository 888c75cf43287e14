package dev.corral.tier;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.SharedTier.Attempt.Led;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** Spring's settings reach both clients. */
class RedisSettingsTest {

    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Key KEY = Key.of("k");

    @Test
    void nameAndPassword() {
        try (EmbeddedRedis redis = RedisServer.embedded("--user", "corral", "on", ">secret", "~*", "&*", "+@all",
                "--user",
                "default", "off")) {
            assertServes(Map.of("spring.data.redis.host", redis.host(), "spring.data.redis.port",
                    Integer.toString(redis.port()), "spring.data.redis.username", "corral",
                    "spring.data.redis.password", "secret"));
        }
    }

    @Test
    void aUrlWithPasswordAndDatabase() {
        try (EmbeddedRedis redis = RedisServer.embedded("--requirepass", "secret")) {
            assertServes(Map.of("spring.data.redis.url", "redis://:secret@127.0.0.1:" + redis.port() + "/3",
                    "spring.data.redis.client-name", "corral-test"));

            assertThat(redis.ask("AUTH secret", "SELECT 3", "EXISTS corral:3:{k}")).isEqualTo("1");
        }
    }

    @Test
    void theClientsNameIsSeenOnEveryConnection() {
        try (EmbeddedRedis redis = RedisServer.embedded();
                Replica replica = Replica.start("a", Map.of("spring.data.redis.host", redis.host(),
                        "spring.data.redis.port", Integer.toString(redis.port()), "spring.data.redis.client-name",
                        "corral"))) {
            assertThat(replica.gate.open()).isTrue();

            long named = redis.ask("CLIENT LIST").lines().filter(line -> line.contains(" name=corral ")).count();

            // Two for commands, one for messages, one for probes, four for locks.
            assertThat(named).isBetween(5L, 8L);
        }
    }

    private static void assertServes(Map<String, String> settings) {
        try (Replica here = Replica.start("a", settings); Replica there = Replica.start("b", settings)) {
            var lease = ((Led<Key>) here.tier.tryLead(KEY, LONG).blockOptional(LONG).orElseThrow()).lease();
            here.tier.publish(lease, Optional.empty(), List.of(new Write<>(KEY, "a", LONG))).block(LONG);

            assertThat(there.tier.find(KEY).blockOptional(LONG)).isPresent();
            assertThat(here.purges.purge(List.of("hats")).map(Purges.Purged::position).block(LONG)).isPositive();
        }
    }
}
