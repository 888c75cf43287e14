package dev.corral.redis.purge;

import java.util.Optional;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

/**
 * One piece of work, run once for all callers who want it at the same time: at most one run is in progress and one is queued.
 * A caller gets the result of a run that began after its call. Thread-safe.
 */
final class SharedTask {

    private final Mono<Void> work;
    private Optional<Sinks.Empty<Void>> queuedRun = Optional.empty(); // guarded by this
    private boolean isRunning; // guarded by this

    /** @param work is bounded in time; subscribed to once for each run */
    SharedTask(Mono<Void> work) {
        this.work = work;
    }

    /**
     * Completes, or errors, as the next run does. The run begins at subscription, or when the one in progress has ended; it is
     * not cancelled with its callers.
     */
    Mono<Void> awaitNextRun() {
        return Mono.defer(() -> {
            Sinks.Empty<Void> mine;
            synchronized (this) {
                mine = queuedRun.orElseGet(Sinks::empty);
                queuedRun = Optional.of(mine);
            }
            startQueuedRun();
            return mine.asMono();
        });
    }

    /** Wants a run and not its result. */
    void requestRun() {
        synchronized (this) {
            if (queuedRun.isEmpty()) {
                queuedRun = Optional.of(Sinks.empty());
            }
        }
        startQueuedRun();
    }

    private void startQueuedRun() {
        Sinks.Empty<Void> mine;
        synchronized (this) {
            if (isRunning || queuedRun.isEmpty()) {
                return;
            }
            mine = queuedRun.get();
            queuedRun = Optional.empty();
            isRunning = true;
        }
        work.subscribe(nothing -> {}, error -> onRunEnd(() -> mine.tryEmitError(error)),
                () -> onRunEnd(mine::tryEmitEmpty));
    }

    /** The next run begins before the callers of this one hear of its end: they may ask again. */
    private void onRunEnd(Runnable announcement) {
        synchronized (this) {
            isRunning = false;
        }
        startQueuedRun();
        announcement.run();
    }
}
