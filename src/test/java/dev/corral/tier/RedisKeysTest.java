package dev.corral.tier;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.SharedTier.Attempt.Led;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
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

    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final Key KEY = Key.of("k");

    @Test
    void theDefaultNamesInDatabaseZeroHaveNoNumber() {
        assertThat(names(new RedisKeys("corral", 0))).containsExactly("corral:{k}", "corral:{k}:v:1:lock",
                "corral:{k}:wait", "corral:{k}:fail", "corral:{purge}:seq", "corral:{purge}:log",
                "corral:{purge}:names",
                "corral:purges", "corral:acks:a", "corral:inbox:a", "corral:echo:a", "corral:{probe}",
                "corral:{probe-1}", "corral:{fleet}", "corral:{fleet}:seen", "corral:{fleet}:processes",
                "corral:{fleet}:history:1");
    }

    @Test
    void everyNameHasThePrefixAndTheDatabase() {
        assertThat(names(new RedisKeys("shop.eu", 7))).hasSize(17)
                .allMatch(name -> name.startsWith("shop.eu:7:"))
                .contains("shop.eu:7:{k}", "shop.eu:7:purges");
    }

    @Test
    void thePrefixLeavesAResourceInItsSlot() {
        assertThat(SlotHash.getSlot(new RedisKeys("shop:eu", 7).names(KEY).entry())).isEqualTo(SlotHash.getSlot("k"));
    }

    @Test
    void aPrefixThatYieldsAnotherFleetsNamesIsRefused() {
        for (String prefix : List.of("", "a b", "a{b", "a}", "a*", "corral:1", "p".repeat(65))) {
            assertThatThrownBy(() -> new RedisKeys(prefix, 0)).isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(prefix);
        }
    }

    private static List<String> names(RedisKeys keys) {
        Stream<String> own = Stream.of(keys.names(KEY).entry(), keys.names(KEY.lane("v:1")).lock(),
                keys.names(KEY).waiters(), keys.names(KEY).fail());
        Stream<String> others = Stream.of(keys.purgeChannel(), keys.acknowledgementChannel("a"), keys.inboxChannel("a"),
                keys.echoChannel("a"), keys.probe(), keys.probe(1), keys.fleet(), keys.fleetSeen(),
                keys.fleetProcesses(), keys.fleetHistory(1));
        return Stream.of(own, keys.purges().stream(), others).flatMap(names -> names).toList();
    }

    static Stream<Arguments> others() {
        return Stream.of(arguments(Map.of("spring.data.redis.database", "1"), "corral:1:"),
                arguments(Map.of("corral.redis.key-prefix", "staging"), "staging:"));
    }

    /** The replica ids are the same in both fleets, as in two StatefulSets. */
    @ParameterizedTest
    @MethodSource("others")
    void aPurgeOfOneFleetIsNotReceivedByTheOther(Map<String, String> other, String root) {
        try (EmbeddedRedis redis = RedisServer.embedded();
                Replica production = Replica.start("a", redis.settings());
                Replica second = Replica.start("b", redis.settings());
                Replica staging = Replica.start("a", with(redis, other))) {
            long before = production.purges.position();

            Purges.Purged purged = staging.purges.purge(new Purges.Purge(List.of("*"), false, List.of(), "", true))
                    .blockOptional(BOUND)
                    .orElseThrow();
            // Redis delivers messages in order: after this one, the message of staging would have arrived too.
            long last = second.purges.purge(List.of("hats")).blockOptional(BOUND).orElseThrow().position();
            Awaitility.await().atMost(BOUND).until(() -> production.purges.position() == last);

            assertThat(last).isGreaterThan(purged.position());
            assertThat(production.purges.verdict(List.of("shoes"), before)).isEqualTo(Purges.Verdict.VALID);
            assertThat(staging.purges.verdict(List.of("shoes"), before)).isNotEqualTo(Purges.Verdict.VALID);
            // Only staging's replica acknowledges: production's has the same id, and b would be a second.
            assertThat(purged.heard().take(Duration.ofMillis(200)).collectList().block(BOUND)).containsExactly("a");
            assertThat(redis.ask("PUBSUB CHANNELS *").lines().filter(channel -> channel.startsWith(root)))
                    .hasSize(4);
        }
    }

    @ParameterizedTest
    @MethodSource("others")
    void anEntryAndALockOfOneFleetAreNotTheOthers(Map<String, String> other, String root) {
        try (EmbeddedRedis redis = RedisServer.embedded();
                Replica production = Replica.start("a", redis.settings());
                Replica staging = Replica.start("a", with(redis, other))) {
            var lease = ((Led<Key>) production.tier.tryLead(KEY, BOUND).blockOptional(BOUND).orElseThrow()).lease();
            production.tier.publish(lease, Optional.empty(), List.of(new Write<>(KEY, "production", BOUND)))
                    .block(BOUND);
            production.tier.tryLead(KEY, BOUND).block(BOUND);

            assertThat(staging.tier.find(KEY).blockOptional(BOUND)).isEmpty();
            assertThat(staging.tier.tryLead(KEY, BOUND).block(BOUND)).isInstanceOf(Led.class);
            String database = other.getOrDefault("spring.data.redis.database", "0");
            assertThat(redis.ask("SELECT " + database, "EXISTS " + root + "{k}:lock")).isEqualTo("1");
        }
    }

    /** What waits is notified on a channel of its own fleet. */
    @ParameterizedTest
    @MethodSource("others")
    void aFollowerIsNotifiedInItsOwnFleet(Map<String, String> other, String root) {
        try (EmbeddedRedis redis = RedisServer.embedded();
                Replica leader = Replica.start("a", with(redis, other));
                Replica follower = Replica.start("b", with(redis, other))) {
            var lease = ((Led<Key>) leader.tier.tryLead(KEY, BOUND).blockOptional(BOUND).orElseThrow()).lease();
            try (var latch = follower.tier.listen(KEY)) {
                follower.tier.follow(KEY, Optional.empty(), 0).block(BOUND);
                leader.tier.publish(lease, Optional.empty(), List.of(new Write<>(KEY, "filled", BOUND))).block(BOUND);

                assertThat(latch.rung().blockOptional(BOUND)).isPresent();
            }
            assertThat(redis.ask("PUBSUB NUMSUB " + root + "inbox:b")).endsWith("1");
        }
    }

    private static Map<String, String> with(EmbeddedRedis redis, Map<String, String> more) {
        var settings = new HashMap<>(redis.settings());
        settings.putAll(more);
        return settings;
    }
}
