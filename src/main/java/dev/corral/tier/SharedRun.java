package dev.corral.tier;

import java.util.Optional;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

/**
 * One piece of work, run once for all callers who want it at the same time: at most one run is in progress and one is queued.
 * A caller gets the result of a run that began after its call. Thread-safe.
 */
final class SharedRun {

    private final Mono<Void> work;
    private Optional<Sinks.Empty<Void>> queued = Optional.empty(); // guarded by this
    private boolean running; // guarded by this

    /** @param work is bounded in time; subscribed to once for each run */
    SharedRun(Mono<Void> work) {
        this.work = work;
    }

    /**
     * Completes, or errors, as the next run does. The run begins at subscription, or when the one in progress has ended; it is
     * not cancelled with its callers.
     */
    Mono<Void> next() {
        return Mono.defer(() -> {
            Sinks.Empty<Void> mine;
            synchronized (this) {
                mine = queued.orElseGet(Sinks::empty);
                queued = Optional.of(mine);
            }
            runQueued();
            return mine.asMono();
        });
    }

    /** Wants a run and not its result. */
    void request() {
        synchronized (this) {
            if (queued.isEmpty()) {
                queued = Optional.of(Sinks.empty());
            }
        }
        runQueued();
    }

    private void runQueued() {
        Sinks.Empty<Void> mine;
        synchronized (this) {
            if (running || queued.isEmpty()) {
                return;
            }
            mine = queued.get();
            queued = Optional.empty();
            running = true;
        }
        work.subscribe(nothing -> {}, error -> ended(() -> mine.tryEmitError(error)), () -> ended(mine::tryEmitEmpty));
    }

    /** The next run begins before the callers of this one hear of its end: they may ask again. */
    private void ended(Runnable announcement) {
        synchronized (this) {
            running = false;
        }
        runQueued();
        announcement.run();
    }
}
