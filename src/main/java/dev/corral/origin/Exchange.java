package dev.corral.origin;

import dev.corral.http.Fields;
import dev.corral.http.Head;
import dev.corral.http.Unasked;
import dev.corral.origin.Gate.Permit;
import dev.corral.origin.Inflow.Arrival;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import java.io.IOException;
import java.net.SocketException;
import java.net.UnknownHostException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongPredicate;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;
import org.reactivestreams.Publisher;
import org.reactivestreams.Subscription;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.http.HttpMethod;
import org.springframework.http.client.reactive.ClientHttpRequest;
import org.springframework.web.reactive.function.BodyExtractors;
import org.springframework.web.reactive.function.client.ClientResponse;
import org.springframework.web.reactive.function.client.WebClient;
import org.springframework.web.reactive.function.client.WebClientRequestException;
import reactor.core.publisher.BaseSubscriber;
import reactor.core.publisher.Mono;
import reactor.core.publisher.SignalType;
import reactor.core.scheduler.Schedulers;
import reactor.netty.NettyOutbound;
import reactor.netty.channel.AbortedException;
import reactor.netty.channel.ChannelOperations;
import reactor.netty.http.client.HttpClientRequest;

import static dev.corral.origin.OriginFailed.Reason.CUT_SHORT;

/** One request and its answer: at most two attempts, one deadline, one permit that is left however it ends. */
final class Exchange {

    private static final int REQUEST_TIMEOUT = 408;

    /** What came is no response to this request. */
    private static final class ExpiredConnection extends IOException {

        private static final long serialVersionUID = 1L;

        ExpiredConnection() {
            super("the origin had given up waiting for a request on this connection");
        }

        @Override
        public synchronized Throwable fillInStackTrace() {
            return this;
        }
    }

    /** Closes the connection instead of reading. */
    private static final class Discard extends BaseSubscriber<DataBuffer> {

        @Override
        protected void hookOnSubscribe(Subscription subscription) {
            subscription.cancel();
        }
    }

    private final Upstream upstream;
    private final Duration patience;
    private final Outgoing request;
    private final Function<Head, Intake> intake;
    private final Consumer<Head> interims;
    private final LongPredicate memory;
    private final Permit permit;
    private final Clock clock;
    private final Optional<Upload> upload;

    private final long start = System.nanoTime();

    /** Whether whoever asked has left, and not with the answer in his hands. */
    private volatile boolean left;
    /** Whether the attempt was cancelled; that waits for its connection. */
    private volatile boolean leaving;

    // The current attempt's.
    private volatile Instant requestTime;
    private volatile Optional<Line> line = Optional.empty();
    private volatile Optional<Inflow> inflow = Optional.empty();

    Exchange(Upstream upstream, Duration patience, Outgoing request, Function<Head, Intake> intake,
            Consumer<Head> interims, LongPredicate memory, Permit permit, Clock clock) {
        this.memory = memory;
        this.upstream = upstream;
        this.patience = patience;
        this.request = request;
        this.intake = intake;
        this.interims = interims;
        this.permit = permit;
        this.clock = clock;
        this.requestTime = clock.instant();
        this.upload = request.upload();
    }

    /** The answer. {@code anew} never hands out a connection that has been used: the second attempt cannot find it dead, too. */
    Mono<Answer> answer(WebClient pooled, WebClient anew, BooleanSupplier closed) {
        // Connections that we close ourselves look just like dead ones.
        Mono<Answer> attempts = attempt(pooled).onErrorResume(error -> maySendAgain(error) && !closed.getAsBoolean(),
                dead -> attempt(anew));
        return inTime(attempts)
                .onErrorMap(error -> OriginFailed.from(error, upstream.id(), answering()))
                .doOnError(this::failed)
                .doFinally(this::ended)
                .doOnCancel(this::leave);
    }

    private Mono<Answer> inTime(Mono<Answer> attempts) {
        return upload.map(sent -> attempts.timeout(sent.standstill(upstream.timeout())))
                .orElseGet(() -> attempts.timeout(Mono.defer(() -> Mono.delay(rest())).then(Mono.defer(this::late))));
    }

