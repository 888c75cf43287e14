package dev.corral.tier;

import dev.corral.coalesce.Ask;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.Events;
import dev.corral.coalesce.Filled;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Outcome;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import static org.assertj.core.api.Assertions.assertThat;

/** Three replicas' coalescers in one process, over a real Redis: the origin's count is what matters. */
class CoalescerOnRedisTest {

    private static final Duration BOUND = Duration.ofSeconds(30);
    private static final Duration LIFE = Duration.ofMinutes(1);
    private static final int REPLICAS = 3;
    private static final int CALLERS = 60;

    private static EmbeddedRedis redis;
    private static List<Replica> replicas;

    private final AtomicInteger fetches = new AtomicInteger();
    private List<Coalescer<Key, String>> fleet;
    private Mono<Void> whileFetching = Mono.empty();

    @BeforeAll
    static void start() {
        redis = RedisServer.embedded();
        replicas = IntStream.range(0, REPLICAS).mapToObj(i -> Replica.start("r" + i, redis.settings())).toList();
    }

    @AfterAll
    static void stop() {
        replicas.forEach(Replica::close);
        redis.close();
    }

    @BeforeEach
    void gather() {
        fleet = replicas.stream().map(CoalescerOnRedisTest::coalescer).toList();
    }

    @Test
    void aColdKeyIsFetchedOnce() {
        for (int round = 0; round < 20; round++) {
            Key key = Key.of("cold" + round);
            fetches.set(0);

            List<Outcome<String>> outcomes = storm(List.of(key), () -> share(key, "body"));

            assertThat(fetches).as("round %d", round).hasValue(1);
            assertThat(outcomes).hasSize(REPLICAS * CALLERS)
                    .allSatisfy(outcome -> assertThat(outcome)
                            .isInstanceOfSatisfying(Outcome.Landed.class,
                                    landed -> assertThat(landed.value()).isEqualTo("body")));
        }
    }

    @Test
    void manyColdKeysAreFetchedOnceEach() {
        List<Key> keys = IntStream.range(0, 50).mapToObj(i -> Key.of("many" + i)).toList();

        storm(keys, key -> share(key, "body of " + key.resource()));

        assertThat(fetches).hasValue(keys.size());
    }

    @Test
    void aFailureIsToldToAllAndRememberedByNone() {
        Key key = Key.of("failing");

        List<Outcome<String>> outcomes = storm(List.of(key), () -> new Filled.Fail<>("502"));

        assertThat(fetches).hasValue(1);
        assertThat(outcomes)
                .allSatisfy(outcome -> assertThat(outcome).isEqualTo(new Outcome.Failed<>("502", Optional.empty())));
        fetches.set(0);
        storm(List.of(key), () -> share(key, "well again"));
        assertThat(fetches).hasValue(1);
    }

    @Test
    void anAnswerForOneReleasesAllTheOthers() {
        Key key = Key.of("private");

        List<Outcome<String>> outcomes = storm(List.of(key), () -> new Filled.Withhold<>(List.of()));

        assertThat(fetches.get()).isBetween(1, REPLICAS);
        assertThat(outcomes).allSatisfy(outcome -> assertThat(outcome).isInstanceOf(Outcome.Released.class));
    }

    /** As a full Redis may do with whatever has a time to live. The leader's publish is fenced; one of the others leads next. */
    @Test
    void aLockThatIsEvictedCostsOneMoreFetch() {
        Key key = Key.of("evicted");

        evictOnce("corral:{evicted}:lock");

        List<Outcome<String>> outcomes = storm(List.of(key), () -> share(key, "body"));

        assertThat(fetches).hasValue(2);
        assertThat(outcomes).hasSize(REPLICAS * CALLERS)
                .allSatisfy(outcome -> assertThat(outcome).isInstanceOfSatisfying(Outcome.Landed.class,
                        landed -> assertThat(landed.value()).isEqualTo("body")));
        assertThat(redis.ask("EXISTS corral:{evicted}")).isEqualTo("1");
    }

    /** Nobody is notified; everybody polls. */
    @Test
    void aListOfWaitersThatIsEvictedCostsNoFetch() {
        Key key = Key.of("unnotified");

        evictOnce("corral:{unnotified}:wait");

        List<Outcome<String>> outcomes = storm(List.of(key), () -> share(key, "body"));

        assertThat(fetches).hasValue(1);
        assertThat(outcomes).allSatisfy(outcome -> assertThat(outcome).isInstanceOf(Outcome.Landed.class));
    }

    /** During the first fetch. */
    private void evictOnce(String name) {
        var first = new AtomicInteger();
        whileFetching = Mono.<Void>fromRunnable(() -> {
            if (first.getAndIncrement() == 0) {
                redis.ask("DEL " + name);
            }
        }).subscribeOn(Schedulers.boundedElastic());
    }

    private List<Outcome<String>> storm(List<Key> keys, Supplier<Filled<Key, String>> answer) {
        return storm(keys, key -> answer.get());
    }

    /** All callers of all replicas at once, for each of the keys. */
    private List<Outcome<String>> storm(List<Key> keys, Function<Key, Filled<Key, String>> answer) {
        var callers = new ArrayList<Mono<Outcome<String>>>();
        for (Key key : keys) {
            for (Coalescer<Key, String> replica : fleet) {
                IntStream.range(0, CALLERS).forEach(i -> callers.add(replica.join(new Question(key, answer))));
            }
        }
        return Flux.fromIterable(callers)
                .flatMap(caller -> caller.subscribeOn(Schedulers.parallel()), callers.size())
                .collectList()
                .blockOptional(BOUND)
                .orElseThrow();
    }

    private static Filled<Key, String> share(Key key, String body) {
        return new Filled.Share<>(body, List.of(new Write<>(key, body, LIFE)), true);
    }

    private static Coalescer<Key, String> coalescer(Replica replica) {
        return new Coalescer<>(replica.tier, Replica.TIMING, replica.purges::position, Schedulers.parallel(),
                Schedulers.parallel(),
                RandomGenerator.getDefault(), Events.NONE);
    }

    private final class Question implements Ask<Key, String> {

        private final Key key;
        private final Function<Key, Filled<Key, String>> answer;

        Question(Key key, Function<Key, Filled<Key, String>> answer) {
            this.key = key;
            this.answer = answer;
        }

        @Override
        public Key key() {
            return key;
        }

        @Override
        public boolean accepts(String value, boolean awaited) {
            return true;
        }

        @Override
        public Mono<Filled<Key, String>> fill(Optional<String> seen, long position) {
            return Mono.delay(Duration.ofMillis(120)).delayUntil(late -> whileFetching).map(late -> {
                fetches.incrementAndGet();
                return answer.apply(key);
            });
        }

        @Override
        public Duration patience() {
            return BOUND;
        }
    }
}
