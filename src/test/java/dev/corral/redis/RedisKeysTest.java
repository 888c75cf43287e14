package dev.corral.redis;

import dev.corral.coalesce.SharedTier.LeaseAttempt.Acquired;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.purge.PurgeRegistry;
import io.lettuce.core.cluster.SlotHash;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

/** Fleets that share a Redis are separated by a prefix or by a database. */
class RedisKeysTest {

    private static final Duration TIMEOUT = Duration.ofSeconds(20);
    private static final TierKey KEY = TierKey.of("k");

    @Test
    void defaultKeysInDatabaseZeroHaveNoNumber() {
        assertThat(names(new RedisKeys("corral", 0))).containsExactly("corral:{k}", "corral:{k}:v:1:lock",
                "corral:{k}:wait", "corral:{k}:fail", "corral:{purge}:seq", "corral:{purge}:log",
                "corral:{purge}:names",
                "corral:purges", "corral:acks:a", "corral:inbox:a", "corral:echo:a", "corral:{probe}",
                "corral:{probe-1}", "corral:{fleet}", "corral:{fleet}:seen", "corral:{fleet}:processes",
                "corral:{fleet}:history:1");
    }

    @Test
    void everyKeyHasThePrefixAndTheDatabase() {
        assertThat(names(new RedisKeys("shop.eu", 7))).hasSize(17)
                .allMatch(name -> name.startsWith("shop.eu:7:"))
                .contains("shop.eu:7:{k}", "shop.eu:7:purges");
    }

    @Test
    void prefixDoesNotChangeTheSlotOfAResource() {
        assertThat(SlotHash.getSlot(new RedisKeys("shop:eu", 7).entryKeys(KEY).entry()))
                .isEqualTo(SlotHash.getSlot("k"));
    }

    @Test
    void ambiguousKeyPrefixIsRejected() {
        for (String prefix : List.of("", "a b", "a{b", "a}", "a*", "corral:1", "p".repeat(65))) {
            assertThatThrownBy(() -> new RedisKeys(prefix, 0)).isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(prefix);
        }
    }

    private static List<String> names(RedisKeys keys) {
        Stream<String> own = Stream.of(keys.entryKeys(KEY).entry(), keys.entryKeys(KEY.withSubkey("v:1")).lock(),
                keys.entryKeys(KEY).waiters(), keys.entryKeys(KEY).failure());
        Stream<String> others = Stream.of(keys.purgeChannel(), keys.acknowledgementChannel("a"),
                keys.notificationChannel("a"),
                keys.echoChannel("a"), keys.probeKey(), keys.probeKey(1), keys.fleetStatuses(), keys.fleetHeartbeats(),
                keys.fleetProcesses(), keys.fleetHistory(1));
        return Stream.of(own, keys.purgeScriptKeys().stream(), others).flatMap(names -> names).toList();
    }

    static Stream<Arguments> others() {
        return Stream.of(arguments(Map.of("spring.data.redis.database", "1"), "corral:1:"),
                arguments(Map.of("corral.redis.key-prefix", "staging"), "staging:"));
    }

    /** The replica ids are the same in both fleets, as in two StatefulSets. */
    @ParameterizedTest
    @MethodSource("others")
    void purgeIsNotReceivedByAnotherFleet(Map<String, String> other, String root) {
        try (EmbeddedRedis redis = RedisServer.embedded();
                RedisTierFixture production = RedisTierFixture.start("a", redis.settings());
                RedisTierFixture second = RedisTierFixture.start("b", redis.settings());
                RedisTierFixture staging = RedisTierFixture.start("a", settingsWith(redis, other))) {
            long before = production.purges.latestPosition();

            PurgeRegistry.PurgeReceipt purged = staging.purges
                    .purge(new PurgeRegistry.Purge(List.of("*"), false, List.of(), "", true))
                    .blockOptional(TIMEOUT)
                    .orElseThrow();
            // Redis delivers messages in order: after this one, the message of staging would have arrived too.
            long last = second.purges.purge(List.of("hats")).blockOptional(TIMEOUT).orElseThrow().position();
            Awaitility.await().atMost(TIMEOUT).until(() -> production.purges.latestPosition() == last);

            assertThat(last).isGreaterThan(purged.position());
            assertThat(production.purges.verdict(List.of("shoes"), before)).isEqualTo(PurgeRegistry.PurgeVerdict.VALID);
            assertThat(staging.purges.verdict(List.of("shoes"), before)).isNotEqualTo(PurgeRegistry.PurgeVerdict.VALID);
            // Only staging's replica acknowledges: production's has the same id, and b would be a second.
            assertThat(purged.acknowledgements().take(Duration.ofMillis(200)).collectList().block(TIMEOUT))
                    .containsExactly("a");
            assertThat(redis.execute("PUBSUB CHANNELS *").lines().filter(channel -> channel.startsWith(root)))
                    .hasSize(4);
        }
    }

    @ParameterizedTest
    @MethodSource("others")
    void entriesAndLocksAreSeparatePerFleet(Map<String, String> other, String root) {
        try (EmbeddedRedis redis = RedisServer.embedded();
                RedisTierFixture production = RedisTierFixture.start("a", redis.settings());
                RedisTierFixture staging = RedisTierFixture.start("a", settingsWith(redis, other))) {
            var lease = ((Acquired<TierKey>) production.tier.tryLead(KEY, TIMEOUT).blockOptional(TIMEOUT).orElseThrow())
                    .lease();
            production.tier.publish(lease, Optional.empty(), List.of(new Write<>(KEY, "production", TIMEOUT)))
                    .block(TIMEOUT);
            production.tier.tryLead(KEY, TIMEOUT).block(TIMEOUT);

            assertThat(staging.tier.find(KEY).blockOptional(TIMEOUT)).isEmpty();
            assertThat(staging.tier.tryLead(KEY, TIMEOUT).block(TIMEOUT)).isInstanceOf(Acquired.class);
            String database = other.getOrDefault("spring.data.redis.database", "0");
            assertThat(redis.execute("SELECT " + database, "EXISTS " + root + "{k}:lock")).isEqualTo("1");
        }
    }

    /** What waits is notified on a channel of its own fleet. */
    @ParameterizedTest
    @MethodSource("others")
    void followerIsNotifiedWithinItsFleet(Map<String, String> other, String root) {
        try (EmbeddedRedis redis = RedisServer.embedded();
                RedisTierFixture leader = RedisTierFixture.start("a", settingsWith(redis, other));
                RedisTierFixture follower = RedisTierFixture.start("b", settingsWith(redis, other))) {
            var lease = ((Acquired<TierKey>) leader.tier.tryLead(KEY, TIMEOUT).blockOptional(TIMEOUT).orElseThrow())
                    .lease();
            try (var latch = follower.tier.subscribe(KEY)) {
                follower.tier.follow(KEY, Optional.empty(), 0).block(TIMEOUT);
                leader.tier.publish(lease, Optional.empty(), List.of(new Write<>(KEY, "filled", TIMEOUT)))
                        .block(TIMEOUT);

                assertThat(latch.notification().blockOptional(TIMEOUT)).isPresent();
            }
            assertThat(redis.execute("PUBSUB NUMSUB " + root + "inbox:b")).endsWith("1");
        }
    }

    private static Map<String, String> settingsWith(EmbeddedRedis redis, Map<String, String> more) {
        var settings = new HashMap<>(redis.settings());
        settings.putAll(more);
        return settings;
    }
}