    /** How much is left of the time in which the whole response is to come. */
    private Duration rest() {
        return upstream.timeout().minusNanos(System.nanoTime() - start);
    }

    /** The time is over. A body on its way in has the same limit, and knows whether it is alive. */
    private Mono<Void> late() {
        return inflow.isPresent() ? Mono.never() : Mono.empty();
    }

    // exchange() is deprecated because it leaves the body to its caller; the other forms drain what is not read at once.
    @SuppressWarnings("deprecation")
    private Mono<Answer> attempt(WebClient client) {
        return Mono.defer(() -> {
            requestTime = clock.instant();
            line = Optional.empty();
            var connected = new CompletableFuture<Optional<Line>>();
            return client.method(HttpMethod.valueOf(request.method()))
                    .uri(upstream.server())
                    .httpRequest(message -> write(message, connected))
                    .body((message, context) -> send(message))
                    .exchange()
                    .doOnError(failure -> connected.complete(Optional.empty()))
                    .onErrorComplete(failure -> leaving)
                    .cancelOn(Schedulers.fromExecutor(cancellation -> cancel(cancellation, connected)))
                    .flatMap(this::receive);
        });
    }

    /**
     * The connection was lost, and the request can be sent on a new one: either not a byte of it left, whatever its method, or it
     * is safe to send twice, and the connection had served before and was lost without a byte of a response (RFC 9112 section
     * 9.3.1): most likely the origin closed it just when it was taken from the pool.
     */
    private boolean maySendAgain(Throwable error) {
        Throwable cause = error instanceof WebClientRequestException wrapped ? wrapped.getCause() : error;
        if (cause instanceof ExpiredConnection) {
            return true;
        }
        if (!(cause instanceof IOException || cause instanceof AbortedException)) {
            return false;
        }
        return line.map(used -> used.departed()
                ? request.repeatable() && used.reused() && !used.answering()
                : upload.filter(Upload::begun).isEmpty()).orElseGet(() -> !newConnectionFailed(cause));
    }

    /** No connection was had: either the ones from the pool were dead, or a new one failed, which a newer one would, too. */
    private static boolean newConnectionFailed(@Nullable Throwable cause) {
        return cause instanceof SocketException || cause instanceof UnknownHostException
                || cause instanceof SSLException;
    }

    /** The origin gave up waiting for a request on a connection that idled, just when one was sent (RFC 9110 section 15.5.9). */
    private boolean expired(Line used, Head head) {
        return head.status() == REQUEST_TIMEOUT && used.reused() && request.repeatable()
                && !used.operations().isPersistent();
    }

    /** Writes the fields past Spring, which would group them by name, and in the place of Reactor Netty's defaults. */
    private void write(ClientHttpRequest message, CompletableFuture<Optional<Line>> connected) {
        HttpClientRequest head = message.getNativeRequest();
        line = Optional.of(Line.of((ChannelOperations<?, ?>) head));
        connected.complete(line);
        line.get().wire().interims(interims);
        line.get().wire().target(upstream.target(request.target()));
        HttpHeaders fields = head.requestHeaders().clear();
        if (!request.fields().has("Host")) {
            fields.add("Host", upstream.authority());
        }
        for (Fields.Field field : request.fields()) {
            if (passes(field)) {
                fields.add(field.name(), field.value());
            }
        }
        if (upload.isPresent() && !fields.contains(HttpHeaderNames.CONTENT_LENGTH)) {
            fields.add("Transfer-Encoding", HttpHeaderValues.CHUNKED);
        }
    }

    private boolean passes(Fields.Field field) {
        if (field.name().equalsIgnoreCase("Transfer-Encoding")) {
            return false;
        }
        return !field.name().equalsIgnoreCase("Content-Length") || upload.isPresent() || field.value().equals("0");
    }

    /** Sends the body as objects: as bytes Reactor Netty would first gather the whole of a GET's, HEAD's or DELETE's. */
    private Mono<Void> send(ClientHttpRequest message) {
        if (leaving) {
            return Mono.never();
        }
        NettyOutbound outbound = message.getNativeRequest();
        // The head by itself first: a body that has not been asked for can go out on another connection.
        Mono<Void> sending = upload
                .map(body -> outbound.then()
                        .then(Mono.defer(() -> outbound.sendObject((Publisher<?>) body.bytes()).then())))
                .orElseGet(() -> Mono.defer(message::setComplete));
        Line used = line.orElseThrow();
        return used.reused() ? used.checked().then(sending) : sending;
    }

