package dev.corral.ops;

import dev.corral.coalesce.Events;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.TimeGauge;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.IntSupplier;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * All of Corral's meters, under {@code corral.}. Thread-safe. Tags are bounded sets: a route's id, an outcome, a reason; never a
 * URL.
 *
 * <p>The one that matters is {@code corral.origin.fetches} per {@code corral.fills}: 1 when the fleet coalesces.
 */
public final class Meters implements Events {

    private static final Logger log = LoggerFactory.getLogger(Meters.class);

    /** Flights that are told of: what fits on a page. */
    private static final int TOP = 10;

    private record Answer(String route, String outcome) {}

    private record Fetch(String route, String result) {}

    private final MeterRegistry registry;
    private final Counter fills;
    private final Counter fenced;
    private final Counter takeovers;
    private final Counter degraded;
    private final Counter broken;
    private final Timer waits;
    private final ConcurrentMap<Reason, Counter> released = new ConcurrentHashMap<>();
    private final ConcurrentMap<Answer, Timer> answers = new ConcurrentHashMap<>();
    private final ConcurrentMap<Fetch, Timer> fetches = new ConcurrentHashMap<>();
    private final Counter hardPurges;
    private final Counter softPurges;
    private final Counter failedPurges;
    private final Timer purgeWaits;
    private final Latency latency = new Latency();

    /** Registers what is counted; the gauges come with {@link #watch}. */
    public Meters(MeterRegistry registry) {
        this.registry = registry;
        this.fills = counter("corral.fills", "Answers published: visible to the fleet from then on");
        this.fenced = counter("corral.fenced", "Publishes refused because the lease had been lost");
        this.takeovers = counter("corral.takeovers", "Fills taken over from a leader that went silent or gave up");
        this.degraded = counter("corral.degraded", "Flights coalesced in this replica only, because Redis was away");
        this.broken = counter("corral.failed.steps", "Background steps that failed; see the log");
        this.waits = Timer.builder("corral.waits")
                .description("How long followers waited for another replica's fetch")
                .register(registry);
        for (Reason reason : Reason.values()) {
            released(reason, 0);
        }
        this.hardPurges = purges("hard");
        this.softPurges = purges("soft");
        this.failedPurges = purges("failed");
        this.purgeWaits = Timer.builder("corral.purge.waits")
                .description("How long purges waited until every live replica knew of them")
                .register(registry);
    }

    private Counter purges(String result) {
        return Counter.builder("corral.purges")
                .description("Purges that operators asked this replica for")
                .tag("result", result)
                .register(registry);
    }

    private void released(Reason reason, int times) {
        released.computeIfAbsent(reason, key -> Counter.builder("corral.released")
                .description("Flights whose waiters were sent off to fetch for themselves")
                .tag("reason", key.name().toLowerCase(Locale.ROOT))
                .register(registry)).increment(times);
    }

    private Counter counter(String name, String description) {
        return Counter.builder(name).description(description).register(registry);
    }

    /** Registers the gauges. */
    public void watch(IntSupplier flights, IntSupplier waiters, BooleanSupplier redisUp, BooleanSupplier redisWritable,
            Supplier<Duration> purgeLag) {
        TimeGauge.builder("corral.purge.lag", () -> purgeLag.get().toMillis(), TimeUnit.MILLISECONDS)
                .description("How long ago this replica was last in step with the fleet's purges")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.flights", flights::getAsInt)
                .description("Flights in the air in this replica")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.waiters", waiters::getAsInt)
                .description("Requests that wait for a flight in this replica")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.redis.up", () -> redisUp.getAsBoolean() ? 1 : 0)
                .description("1 while Redis responds, 0 while this replica goes on without it")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.redis.writable", () -> redisWritable.getAsBoolean() ? 1 : 0)
                .description("1 while Redis takes writes, 0 while it refuses them or does not respond")
                .strongReference(true)
                .register(registry);
    }

    /** One request was answered. */
    public void answered(String route, String outcome, Duration time) {
        latency.record(time);
        answers.computeIfAbsent(new Answer(route, outcome), key -> Timer.builder("corral.requests")
                .description("Requests by what became of them, and the time to the whole answer")
                .tag("route", key.route)
                .tag("outcome", key.outcome)
                .register(registry)).record(time);
    }

    /** One request was sent to an origin. */
    public void fetched(String route, String result, Duration time) {
        fetches.computeIfAbsent(new Fetch(route, result), key -> Timer.builder("corral.origin.fetches")
                .description("Requests to the origin by result, and the time to the answer")
                .tag("route", key.route)
                .tag("result", key.result)
                .register(registry)).record(time);
    }

    /** A purge is written; how long it waited for the others, zero when it did not. */
    void purged(boolean soft, Duration waited) {
        (soft ? softPurges : hardPurges).increment();
        if (waited.isPositive()) {
            purgeWaits.record(waited);
        }
    }

    /** A purge could not be written. */
    void purgeFailed() {
        failedPurges.increment();
    }

    /**
     * What this replica tells of itself; to be called once a beat, for it takes the latencies since the last call.
     *
     * @param flying all flights, those with the most waiters first
     */
    public Vitals vitals(String version, Instant started, String redis, long position, Duration lag, Duration offset,
            List<Vitals.Flying> flying, int flights, int waiters, Map<String, String> breakers) {
        return new Vitals(version, started, redis, position, lag.toMillis(), offset.toMillis(), flights, waiters,
                requests(), fetches.values().stream().mapToLong(Timer::count).sum(), (long) fills.count(),
                (long) fenced.count(), (long) takeovers.count(), waits.count(),
                (long) waits.totalTime(TimeUnit.MILLISECONDS), Latency.encode(latency.since()), breakers,
                flying.subList(0, Math.min(TOP, flying.size())));
    }

    private Map<String, Long> requests() {
        var counts = new TreeMap<String, Long>();
        answers.forEach((answer, timer) -> counts.merge(answer.outcome, timer.count(), Long::sum));
        return counts;
    }

    @Override
    public void filled() {
        fills.increment();
    }

    @Override
    public void fenced() {
        fenced.increment();
    }

    @Override
    public void tookOver() {
        takeovers.increment();
    }

    @Override
    public void released(Reason reason) {
        released(reason, 1);
    }

    @Override
    public void waited(Duration time) {
        waits.record(time);
    }

    @Override
    public void degraded() {
        degraded.increment();
    }

    @Override
    public void failed(String step, Throwable cause) {
        broken.increment();
        log.error("A step that must not fail did: {}", step, cause);
    }
}
