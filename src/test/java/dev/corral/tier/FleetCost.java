package dev.corral.tier;

import dev.corral.coalesce.Ask;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.Events;
import dev.corral.coalesce.Filled;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Outcome;
import dev.corral.coalesce.Purges.Purge;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
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
class FleetCost {

    private static final Duration BOUND = Duration.ofMinutes(5);
    private static final Duration IDLE = Duration.ofSeconds(20);
    private static final int PURGES = 5;
    private static final int COLD_KEYS = 5;
    private static final String BODY = "x".repeat(1 << 10);
    private static final String LARGE = "x".repeat(2_000_000);
    private static final int LARGE_KEY = 1_000;
    /** As long as a replica's own with some traffic: its vitals, a histogram and some flights. */
    private static final String STATUS = "{\"version\":\"1\",\"position\":1,\"latency\":\"" + "x".repeat(1_150) + "\"}";

    /**
     * What Redis counted.
     *
     * @param commands those within scripts too
     * @param scripts  how many of them are scripts
     * @param in       bytes to Redis
     * @param out      bytes from Redis
     */
    private record Counts(double commands, double scripts, double in, double out) {

        Counts minus(Counts other, double times) {
            return new Counts(commands - other.commands * times, scripts - other.scripts * times, in - other.in * times,
                    out - other.out * times);
        }

        Counts per(double what) {
            return new Counts(commands / what, scripts / what, in / what, out / what);
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
            var fleet = new ArrayList<Replica>();
            var beats = new ArrayList<Disposable>();
            try {
                // Several at a time: most of a start is waiting.
                fleet.addAll(Flux.range(0, size)
                        .flatMap(i -> Mono.fromCallable(() -> Replica.startAlone("replica-" + i, patient(redis)))
                                .subscribeOn(Schedulers.boundedElastic()), 8)
                        .collectList()
                        .blockOptional(BOUND)
                        .orElseThrow());
                Awaitility.await().atMost(BOUND).until(() -> fleet.stream().allMatch(one -> one.gate.open()));
                for (int i = 0; i < size; i++) {
                    var members = new RedisFleet(fleet.get(i).connections, fleet.get(i).gate, "replica-" + i);
                    beats.add(Flux.interval(Duration.ofMillis(1_000L * i / size), Duration.ofSeconds(1))
                            .onBackpressureDrop()
                            .concatMap(tick -> members.beat(STATUS).then().onErrorComplete(), 1)
                            .subscribe());
                }
                settle();
                Counts start = counts(redis);
                long begun = System.nanoTime();
                settle();
                Counts idle = counts(redis).minus(start, 1).per(seconds(begun));
                print(size, "idle, a second", idle);
                print(size, "a purge that waits for all", each(redis, idle, PURGES, i -> purge(fleet, i)));
                print(size, "a cold key that all want", each(redis, idle, COLD_KEYS, i -> coldKey(fleet, i, BODY)));
                print(size, "the same of 2 MB", each(redis, idle, 1, i -> coldKey(fleet, LARGE_KEY + i, LARGE)));
            } finally {
                beats.forEach(Disposable::dispose);
                Flux.fromIterable(fleet)
                        .flatMap(one -> Mono.fromRunnable(one::close).subscribeOn(Schedulers.boundedElastic()), 8)
                        .blockLast(BOUND);
            }
        }
    }

    private static Map<String, String> patient(EmbeddedRedis redis) {
        var settings = new HashMap<>(redis.settings());
        settings.put("spring.data.redis.timeout", "10s");
        return settings;
    }

    private interface Step {

        void run(int number);
    }

    /** Without what the fleet costs when it is idle. */
    private static Counts each(EmbeddedRedis redis, Counts idle, int times, Step step) {
        step.run(-1);
        Counts start = counts(redis);
        long begun = System.nanoTime();
        IntStream.range(0, times).forEach(step::run);
        return counts(redis).minus(start, 1).minus(idle, seconds(begun)).per(times);
    }

    private static void purge(List<Replica> fleet, int number) {
        var purged = fleet.getFirst().purges
                .purge(new Purge(List.of("tag:" + number), false, List.of("tag " + number), "cost", true))
                .blockOptional(BOUND)
                .orElseThrow();
        var acknowledged = new HashSet<String>();
        purged.heard()
                .doOnNext(acknowledged::add)
                .takeUntil(one -> acknowledged.size() == fleet.size())
                .blockLast(BOUND);
        // As a purge does that waits for the live replicas.
        STANDINGS.of(fleet.getFirst()).block(BOUND);
    }

    /** One fetch, and everybody has its body; how long that takes is told, not judged. */
    private static void coldKey(List<Replica> fleet, int number, String body) {
        Key key = Key.of("cold" + number);
        var fetches = new AtomicInteger();
        long begun = System.nanoTime();
        Integer same = Flux.fromIterable(fleet)
                .flatMap(one -> coalescer(one).join(new Want(key, body, fetches))
                        .subscribeOn(Schedulers.parallel())
                        .map(outcome -> outcome instanceof Outcome.Landed<String> landed
                                && landed.value().length() == body.length() ? 1 : 0),
                        fleet.size())
                .reduce(Integer::sum)
                .blockOptional(BOUND)
                .orElseThrow();
        if (body.equals(LARGE)) {
            System.out.printf(Locale.ROOT, "%d replicas have %d bytes each after %.1f s%n", same, body.length(),
                    seconds(begun));
        }
        assertThat(same).isEqualTo(fleet.size());
        assertThat(fetches).hasValue(1);
    }

    private static Coalescer<Key, String> coalescer(Replica replica) {
        return new Coalescer<>(replica.tier, Replica.TIMING, replica.purges::position, Schedulers.parallel(),
                Schedulers.parallel(),
                RandomGenerator.getDefault(), Events.NONE);
    }

    private record Want(Key key, String body, AtomicInteger fetches) implements Ask<Key, String> {

        @Override
        public boolean accepts(String value, boolean awaited) {
            return true;
        }

        @Override
        public Mono<Filled<Key, String>> fill(Optional<String> seen, long position) {
            fetches.incrementAndGet();
            return Mono.delay(Duration.ofMillis(120))
                    .map(late -> new Filled.Share<>(body, List.of(new Write<>(key, body, Duration.ofMinutes(5))),
                            true));
        }

        @Override
        public Duration patience() {
            return BOUND;
        }
    }

    /** What a purge reads of the fleet. */
    private interface Standings {

        Mono<?> of(Replica replica);
    }

    private static final Standings STANDINGS = replica -> new RedisFleet(replica.connections, replica.gate, "reader")
            .standings();

    private static void settle() {
        Mono.delay(IDLE).block(BOUND);
    }

    private static double seconds(long begun) {
        return (System.nanoTime() - begun) / 1e9;
    }

    private static Counts counts(EmbeddedRedis redis) {
        String info = redis.ask("INFO everything");
        return new Counts(stat(info, "total_commands_processed:"), stat(info, "cmdstat_evalsha:calls="),
                stat(info, "total_net_input_bytes:"), stat(info, "total_net_output_bytes:"));
    }

    private static double stat(String info, String name) {
        Matcher stat = Pattern.compile("(?m)^" + name + "(\\d+)").matcher(info);
        assertThat(stat.find()).isTrue();
        return Double.parseDouble(stat.group(1));
    }

    private static void print(int size, String what, Counts counts) {
        System.out.printf(Locale.ROOT, "| %d | %s | %.0f | %.0f | %.1f | %.1f |%n", size, what, counts.commands,
                counts.scripts, counts.in / 1_000, counts.out / 1_000);
    }
}
