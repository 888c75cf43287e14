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
import dev.corral.purge.PurgeRegistry.Purge;
import dev.corral.redis.fleet.ReplicaRegistry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.random.RandomGenerator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import reactor.core.Disposable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * The figures of docs/FLEET-COST.md: what a fleet costs its Redis. Real connections, purges and heartbeats of many replicas in
 * one JVM over one real Redis. Not a part of any build, as its name does not end in Test:
 *
 * <p>{@code ./mvnw test -Dtest=FleetCost -Dfleet.sizes=50,100,300}
 */
@Timeout(3_600)
class FleetCostMeasurement {

    private static final Duration TIMEOUT = Duration.ofMinutes(5);
    private static final Duration IDLE_TIME = Duration.ofSeconds(20);
    private static final int PURGES = 5;
    private static final int COLD_KEYS = 5;
    private static final String BODY = "x".repeat(1 << 10);
    private static final String LARGE_BODY = "x".repeat(2_000_000);
    private static final int LARGE_KEY = 1_000;
    /** As long as a replica's own with some traffic: its vitals, a histogram and some flights. */
    private static final String STATUS = "{\"version\":\"1\",\"position\":1,\"latency\":\"" + "x".repeat(1_150) + "\"}";

    /**
     * What Redis counted.
     *
     * @param commands      those within scripts too
     * @param scripts       how many of them are scripts
     * @param bytesReceived bytes to Redis
     * @param bytesSent     bytes from Redis
     */
    private record RedisCounters(double commands, double scripts, double bytesReceived, double bytesSent) {

        RedisCounters minus(RedisCounters other, double times) {
            return new RedisCounters(commands - other.commands * times, scripts - other.scripts * times,
                    bytesReceived - other.bytesReceived * times,
                    bytesSent - other.bytesSent * times);
        }

        RedisCounters per(double what) {
            return new RedisCounters(commands / what, scripts / what, bytesReceived / what, bytesSent / what);
        }
    }

    @Test
    void measure() {
        System.out.println(
                "| replicas | what | commands, those in scripts too | scripts | KB to Redis | KB from Redis |");
        System.out.println("|---|---|---|---|---|---|");
        for (String size : System.getProperty("fleet.sizes", "50,100,300").split(",", -1)) {
            measure(Integer.parseInt(size));
        }
    }

    private static void measure(int size) {
        try (EmbeddedRedis redis = RedisServer.embedded()) {
            var fleet = new ArrayList<RedisTierFixture>();
            var beats = new ArrayList<Disposable>();
            try {
                // Several at a time: most of a start is waiting.
                fleet.addAll(Flux.range(0, size)
                        .flatMap(i -> Mono.fromCallable(
                                () -> RedisTierFixture.startWithoutWaiting("replica-" + i, withLongTimeout(redis)))
                                .subscribeOn(Schedulers.boundedElastic()), 8)
                        .collectList()
                        .blockOptional(TIMEOUT)
                        .orElseThrow());
                Awaitility.await()
                        .atMost(TIMEOUT)
                        .until(() -> fleet.stream().allMatch(one -> one.circuitBreaker.isAvailable()));
                for (int i = 0; i < size; i++) {
                    var members = new ReplicaRegistry(fleet.get(i).connections, fleet.get(i).circuitBreaker,
                            "replica-" + i);
                    beats.add(Flux.interval(Duration.ofMillis(1_000L * i / size), Duration.ofSeconds(1))
                            .onBackpressureDrop()
                            .concatMap(tick -> members.heartbeat(STATUS).then().onErrorComplete(), 1)
                            .subscribe());
                }
                awaitIdleTime();
                RedisCounters start = counts(redis);
                long begun = System.nanoTime();
                awaitIdleTime();
                RedisCounters idle = counts(redis).minus(start, 1).per(secondsSince(begun));
                print(size, "idle, a second", idle);
                print(size, "a purge that waits for all", costPerStep(redis, idle, PURGES, i -> purge(fleet, i)));
                print(size, "a cold key that all want",
                        costPerStep(redis, idle, COLD_KEYS, i -> coldKey(fleet, i, BODY)));
                print(size, "the same of 2 MB",
                        costPerStep(redis, idle, 1, i -> coldKey(fleet, LARGE_KEY + i, LARGE_BODY)));
            } finally {
                beats.forEach(Disposable::dispose);
                Flux.fromIterable(fleet)
                        .flatMap(one -> Mono.fromRunnable(one::close).subscribeOn(Schedulers.boundedElastic()), 8)
                        .blockLast(TIMEOUT);
            }
        }
    }

    private static Map<String, String> withLongTimeout(EmbeddedRedis redis) {
        var settings = new HashMap<>(redis.settings());
        settings.put("spring.data.redis.timeout", "10s");
        return settings;
    }

