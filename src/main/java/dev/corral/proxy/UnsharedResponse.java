package dev.corral.proxy;

import dev.corral.origin.OriginResponse;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * The origin's response that is for one request alone, until it is written or the request has ended. A flight's result never carries
 * it; the request whose fetch brought it finds it here. Thread-safe.
 */
final class UnsharedResponse {

    private final AtomicReference<@Nullable OriginResponse> response = new AtomicReference<>();
    private volatile boolean requestEnded;

    /** Discards the response at once if the request has ended already. */
    void hold(OriginResponse received) {
        response.set(received);
        if (requestEnded) {
            discard(received);
        }
    }

    /** Empty when there is none. */
    Optional<OriginResponse> get() {
        return Optional.ofNullable(response.get());
    }

    /** Closes the connection of a response whose body has not been read; false when there is none. */
    boolean discardStreaming() {
        if (response.get() instanceof OriginResponse.Streaming streaming && response.compareAndSet(streaming, null)) {
            streaming.discard();
            return true;
        }
        return false;
    }

    /** The request has ended: a body that nobody will read is discarded. */
    void release() {
        requestEnded = true;
        get().ifPresent(UnsharedResponse::discard);
    }

    static void discard(OriginResponse unread) {
        if (unread instanceof OriginResponse.Streaming streaming) {
            streaming.discard();
        }
    }
}
