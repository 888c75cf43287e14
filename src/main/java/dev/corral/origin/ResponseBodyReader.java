package dev.corral.origin;

import dev.corral.http.Body;
import dev.corral.http.ResponseHead;
import dev.corral.origin.OriginAdmission.OriginPermit;
import dev.corral.origin.OriginFailedException.Reason;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.LongPredicate;
import org.reactivestreams.Publisher;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.core.io.buffer.DefaultDataBufferFactory;
import reactor.core.CoreSubscriber;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.MonoSink;
import reactor.core.publisher.Operators;

/**
 * Reads the body of one response. The body is collected first, if its {@link BodyMode} allows that; as soon as it turns out too
 * large or too slow, it becomes a stream that begins with the collected bytes and continues on the same subscription. Holds at most
 * {@link OriginConfig#maxObjectSize()} plus one piece.
 *
 * <p>
 * It is in one of four phases:
 * <ul>
 * <li>BUFFERING: pieces are collected, and requested one at a time. A complete body emits a {@code Buffered} response and leads to
 * DONE. A body that is too large, too slow or not to be collected leads to HANDED_OVER. An error, the timeout of a silent body or an
 * exhausted memory budget fails the exchange and leads to DONE.
 * <li>HANDED_OVER: a {@code Streaming} response was emitted and its body has no subscriber yet. A piece that was already requested is
 * collected. The first subscriber leads to STREAMING; a discard, or no subscriber within the origin's timeout, to DONE.
 * <li>STREAMING: the reader gets the collected bytes as one piece, then each piece it requests. The end of the body, a cancellation, a
 * silent origin or a stalled reader leads to DONE.
 * <li>DONE: the timer is off; pieces that still arrive are released.
 * </ul>
 *
 * <p>
 * The permit belongs to the {@link OriginExchange} until the response is handed over ({@code isHandedOver}); from then on this reader
 * releases it: when the body has arrived completely (even if its reader has not read it yet), or in DONE, whichever is first.
 *
 * <p>
 * Threads: request, cancel and subscribe may be called by any thread and continue on the connection's event loop, where the pieces
 * arrive. All state is confined to that loop, so only the order of calls matters.
 */
final class ResponseBodyReader implements CoreSubscriber<DataBuffer>, Subscription {

    /** @param bodyLength the body's length in bytes; 0 when there cannot be a body, {@link #UNKNOWN_LENGTH} when it is not declared */
    record ResponseStart(ResponseHead head, long bodyLength, Instant requestTime, Instant responseTime) {}

    static final long UNKNOWN_LENGTH = -1;

    private enum BodyPhase {
        BUFFERING, HANDED_OVER, STREAMING, DONE
    }

    /** How long a body that may be a stream is collected. A finished page takes less, and the delay is not noticeable. */
    private static final Duration BRIEF_BUFFERING_TIME = Duration.ofMillis(100);

    /** The longest pause of a stream, unless the origin's timeout is longer. As nginx's proxy_read_timeout. */
    private static final Duration MAX_STREAM_PAUSE = Duration.ofSeconds(60);

    private static final byte[] EMPTY_BYTES = {};

    private final OriginConfig config;
    private final Duration readerStallTimeout;
    private final OriginPermit permit;
    private final OriginConnection connection;
    private final ResponseStart responseStart;
    private final MonoSink<OriginResponse> sink;
    private final BodyMode bodyMode;
    private final Duration responseTimeLimit;
    private final boolean isBuffering;
    private final LongPredicate memoryBudget;
    private final long maxBodyBytes;
    private volatile boolean isHandedOver;

    // The fields below are confined to the event loop.
    private boolean isInDelivery;
    private BodyPhase phase = BodyPhase.BUFFERING;
    private Subscription source = Operators.emptySubscription();
    private Subscriber<? super DataBuffer> reader = Operators.emptySubscriber();
    private Disposable timer = Disposables.disposed();
    private byte[] buffer = EMPTY_BYTES;
    private int bufferedBytes;
    private boolean hasBodyEnded;
    private Optional<Throwable> failure = Optional.empty();
    /** The number of pieces that the reader requested and that are not yet requested from the source. */
    private long downstreamDemand;
    /** The number of pieces that were requested from the source for the reader and have not arrived. */
    private long upstreamDemand;
    /** Whether one piece was requested from the source beyond the reader's demand and has not arrived. */
    private boolean isPrefetchPending;
    private boolean isEmitting;
    private long lastProgressNanos;

