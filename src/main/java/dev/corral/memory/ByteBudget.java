package dev.corral.memory;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.atomic.AtomicBoolean;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;

/**
 * Limits the bytes that are in use for one purpose at a time. A reservation larger than the whole budget is granted when nothing
 * else is in use, so that a large response is slow instead of impossible. Waiting reservations are granted in order; a later one that
 * would fit does not overtake. Thread-safe: {@code synchronized} guards the counters, and signals are emitted outside the lock.
 */
public final class ByteBudget {

    /** A granted number of bytes. Any thread may close it; only the first call has an effect. */
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

    /** A reservation that is settled once: by the grant, or by a cancellation before the grant. */
    private record PendingReservation(Reservation reservation, MonoSink<Reservation> sink, AtomicBoolean settled) {

        boolean trySettle() {
            return settled.compareAndSet(false, true);
        }
    }

    private final long limitBytes;
    private final Deque<PendingReservation> pending = new ArrayDeque<>();
    private long usedBytes; // guarded by this, like the queue

    /** @param limitBytes the size of the budget */
    public ByteBudget(long limitBytes) {
        this.limitBytes = limitBytes;
    }

    /** Reserves the bytes if they are available at once. If true, the caller must return them by {@link #release}. */
    public synchronized boolean tryReserve(long bytes) {
        if (!pending.isEmpty() || !hasRoomFor(bytes)) {
            return false;
        }
        usedBytes += bytes;
        return true;
    }

    /** Returns bytes that {@link #tryReserve} granted, and grants waiting reservations. */
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

    /**
     * Emits the reservation as soon as the bytes are available, in the order of subscription. A subscription that is cancelled
     * before takes no bytes.
     */
    public Mono<Reservation> reserve(long bytes) {
        return Mono.create(sink -> {
            var waiting = new PendingReservation(new Reservation(bytes), sink, new AtomicBoolean());
            sink.onCancel(() -> {
                if (!waiting.trySettle()) {
                    // Granted, but the subscriber is gone: nobody else would close it.
                    waiting.reservation().close();
                }
            });
            boolean granted;
            synchronized (this) {
                granted = pending.isEmpty() && hasRoomFor(bytes) && waiting.trySettle();
                if (granted) {
                    usedBytes += bytes;
                } else {
                    pending.add(waiting);
                }
            }
            if (granted) {
                sink.success(waiting.reservation());
            }
        });
    }

    /** The bytes currently in use. */
    public synchronized long usedBytes() {
        return usedBytes;
    }

    private boolean hasRoomFor(long bytes) {
        return usedBytes == 0 || usedBytes + bytes <= limitBytes;
    }
}
