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
 * A request's body on its way out. Sees to it that the body is as long as its Content-Length says (else its tail would be read
 * as the next request on that connection), and knows whose fault it is when it stands still: the sender's, which has nothing to
 * give, or the origin's, which takes nothing.
 */
final class Upload {

    /** The body failed, not the origin: carries the reason through the stack unharmed. */
    static final class Broken extends RuntimeException {

        private static final long serialVersionUID = 1L;

        private final Throwable reason;

        Broken(Throwable reason) {
            super(reason.getMessage(), reason, false, false);
            this.reason = reason;
        }

        Throwable reason() {
            return reason;
        }
    }

    static final long UNKNOWN = -1;

    private final Flux<DataBuffer> body;
    private final long declared;
    private final AtomicLong given = new AtomicLong();
    private final AtomicLong owed = new AtomicLong();
    private volatile boolean begun;
    private volatile boolean over;
    private volatile Optional<Broken> failure = Optional.empty();
    private volatile long moved = System.nanoTime();

    /** @param declared Content-Length, or {@link #UNKNOWN} */
    Upload(Flux<DataBuffer> body, long declared) {
        this.body = body;
        this.declared = declared;
    }

    /** The body's bytes; errors are {@link Broken}. Whoever cancels need not care for what is still in the pipe. */
    Flux<ByteBuf> bytes() {
        return body.doOnSubscribe(subscription -> begun = true)
                .doOnRequest(n -> owed.accumulateAndGet(n, Operators::addCap))
                .handle(this::measure)
                .concatWith(Mono.defer(this::end))
                .onErrorMap(this::broken)
                .doOnDiscard(PooledDataBuffer.class, DataBufferUtils::release)
                .map(NettyDataBufferFactory::toByteBuf);
    }

    /** Whether any of it was asked for: it cannot be had a second time. */
    boolean begun() {
        return begun;
    }

    /** Why the body failed, if it did. */
    Optional<Broken> failure() {
        return failure;
    }

    private Broken broken(Throwable reason) {
        var broken = new Broken(reason);
        failure = Optional.of(broken);
        return broken;
    }

    private void measure(DataBuffer piece, SynchronousSink<DataBuffer> sink) {
        moved = System.nanoTime();
        owed.decrementAndGet();
        long total = given.addAndGet(piece.readableByteCount());
        if (declared != UNKNOWN && total > declared) {
            DataBufferUtils.release(piece);
            sink.error(new IllegalArgumentException("the request's body is longer than its Content-Length"));
        } else {
            sink.next(piece);
        }
    }

    private Mono<DataBuffer> end() {
        moved = System.nanoTime();
        over = true;
        return declared == UNKNOWN || given.get() == declared
                ? Mono.empty()
                : Mono.error(new IllegalArgumentException("the request's body is shorter than its Content-Length"));
    }

    /** Completes when nothing has moved for that long, and fails if that is the sender's fault. */
    Mono<Void> standstill(Duration timeout) {
        return Mono.defer(() -> Mono.delay(rest(timeout)))
                .repeat(() -> rest(timeout).isPositive())
                .then(Mono.defer(this::blame));
    }

    private Duration rest(Duration timeout) {
        return timeout.minusNanos(System.nanoTime() - moved);
    }

    private Mono<Void> blame() {
        return over || owed.get() == 0
                ? Mono.empty()
                : Mono.error(new Broken(new TimeoutException("the request's body did not come")));
    }
}
