package dev.corral.coalesce;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.atomic.AtomicBoolean;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;

/**
 * Bytes that may be in use for one purpose at a time. What is larger than all of them together is admitted alone, so that it is
 * slow instead of impossible. Thread-safe.
 */
public final class ByteBudget {

    /** The right to some bytes. May be given back by any thread; only the first time counts. */
    public final class Permit implements AutoCloseable {

        private final long bytes;
        private final AtomicBoolean open = new AtomicBoolean(true);

        private Permit(long bytes) {
            this.bytes = bytes;
        }

        @Override
        public void close() {
            if (open.compareAndSet(true, false)) {
                release(bytes);
            }
        }
    }

    /** Settled once: by the grant, or by its caller's leaving before it. */
    private record Waiting(Permit permit, MonoSink<Permit> sink, AtomicBoolean settled) {

        boolean settle() {
            return settled.compareAndSet(false, true);
        }
    }

    private final long limit;
    private final Deque<Waiting> queue = new ArrayDeque<>();
    private long used; // with the queue guarded by this

    /** @param limit in bytes */
    public ByteBudget(long limit) {
        this.limit = limit;
    }

    /** A budget that never ends. */
    public static ByteBudget unlimited() {
        return new ByteBudget(Long.MAX_VALUE);
    }

    /** Whether these bytes could be had at once; then they must be given back by {@link #release}. */
    public synchronized boolean tryTake(long bytes) {
        if (!queue.isEmpty() || !fits(bytes)) {
            return false;
        }
        used += bytes;
        return true;
    }

    /** Gives back what {@link #tryTake} gave. */
    public void release(long bytes) {
        var granted = new ArrayDeque<Waiting>();
        synchronized (this) {
            used -= bytes;
            while (!queue.isEmpty() && (queue.element().settled().get() || fits(queue.element().permit().bytes))) {
                Waiting next = queue.remove();
                if (next.settle()) {
                    used += next.permit().bytes;
                    granted.add(next);
                }
            }
        }
        granted.forEach(next -> next.sink().success(next.permit()));
    }

    /** Emits the permit as soon as there is room, in the order of the subscriptions. Cancelled before, it takes nothing. */
    public Mono<Permit> take(long bytes) {
        return Mono.create(sink -> {
            var waiting = new Waiting(new Permit(bytes), sink, new AtomicBoolean());
            sink.onCancel(() -> {
                if (!waiting.settle()) {
                    // Granted, and on its way to nobody.
                    waiting.permit().close();
                }
            });
            boolean now;
            synchronized (this) {
                now = queue.isEmpty() && fits(bytes) && waiting.settle();
                if (now) {
                    used += bytes;
                } else {
                    queue.add(waiting);
                }
            }
            if (now) {
                sink.success(waiting.permit());
            }
        });
    }

    /** Bytes in use now. */
    public synchronized long used() {
        return used;
    }

    private boolean fits(long bytes) {
        return used == 0 || used + bytes <= limit;
    }
}
