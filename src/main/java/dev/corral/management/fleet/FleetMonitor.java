package dev.corral.management.fleet;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.HdrHistogram.Histogram;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.SmartLifecycle;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * The state of the fleet for operators. Once a second this replica writes its own status to the fleet's registry (the heartbeat), and
 * every ten seconds a point of the history. The statuses of all replicas are read only while a dashboard is open or the fleet endpoint
 * is called, at most twice a second for any number of readers.
 *
 * <p>
 * While Redis is unavailable it shows this replica and the last known state of the others.
 *
 * <p>
 * Threads: heartbeats and samples are timed on the scheduler; serializing and decoding run on the bounded elastic scheduler. Heartbeats
 * run one after the other, so the fields that only they write need no lock. Thread-safe.
 */
public final class FleetMonitor implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(FleetMonitor.class);

    private static final Duration HEARTBEAT_INTERVAL = Duration.ofSeconds(1);
    // Half a heartbeat interval: a sample is at most one and a half intervals old.
    private static final Duration SAMPLE_TTL = Duration.ofMillis(500);
    // A replica without a heartbeat for this long no longer counts as live. The same as in the fleet's registry.
    private static final Duration LIVENESS_TIMEOUT = Duration.ofSeconds(3);
    // Bytes of one history: enough for about 500 replicas with traffic. A larger fleet's history is cut at its older end.
    private static final int MAX_HISTORY_BYTES = 8 << 20;
    // The members of a status that the charts need for the past.
    private static final List<String> HISTORY_MEMBERS = List.of("started", "flights", "waiters", "requests", "fetches",
            "fills",
            "fenced", "takeovers", "waits", "waitMillis", "latency");

    /** A registered replica; {@code statusJson} is its {@link ReplicaStatus} as JSON. */
    public record ReplicaSnapshot(String id, Instant lastHeartbeat, boolean isLive, String statusJson) {}

    /** The replicas at one time of the past, with the members of their status that the charts need. */
    public record FleetHistoryPoint(Instant time, List<ReplicaSnapshot> replicas) {}

    /** A purge of an operator, as shown by the endpoints and the dashboard. */
    public record RecentPurge(long position, Instant time, boolean soft, List<String> names, String by) {}

    /** The registry of the fleet in Redis. Every {@code Mono} fails when Redis is unavailable. */
    public interface FleetRegistry {

        /** Whether the history needs a point of this replica at {@code now}: once every ten seconds. */
        boolean isHistoryPointDue(Instant now);

        /**
         * Writes this replica's status.
         *
         * @param point a point for the history; empty when none is due
         * @return the incarnation of another process with this replica's id; empty when there is none
         */
        Mono<Optional<String>> heartbeat(String status, Optional<String> point, Instant now);

        /** All registered replicas, ordered by id. */
        Mono<List<ReplicaSnapshot>> replicas();

        /** The points of the last five minutes, the oldest first. */
        Mono<List<FleetHistoryPoint>> history(Instant now);

        /** Removes this replica from the registry. */
        Mono<Void> deregister();
    }

    /** A replica with its decoded status. */
    private record ReplicaView(ReplicaSnapshot snapshot, ObjectNode status, Optional<Histogram> latency) {}

    private final String replicaId;
    private final Supplier<ReplicaStatus> localStatus;
    private final FleetRegistry fleetRegistry;
    private final Supplier<List<RecentPurge>> recentPurges;
    private final Supplier<Instant> clock;
    private final Scheduler scheduler;
    private final ObjectMapper objectMapper;
    private final Disposable.Swap heartbeats = Disposables.swap();
    private final Mono<String> currentSample;
    private final Flux<String> samples;
    private final Histogram latencySincePoint = LatencyRecorder.emptyHistogram(); // only heartbeats use it
    private volatile List<ReplicaSnapshot> lastKnownReplicas = List.of();
    private volatile String localStatusJson = "{}";
    private volatile Optional<String> duplicateIncarnation = Optional.empty();
    private volatile boolean running;

    /**
     * @param replicaId    this replica's id
     * @param localStatus  collects this replica's status; called once per heartbeat
     * @param recentPurges the latest first
     * @param clock        the fleet's clock
     * @param scheduler    times heartbeats and samples
     */
    public FleetMonitor(String replicaId, Supplier<ReplicaStatus> localStatus, FleetRegistry fleetRegistry,
            Supplier<List<RecentPurge>> recentPurges,
            Supplier<Instant> clock, Scheduler scheduler, ObjectMapper objectMapper) {
        this.replicaId = replicaId;
        this.localStatus = localStatus;
        this.fleetRegistry = fleetRegistry;
        this.recentPurges = recentPurges;
        this.clock = clock;
        this.scheduler = scheduler;
        this.objectMapper = objectMapper;
        this.currentSample = Mono.defer(this::readSample).cache(SAMPLE_TTL, scheduler);
        this.samples = Flux.interval(Duration.ZERO, HEARTBEAT_INTERVAL, scheduler)
                .onBackpressureDrop()
                .concatMap(tick -> currentSample, 1)
                .publish()
                .refCount();
    }

    @Override
    public void start() {
        running = true;
        heartbeats.update(Flux.interval(Duration.ZERO, HEARTBEAT_INTERVAL, scheduler)
                .onBackpressureDrop()
                .concatMap(tick -> sendHeartbeat(), 1)
                .subscribe(ignored -> {}, cause -> log.error("Fleet status updates stopped", cause)));
    }

    @Override
    public void stop(Runnable done) {
        running = false;
        heartbeats.dispose();
        fleetRegistry.deregister().onErrorComplete().doFinally(signal -> done.run()).subscribe();
    }

    @Override
    public void stop() {
        running = false;
        heartbeats.dispose();
    }

    @Override
    public boolean isRunning() {
        return running;
    }

    /** Starts after the connection to Redis and before the web server, so that a replica is registered before it serves. */
    @Override
    public int getPhase() {
        return 2_000;
    }

    /** The current state of the fleet as a JSON object, at most half a second old. */
    public Mono<String> currentSample() {
        return currentSample;
    }

    /** The last five minutes as a JSON array of samples, one every ten seconds, the oldest first; an empty array without Redis. */
    public Mono<String> history() {
        return Mono.defer(() -> fleetRegistry.history(clock.get()))
                // Decoding histograms is too slow for an event loop.
                .publishOn(Schedulers.boundedElastic())
                .map(this::historyJson)
                .onErrorReturn("[]");
    }

    /** The state of the fleet, one JSON object per second. A slow subscriber misses some. Nothing is read without a subscriber. */
    public Flux<String> samples() {
        return samples.onBackpressureLatest();
    }

    /** The incarnation of another live process with this replica's id, as of the last heartbeat; empty when there is none. */
    public Optional<String> duplicateIncarnation() {
        return duplicateIncarnation;
    }

    private Mono<Void> sendHeartbeat() {
        return Mono.defer(() -> {
            ReplicaStatus status = localStatus.get();
            Instant time = clock.get();
            localStatusJson = toJson(status);
            LatencyRecorder.decode(status.latency()).ifPresent(latencySincePoint::add);
            Optional<String> point = fleetRegistry.isHistoryPointDue(time)
                    ? Optional.of(historyPoint(status))
                    : Optional.empty();
            return fleetRegistry.heartbeat(localStatusJson, point, time)
                    .doOnNext(other -> onHeartbeatWritten(other, point.isPresent()))
                    // Redis is unavailable; its circuit breaker has logged that once.
                    .onErrorComplete()
                    .then();
        })
                // Reading a histogram may sleep briefly until concurrent writers have finished.
                .subscribeOn(Schedulers.boundedElastic())
                .onErrorResume(error -> {
                    log.error("A heartbeat of this replica failed", error);
                    return Mono.empty();
                });
    }

    private void onHeartbeatWritten(Optional<String> other, boolean hasPoint) {
        if (hasPoint) {
            latencySincePoint.reset();
        }
        if (!other.equals(duplicateIncarnation)) {
            if (other.isPresent()) {
                log.error(
                        "Another live process of the fleet (incarnation {}) has the same corral.replica-id {} as this one: "
                                + "give each replica a unique id, or none",
                        other.get(), replicaId);
            } else {
                log.info("The corral.replica-id {} is unique again", replicaId);
            }
            duplicateIncarnation = other;
        }
    }

    private String historyPoint(ReplicaStatus status) {
        ObjectNode point = objectMapper.valueToTree(status);
        point.retain(HISTORY_MEMBERS);
        return toJson(point.put("latency", LatencyRecorder.encode(latencySincePoint)));
    }

    private Mono<String> readSample() {
        return fleetRegistry.replicas()
                .doOnNext(replicas -> lastKnownReplicas = replicas)
                .onErrorResume(ignored -> Mono.fromSupplier(this::localView))
                .publishOn(Schedulers.boundedElastic())
                .map(replicas -> toJson(toSample(clock.get(), replicas.stream().map(this::toReplicaView).toList())
                        .set("purges", objectMapper.valueToTree(recentPurges.get().stream().limit(20).toList()))));
    }

    /** This replica and the last known state of the others, which stop being live after {@link #LIVENESS_TIMEOUT}. */
    private List<ReplicaSnapshot> localView() {
        Instant now = clock.get();
        var replicas = new ArrayList<ReplicaSnapshot>();
        for (ReplicaSnapshot replica : lastKnownReplicas) {
            if (!replica.id().equals(replicaId)) {
                boolean live = Duration.between(replica.lastHeartbeat(), now).compareTo(LIVENESS_TIMEOUT) < 0;
                replicas.add(new ReplicaSnapshot(replica.id(), replica.lastHeartbeat(), live, replica.statusJson()));
            }
        }
        replicas.add(new ReplicaSnapshot(replicaId, now, true, localStatusJson));
        replicas.sort(Comparator.comparing(ReplicaSnapshot::id));
        return replicas;
    }

    private String historyJson(List<FleetHistoryPoint> points) {
        var samplesJson = new ArrayDeque<String>();
        int bytes = 0;
        for (FleetHistoryPoint point : points.reversed()) {
            String sample = toJson(toSample(point.time(), point.replicas().stream().map(this::toReplicaView).toList()));
            bytes += sample.length();
            if (bytes > MAX_HISTORY_BYTES) {
                break;
            }
            samplesJson.addFirst(sample);
        }
        return "[" + String.join(",\n", samplesJson) + "]";
    }

    private ObjectNode toSample(Instant time, List<ReplicaView> views) {
        Histogram all = LatencyRecorder.emptyHistogram();
        ObjectNode sample = objectMapper.createObjectNode().put("time", time.toString()).put("self", replicaId);
        var replicas = sample.putArray("replicas");
        for (ReplicaView view : views) {
            ObjectNode replica = replicas.addObject()
                    .put("id", view.snapshot.id())
                    .put("live", view.snapshot.isLive())
                    .put("seen", view.snapshot.lastHeartbeat().toString());
            replica.setAll(view.status);
            putPercentiles(replica, view.latency);
            view.latency.filter(latency -> view.snapshot.isLive()).ifPresent(all::add);
        }
        putPercentiles(sample.putObject("fleet"), Optional.of(all));
        for (JsonNode replica : replicas) {
            putTrafficShare((ObjectNode) replica, all.getTotalCount());
        }
        return sample;
    }

    /** The replica's share of the fleet's traffic, 0 to 1; null without traffic, or when the replica is not live. */
    private static void putTrafficShare(ObjectNode replica, long total) {
        boolean counts = total > 0 && replica.path("live").asBoolean();
        replica.put("share", counts ? (Double) (replica.path("answered").asDouble() / total) : null);
    }

    private static void putPercentiles(ObjectNode node, Optional<Histogram> latency) {
        node.put("p50Millis",
                latency.flatMap(histogram -> LatencyRecorder.percentileMillis(histogram, 50)).orElse(null));
        node.put("p99Millis",
                latency.flatMap(histogram -> LatencyRecorder.percentileMillis(histogram, 99)).orElse(null));
        node.put("answered", latency.map(Histogram::getTotalCount).orElse(0L));
    }

    /** Decodes a status. A replica of another version is shown as far as its status can be read. */
    private ReplicaView toReplicaView(ReplicaSnapshot replica) {
        try {
            if (objectMapper.readTree(replica.statusJson()) instanceof ObjectNode status) {
                Optional<Histogram> latency = LatencyRecorder.decode(status.path("latency").asText());
                status.remove("latency");
                return new ReplicaView(replica, status, latency);
            }
        } catch (JsonProcessingException e) {
            log.debug("The status of replica {} is not readable", replica.id(), e);
        }
        return new ReplicaView(replica, objectMapper.createObjectNode(), Optional.empty());
    }

    private String toJson(Object value) {
        try {
            return objectMapper.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a sample can always be written as JSON", e);
        }
    }
}
