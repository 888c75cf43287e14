package dev.corral.tier;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.SharedTier.Attempt.Led;
import dev.corral.coalesce.SharedTier.Latch;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.Published;
import dev.corral.coalesce.SharedTier.Ring;
import dev.corral.coalesce.SharedTier.Seen;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.dev.RedisSentinels;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A master with a replica, watched by Sentinels: the master dies. */
class RedisFailoverTest {

    private static final Duration LEASE = Duration.ofSeconds(30);
    private static final Duration BOUND = Duration.ofSeconds(10);
    private static final Key KEY = Key.of("k");

    @Test
    void bothReplicasFindTheNewMasterAndWhatTheOldOneHadCopied() {
        try (RedisSentinels redis = RedisSentinels.start();
                Replica here = Replica.start("a", redis.settings());
                Replica there = Replica.start("b", redis.settings())) {
            publish(here, "before");
            long purged = purge(here, "hats");
            Awaitility.await().until(() -> redis.second().ask("GET corral:{purge}:seq").equals(Long.toString(purged)));

            redis.failOver();

            Awaitility.await()
                    .atMost(Duration.ofSeconds(30))
                    .ignoreExceptions()
                    .until(() -> found(there).equals(Optional.of("before")));
            Awaitility.await().until(() -> here.gate.open() && there.gate.open() && here.purges.current());
            publish(here, "after");
            assertThat(found(there)).contains("after");
            assertThat(purge(there, "shoes")).isGreaterThan(purged);
            Awaitility.await()
                    .until(() -> here.purges.verdict(List.of("shoes"), purged) instanceof Purges.Verdict.Gone);
            assertRings(here, there);
        }
    }

    private static void assertRings(Replica here, Replica there) {
        Lease<Key> lease = lease(here);
        Awaitility.await().atMost(BOUND).until(() -> {
            try (Latch latch = there.tier.listen(KEY)) {
                Optional<String> seen = there.tier.find(KEY).map(Seen::version).blockOptional(BOUND);
                there.tier.follow(KEY, seen, Long.MAX_VALUE).block(BOUND);
                here.tier.release(lease, Ring.LANDED).block(BOUND);
                return latch.rung().block(BOUND) == Ring.LANDED;
            }
        });
    }

    private static void publish(Replica replica, String value) {
        Lease<Key> lease = lease(replica);
        Optional<String> stoodOn = replica.tier.stand(lease).blockOptional(BOUND).orElseThrow().version();
        assertThat(replica.tier.publish(lease, stoodOn, List.of(new Write<>(KEY, value, LEASE))).block(BOUND))
                .isEqualTo(Published.STORED);
    }

    private static Lease<Key> lease(Replica replica) {
        return ((Led<Key>) replica.tier.tryLead(KEY, LEASE).blockOptional(BOUND).orElseThrow()).lease();
    }

    private static long purge(Replica replica, String name) {
        return replica.purges.purge(List.of(name)).blockOptional(BOUND).orElseThrow().position();
    }

    private static Optional<String> found(Replica replica) {
        return replica.tier.find(KEY).map(Seen::value).blockOptional(BOUND);
    }
}