    /**
     * @param readerStallTimeout how long a reader may request nothing
     * @param responseTimeLimit  the rest of the time in which the whole response must arrive
     * @param memoryBudget       reserves that many more bytes for collecting; false when they are not available
     */
    ResponseBodyReader(OriginConfig config, Duration readerStallTimeout, OriginPermit permit,
            OriginConnection connection,
            ResponseStart responseStart, BodyMode bodyMode,
            Duration responseTimeLimit, LongPredicate memoryBudget,
            MonoSink<OriginResponse> sink) {
        this.config = config;
        this.readerStallTimeout = readerStallTimeout;
        this.permit = permit;
        this.connection = connection;
        this.responseStart = responseStart;
        this.sink = sink;
        this.maxBodyBytes = config.maxObjectSize().toBytes();
        this.bodyMode = bodyMode;
        this.responseTimeLimit = responseTimeLimit;
        this.memoryBudget = memoryBudget;
        this.isBuffering = (bodyMode == BodyMode.BUFFER || bodyMode == BodyMode.BUFFER_BRIEFLY)
                && responseStart.bodyLength <= maxBodyBytes;
    }

    /** Whether the response was handed over: this reader then owns the permit, and the exchange is over. */
    boolean isHandedOver() {
        return isHandedOver;
    }

    /** Ends the body, read or not, and closes the connection if the response has not ended. */
    void discard() {
        connection.runOnEventLoop(() -> {
            if (phase != BodyPhase.DONE) {
                finish();
                source.cancel();
            }
        });
    }

    /** Whether the caller runs within the delivery of the response: a subscriber that cancels there has received it. */
    boolean isDelivering() {
        return connection.eventLoop().inEventLoop() && isInDelivery;
    }

    /** Called when the subscriber of the response has cancelled: ends the body unless it has a reader. */
    void discardUnlessRead() {
        connection.runOnEventLoop(() -> {
            if (phase != BodyPhase.STREAMING) {
                discard();
            }
        });
    }

    // The source's side: signals arrive on the event loop.

    @Override
    public void onSubscribe(Subscription subscription) {
        source = subscription;
        if (phase == BodyPhase.DONE) {
            source.cancel();
        } else if (isBuffering) {
            boolean brief = bodyMode == BodyMode.BUFFER_BRIEFLY
                    && BRIEF_BUFFERING_TIME.compareTo(responseTimeLimit) < 0;
            scheduleTimer((brief ? BRIEF_BUFFERING_TIME : responseTimeLimit).toNanos(), this::onBufferingTimeout);
            source.request(1);
        } else {
            handOver();
        }
    }

    @Override
    public void onNext(DataBuffer piece) {
        switch (phase) {
            case BUFFERING -> {
                recordProgress();
                if (!memoryBudget.test(bufferGrowth(piece))) {
                    DataBufferUtils.release(piece);
                    finish();
                    source.cancel();
                    sink.error(new BufferMemoryExhaustedException(config.id()));
                    return;
                }
                appendPiece(piece);
                // One at a time: a request cannot be taken back when the body becomes a stream.
                if (bufferedBytes <= maxBodyBytes) {
                    source.request(1);
                } else {
                    handOver();
                }
            }
            case STREAMING -> {
                if (isPrefetchPending && upstreamDemand == 0) {
                    isPrefetchPending = false;
                    appendPiece(piece);
                    return;
                }
                upstreamDemand = Operators.subOrZero(upstreamDemand, upstreamDemand == Long.MAX_VALUE ? 0 : 1);
                recordProgress();
                reader.onNext(piece);
            }
            case HANDED_OVER -> {
                isPrefetchPending = false;
                appendPiece(piece);
            }
            case DONE -> DataBufferUtils.release(piece);
        }
    }

