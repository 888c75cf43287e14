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
 * Runs an operator's purge: writes it once to the purge registry and, if requested, waits until every live replica knows it. Each
 * purge is one line of the audit log {@code corral.audit}.
 *
 * <p>
 * The wait merges two sources: acknowledgements, which the replicas send at once, and the replicas' positions in the fleet's registry,
 * which are polled in case an acknowledgement was lost. It ends when all live replicas are known to have the purge, or after the time
 * limit. The set of live replicas is that of the first poll. Thread-safe; signals of one wait are synchronized on its tracker.
 */
public final class PurgeCoordinator {

    private static final Logger audit = LoggerFactory.getLogger("corral.audit");

    /** How often the replicas' positions are polled, in case an acknowledgement was lost. */
    private static final Duration POLL_INTERVAL = Duration.ofMillis(250);

    /**
     * A replica in the fleet's registry.
     *
     * @param isLive   whether its heartbeat is recent
     * @param position the purge position up to which it knows all purges
     */
    public record ReplicaPosition(String id, boolean isLive, long position) {}

    /**
     * The result of a purge.
     *
     * @param names    the purged targets, as readable text
     * @param complete whether every live replica is known to have the purge; false also when the purge did not wait
     * @param replicas the replicas that were live, and their acknowledgements; empty when the purge did not wait
     * @param silent   the registered replicas that were not live: they may have ended, or be cut off from Redis and still serve; empty
     *                 when the purge did not wait
     */
    public record PurgeResult(long position, boolean soft, List<String> names, boolean complete,
            List<ReplicaAcknowledgement> replicas,
            List<SilentReplica> silent) {}

    /**
     * A replica that the purge does not wait for.
     *
     * @param mayServeUntil the time, by the fleet's clock, until which it may serve purged responses without revalidation, if it still
     *                      runs
     */
    public record SilentReplica(String replica, Instant mayServeUntil) {}

    /**
     * The acknowledgement of a replica.
     *
     * @param millis the time from the purge request to the acknowledgement, in milliseconds; 0 without one
     */
    public record ReplicaAcknowledgement(String id, boolean acknowledged, double millis) {}

    private final PurgeRegistry purgeRegistry;
    private final Mono<List<ReplicaPosition>> replicaPositions;
    private final Duration timeout;
    private final Duration maxIsolation;
    private final Scheduler scheduler;
    private final CorralMetrics metrics;

    /**
     * @param replicaPositions reads the fleet's registry at each subscription
     * @param timeout          how long to wait for replicas
     * @param maxIsolation     how long a replica that is cut off from Redis serves without revalidation
     * @param scheduler        times the wait
     */
    public PurgeCoordinator(PurgeRegistry purgeRegistry, Mono<List<ReplicaPosition>> replicaPositions, Duration timeout,
            Duration maxIsolation, Scheduler scheduler, CorralMetrics metrics) {
        this.purgeRegistry = purgeRegistry;
        this.replicaPositions = replicaPositions;
        this.timeout = timeout;
        this.maxIsolation = maxIsolation;
        this.scheduler = scheduler;
        this.metrics = metrics;
    }

    /**
     * Purges the targets in one step. Fails with {@link TierUnavailableException} when the purge could not be written, and with
     * {@link IllegalArgumentException} when it has too many names.
     *
     * @param by    the operator, for the audit log and the purge log
     * @param waits whether to wait until the live replicas know the purge, or the time limit is reached
     */
    public Mono<PurgeResult> purge(List<CacheCatalog.PurgeTarget> targets, boolean soft, String by, boolean waits) {
        List<String> descriptions = targets.stream().map(CacheCatalog.PurgeTarget::description).toList();
        var purge = new PurgeRegistry.Purge(distinctNames(targets), soft, abbreviate(descriptions), by, waits);
        return Mono.defer(() -> {
            long start = scheduler.now(TimeUnit.NANOSECONDS);
            return purgeRegistry.purge(purge)
                    .flatMap(receipt -> waits
                            ? awaitReplicas(receipt, start)
                                    .map(tracker -> toResult(receipt, soft, descriptions, tracker))
                            : Mono.just(
                                    new PurgeResult(receipt.position(), soft, descriptions, false, List.of(),
                                            List.of())))
                    .doOnNext(result -> auditPurge(result, by,
                            Duration.ofNanos(scheduler.now(TimeUnit.NANOSECONDS) - start),
                            waits))
                    .doOnError(error -> auditFailure(error, descriptions, by));
        });
    }

