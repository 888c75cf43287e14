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
 * Purges what a request has changed, and waits within a bound until the live replicas know: so the client that wrote reads its own
 * write on any of them. Thread-safe.
 */
public final class AwaitedInvalidation {

    private final PurgeRegistry purges;
    private final Mono<Set<String>> liveReplicaIds;
    private final Duration maxWait;
    private final Scheduler scheduler;

    /**
     * @param live      the live replicas, by id; subscribed to for each invalidation
     * @param bound     the most an invalidation takes; zero: it ends when the purge is written, however long that takes
     * @param scheduler where the wait is timed
     */
    public AwaitedInvalidation(PurgeRegistry purges, Mono<Set<String>> live, Duration bound, Scheduler scheduler) {
        this.purges = purges;
        this.liveReplicaIds = live;
        this.maxWait = bound;
        this.scheduler = scheduler;
    }

    /**
     * Purges these names, one at least. Completes when the live replicas know, when the bound is reached, or when the purge cannot
     * be written; never errors for want of the tier. A write that takes longer goes on.
     */
    public Mono<Void> invalidate(List<String> names) {
        if (maxWait.isZero()) {
            return purges.purge(names).onErrorComplete(TierUnavailableException.class).then();
        }
        return Mono.defer(() -> {
            Mono<PurgeReceipt> write = purges.purge(new Purge(names, false, List.of(), "", true))
                    .onErrorComplete(TierUnavailableException.class)
                    .cache();
            // Not cancelled at the bound.
            write.subscribe(purged -> {}, error -> {});
            return write.flatMap(this::awaitAcknowledgements).timeout(maxWait, Mono.empty(), scheduler);
        });
    }

    private Mono<Void> awaitAcknowledgements(PurgeReceipt purged) {
        Set<String> known = ConcurrentHashMap.newKeySet();
        return liveReplicaIds.onErrorReturn(TierUnavailableException.class, Set.of())
                .flatMap(ids -> purged.acknowledgements()
                        .doOnNext(known::add)
                        .takeUntil(id -> known.containsAll(ids))
                        .then());
    }
}
