package dev.corral.proxy;

import dev.corral.coalesce.TierUnavailableException;
import dev.corral.purge.PurgeRegistry;
import dev.corral.purge.PurgeRegistry.Purge;
import dev.corral.purge.PurgeRegistry.PurgeReceipt;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/**
 * Purges the resources that a request has changed, and waits for a limited time until all live replicas have acknowledged the
 * purge. A client then reads its own write from any replica. Thread-safe.
 */
public final class AwaitedInvalidation {

    private final PurgeRegistry purges;
    private final Mono<Set<String>> liveReplicaIds;
    private final Duration maxWait;
    private final Scheduler scheduler;

    /**
     * @param liveReplicaIds the ids of the live replicas; subscribed to for each invalidation
     * @param maxWait        maximum duration of an invalidation; if zero, it ends when the purge is written, however long that
     *                       takes
     * @param scheduler      runs the timeout of the wait
     */
    public AwaitedInvalidation(PurgeRegistry purges, Mono<Set<String>> liveReplicaIds, Duration maxWait,
            Scheduler scheduler) {
        this.purges = purges;
        this.liveReplicaIds = liveReplicaIds;
        this.maxWait = maxWait;
        this.scheduler = scheduler;
    }

    /**
     * Purges these names, of which there must be at least one. Completes when all live replicas have acknowledged the purge, when
     * the time limit is reached, or when the purge cannot be written. Never fails because the tier is unavailable. A write that
     * takes longer than the limit continues in the background.
     */
    public Mono<Void> invalidate(List<String> names) {
        if (maxWait.isZero()) {
            return purges.purge(names).onErrorComplete(TierUnavailableException.class).then();
        }
        return Mono.defer(() -> {
            Mono<PurgeReceipt> write = purges.purge(new Purge(names, false, List.of(), "", true))
                    .onErrorComplete(TierUnavailableException.class)
                    .cache();
            // This subscription keeps the write running beyond the time limit.
            write.subscribe(receipt -> {}, error -> {});
            return write.flatMap(this::awaitAcknowledgements).timeout(maxWait, Mono.empty(), scheduler);
        });
    }

    private Mono<Void> awaitAcknowledgements(PurgeReceipt receipt) {
        Set<String> acknowledged = ConcurrentHashMap.newKeySet();
        return liveReplicaIds.onErrorReturn(TierUnavailableException.class, Set.of())
                .flatMap(ids -> receipt.acknowledgements()
                        .doOnNext(acknowledged::add)
                        .takeUntil(id -> acknowledged.containsAll(ids))
                        .then());
    }
}
