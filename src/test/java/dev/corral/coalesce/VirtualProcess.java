package dev.corral.coalesce;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.scheduler.Scheduler;

/**
 * One process of the fleet in virtual time. While it is paused what falls due is held back, as by SIGSTOP; once it is killed
 * nothing of it ever runs again. Everything that reaches the process from outside must come through here. Not thread-safe.
 */
final class VirtualProcess implements Scheduler {

    private final Scheduler time;
    private final Queue<VirtualTask> heldTasks = new ArrayDeque<>();
    private boolean paused;
    private boolean killed;
    private int pendingCount;

    VirtualProcess(Scheduler time) {
        this.time = time;
    }

    void pause() {
        paused = true;
    }

    void resume() {
        paused = false;
        List<VirtualTask> late = new ArrayList<>(heldTasks);
        heldTasks.clear();
        late.forEach(time::schedule);
    }

    void kill() {
        killed = true;
    }

    boolean isAlive() {
        return !killed;
    }

    boolean paused() {
        return paused;
    }

    /** Tasks scheduled, neither run nor disposed of. */
    int pendingCount() {
        return pendingCount;
    }

    @Override
    public long now(TimeUnit unit) {
        return time.now(unit);
    }

    @Override
    public Disposable schedule(Runnable task) {
        return schedule(task, 0, TimeUnit.NANOSECONDS);
    }

    @Override
    public Disposable schedule(Runnable run, long delay, TimeUnit unit) {
        VirtualTask task = new VirtualTask(run);
        pendingCount++;
        time.schedule(task, delay, unit);
        return task;
    }

    @Override
    public Worker createWorker() {
        return new VirtualWorker();
    }

    private final class VirtualTask implements Runnable, Disposable {

        private final Runnable run;
        private boolean done;

        VirtualTask(Runnable run) {
            this.run = run;
        }

        @Override
        public void run() {
            if (done || killed) {
                return;
            }
            if (paused) {
                heldTasks.add(this);
                return;
            }
            dispose();
            run.run();
        }

        @Override
        public void dispose() {
            if (!done) {
                done = true;
                pendingCount--;
            }
        }

        @Override
        public boolean isDisposed() {
            return done;
        }
    }

    private final class VirtualWorker implements Worker {

        private final Disposable.Composite tasks = Disposables.composite();

        @Override
        public Disposable schedule(Runnable task) {
            return schedule(task, 0, TimeUnit.NANOSECONDS);
        }

        @Override
        public Disposable schedule(Runnable task, long delay, TimeUnit unit) {
            Disposable scheduled = VirtualProcess.this.schedule(task, delay, unit);
            tasks.add(scheduled);
            return scheduled;
        }

        @Override
        public Disposable schedulePeriodically(Runnable task, long initialDelay, long period, TimeUnit unit) {
            Disposable.Swap next = Disposables.swap();
            tasks.add(next);
            Runnable step = new Runnable() {
                @Override
                public void run() {
                    task.run();
                    if (!next.isDisposed()) {
                        next.update(VirtualProcess.this.schedule(this, period, unit));
                    }
                }
            };
            next.update(VirtualProcess.this.schedule(step, initialDelay, unit));
            return next;
        }

        @Override
        public void dispose() {
            tasks.dispose();
        }

        @Override
        public boolean isDisposed() {
            return tasks.isDisposed();
        }
    }
}
