package dev.corral.redis.purge;

import java.util.Optional;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

/**
 * A task whose runs are shared by concurrent callers: at most one run is in progress and one is queued. A caller gets the
 * result of a run that began after its call. Thread-safe; a run starts on the thread of a caller or of the previous run's end.
 */
final class SharedTask {

    private final Mono<Void> work;
    private Optional<Sinks.Empty<Void>> queuedRun = Optional.empty(); // guarded by this
    private boolean isRunning; // guarded by this

    /** @param work the task; has a time limit of its own; subscribed to once for each run */
    SharedTask(Mono<Void> work) {
        this.work = work;
    }

    /**
     * Completes or errors with the result of the next run. That run begins at subscription, or when the run in progress has
     * ended. Cancellation by a caller does not cancel the run.
     */
    Mono<Void> awaitNextRun() {
        return Mono.defer(() -> {
            Sinks.Empty<Void> run;
            synchronized (this) {
                run = queuedRun.orElseGet(Sinks::empty);
                queuedRun = Optional.of(run);
            }
            startQueuedRun();
            return run.asMono();
        });
    }

    /** Requests a run without waiting for its result. */
    void requestRun() {
        synchronized (this) {
            if (queuedRun.isEmpty()) {
                queuedRun = Optional.of(Sinks.empty());
            }
        }
        startQueuedRun();
    }

    private void startQueuedRun() {
        Sinks.Empty<Void> run;
        synchronized (this) {
            if (isRunning || queuedRun.isEmpty()) {
                return;
            }
            run = queuedRun.get();
            queuedRun = Optional.empty();
            isRunning = true;
        }
        work.subscribe(ignored -> {}, error -> onRunEnd(() -> run.tryEmitError(error)),
                () -> onRunEnd(run::tryEmitEmpty));
    }

    /** Starts the queued run before the callers of the finished run get its result: they may request another run. */
    private void onRunEnd(Runnable emitResult) {
        synchronized (this) {
            isRunning = false;
        }
        startQueuedRun();
        emitResult.run();
    }
}
