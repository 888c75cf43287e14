package dev.corral.origin;

import dev.corral.http.Body;
import dev.corral.http.Head;
import dev.corral.origin.Gate.Permit;
import dev.corral.origin.OriginFailed.Reason;
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
final class Inflow implements CoreSubscriber<DataBuffer>, Subscription {

    /** @param length of the body: 0 when there can be none, {@link #UNKNOWN} when nothing tells */
    record Arrival(Head head, long length, Instant requestTime, Instant responseTime) {}

    static final long UNKNOWN = -1;

    private enum Phase {
        COLLECTING, OFFERED, READING, OVER
    }

    /** How long a body is collected that may be a stream: a page that is ready comes in less, and nobody notices it. */
    private static final Duration BRIEFLY = Duration.ofMillis(100);

    /** The longest pause of a stream, at least: as nginx has it (proxy_read_timeout). */
    private static final Duration PAUSE = Duration.ofSeconds(60);

    private static final byte[] NOTHING = {};

    private final Upstream upstream;
    private final Duration patience;
    private final Permit permit;
    private final Line line;
    private final Arrival arrival;
    private final MonoSink<Answer> sink;
    private final Intake intake;
    private final Duration time;
    private final boolean collect;
    private final LongPredicate memory;
    private final long most;
    private volatile boolean handedOver;

    // From here on confined to the event loop.
    private boolean announcing;
    private Phase phase = Phase.COLLECTING;
    private Subscription source = Operators.emptySubscription();
    private Subscriber<? super DataBuffer> reader = Operators.emptySubscriber();
    private Disposable timer = Disposables.disposed();
    private byte[] collected = NOTHING;
    private int size;
    private boolean arrived;
    private Optional<Throwable> failure = Optional.empty();
    /** What the reader asked for that the source has not been asked for. */
    private long wanted;
    /** What the source has been asked for by the reader and has not given. */
    private long owed;
    /** Whether the source has been asked for one piece more than the reader wanted, and has not given it. */
    private boolean ahead;
    private boolean passing;
    private long since;

    /**
     * @param patience how long a reader may ask for nothing
     * @param memory   whether that many more bytes may be collected
     * @param time     how much is left of the time in which the whole response was to come
     */
    Inflow(Upstream upstream, Duration patience, Permit permit, Line line, Arrival arrival, Intake intake,
            Duration time, LongPredicate memory,
            MonoSink<Answer> sink) {
        this.upstream = upstream;
        this.patience = patience;
        this.permit = permit;
        this.line = line;
        this.arrival = arrival;
        this.sink = sink;
        this.most = upstream.maxBody().toBytes();
        this.intake = intake;
        this.time = time;
        this.memory = memory;
        this.collect = (intake == Intake.COLLECT || intake == Intake.COLLECT_BRIEFLY) && arrival.length <= most;
    }

    /** Whether there is an answer out that answers for itself: the exchange is over. */
    boolean handedOver() {
        return handedOver;
    }

    /** Ends it, read or not, and closes the connection if the answer has not ended. */
    void discard() {
        line.on(() -> {
            if (phase != Phase.OVER) {
                over();
                source.cancel();
            }
        });
    }

    /** Whether this is within the call that hands the answer over: who leaves then has it. */
    boolean beingGiven() {
        return line.loop().inEventLoop() && announcing;
    }

    /** Whoever was to have the answer has left: ends it, unless somebody reads it. */
    void abandon() {
        line.on(() -> {
            if (phase != Phase.READING) {
                discard();
            }
        });
    }

    // The source's side: signals come on the event loop.

    @Override
    public void onSubscribe(Subscription subscription) {
        source = subscription;
        if (phase == Phase.OVER) {
            source.cancel();
        } else if (collect) {
            boolean brief = intake == Intake.COLLECT_BRIEFLY && BRIEFLY.compareTo(time) < 0;
            alarm((brief ? BRIEFLY : time).toNanos(), this::collectedLongEnough);
            source.request(1);
        } else {
            offer();
        }
    }

    @Override
    public void onNext(DataBuffer piece) {
        switch (phase) {
            case COLLECTING -> {
                mark();
                if (!memory.test(growth(piece))) {
                    DataBufferUtils.release(piece);
                    over();
                    source.cancel();
                    sink.error(new MemoryFullException(upstream.id()));
                    return;
                }
                collect(piece);
                // One at a time: what has been asked for cannot be taken back when this becomes a stream.
                if (size <= most) {
                    source.request(1);
                } else {
                    offer();
                }
            }
            case READING -> {
                if (ahead && owed == 0) {
                    ahead = false;
                    collect(piece);
                    return;
                }
                owed = Operators.subOrZero(owed, owed == Long.MAX_VALUE ? 0 : 1);
                mark();
                reader.onNext(piece);
            }
            case OFFERED -> {
                ahead = false;
                collect(piece);
            }
            case OVER -> DataBufferUtils.release(piece);
        }
    }

    @Override
    public void onComplete() {
        if (phase == Phase.COLLECTING) {
            over();
            handedOver = true;
            permit.answered();
            permit.leave();
            Body body = Body.of(size == collected.length ? collected : Arrays.copyOf(collected, size));
            announce(new Answer.Whole(arrival.head, body, arrival.requestTime, arrival.responseTime));
        } else {
            settle();
        }
    }

    @Override
    public void onError(Throwable error) {
        if (phase == Phase.COLLECTING) {
            over();
            sink.error(error);
        } else if (phase != Phase.OVER) {
            Throwable named = OriginFailed.from(error, upstream.id(), true);
            failure = Optional.of(named);
            if (named instanceof OriginFailed failed) {
                permit.failed(failed, true);
            }
            settle();
        }
    }