    /**
     * The purge names of these targets, without duplicates.
     *
     * @throws IllegalArgumentException when there are more than {@link PurgeRegistry.Purge#MAX_NAMES}
     */
    static List<String> distinctNames(List<CacheCatalog.PurgeTarget> targets) {
        List<String> names = targets.stream().flatMap(target -> target.names().stream()).distinct().toList();
        if (names.size() > PurgeRegistry.Purge.MAX_NAMES) {
            throw new IllegalArgumentException(
                    "A purge names 1 to " + PurgeRegistry.Purge.MAX_NAMES + " targets, not " + names.size()
                            + ": split the batch.");
        }
        return names;
    }

    /** The first ten descriptions of a batch, which are enough for the log. */
    private static List<String> abbreviate(List<String> descriptions) {
        return descriptions.size() <= 10
                ? descriptions
                : Stream.concat(descriptions.stream().limit(10),
                        Stream.of("and " + (descriptions.size() - 10) + " more")).toList();
    }

    /** Waits for the live replicas, at most for the time limit. */
    private Mono<AcknowledgementTracker> awaitReplicas(PurgeReceipt receipt, long start) {
        return Mono.defer(() -> {
            var tracker = new AcknowledgementTracker(receipt.position(), start);
            Flux<Boolean> acknowledged = receipt.acknowledgements().map(tracker::onAcknowledged);
            Flux<Boolean> polled = Flux.interval(Duration.ZERO, POLL_INTERVAL, scheduler)
                    .onBackpressureDrop()
                    .concatMap(tick -> replicaPositions.onErrorComplete(TierUnavailableException.class))
                    .map(tracker::onPositionsRead);
            return Flux.merge(acknowledged, polled)
                    .takeUntil(all -> all)
                    .take(timeout, scheduler)
                    .then(Mono.just(tracker));
        });
    }

    /** Tracks which replicas are known to have the purge. */
    private final class AcknowledgementTracker {

        private final long position;
        private final long startNanos;
        private final Map<String, Double> latencyMsByReplica = new TreeMap<>();
        private Set<String> liveReplicas = Set.of();
        private Set<String> silentReplicas = Set.of();

        AcknowledgementTracker(long position, long startNanos) {
            this.position = position;
            this.startNanos = startNanos;
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
                        .filter(replica -> !replica.isLive())
                        .map(ReplicaPosition::id)
                        .collect(Collectors.toCollection(TreeSet::new));
            }
            fleet.stream()
                    .filter(replica -> replica.position() >= position)
                    .map(ReplicaPosition::id)
                    .forEach(this::onAcknowledged);
            return isComplete();
        }

        private boolean isComplete() {
            return !liveReplicas.isEmpty() && latencyMsByReplica.keySet().containsAll(liveReplicas);
        }

        /** The replicas that were not live at the first poll and have not acknowledged since. */
        synchronized List<String> silentReplicas() {
            return silentReplicas.stream().filter(id -> !latencyMsByReplica.containsKey(id)).toList();
        }

        /** Empty when the live replicas could not be read. */
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

    private PurgeResult toResult(PurgeReceipt receipt, boolean soft, List<String> descriptions,
            AcknowledgementTracker tracker) {
        List<ReplicaAcknowledgement> replicas = tracker.acknowledgements();
        boolean complete = !replicas.isEmpty() && replicas.stream().allMatch(ReplicaAcknowledgement::acknowledged);
        // Counted from the purge, however long the replica has been silent: it may have revalidated a response just before.
        Instant until = PurgeRegistry.timeOf(receipt.position()).plus(maxIsolation);
        List<SilentReplica> silent = tracker.silentReplicas().stream().map(id -> new SilentReplica(id, until)).toList();
        return new PurgeResult(receipt.position(), soft, descriptions, complete, replicas, silent);
    }

    private void auditPurge(PurgeResult result, String by, Duration duration, boolean waited) {
        metrics.recordPurge(result.soft(), waited ? duration : Duration.ZERO);
        long acknowledged = result.replicas().stream().filter(ReplicaAcknowledgement::acknowledged).count();
        audit.info("purge position={} soft={} by={} names={} replicas={}/{} ms={}", result.position(), result.soft(),
                by,
                abbreviate(result.names()), acknowledged, result.replicas().size(), duration.toMillis());
    }

    private void auditFailure(Throwable error, List<String> descriptions, String by) {
        if (error instanceof TierUnavailableException) {
            metrics.countFailedPurge();
        }
        audit.warn("purge refused by={} names={}: {}", by, abbreviate(descriptions), error.getMessage());
    }
}