    private interface MeasuredStep {

        void run(int number);
    }

    /** Without what the fleet costs when it is idle. */
    private static RedisCounters costPerStep(EmbeddedRedis redis, RedisCounters idle, int times, MeasuredStep step) {
        step.run(-1);
        RedisCounters start = counts(redis);
        long begun = System.nanoTime();
        IntStream.range(0, times).forEach(step::run);
        return counts(redis).minus(start, 1).minus(idle, secondsSince(begun)).per(times);
    }

    private static void purge(List<RedisTierFixture> fleet, int number) {
        var purged = fleet.getFirst().purges
                .purge(new Purge(List.of("tag:" + number), false, List.of("tag " + number), "cost", true))
                .blockOptional(TIMEOUT)
                .orElseThrow();
        var acknowledged = new HashSet<String>();
        purged.acknowledgements()
                .doOnNext(acknowledged::add)
                .takeUntil(one -> acknowledged.size() == fleet.size())
                .blockLast(TIMEOUT);
        // As a purge does that waits for the live replicas.
        STANDINGS_READER.read(fleet.getFirst()).block(TIMEOUT);
    }

    /** One fetch, and everybody has its body; how long that takes is told, not judged. */
    private static void coldKey(List<RedisTierFixture> fleet, int number, String body) {
        TierKey key = TierKey.of("cold" + number);
        var fetches = new AtomicInteger();
        long begun = System.nanoTime();
        Integer same = Flux.fromIterable(fleet)
                .flatMap(one -> coalescer(one).join(new MeasuredFillRequest(key, body, fetches))
                        .subscribeOn(Schedulers.parallel())
                        .map(outcome -> outcome instanceof FlightResult.Value<String> landed
                                && landed.value().length() == body.length() ? 1 : 0),
                        fleet.size())
                .reduce(Integer::sum)
                .blockOptional(TIMEOUT)
                .orElseThrow();
        if (body.equals(LARGE_BODY)) {
            System.out.printf(Locale.ROOT, "%d replicas have %d bytes each after %.1f s%n", same, body.length(),
                    secondsSince(begun));
        }
        assertThat(same).isEqualTo(fleet.size());
        assertThat(fetches).hasValue(1);
    }

    private static Coalescer<TierKey, String> coalescer(RedisTierFixture replica) {
        return new Coalescer<>(replica.tier, RedisTierFixture.TIMING, replica.purges::latestPosition,
                Schedulers.parallel(),
                Schedulers.parallel(),
                RandomGenerator.getDefault(), CoalescerListener.NO_OP);
    }

    private record MeasuredFillRequest(TierKey key, String body,
            AtomicInteger fetches) implements FillRequest<TierKey, String> {

        @Override
        public boolean isUsable(String value, boolean awaited) {
            return true;
        }

        @Override
        public Mono<FillResult<TierKey, String>> fill(Optional<String> seen, long position) {
            fetches.incrementAndGet();
            return Mono.delay(Duration.ofMillis(120))
                    .map(late -> new FillResult.Shared<>(body, List.of(new Write<>(key, body, Duration.ofMinutes(5))),
                            true));
        }

        @Override
        public Duration maxWait() {
            return TIMEOUT;
        }
    }

    /** What a purge reads of the fleet. */
    private interface StandingsReader {

        Mono<?> read(RedisTierFixture replica);
    }

    private static final StandingsReader STANDINGS_READER = replica -> new ReplicaRegistry(replica.connections,
            replica.circuitBreaker, "reader")
            .replicaPositions();

    private static void awaitIdleTime() {
        Mono.delay(IDLE_TIME).block(TIMEOUT);
    }

    private static double secondsSince(long begun) {
        return (System.nanoTime() - begun) / 1e9;
    }

    private static RedisCounters counts(EmbeddedRedis redis) {
        String info = redis.execute("INFO everything");
        return new RedisCounters(infoValue(info, "total_commands_processed:"),
                infoValue(info, "cmdstat_evalsha:calls="),
                infoValue(info, "total_net_input_bytes:"), infoValue(info, "total_net_output_bytes:"));
    }

    private static double infoValue(String info, String name) {
        Matcher stat = Pattern.compile("(?m)^" + name + "(\\d+)").matcher(info);
        assertThat(stat.find()).isTrue();
        return Double.parseDouble(stat.group(1));
    }

    private static void print(int size, String what, RedisCounters counts) {
        System.out.printf(Locale.ROOT, "| %d | %s | %.0f | %.0f | %.1f | %.1f |%n", size, what, counts.commands,
                counts.scripts, counts.bytesReceived / 1_000, counts.bytesSent / 1_000);
    }
}