    /** Nothing more will come; the reader hears of it when it has read what was collected. */
    private void settle() {
        arrived = true;
        timer.dispose();
        permit.leave();
        flow();
    }

    /** By how many bytes the array must grow for that piece. */
    private int growth(DataBuffer piece) {
        int needed = size + piece.readableByteCount();
        if (needed <= collected.length) {
            return 0;
        }
        long room = Math.max(needed, collected.length == 0 ? arrival.length : collected.length * 2L);
        return (int) Math.min(room, Math.max(most, needed)) - collected.length;
    }

    private void collect(DataBuffer piece) {
        int more = piece.readableByteCount();
        int growth = growth(piece);
        if (growth > 0) {
            collected = Arrays.copyOf(collected, collected.length + growth);
        }
        piece.read(collected, size, more);
        DataBufferUtils.release(piece);
        size += more;
    }

    /** It has not come to its end in time. What is alive goes on as a stream: a long response is no failure of the origin. */
    private void collectedLongEnough() {
        if (phase != Phase.COLLECTING) {
            return;
        }
        boolean alive = size > 0 && System.nanoTime() - since < upstream.timeout().toNanos() / 2;
        if (alive || intake == Intake.COLLECT_BRIEFLY) {
            ahead = true;
            offer();
        } else {
            over();
            source.cancel();
            sink.error(new OriginFailed(Reason.TIMED_OUT, upstream.id()));
        }
    }

    // The reader's side.

    private void offer() {
        timer.dispose();
        phase = Phase.OFFERED;
        handedOver = true;
        permit.answered();
        mark();
        watch(upstream.timeout());
        Publisher<DataBuffer> rest = this::attach;
        announce(new Answer.Streaming(arrival.head, Flux.from(rest), arrival.requestTime, arrival.responseTime));
    }

    /** Lets this turn of the loop end first: then a connection that is done with is back in the pool before anybody hears. */
    private void announce(Answer answer) {
        line.loop().execute(() -> {
            announcing = true;
            try {
                sink.success(answer);
            } finally {
                announcing = false;
            }
        });
    }

    private void attach(Subscriber<? super DataBuffer> subscriber) {
        line.on(() -> {
            if (phase == Phase.OFFERED) {
                phase = Phase.READING;
                reader = subscriber;
                mark();
                subscriber.onSubscribe(this);
                flow();
            } else {
                Operators.error(Operators.toCoreSubscriber(subscriber),
                        new IllegalStateException("the body of an answer can be read once"));
            }
        });
    }

    @Override
    public void request(long n) {
        if (Operators.validate(n)) {
            line.on(() -> {
                wanted = Operators.addCap(wanted, n);
                flow();
            });
        }
    }

    @Override
    public void cancel() {
        discard();
    }

    /** First what was collected, as one piece; then whatever the reader asks for; then the end. */
    private void flow() {
        if (phase != Phase.READING || passing) {
            return;
        }
        if (size > 0 && wanted > 0) {
            passCollected();
        }
        if (phase != Phase.READING || size > 0) {
            return;
        }
        if (arrived) {
            over();
            failure.ifPresentOrElse(reader::onError, reader::onComplete);
        } else if (wanted > 0) {
            long n = wanted;
            wanted = 0;
            if (owed == 0) {
                mark();
            }
            owed = Operators.addCap(owed, n);
            // One that is on its way already need not be asked for.
            long more = ahead && n != Long.MAX_VALUE ? n - 1 : n;
            ahead = false;
            if (more > 0) {
                source.request(more);
            }
        }
    }

    private void passCollected() {
        DataBuffer whole = DefaultDataBufferFactory.sharedInstance.wrap(ByteBuffer.wrap(collected, 0, size));
        collected = NOTHING;
        size = 0;
        wanted = wanted == Long.MAX_VALUE ? wanted : wanted - 1;
        // The reader may ask for more from within; that is for afterwards, or it would get a piece inside a piece.
        passing = true;
        reader.onNext(whole);
        passing = false;
    }

    // The clock. A timer per piece would cost more than reading: one looks at intervals how long nothing has moved.

    private void mark() {
        since = System.nanoTime();
    }

    /** The turn may change in the meantime: so it never looks later than the shorter of the two bounds. */
    private void watch(Duration rest) {
        alarm(Math.min(rest.toNanos(), Math.min(upstream.timeout().toNanos(), patience.toNanos())), this::look);
    }

    private void alarm(long nanos, Runnable then) {
        var alarm = line.loop().schedule(then, nanos, TimeUnit.NANOSECONDS);
        timer = () -> alarm.cancel(false);
    }

    private Duration silence() {
        boolean pauses = intake == Intake.STREAM_WITH_PAUSES && phase == Phase.READING
                && PAUSE.compareTo(upstream.timeout()) > 0;
        return pauses ? PAUSE : upstream.timeout();
    }

    private void look() {
        if (phase == Phase.OVER || arrived) {
            return;
        }
        boolean readersTurn = phase == Phase.READING && owed == 0;
        Duration rest = (readersTurn ? patience : silence()).minusNanos(System.nanoTime() - since);
        if (rest.isPositive()) {
            watch(rest);
        } else if (phase == Phase.OFFERED) {
            discard();
        } else if (readersTurn) {
            fail(new TimeoutException("the reader of the body asked for nothing for " + patience));
        } else {
            var late = new OriginFailed(Reason.TIMED_OUT, upstream.id());
            if (intake != Intake.STREAM_WITH_PAUSES) {
                permit.failed(late, true);
            }
            fail(late);
        }
    }

    private void fail(Throwable error) {
        over();
        source.cancel();
        reader.onError(error);
    }

    private void over() {
        phase = Phase.OVER;
        timer.dispose();
        if (handedOver) {
            permit.leave();
        }
    }
}
