package dev.corral.management.purge;

import dev.corral.coalesce.TierUnavailableException;
import dev.corral.management.CorralMetrics;
import dev.corral.purge.PurgeRegistry;
import dev.corral.purge.PurgeRegistry.PurgeReceipt;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/**
 * Purges for operators: written once, and, if they wait for it, known to every live replica. Each is one line of the audit log,
 * {@code corral.audit}. Thread-safe.
 */
public final class PurgeCoordinator {

    private static final Logger audit = LoggerFactory.getLogger("corral.audit");

    /** How often the fleet's own record is asked, in case that an answer was lost. */
    private static final Duration POLL_INTERVAL = Duration.ofMillis(250);

    /** What the fleet's record says of a replica: whether it lives, and the position up to which it knows all purges. */
    public record ReplicaPosition(String id, boolean isLive, long position) {}

    /**
     * What became of a purge.
     *
     * @param names    what was purged, in words
     * @param complete whether each live replica is known to know; false as well when nobody waited
     * @param replicas those that were live, and what is known of them; empty when nobody waited
     * @param silent   those that the fleet's record still has and that were not live: they may have ended, or be cut off from Redis
     *                 and serve; empty when nobody waited
     */
    public record PurgeResult(long position, boolean soft, List<String> names, boolean complete,
            List<ReplicaAcknowledgement> replicas,
            List<SilentReplica> silent) {}

    /**
     * A replica that is not counted on.
     *
     * @param mayServeUntil by the fleet's clock, when it asks the origin for whatever was purged, if it serves at all
     */
    public record SilentReplica(String replica, Instant mayServeUntil) {}

    /**
     * What is known of a replica.
     *
     * @param millis from the purge's request to its answer; 0 when there was none
     */
    public record ReplicaAcknowledgement(String id, boolean acknowledged, double millis) {}

    private final PurgeRegistry purgeRegistry;
    private final Mono<List<ReplicaPosition>> replicaPositions;
    private final Duration timeout;
    private final Duration maxIsolation;
    private final Scheduler scheduler;
    private final CorralMetrics metrics;

    /**
     * @param fleet     the fleet's record, asked anew at each subscription
     * @param bound     how long to wait for replicas
     * @param maxIsolation how long a replica that is cut off from Redis serves without asking the origin
     * @param scheduler where the wait is timed
     */
    public PurgeCoordinator(PurgeRegistry purges, Mono<List<ReplicaPosition>> fleet, Duration bound,
            Duration maxIsolation, Scheduler scheduler,
            CorralMetrics meters) {
        this.purgeRegistry = purges;
        this.replicaPositions = fleet;
        this.timeout = bound;
        this.maxIsolation = maxIsolation;
        this.scheduler = scheduler;
        this.metrics = meters;
    }

    /**
     * Purges the targets in one step. Errors with {@link TierUnavailableException} when that could not be written, with
     * {@link IllegalArgumentException} when it is too much for one step.
     *
     * @param by    for the record
     * @param waits whether to wait until the live replicas know, or the bound is reached
     */
    public Mono<PurgeResult> purge(List<CacheCatalog.PurgeTarget> targets, boolean soft, String by, boolean waits) {
        List<String> told = targets.stream().map(CacheCatalog.PurgeTarget::description).toList();
        var order = new PurgeRegistry.Purge(distinctNames(targets), soft, abbreviate(told), by, waits);
        return Mono.defer(() -> {
            long start = scheduler.now(TimeUnit.NANOSECONDS);
            return purgeRegistry.purge(order)
                    .flatMap(purged -> waits
                            ? awaitReplicas(purged, start).map(waiting -> toResult(purged, soft, told, waiting))
                            : Mono.just(
                                    new PurgeResult(purged.position(), soft, told, false, List.of(), List.of())))
                    .doOnNext(result -> auditPurge(result, by,
                            Duration.ofNanos(scheduler.now(TimeUnit.NANOSECONDS) - start),
                            waits))
                    .doOnError(error -> auditFailure(error, told, by));
        });
    }

    /**
     * What a purge of these targets names, each once.
     *
     * @throws IllegalArgumentException when that is too much for one step
     */
    static List<String> distinctNames(List<CacheCatalog.PurgeTarget> targets) {
        List<String> names = targets.stream().flatMap(target -> target.names().stream()).distinct().toList();
        if (names.size() > PurgeRegistry.Purge.MAX_NAMES) {
            throw new IllegalArgumentException(
                    "A purge names 1 to " + PurgeRegistry.Purge.MAX_NAMES + " things, not " + names.size()
                            + ": split the batch.");
        }
        return names;
    }

