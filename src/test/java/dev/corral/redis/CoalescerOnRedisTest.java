package dev.corral.redis;

import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.CoalescerListener;
import dev.corral.coalesce.FillRequest;
import dev.corral.coalesce.FillResult;
import dev.corral.coalesce.FlightResult;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
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

    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    private static final Duration TTL = Duration.ofMinutes(1);
    private static final int REPLICAS = 3;
    private static final int CALLERS = 60;

    private static EmbeddedRedis redis;
    private static List<RedisTierFixture> replicas;

    private final AtomicInteger fetches = new AtomicInteger();
    private List<Coalescer<TierKey, String>> coalescers;
    private Mono<Void> whileFetching = Mono.empty();

    @BeforeAll
    static void start() {
        redis = RedisServer.embedded();
        replicas = IntStream.range(0, REPLICAS)
                .mapToObj(i -> RedisTierFixture.start("r" + i, redis.settings()))
                .toList();
    }

    @AfterAll
    static void stop() {
        replicas.forEach(RedisTierFixture::close);
        redis.close();
    }

    @BeforeEach
    void createCoalescers() {
        coalescers = replicas.stream().map(CoalescerOnRedisTest::coalescer).toList();
    }

    @Test
    void coldKeyIsFetchedOnce() {
        for (int round = 0; round < 20; round++) {
            TierKey key = TierKey.of("cold" + round);
            fetches.set(0);

            List<FlightResult<String>> outcomes = joinConcurrently(List.of(key), () -> sharedResult(key, "body"));

            assertThat(fetches).as("round %d", round).hasValue(1);
            assertThat(outcomes).hasSize(REPLICAS * CALLERS)
                    .allSatisfy(outcome -> assertThat(outcome)
                            .isInstanceOfSatisfying(FlightResult.Value.class,
                                    landed -> assertThat(landed.value()).isEqualTo("body")));
        }
    }

    @Test
    void manyColdKeysAreFetchedOnceEach() {
        List<TierKey> keys = IntStream.range(0, 50).mapToObj(i -> TierKey.of("many" + i)).toList();

        joinConcurrently(keys, key -> sharedResult(key, "body of " + key.resource()));

        assertThat(fetches).hasValue(keys.size());
    }

    @Test
    void failureIsSharedButNotRemembered() {
        TierKey key = TierKey.of("failing");
        untilAllWait("corral:{failing}:wait");

        List<FlightResult<String>> outcomes = joinConcurrently(List.of(key), () -> new FillResult.FillFailed<>("502"));

        assertThat(fetches).hasValue(1);
        assertThat(outcomes)
                .allSatisfy(outcome -> assertThat(outcome)
                        .isEqualTo(new FlightResult.FlightFailed<>("502", Optional.empty())));
        fetches.set(0);
        whileFetching = Mono.empty();
        joinConcurrently(List.of(key), () -> sharedResult(key, "well again"));
        assertThat(fetches).hasValue(1);
    }

    @Test
    void unshareableResponseReleasesAllOthers() {
        TierKey key = TierKey.of("private");
        untilAllWait("corral:{private}:wait");

        List<FlightResult<String>> outcomes = joinConcurrently(List.of(key),
                () -> new FillResult.NotShareable<>(List.of()));

        assertThat(fetches.get()).isBetween(1, REPLICAS);
        assertThat(outcomes).allSatisfy(outcome -> assertThat(outcome).isInstanceOf(FlightResult.Uncoalesced.class));
    }

    /** As a full Redis may do with whatever has a time to live. The leader's publish is fenced; one of the others leads next. */
    @Test
    void evictedLockCostsOneMoreFetch() {
        TierKey key = TierKey.of("evicted");

        evictOnce("corral:{evicted}:lock");

        List<FlightResult<String>> outcomes = joinConcurrently(List.of(key), () -> sharedResult(key, "body"));

        assertThat(fetches).hasValue(2);
        assertThat(outcomes).hasSize(REPLICAS * CALLERS)
                .allSatisfy(outcome -> assertThat(outcome).isInstanceOfSatisfying(FlightResult.Value.class,
                        landed -> assertThat(landed.value()).isEqualTo("body")));
        assertThat(redis.execute("EXISTS corral:{evicted}")).isEqualTo("1");
    }

    /** Nobody is notified; everybody polls. */
    @Test
    void evictedWaiterListCostsNoFetch() {
        TierKey key = TierKey.of("unnotified");

        evictOnce("corral:{unnotified}:wait");

        List<FlightResult<String>> outcomes = joinConcurrently(List.of(key), () -> sharedResult(key, "body"));

        assertThat(fetches).hasValue(1);
        assertThat(outcomes).allSatisfy(outcome -> assertThat(outcome).isInstanceOf(FlightResult.Value.class));
    }

    /** A fetch ends when every caller waits for it, here or there: what is for those who wait would be fetched anew for who is late. */
    private void untilAllWait(String waiters) {
        whileFetching = Mono
                .fromCallable(() -> coalescers.stream().allMatch(replica -> replica.waiterCount() == CALLERS)
                        && redis.execute("SCARD " + waiters).equals(Integer.toString(REPLICAS - 1)))
                .subscribeOn(Schedulers.boundedElastic())
                .repeatWhen(again -> again.delayElements(Duration.ofMillis(10)))
                .takeUntil(all -> all)
                .then();
    }

    /** During the first fetch. */
    private void evictOnce(String name) {
        var first = new AtomicInteger();
        whileFetching = Mono.<Void>fromRunnable(() -> {
            if (first.getAndIncrement() == 0) {
                redis.execute("DEL " + name);
            }
        }).subscribeOn(Schedulers.boundedElastic());
    }

    private List<FlightResult<String>> joinConcurrently(List<TierKey> keys,
            Supplier<FillResult<TierKey, String>> answer) {
        return joinConcurrently(keys, key -> answer.get());
    }

    /** All callers of all replicas at once, for each of the keys. */
    private List<FlightResult<String>> joinConcurrently(List<TierKey> keys,
            Function<TierKey, FillResult<TierKey, String>> answer) {
        var callers = new ArrayList<Mono<FlightResult<String>>>();
        for (TierKey key : keys) {
            for (Coalescer<TierKey, String> replica : coalescers) {
                IntStream.range(0, CALLERS)
                        .forEach(i -> callers.add(replica.join(new CountingFillRequest(key, answer))));
            }
        }
        return Flux.fromIterable(callers)
                .flatMap(caller -> caller.subscribeOn(Schedulers.parallel()), callers.size())
                .collectList()
                .blockOptional(TIMEOUT)
                .orElseThrow();
    }

    private static FillResult<TierKey, String> sharedResult(TierKey key, String body) {
        return new FillResult.Shared<>(body, List.of(new Write<>(key, body, TTL)), true);
    }

    private static Coalescer<TierKey, String> coalescer(RedisTierFixture replica) {
        return new Coalescer<>(replica.tier, RedisTierFixture.TIMING, replica.purges::latestPosition,
                Schedulers.parallel(),
                Schedulers.parallel(),
                RandomGenerator.getDefault(), CoalescerListener.NO_OP);
    }

    private final class CountingFillRequest implements FillRequest<TierKey, String> {

        private final TierKey key;
        private final Function<TierKey, FillResult<TierKey, String>> resultFor;

        CountingFillRequest(TierKey key, Function<TierKey, FillResult<TierKey, String>> answer) {
            this.key = key;
            this.resultFor = answer;
        }

        @Override
        public TierKey key() {
            return key;
        }

        @Override
        public boolean isUsable(String value, boolean awaited) {
            return true;
        }

        @Override
        public Mono<FillResult<TierKey, String>> fill(Optional<String> seen, long position) {
            return Mono.delay(Duration.ofMillis(120)).delayUntil(late -> whileFetching).map(late -> {
                fetches.incrementAndGet();
                return resultFor.apply(key);
            });
        }

        @Override
        public Duration maxWait() {
            return TIMEOUT;
        }
    }
}
