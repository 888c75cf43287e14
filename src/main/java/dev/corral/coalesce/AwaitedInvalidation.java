package dev.corral.coalesce;

import dev.corral.coalesce.Purges.Purge;
import dev.corral.coalesce.Purges.Purged;
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

    private final Purges purges;
    private final Mono<Set<String>> live;
    private final Duration bound;
    private final Scheduler scheduler;

    /**
     * @param live      the live replicas, by id; subscribed to for each invalidation
     * @param bound     the most an invalidation takes; zero: it ends when the purge is written, however long that takes
     * @param scheduler where the wait is timed
     */
    public AwaitedInvalidation(Purges purges, Mono<Set<String>> live, Duration bound, Scheduler scheduler) {
        this.purges = purges;
        this.live = live;
        this.bound = bound;
        this.scheduler = scheduler;
    }

    /**
     * Purges these names, one at least. Completes when the live replicas know, when the bound is reached, or when the purge cannot be
     * written; never errors for want of the tier. A write that takes longer goes on.
     */
    public Mono<Void> invalidate(List<String> names) {
        if (bound.isZero()) {
            return purges.purge(names).onErrorComplete(TierUnavailable.class).then();
        }
        return Mono.defer(() -> {
            Mono<Purged> write = purges.purge(new Purge(names, false, List.of(), "", true))
                    .onErrorComplete(TierUnavailable.class)
                    .cache();
            // Not cancelled at the bound.
            write.subscribe(purged -> {}, error -> {});
            return write.flatMap(this::known).timeout(bound, Mono.empty(), scheduler);
        });
    }

    private Mono<Void> known(Purged purged) {
        Set<String> known = ConcurrentHashMap.newKeySet();
        return live.onErrorReturn(TierUnavailable.class, Set.of())
                .flatMap(ids -> purged.heard().doOnNext(known::add).takeUntil(id -> known.containsAll(ids)).then());
    }
}