    private Mono<Answer> receive(ClientResponse response) {
        Line used = line.orElseThrow();
        Head head = used.wire().head();
        if (expired(used, head)) {
            response.body(BodyExtractors.toDataBuffers()).subscribe(new Discard());
            // Hidden: an error that is known at once would cancel what led here, as if the client had left.
            return Mono.<Answer>error(new ExpiredConnection()).hide();
        }
        if (Unasked.is(request.method(), request.fields(), head.status())) {
            response.body(BodyExtractors.toDataBuffers()).subscribe(new Discard());
            return Mono.<Answer>error(new Wire.Malformed("status " + head.status() + " that nobody asked for")).hide();
        }
        var arrival = new Arrival(head, length(head), requestTime, clock.instant());
        Intake wish = intake.apply(head);
        return Mono.<Answer>create(sink -> {
            var body = new Inflow(upstream, patience, permit, used, arrival, wish,
                    upload.isPresent() ? upstream.timeout() : rest(), memory, sink);
            inflow = Optional.of(body);
            sink.onCancel(body::discard);
            response.body(BodyExtractors.toDataBuffers()).concatWith(Mono.defer(() -> end(used))).subscribe(body);
        }).doAfterTerminate(() -> {
            if (left) {
                inflow.ifPresent(Inflow::abandon);
            }
        });
    }

    /** The stack ends a body also when it tears an exchange down; only the wire knows whether that was its end. */
    private Mono<DataBuffer> end(Line used) {
        if (used.ended()) {
            return Mono.empty();
        }
        return Mono.error(
                upload.<Throwable>flatMap(Upload::failure).orElseGet(() -> new OriginFailed(CUT_SHORT, upstream.id())));
    }

    /** RFC 9110 section 8.6: in an answer to HEAD, and in a 304, Content-Length is that of another answer. */
    private long length(Head head) {
        if (request.method().equals("HEAD") || head.status() == 204 || head.status() == 304) {
            return 0;
        }
        return head.fields().first("Content-Length").map(Long::parseLong).orElse(Inflow.UNKNOWN);
    }

    private boolean answering() {
        return line.filter(Line::answering).isPresent();
    }

    private void failed(Throwable error) {
        if (error instanceof OriginFailed failure) {
            permit.failed(failure, line.isPresent());
        }
        permit.leave();
        // An error went out, so no answer did: if one was on its way at the same moment, nobody has it.
        inflow.ifPresent(Inflow::discard);
        line.ifPresent(Line::cut);
    }

    /**
     * Cancels on the event loop of the connection, when there is one: cancelled elsewhere, Reactor Netty may close a connection that
     * has just gone back to the pool; cancelled before, it keeps the place in the pool's queue, which is as long as there are permits.
     */
    private void cancel(Runnable cancellation, CompletableFuture<Optional<Line>> connected) {
        leaving = true;
        var unused = connected.thenAccept(connection -> connection.ifPresentOrElse(used -> used.loop().execute(() -> {
            cancellation.run();
            if (inflow.filter(Inflow::handedOver).isEmpty()) {
                used.cut();
                permit.leave();
            }
        }), permit::leave));
    }

    /** Leaving may cross an answer on its way out: that is dropped in silence somewhere below, and would hold its place until its timeout. */
    private void leave() {
        if (inflow.filter(Inflow::beingGiven).isEmpty()) {
            left = true;
            inflow.ifPresent(Inflow::abandon);
        }
    }

    /** After the cancellation has gone its way, or what it breaks off would look like the origin's failure. */
    private void ended(SignalType how) {
        if (how == SignalType.CANCEL && inflow.filter(Inflow::handedOver).isEmpty()) {
            if (leaving && line.isEmpty()) {
                permit.forget();
            } else {
                permit.leave();
            }
        }
    }
}