    /** The record is for people; a batch's first names tell enough. */
    private static List<String> abbreviate(List<String> told) {
        return told.size() <= 10
                ? told
                : Stream.concat(told.stream().limit(10), Stream.of("and " + (told.size() - 10) + " more")).toList();
    }

    /** What was heard, from whoever was live when the purge was written; within the bound. */
    private Mono<AcknowledgementTracker> awaitReplicas(PurgeReceipt purged, long start) {
        return Mono.defer(() -> {
            var waiting = new AcknowledgementTracker(purged.position(), start);
            Flux<Boolean> answers = purged.acknowledgements().map(waiting::onAcknowledged);
            Flux<Boolean> looks = Flux.interval(Duration.ZERO, POLL_INTERVAL, scheduler)
                    .onBackpressureDrop()
                    .concatMap(tick -> replicaPositions.onErrorComplete(TierUnavailableException.class))
                    .map(waiting::onPositionsRead);
            return Flux.merge(answers, looks)
                    .takeUntil(all -> all)
                    .take(timeout, scheduler)
                    .then(Mono.just(waiting));
        });
    }

    /** Who has been heard of. Signals come one by one. */
    private final class AcknowledgementTracker {

        private final long position;
        private final long startNanos;
        private final Map<String, Double> latencyMsByReplica = new TreeMap<>();
        private Set<String> liveReplicas = Set.of();
        private Set<String> silentReplicas = Set.of();

        AcknowledgementTracker(long position, long start) {
            this.position = position;
            this.startNanos = start;
        }

        synchronized boolean onAcknowledged(String replica) {
            latencyMsByReplica.putIfAbsent(replica,
                    TimeUnit.NANOSECONDS.toMicros(scheduler.now(TimeUnit.NANOSECONDS) - startNanos) / 1e3);
            return isComplete();
        }

        synchronized boolean onPositionsRead(List<ReplicaPosition> fleet) {
            if (liveReplicas.isEmpty()) {
                liveReplicas = fleet.stream()
                        .filter(ReplicaPosition::isLive)
                        .map(ReplicaPosition::id)
                        .collect(Collectors.toSet());
                silentReplicas = fleet.stream()
                        .filter(one -> !one.isLive())
                        .map(ReplicaPosition::id)
                        .collect(Collectors.toCollection(TreeSet::new));
            }
            fleet.stream()
                    .filter(one -> one.position() >= position)
                    .map(ReplicaPosition::id)
                    .forEach(this::onAcknowledged);
            return isComplete();
        }

        private boolean isComplete() {
            return !liveReplicas.isEmpty() && latencyMsByReplica.keySet().containsAll(liveReplicas);
        }

        /** Those that were not live at the first look, and have not been heard of since. */
        synchronized List<String> silentReplicas() {
            return silentReplicas.stream().filter(id -> !latencyMsByReplica.containsKey(id)).toList();
        }

        /** Empty when it could not be found out who lives. */
        synchronized List<ReplicaAcknowledgement> acknowledgements() {
            if (liveReplicas.isEmpty()) {
                return List.of();
            }
            var all = new TreeSet<>(liveReplicas);
            all.addAll(latencyMsByReplica.keySet());
            return all.stream()
                    .map(id -> new ReplicaAcknowledgement(id, latencyMsByReplica.containsKey(id),
                            latencyMsByReplica.getOrDefault(id, 0.0)))
                    .toList();
        }
    }

    private PurgeResult toResult(PurgeReceipt purged, boolean soft, List<String> told, AcknowledgementTracker waiting) {
        List<ReplicaAcknowledgement> heard = waiting.acknowledgements();
        boolean complete = !heard.isEmpty() && heard.stream().allMatch(ReplicaAcknowledgement::acknowledged);
        // However long it has been silent: the origin may have confirmed a response to it just before the purge.
        Instant until = PurgeRegistry.timeOf(purged.position()).plus(maxIsolation);
        List<SilentReplica> silent = waiting.silentReplicas().stream().map(id -> new SilentReplica(id, until)).toList();
        return new PurgeResult(purged.position(), soft, told, complete, heard, silent);
    }

    private void auditPurge(PurgeResult result, String by, Duration took, boolean waited) {
        metrics.recordPurge(result.soft(), waited ? took : Duration.ZERO);
        long known = result.replicas().stream().filter(ReplicaAcknowledgement::acknowledged).count();
        audit.info("purge position={} soft={} by={} names={} replicas={}/{} ms={}", result.position(), result.soft(),
                by,
                abbreviate(result.names()), known, result.replicas().size(), took.toMillis());
    }

    private void auditFailure(Throwable error, List<String> told, String by) {
        if (error instanceof TierUnavailableException) {
            metrics.countFailedPurge();
        }
        audit.warn("purge refused by={} names={}: {}", by, abbreviate(told), error.getMessage());
    }
}
