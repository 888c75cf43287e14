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
 * The state of the fleet for operators. Once a second this replica records its own status; the statuses of all replicas are read
 * only while a dashboard is open or the fleet endpoint is called, at most twice a second however many look. Thread-safe.
 *
 * <p>While Redis is away it shows this replica, and the others as they were last read.
 */
public final class FleetMonitor implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(FleetMonitor.class);

    private static final Duration HEARTBEAT_INTERVAL = Duration.ofSeconds(1);
    // Half a beat: what is shown is at most a beat and a half old.
    private static final Duration SAMPLE_TTL = Duration.ofMillis(500);
    // A replica without a beat for this long no longer counts as live; as in the fleet's own record.
    private static final Duration LIVENESS_TIMEOUT = Duration.ofSeconds(3);
    // Bytes of one history: about 500 replicas with traffic. Of a larger fleet its older part is left out.
    private static final int MAX_HISTORY_BYTES = 8 << 20;
    // What the charts need of the past.
    private static final List<String> HISTORY_MEMBERS = List.of("started", "flights", "waiters", "requests", "fetches",
            "fills",
            "fenced", "takeovers", "waits", "waitMillis", "latency");

    /** A replica as the fleet knows it; {@code status} is its {@link ReplicaStatus} as JSON. */
    public record ReplicaSnapshot(String id, Instant lastHeartbeat, boolean isLive, String statusJson) {}

    /** The members at one time of the past, with the part of their status that the charts need. */
    public record FleetHistoryPoint(Instant time, List<ReplicaSnapshot> replicas) {}

    /** A purge, as people are told of it. */
    public record RecentPurge(long position, Instant time, boolean soft, List<String> names, String by) {}

    /** The record of the fleet; errors when Redis is away. */
    public interface FleetRegistry {

        /** Whether the history has no point of this replica for the time of {@code now} yet: every ten seconds. */
        boolean isHistoryPointDue(Instant now);

        /**
         * Records this replica's status.
         *
         * @param point for the history; none when empty
         * @return another process that has this replica's id; empty when there is none
         */
        Mono<Optional<String>> heartbeat(String status, Optional<String> point, Instant now);

        /** All members, by id. */
        Mono<List<ReplicaSnapshot>> replicas();

        /** The last five minutes, the oldest first. */
        Mono<List<FleetHistoryPoint>> history(Instant now);

        /** Removes this replica. */
        Mono<Void> deregister();
    }

    /** A replica on the board. */
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
    private final Histogram latencySincePoint = LatencyRecorder.emptyHistogram(); // of one beat after the other
    private volatile List<ReplicaSnapshot> lastKnownReplicas = List.of();
    private volatile String localStatusJson = "{}";
    private volatile Optional<String> duplicateIncarnation = Optional.empty();
    private volatile boolean running;

    /**
     * @param self      this replica's id
     * @param purges    the latest first
     * @param clock     the fleet's
     * @param scheduler where beats and samples are timed
     */
    public FleetMonitor(String self, Supplier<ReplicaStatus> vitals, FleetRegistry fleet,
            Supplier<List<RecentPurge>> purges,
            Supplier<Instant> clock, Scheduler scheduler, ObjectMapper json) {
        this.replicaId = self;
        this.localStatus = vitals;
        this.fleetRegistry = fleet;
        this.recentPurges = purges;
        this.clock = clock;
        this.scheduler = scheduler;
        this.objectMapper = json;
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
                .subscribe(nothing -> {}, broken -> log.error("The fleet's board stands still", broken)));
    }

    @Override
    public void stop(Runnable done) {
        running = false;
        heartbeats.dispose();
        fleetRegistry.deregister().onErrorComplete().doFinally(end -> done.run()).subscribe();
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

    /** After the link to the fleet, before the web server: a replica is known before it serves. */
    @Override
    public int getPhase() {
        return 2_000;
    }

    /** The fleet of now, as a JSON object; read at most half a second ago. */
    public Mono<String> currentSample() {
        return currentSample;
    }

    /** The fleet of the last five minutes: a JSON array, a sample each ten seconds, the oldest first; empty without Redis. */
    public Mono<String> history() {
        return Mono.defer(() -> fleetRegistry.history(clock.get()))
                // Decoding takes its time.
                .publishOn(Schedulers.boundedElastic())
                .map(this::historyJson)
                .onErrorReturn("[]");
    }

    /** The fleet from now on, a JSON object a second; a slow subscriber misses some. Nothing is read without a subscriber. */
    public Flux<String> samples() {
        return samples.onBackpressureLatest();
    }

    /** Another live process that has this replica's id, as of the last beat; empty when there is none. */
    public Optional<String> duplicateIncarnation() {
        return duplicateIncarnation;
    }

    private Mono<Void> sendHeartbeat() {
        return Mono.defer(() -> {
            ReplicaStatus now = localStatus.get();
            Instant time = clock.get();
            localStatusJson = toJson(now);
            LatencyRecorder.decode(now.latency()).ifPresent(latencySincePoint::add);
            Optional<String> point = fleetRegistry.isHistoryPointDue(time)
                    ? Optional.of(historyPoint(now))
                    : Optional.empty();
            return fleetRegistry.heartbeat(localStatusJson, point, time)
                    .doOnNext(other -> onHeartbeatWritten(other, point.isPresent()))
                    // Redis is away: the gate says so, once.
                    .onErrorComplete()
                    .then();
        })
                // To read off a histogram may take a moment's sleep, until those who are just writing to it have done so.
                .subscribeOn(Schedulers.boundedElastic())
                .onErrorResume(broken -> {
                    log.error("A beat of the fleet's board failed", broken);
                    return Mono.empty();
                });
    }

    private void onHeartbeatWritten(Optional<String> other, boolean point) {
        if (point) {
            latencySincePoint.reset();
        }
        if (!other.equals(duplicateIncarnation)) {
            if (other.isPresent()) {
                log.error(
                        "Another live process of the fleet (incarnation {}) has the corral.replica-id {} of this one: "
                                + "give each replica an id of its own, or none",
                        other.get(), replicaId);
            } else {
                log.info("The corral.replica-id {} is this process' own again", replicaId);
            }
            duplicateIncarnation = other;
        }
    }

    private String historyPoint(ReplicaStatus now) {
        ObjectNode point = objectMapper.valueToTree(now);
        point.retain(HISTORY_MEMBERS);
        return toJson(point.put("latency", LatencyRecorder.encode(latencySincePoint)));
    }

    private Mono<String> readSample() {
        return fleetRegistry.replicas()
                .doOnNext(members -> lastKnownReplicas = members)
                .onErrorResume(away -> Mono.fromSupplier(this::localView))
                .publishOn(Schedulers.boundedElastic())
                .map(members -> toJson(toSample(clock.get(), members.stream().map(this::toReplicaView).toList())
                        .set("purges", objectMapper.valueToTree(recentPurges.get().stream().limit(20).toList()))));
    }

    /** The others as they were last read, no longer live after a while; and this replica. */
    private List<ReplicaSnapshot> localView() {
        Instant now = clock.get();
        var members = new ArrayList<ReplicaSnapshot>();
        for (ReplicaSnapshot member : lastKnownReplicas) {
            if (!member.id().equals(replicaId)) {
                boolean live = Duration.between(member.lastHeartbeat(), now).compareTo(LIVENESS_TIMEOUT) < 0;
                members.add(new ReplicaSnapshot(member.id(), member.lastHeartbeat(), live, member.statusJson()));
            }
        }
        members.add(new ReplicaSnapshot(replicaId, now, true, localStatusJson));
        members.sort(Comparator.comparing(ReplicaSnapshot::id));
        return members;
    }

    private String historyJson(List<FleetHistoryPoint> steps) {
        var kept = new ArrayDeque<String>();
        int bytes = 0;
        for (FleetHistoryPoint past : steps.reversed()) {
            String sample = toJson(toSample(past.time(), past.replicas().stream().map(this::toReplicaView).toList()));
            bytes += sample.length();
            if (bytes > MAX_HISTORY_BYTES) {
                break;
            }
            kept.addFirst(sample);
        }
        return "[" + String.join(",\n", kept) + "]";
    }

    private ObjectNode toSample(Instant time, List<ReplicaView> seats) {
        Histogram all = LatencyRecorder.emptyHistogram();
        ObjectNode sample = objectMapper.createObjectNode().put("time", time.toString()).put("self", replicaId);
        var replicas = sample.putArray("replicas");
        for (ReplicaView seat : seats) {
            ObjectNode replica = replicas.addObject()
                    .put("id", seat.snapshot.id())
                    .put("live", seat.snapshot.isLive())
                    .put("seen", seat.snapshot.lastHeartbeat().toString());
            replica.setAll(seat.status);
            putPercentiles(replica, seat.latency);
            seat.latency.filter(latency -> seat.snapshot.isLive()).ifPresent(all::add);
        }
        putPercentiles(sample.putObject("fleet"), Optional.of(all));
        for (JsonNode replica : replicas) {
            putTrafficShare((ObjectNode) replica, all.getTotalCount());
        }
        return sample;
    }

    /** How much of the fleet's traffic it took; null when there was none, or when it no longer counts. */
    private static void putTrafficShare(ObjectNode replica, long total) {
        boolean counts = total > 0 && replica.path("live").asBoolean();
        replica.put("share", counts ? (Double) (replica.path("answered").asDouble() / total) : null);
    }

    private static void putPercentiles(ObjectNode node, Optional<Histogram> latency) {
        node.put("p50Millis", latency.flatMap(some -> LatencyRecorder.percentileMillis(some, 50)).orElse(null));
        node.put("p99Millis", latency.flatMap(some -> LatencyRecorder.percentileMillis(some, 99)).orElse(null));
        node.put("answered", latency.map(Histogram::getTotalCount).orElse(0L));
    }

    /** What a replica of another version says is shown as far as it is understood. */
    private ReplicaView toReplicaView(ReplicaSnapshot member) {
        try {
            if (objectMapper.readTree(member.statusJson()) instanceof ObjectNode status) {
                Optional<Histogram> latency = LatencyRecorder.decode(status.path("latency").asText());
                status.remove("latency");
                return new ReplicaView(member, status, latency);
            }
        } catch (JsonProcessingException strange) {
            log.debug("Replica {} says what nobody understands", member.id(), strange);
        }
        return new ReplicaView(member, objectMapper.createObjectNode(), Optional.empty());
    }

    private String toJson(Object value) {
        try {
            return objectMapper.writeValueAsString(value);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("a board is JSON", impossible);
        }
    }
}
