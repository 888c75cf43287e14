package dev.corral.management;

import dev.corral.coalesce.CoalescerListener;
import dev.corral.management.fleet.LatencyRecorder;
import dev.corral.management.fleet.ReplicaStatus;
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
 * All meters of Corral; their names begin with {@code corral.}. Tags have bounded values: a route's id, an outcome, a reason; never
 * a URL. Thread-safe.
 *
 * <p>The most important figure is {@code corral.origin.fetches} divided by {@code corral.fills}: 1 when the fleet coalesces.
 */
public final class CorralMetrics implements CoalescerListener {

    private static final Logger log = LoggerFactory.getLogger(CorralMetrics.class);

    /** The number of flights in a replica's status, as many as fit on the dashboard. */
    private static final int MAX_TOP_FLIGHTS = 10;

    private record RequestTags(String route, String outcome) {}

    private record FetchTags(String route, String result) {}

    private final MeterRegistry registry;
    private final Counter fills;
    private final Counter fencedPublishes;
    private final Counter takeovers;
    private final Counter degradedFlights;
    private final Counter backgroundErrors;
    private final Timer followerWaits;
    private final ConcurrentMap<ReleaseReason, Counter> releasesByReason = new ConcurrentHashMap<>();
    private final ConcurrentMap<RequestTags, Timer> requestTimers = new ConcurrentHashMap<>();
    private final ConcurrentMap<FetchTags, Timer> fetchTimers = new ConcurrentHashMap<>();
    private final Counter hardPurges;
    private final Counter softPurges;
    private final Counter failedPurges;
    private final Timer purgeWaits;
    private final LatencyRecorder latencyRecorder = new LatencyRecorder();

    /** Registers the counters and timers; {@link #registerGauges} adds the gauges. */
    public CorralMetrics(MeterRegistry registry) {
        this.registry = registry;
        this.fills = registerCounter("corral.fills", "Responses published, and so visible to the fleet");
        this.fencedPublishes = registerCounter("corral.publish.fenced",
                "Publishes refused because the lease had been lost");
        this.takeovers = registerCounter("corral.leader.takeovers",
                "Fills taken over from a leader that stopped responding or gave up its lease");
        this.degradedFlights = registerCounter("corral.flights.degraded",
                "Flights coalesced within this replica only, because Redis was unavailable");
        this.backgroundErrors = registerCounter("corral.background.errors",
                "Background tasks that failed unexpectedly; see the log");
        this.followerWaits = Timer.builder("corral.follower.wait")
                .description("How long followers waited for another replica's fetch")
                .register(registry);
        for (ReleaseReason reason : ReleaseReason.values()) {
            countReleases(reason, 0);
        }
        this.hardPurges = registerPurgeCounter("hard");
        this.softPurges = registerPurgeCounter("soft");
        this.failedPurges = registerPurgeCounter("failed");
        this.purgeWaits = Timer.builder("corral.purge.waits")
                .description("How long purges waited for the acknowledgements of all live replicas")
                .register(registry);
    }

    private Counter registerPurgeCounter(String result) {
        return Counter.builder("corral.purges")
                .description("Purges that operators requested from this replica")
                .tag("result", result)
                .register(registry);
    }

    private void countReleases(ReleaseReason reason, int times) {
        releasesByReason.computeIfAbsent(reason, key -> Counter.builder("corral.flights.released")
                .description("Flights whose waiters had to fetch individually")
                .tag("reason", key.name().toLowerCase(Locale.ROOT))
                .register(registry)).increment(times);
    }

    private Counter registerCounter(String name, String description) {
        return Counter.builder(name).description(description).register(registry);
    }

