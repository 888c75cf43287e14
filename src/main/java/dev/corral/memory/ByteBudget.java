package dev.corral.memory;

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
    public final class Reservation implements AutoCloseable {

        private final long bytes;
        private final AtomicBoolean held = new AtomicBoolean(true);

        private Reservation(long bytes) {
            this.bytes = bytes;
        }

        @Override
        public void close() {
            if (held.compareAndSet(true, false)) {
                release(bytes);
            }
        }
    }

    /** Settled once: by the grant, or by its caller's leaving before it. */
    private record PendingReservation(Reservation reservation, MonoSink<Reservation> sink, AtomicBoolean settled) {

        boolean trySettle() {
            return settled.compareAndSet(false, true);
        }
    }

    private final long limitBytes;
    private final Deque<PendingReservation> pending = new ArrayDeque<>();
    private long usedBytes; // with the queue guarded by this

    /** @param limit in bytes */
    public ByteBudget(long limit) {
        this.limitBytes = limit;
    }

    /** A budget that never ends. */
    public static ByteBudget unlimited() {
        return new ByteBudget(Long.MAX_VALUE);
    }

    /** Whether these bytes could be had at once; then they must be given back by {@link #release}. */
    public synchronized boolean tryReserve(long bytes) {
        if (!pending.isEmpty() || !hasRoomFor(bytes)) {
            return false;
        }
        usedBytes += bytes;
        return true;
    }

    /** Gives back what {@link #tryReserve} gave. */
    public void release(long bytes) {
        var granted = new ArrayDeque<PendingReservation>();
        synchronized (this) {
            usedBytes -= bytes;
            while (!pending.isEmpty()
                    && (pending.element().settled().get() || hasRoomFor(pending.element().reservation().bytes))) {
                PendingReservation next = pending.remove();
                if (next.trySettle()) {
                    usedBytes += next.reservation().bytes;
                    granted.add(next);
                }
            }
        }
        granted.forEach(next -> next.sink().success(next.reservation()));
    }

    /** Emits the permit as soon as there is room, in the order of the subscriptions. Cancelled before, it takes nothing. */
    public Mono<Reservation> reserve(long bytes) {
        return Mono.create(sink -> {
            var waiting = new PendingReservation(new Reservation(bytes), sink, new AtomicBoolean());
            sink.onCancel(() -> {
                if (!waiting.trySettle()) {
                    // Granted, and on its way to nobody.
                    waiting.reservation().close();
                }
            });
            boolean now;
            synchronized (this) {
                now = pending.isEmpty() && hasRoomFor(bytes) && waiting.trySettle();
                if (now) {
                    usedBytes += bytes;
                } else {
                    pending.add(waiting);
                }
            }
            if (now) {
                sink.success(waiting.reservation());
            }
        });
    }

    /** Bytes in use now. */
    public synchronized long usedBytes() {
        return usedBytes;
    }

    private boolean hasRoomFor(long bytes) {
        return usedBytes == 0 || usedBytes + bytes <= limitBytes;
    }
}