    @Override
    public void onComplete() {
        if (phase == BodyPhase.BUFFERING) {
            finish();
            isHandedOver = true;
            permit.onResponse();
            permit.release();
            Body body = Body.of(bufferedBytes == buffer.length ? buffer : Arrays.copyOf(buffer, bufferedBytes));
            deliver(new OriginResponse.Buffered(responseStart.head, body, responseStart.requestTime,
                    responseStart.responseTime));
        } else {
            endBody();
        }
    }

    @Override
    public void onError(Throwable error) {
        if (phase == BodyPhase.BUFFERING) {
            finish();
            sink.error(error);
        } else if (phase != BodyPhase.DONE) {
            Throwable translated = OriginFailedException.translate(error, config.id(), true);
            failure = Optional.of(translated);
            if (translated instanceof OriginFailedException originFailure) {
                permit.onFailure(originFailure, true);
            }
            endBody();
        }
    }

    /** No more pieces will arrive. The reader gets the end after the collected bytes. */
    private void endBody() {
        hasBodyEnded = true;
        timer.dispose();
        permit.release();
        drain();
    }

    /** The number of bytes by which the array must grow for the piece. */
    private int bufferGrowth(DataBuffer piece) {
        int needed = bufferedBytes + piece.readableByteCount();
        if (needed <= buffer.length) {
            return 0;
        }
        long capacity = Math.max(needed, buffer.length == 0 ? responseStart.bodyLength : buffer.length * 2L);
        return (int) Math.min(capacity, Math.max(maxBodyBytes, needed)) - buffer.length;
    }

    private void appendPiece(DataBuffer piece) {
        int pieceBytes = piece.readableByteCount();
        int growth = bufferGrowth(piece);
        if (growth > 0) {
            buffer = Arrays.copyOf(buffer, buffer.length + growth);
        }
        piece.read(buffer, bufferedBytes, pieceBytes);
        DataBufferUtils.release(piece);
        bufferedBytes += pieceBytes;
    }

    /** The body is not complete in time. A body that still arrives continues as a stream: a long response is not a failure. */
    private void onBufferingTimeout() {
        if (phase != BodyPhase.BUFFERING) {
            return;
        }
        boolean alive = bufferedBytes > 0 && System.nanoTime() - lastProgressNanos < config.timeout().toNanos() / 2;
        if (alive || bodyMode == BodyMode.BUFFER_BRIEFLY) {
            isPrefetchPending = true;
            handOver();
        } else {
            finish();
            source.cancel();
            sink.error(new OriginFailedException(Reason.TIMED_OUT, config.id()));
        }
    }

    // The reader's side.

    private void handOver() {
        timer.dispose();
        phase = BodyPhase.HANDED_OVER;
        isHandedOver = true;
        permit.onResponse();
        recordProgress();
        scheduleStallCheck(config.timeout());
        Publisher<DataBuffer> body = this::attachReader;
        deliver(new OriginResponse.Streaming(responseStart.head, Flux.from(body), responseStart.requestTime));
    }

    /** Emits the response in a later task of the loop, so that a finished connection is back in the pool before the subscriber runs. */
    private void deliver(OriginResponse response) {
        connection.eventLoop().execute(() -> {
            isInDelivery = true;
            try {
                sink.success(response);
            } finally {
                isInDelivery = false;
            }
        });
    }

    private void attachReader(Subscriber<? super DataBuffer> subscriber) {
        connection.runOnEventLoop(() -> {
            if (phase == BodyPhase.HANDED_OVER) {
                phase = BodyPhase.STREAMING;
                reader = subscriber;
                recordProgress();
                subscriber.onSubscribe(this);
                drain();
            } else {
                Operators.error(Operators.toCoreSubscriber(subscriber),
                        new IllegalStateException("the body of a response can be read only once"));
            }
        });
    }