    /** Registers the gauges. */
    public void registerGauges(IntSupplier flights, IntSupplier waiters, BooleanSupplier redisUp,
            BooleanSupplier redisWritable,
            Supplier<Duration> purgeLag) {
        TimeGauge.builder("corral.purge.lag", () -> purgeLag.get().toMillis(), TimeUnit.MILLISECONDS)
                .description("Time since this replica last knew all purges of the fleet")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.flights", flights::getAsInt)
                .description("Current flights of this replica")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.waiters", waiters::getAsInt)
                .description("Requests waiting for a flight of this replica")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.redis.up", () -> redisUp.getAsBoolean() ? 1 : 0)
                .description("1 while Redis responds, 0 while this replica works without it")
                .strongReference(true)
                .register(registry);
        Gauge.builder("corral.redis.writable", () -> redisWritable.getAsBoolean() ? 1 : 0)
                .description("1 while Redis accepts writes, 0 while it rejects them or does not respond")
                .strongReference(true)
                .register(registry);
    }

    /** Records one request whose response was sent. */
    public void recordRequest(String route, String outcome, Duration time) {
        latencyRecorder.record(time);
        requestTimers.computeIfAbsent(new RequestTags(route, outcome), key -> Timer.builder("corral.requests")
                .description("Requests by outcome, and the time to the end of the response")
                .tag("route", key.route)
                .tag("outcome", key.outcome)
                .register(registry)).record(time);
    }

    /** Records one request to an origin. */
    public void recordFetch(String route, String result, Duration time) {
        fetchTimers.computeIfAbsent(new FetchTags(route, result), key -> Timer.builder("corral.origin.fetches")
                .description("Requests to the origin by result, and the time to the response")
                .tag("route", key.route)
                .tag("result", key.result)
                .register(registry)).record(time);
    }

    /**
     * Records a purge that was written.
     *
     * @param waited how long it waited for the replicas' acknowledgements; zero when it did not wait
     */
    public void recordPurge(boolean soft, Duration waited) {
        (soft ? softPurges : hardPurges).increment();
        if (waited.isPositive()) {
            purgeWaits.record(waited);
        }
    }

    /** Counts a purge that could not be written. */
    public void countFailedPurge() {
        failedPurges.increment();
    }

    /**
     * The status of this replica for its heartbeat. Each call takes and resets the latencies since the last call, so only the heartbeat
     * may call it.
     *
     * @param position  the purge position up to which this replica knows all purges
     * @param topFlights all flights, those with the most waiters first
     */
    public ReplicaStatus collectStatus(String version, Instant started, String redis, long position, Duration lag,
            Duration offset,
            List<ReplicaStatus.FlightStatus> topFlights, int flights, int waiters, Map<String, String> breakers) {
        return new ReplicaStatus(version, started, redis, position, lag.toMillis(), offset.toMillis(), flights, waiters,
                requestCounts(), fetchTimers.values().stream().mapToLong(Timer::count).sum(), (long) fills.count(),
                (long) fencedPublishes.count(), (long) takeovers.count(), followerWaits.count(),
                (long) followerWaits.totalTime(TimeUnit.MILLISECONDS),
                LatencyRecorder.encode(latencyRecorder.takeInterval()), breakers,
                topFlights.subList(0, Math.min(MAX_TOP_FLIGHTS, topFlights.size())));
    }

    private Map<String, Long> requestCounts() {
        var counts = new TreeMap<String, Long>();
        requestTimers.forEach((tags, timer) -> counts.merge(tags.outcome, timer.count(), Long::sum));
        return counts;
    }

    @Override
    public void onFilled() {
        fills.increment();
    }

    @Override
    public void onFenced() {
        fencedPublishes.increment();
    }

    @Override
    public void onTakeover() {
        takeovers.increment();
    }

    @Override
    public void onReleased(ReleaseReason reason) {
        countReleases(reason, 1);
    }

    @Override
    public void onFollowerWaitEnd(Duration time) {
        followerWaits.record(time);
    }

    @Override
    public void onDegraded() {
        degradedFlights.increment();
    }

    @Override
    public void onBackgroundError(String step, Throwable cause) {
        backgroundErrors.increment();
        log.error("Background task failed: {}", step, cause);
    }
}
