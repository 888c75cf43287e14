package dev.corral.origin;

import io.netty.buffer.ByteBuf;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.core.io.buffer.NettyDataBufferFactory;
import org.springframework.core.io.buffer.PooledDataBuffer;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Operators;
import reactor.core.publisher.SynchronousSink;

/**
 * A request body that is being sent. Checks that the body is as long as its Content-Length; otherwise its tail would be read as the
 * next request on the connection. Tells who caused a stall: the client, which sends nothing, or the origin, which reads nothing.
 * Signals come from the client's and the origin's event loops, so all state is atomic or volatile.
 */
final class RequestBody {

    /** The body failed, not the origin. Carries the reason unchanged through Reactor Netty and WebClient. */
    static final class RequestBodyException extends RuntimeException {

        private static final long serialVersionUID = 1L;

        private final Throwable reason;

        RequestBodyException(Throwable reason) {
            super(reason.getMessage(), reason, false, false);
            this.reason = reason;
        }

        Throwable reason() {
            return reason;
        }
    }

    static final long UNKNOWN_LENGTH = -1;

    private final Flux<DataBuffer> source;
    private final long declaredLength;
    private final AtomicLong sentBytes = new AtomicLong();
    private final AtomicLong pendingDemand = new AtomicLong();
    private volatile boolean isRequested;
    private volatile boolean isComplete;
    private volatile Optional<RequestBodyException> failure = Optional.empty();
    private volatile long lastProgressNanos = System.nanoTime();

    /** @param declaredLength the Content-Length in bytes, or {@link #UNKNOWN_LENGTH} */
    RequestBody(Flux<DataBuffer> source, long declaredLength) {
        this.source = source;
        this.declaredLength = declaredLength;
    }

    /** The body's bytes; errors are {@link RequestBodyException}. A cancellation releases buffers that were not delivered. */
    Flux<ByteBuf> bytes() {
        return source.doOnSubscribe(subscription -> isRequested = true)
                .doOnRequest(n -> pendingDemand.accumulateAndGet(n, Operators::addCap))
                .handle(this::checkLength)
                .concatWith(Mono.defer(this::checkEnd))
                .onErrorMap(this::recordFailure)
                .doOnDiscard(PooledDataBuffer.class, DataBufferUtils::release)
                .map(NettyDataBufferFactory::toByteBuf);
    }

    /** Whether the body was subscribed to; it cannot be read a second time. */
    boolean isRequested() {
        return isRequested;
    }

    /** Why the body failed; empty when it did not. */
    Optional<RequestBodyException> failure() {
        return failure;
    }

    private RequestBodyException recordFailure(Throwable reason) {
        var exception = new RequestBodyException(reason);
        failure = Optional.of(exception);
        return exception;
    }

    private void checkLength(DataBuffer piece, SynchronousSink<DataBuffer> sink) {
        lastProgressNanos = System.nanoTime();
        pendingDemand.decrementAndGet();
        long total = sentBytes.addAndGet(piece.readableByteCount());
        if (declaredLength != UNKNOWN_LENGTH && total > declaredLength) {
            DataBufferUtils.release(piece);
            sink.error(new IllegalArgumentException("the request body is longer than its Content-Length"));
        } else {
            sink.next(piece);
        }
    }

    private Mono<DataBuffer> checkEnd() {
        lastProgressNanos = System.nanoTime();
        isComplete = true;
        return declaredLength == UNKNOWN_LENGTH || sentBytes.get() == declaredLength
                ? Mono.empty()
                : Mono.error(new IllegalArgumentException("the request body is shorter than its Content-Length"));
    }

    /** Completes when the body made no progress for that time. Fails instead when the client caused the stall. */
    Mono<Void> awaitStall(Duration timeout) {
        return Mono.defer(() -> Mono.delay(remainingTime(timeout)))
                .repeat(() -> remainingTime(timeout).isPositive())
                .then(Mono.defer(this::stallCause));
    }

    private Duration remainingTime(Duration timeout) {
        return timeout.minusNanos(System.nanoTime() - lastProgressNanos);
    }

    private Mono<Void> stallCause() {
        return isComplete || pendingDemand.get() == 0
                ? Mono.empty()
                : Mono.error(new RequestBodyException(new TimeoutException("the request body did not arrive in time")));
    }
}