    @Override
    public void request(long n) {
        if (Operators.validate(n)) {
            connection.runOnEventLoop(() -> {
                downstreamDemand = Operators.addCap(downstreamDemand, n);
                drain();
            });
        }
    }

    @Override
    public void cancel() {
        discard();
    }

    /** Emits the collected bytes as one piece, then requests what the reader requested, then emits the end. */
    private void drain() {
        if (phase != BodyPhase.STREAMING || isEmitting) {
            return;
        }
        if (bufferedBytes > 0 && downstreamDemand > 0) {
            emitBuffered();
        }
        if (phase != BodyPhase.STREAMING || bufferedBytes > 0) {
            return;
        }
        if (hasBodyEnded) {
            finish();
            failure.ifPresentOrElse(reader::onError, reader::onComplete);
        } else if (downstreamDemand > 0) {
            long n = downstreamDemand;
            downstreamDemand = 0;
            if (upstreamDemand == 0) {
                recordProgress();
            }
            upstreamDemand = Operators.addCap(upstreamDemand, n);
            // The prefetched piece was already requested.
            long unrequested = isPrefetchPending && n != Long.MAX_VALUE ? n - 1 : n;
            isPrefetchPending = false;
            if (unrequested > 0) {
                source.request(unrequested);
            }
        }
    }

    private void emitBuffered() {
        DataBuffer whole = DefaultDataBufferFactory.sharedInstance.wrap(ByteBuffer.wrap(buffer, 0, bufferedBytes));
        buffer = EMPTY_BYTES;
        bufferedBytes = 0;
        downstreamDemand = downstreamDemand == Long.MAX_VALUE ? downstreamDemand : downstreamDemand - 1;
        // The reader may call request() within onNext; it must not get a piece before that onNext has returned.
        isEmitting = true;
        reader.onNext(whole);
        isEmitting = false;
    }

    // Stall detection. A timer per piece would cost more than reading it: one timer checks the time since the last progress.

    private void recordProgress() {
        lastProgressNanos = System.nanoTime();
    }

    /** Which limit applies may change until the check, so the check is never later than the shorter of the two limits. */
    private void scheduleStallCheck(Duration remaining) {
        scheduleTimer(Math.min(remaining.toNanos(), Math.min(config.timeout().toNanos(), readerStallTimeout.toNanos())),
                this::checkStall);
    }

    private void scheduleTimer(long nanos, Runnable task) {
        var scheduled = connection.eventLoop().schedule(task, nanos, TimeUnit.NANOSECONDS);
        timer = () -> scheduled.cancel(false);
    }

    private Duration maxSilence() {
        boolean allowsPauses = bodyMode == BodyMode.STREAM_WITH_PAUSES && phase == BodyPhase.STREAMING
                && MAX_STREAM_PAUSE.compareTo(config.timeout()) > 0;
        return allowsPauses ? MAX_STREAM_PAUSE : config.timeout();
    }

    private void checkStall() {
        if (phase == BodyPhase.DONE || hasBodyEnded) {
            return;
        }
        boolean waitsForReader = phase == BodyPhase.STREAMING && upstreamDemand == 0;
        Duration remaining = (waitsForReader ? readerStallTimeout : maxSilence())
                .minusNanos(System.nanoTime() - lastProgressNanos);
        if (remaining.isPositive()) {
            scheduleStallCheck(remaining);
        } else if (phase == BodyPhase.HANDED_OVER) {
            discard();
        } else if (waitsForReader) {
            failReader(new TimeoutException("the reader of the body requested nothing for " + readerStallTimeout));
        } else {
            var timeout = new OriginFailedException(Reason.TIMED_OUT, config.id());
            if (bodyMode != BodyMode.STREAM_WITH_PAUSES) {
                permit.onFailure(timeout, true);
            }
            failReader(timeout);
        }
    }

    private void failReader(Throwable error) {
        finish();
        source.cancel();
        reader.onError(error);
    }

    private void finish() {
        phase = BodyPhase.DONE;
        timer.dispose();
        if (isHandedOver) {
            permit.release();
        }
    }
}
