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
 * The body of one answer on its way in: collected at first, if it is to be, and handed on as a stream as soon as it turns out
 * too large or too slow, from its first byte and on the same subscription. Holds at most the largest body plus one piece.
 *
 * <p>
 * One thread: whatever is called from elsewhere (request, cancel, subscribe) hops to the connection's event loop first, where
 * the pieces come in. So there are no races to think of, only orders. The permit is this object's from the moment an answer is
 * handed over; until then it is the exchange's.
 */
final class ResponseBodyReader implements CoreSubscriber<DataBuffer>, Subscription {

    /** @param bodyLength of the body: 0 when there can be none, {@link #UNKNOWN_LENGTH} when nothing tells */
    record ResponseStart(ResponseHead head, long bodyLength, Instant requestTime, Instant responseTime) {}

    static final long UNKNOWN_LENGTH = -1;

    private enum BodyPhase {
        BUFFERING, HANDED_OVER, STREAMING, DONE
    }

    /** How long a body is collected that may be a stream: a page that is ready comes in less, and nobody notices it. */
    private static final Duration BRIEF_BUFFERING_TIME = Duration.ofMillis(100);

    /** The longest pause of a stream, at least: as nginx has it (proxy_read_timeout). */
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

    // From here on confined to the event loop.
    private boolean isInDelivery;
    private BodyPhase phase = BodyPhase.BUFFERING;
    private Subscription source = Operators.emptySubscription();
    private Subscriber<? super DataBuffer> reader = Operators.emptySubscriber();
    private Disposable timer = Disposables.disposed();
    private byte[] buffer = EMPTY_BYTES;
    private int bufferedBytes;
    private boolean hasBodyEnded;
    private Optional<Throwable> failure = Optional.empty();
    /** What the reader asked for that the source has not been asked for. */
    private long downstreamDemand;
    /** What the source has been asked for by the reader and has not given. */
    private long upstreamDemand;
    /** Whether the source has been asked for one piece more than the reader wanted, and has not given it. */
    private boolean isPrefetchPending;
    private boolean isEmitting;
    private long lastProgressNanos;

    /**
     * @param patience how long a reader may ask for nothing
     * @param memory   whether that many more bytes may be collected
     * @param time     how much is left of the time in which the whole response was to come
     */
    ResponseBodyReader(OriginConfig upstream, Duration patience, OriginPermit permit, OriginConnection line,
            ResponseStart arrival, BodyMode intake,
            Duration time, LongPredicate memory,
            MonoSink<OriginResponse> sink) {
        this.config = upstream;
        this.readerStallTimeout = patience;
        this.permit = permit;
        this.connection = line;
        this.responseStart = arrival;
        this.sink = sink;
        this.maxBodyBytes = upstream.maxObjectSize().toBytes();
        this.bodyMode = intake;
        this.responseTimeLimit = time;
        this.memoryBudget = memory;
        this.isBuffering = (intake == BodyMode.BUFFER || intake == BodyMode.BUFFER_BRIEFLY)
                && arrival.bodyLength <= maxBodyBytes;
    }

    /** Whether there is an answer out that answers for itself: the exchange is over. */
    boolean isHandedOver() {
        return isHandedOver;
    }

    /** Ends it, read or not, and closes the connection if the answer has not ended. */
    void discard() {
        connection.runOnEventLoop(() -> {
            if (phase != BodyPhase.DONE) {
                finish();
                source.cancel();
            }
        });
    }

    /** Whether this is within the call that hands the answer over: who leaves then has it. */
    boolean isDelivering() {
        return connection.eventLoop().inEventLoop() && isInDelivery;
    }

    /** Whoever was to have the answer has left: ends it, unless somebody reads it. */
    void discardUnlessRead() {
        connection.runOnEventLoop(() -> {
            if (phase != BodyPhase.STREAMING) {
                discard();
            }
        });
    }

    // The source's side: signals come on the event loop.

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
                // One at a time: what has been asked for cannot be taken back when this becomes a stream.
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
            Throwable named = OriginFailedException.translate(error, config.id(), true);
            failure = Optional.of(named);
            if (named instanceof OriginFailedException failed) {
                permit.onFailure(failed, true);
            }
            endBody();
        }
    }

    /** Nothing more will come; the reader hears of it when it has read what was collected. */
    private void endBody() {
        hasBodyEnded = true;
        timer.dispose();
        permit.release();
        drain();
    }

    /** By how many bytes the array must grow for that piece. */
    private int bufferGrowth(DataBuffer piece) {
        int needed = bufferedBytes + piece.readableByteCount();
        if (needed <= buffer.length) {
            return 0;
        }
        long room = Math.max(needed, buffer.length == 0 ? responseStart.bodyLength : buffer.length * 2L);
        return (int) Math.min(room, Math.max(maxBodyBytes, needed)) - buffer.length;
    }

    private void appendPiece(DataBuffer piece) {
        int more = piece.readableByteCount();
        int growth = bufferGrowth(piece);
        if (growth > 0) {
            buffer = Arrays.copyOf(buffer, buffer.length + growth);
        }
        piece.read(buffer, bufferedBytes, more);
        DataBufferUtils.release(piece);
        bufferedBytes += more;
    }

    /** It has not come to its end in time. What is alive goes on as a stream: a long response is no failure of the origin. */
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
        Publisher<DataBuffer> rest = this::attachReader;
        deliver(new OriginResponse.Streaming(responseStart.head, Flux.from(rest), responseStart.requestTime,
                responseStart.responseTime));
    }

    /** Lets this turn of the loop end first: then a connection that is done with is back in the pool before anybody hears. */
    private void deliver(OriginResponse answer) {
        connection.eventLoop().execute(() -> {
            isInDelivery = true;
            try {
                sink.success(answer);
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
                        new IllegalStateException("the body of an answer can be read once"));
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

    /** First what was collected, as one piece; then whatever the reader asks for; then the end. */
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
            // One that is on its way already need not be asked for.
            long more = isPrefetchPending && n != Long.MAX_VALUE ? n - 1 : n;
            isPrefetchPending = false;
            if (more > 0) {
                source.request(more);
            }
        }
    }

    private void emitBuffered() {
        DataBuffer whole = DefaultDataBufferFactory.sharedInstance.wrap(ByteBuffer.wrap(buffer, 0, bufferedBytes));
        buffer = EMPTY_BYTES;
        bufferedBytes = 0;
        downstreamDemand = downstreamDemand == Long.MAX_VALUE ? downstreamDemand : downstreamDemand - 1;
        // The reader may ask for more from within; that is for afterwards, or it would get a piece inside a piece.
        isEmitting = true;
        reader.onNext(whole);
        isEmitting = false;
    }

    // The clock. A timer per piece would cost more than reading: one looks at intervals how long nothing has moved.

    private void recordProgress() {
        lastProgressNanos = System.nanoTime();
    }

    /** The turn may change in the meantime: so it never looks later than the shorter of the two bounds. */
    private void scheduleStallCheck(Duration rest) {
        scheduleTimer(Math.min(rest.toNanos(), Math.min(config.timeout().toNanos(), readerStallTimeout.toNanos())),
                this::checkStall);
    }

    private void scheduleTimer(long nanos, Runnable then) {
        var alarm = connection.eventLoop().schedule(then, nanos, TimeUnit.NANOSECONDS);
        timer = () -> alarm.cancel(false);
    }

    private Duration maxSilence() {
        boolean pauses = bodyMode == BodyMode.STREAM_WITH_PAUSES && phase == BodyPhase.STREAMING
                && MAX_STREAM_PAUSE.compareTo(config.timeout()) > 0;
        return pauses ? MAX_STREAM_PAUSE : config.timeout();
    }

    private void checkStall() {
        if (phase == BodyPhase.DONE || hasBodyEnded) {
            return;
        }
        boolean readersTurn = phase == BodyPhase.STREAMING && upstreamDemand == 0;
        Duration rest = (readersTurn ? readerStallTimeout : maxSilence())
                .minusNanos(System.nanoTime() - lastProgressNanos);
        if (rest.isPositive()) {
            scheduleStallCheck(rest);
        } else if (phase == BodyPhase.HANDED_OVER) {
            discard();
        } else if (readersTurn) {
            failReader(new TimeoutException("the reader of the body asked for nothing for " + readerStallTimeout));
        } else {
            var late = new OriginFailedException(Reason.TIMED_OUT, config.id());
            if (bodyMode != BodyMode.STREAM_WITH_PAUSES) {
                permit.onFailure(late, true);
            }
            failReader(late);
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
