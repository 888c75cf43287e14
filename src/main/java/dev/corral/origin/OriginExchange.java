package dev.corral.origin;

import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import dev.corral.http.UnsolicitedStatus;
import dev.corral.origin.OriginAdmission.OriginPermit;
import dev.corral.origin.ResponseBodyReader.ResponseStart;
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

import static dev.corral.origin.OriginFailedException.Reason.TRUNCATED;

/** One request and its answer: at most two attempts, one deadline, one permit that is left however it ends. */
final class OriginExchange {

    private static final int STATUS_REQUEST_TIMEOUT = 408;

    /** What came is no response to this request. */
    private static final class ExpiredConnectionException extends IOException {

        private static final long serialVersionUID = 1L;

        ExpiredConnectionException() {
            super("the origin had given up waiting for a request on this connection");
        }

        @Override
        public synchronized Throwable fillInStackTrace() {
            return this;
        }
    }

    /** Closes the connection instead of reading. */
    private static final class BodyDiscarder extends BaseSubscriber<DataBuffer> {

        @Override
        protected void hookOnSubscribe(Subscription subscription) {
            subscription.cancel();
        }
    }

    private final OriginConfig config;
    private final Duration readerStallTimeout;
    private final OriginRequest request;
    private final Function<ResponseHead, BodyMode> bodyModeSelector;
    private final Consumer<ResponseHead> interimListener;
    private final LongPredicate memoryBudget;
    private final OriginPermit permit;
    private final Clock clock;
    private final Optional<RequestBody> requestBody;

    private final long startNanos = System.nanoTime();

    /** Whether whoever asked has left, and not with the answer in his hands. */
    private volatile boolean isClientGone;
    /** Whether the attempt was cancelled; that waits for its connection. */
    private volatile boolean isCancelling;

    // The current attempt's.
    private volatile Instant requestTime;
    private volatile Optional<OriginConnection> connection = Optional.empty();
    private volatile Optional<ResponseBodyReader> bodyReader = Optional.empty();

    OriginExchange(OriginConfig upstream, Duration patience, OriginRequest request,
            Function<ResponseHead, BodyMode> intake,
            Consumer<ResponseHead> interims, LongPredicate memory, OriginPermit permit, Clock clock) {
        this.memoryBudget = memory;
        this.config = upstream;
        this.readerStallTimeout = patience;
        this.request = request;
        this.bodyModeSelector = intake;
        this.interimListener = interims;
        this.permit = permit;
        this.clock = clock;
        this.requestTime = clock.instant();
        this.requestBody = request.requestBody();
    }

    /** The answer. {@code anew} never hands out a connection that has been used: the second attempt cannot find it dead, too. */
    Mono<OriginResponse> execute(WebClient pooled, WebClient anew, BooleanSupplier closed) {
        // Connections that we close ourselves look just like dead ones.
        Mono<OriginResponse> attempts = attempt(pooled).onErrorResume(
                error -> mayRetry(error) && !closed.getAsBoolean(),
                dead -> attempt(anew));
        return withTimeout(attempts)
                .onErrorMap(error -> OriginFailedException.translate(error, config.id(), hasResponseStarted()))
                .doOnError(this::onFailure)
                .doFinally(this::onEnd)
                .doOnCancel(this::onClientGone);
    }

    private Mono<OriginResponse> withTimeout(Mono<OriginResponse> attempts) {
        return requestBody.map(sent -> attempts.timeout(sent.awaitStall(config.timeout())))
                .orElseGet(() -> attempts
                        .timeout(Mono.defer(() -> Mono.delay(remainingTime())).then(Mono.defer(this::onTimeout))));
    }

    /** How much is left of the time in which the whole response is to come. */
    private Duration remainingTime() {
        return config.timeout().minusNanos(System.nanoTime() - startNanos);
    }

    /** The time is over. A body on its way in has the same limit, and knows whether it is alive. */
    private Mono<Void> onTimeout() {
        return bodyReader.isPresent() ? Mono.never() : Mono.empty();
    }

    // exchange() is deprecated because it leaves the body to its caller; the other forms drain what is not read at once.
    @SuppressWarnings("deprecation")
    private Mono<OriginResponse> attempt(WebClient client) {
        return Mono.defer(() -> {
            requestTime = clock.instant();
            connection = Optional.empty();
            var connected = new CompletableFuture<Optional<OriginConnection>>();
            return client.method(HttpMethod.valueOf(request.method()))
                    .uri(config.serverUri())
                    .httpRequest(message -> writeHead(message, connected))
                    .body((message, context) -> sendBody(message))
                    .exchange()
                    .doOnError(failure -> connected.complete(Optional.empty()))
                    .onErrorComplete(failure -> isCancelling)
                    .cancelOn(Schedulers.fromExecutor(cancellation -> cancelOnEventLoop(cancellation, connected)))
                    .flatMap(this::receiveResponse);
        });
    }

    /**
     * The connection was lost, and the request can be sent on a new one: either not a byte of it left, whatever its method, or it
     * is safe to send twice, and the connection had served before and was lost without a byte of a response (RFC 9112 section
     * 9.3.1): most likely the origin closed it just when it was taken from the pool.
     */
    private boolean mayRetry(Throwable error) {
        Throwable cause = error instanceof WebClientRequestException wrapped ? wrapped.getCause() : error;
        if (cause instanceof ExpiredConnectionException) {
            return true;
        }
        if (!(cause instanceof IOException || cause instanceof AbortedException)) {
            return false;
        }
        return connection.map(used -> used.hasSentRequestBytes()
                ? request.isRepeatable() && used.isReused() && !used.hasResponseStarted()
                : requestBody.filter(RequestBody::isRequested).isEmpty())
                .orElseGet(() -> !isNewConnectionFailure(cause));
    }

    /** No connection was had: either the ones from the pool were dead, or a new one failed, which a newer one would, too. */
    private static boolean isNewConnectionFailure(@Nullable Throwable cause) {
        return cause instanceof SocketException || cause instanceof UnknownHostException
                || cause instanceof SSLException;
    }

    /** The origin gave up waiting for a request on a connection that idled, just when one was sent (RFC 9110 section 15.5.9). */
    private boolean isConnectionExpired(OriginConnection used, ResponseHead head) {
        return head.status() == STATUS_REQUEST_TIMEOUT && used.isReused() && request.isRepeatable()
                && !used.operations().isPersistent();
    }

    /** Writes the fields past Spring, which would group them by name, and in the place of Reactor Netty's defaults. */
    private void writeHead(ClientHttpRequest message, CompletableFuture<Optional<OriginConnection>> connected) {
        HttpClientRequest head = message.getNativeRequest();
        connection = Optional.of(OriginConnection.of((ChannelOperations<?, ?>) head));
        connected.complete(connection);
        connection.get().codec().interimListener(interimListener);
        connection.get().codec().requestTarget(config.prefixedTarget(request.target()));
        HttpHeaders fields = head.requestHeaders().clear();
        if (!request.fields().has("Host")) {
            fields.add("Host", config.authority());
        }
        for (HeaderFields.FieldLine field : request.fields()) {
            if (isForwarded(field)) {
                fields.add(field.name(), field.value());
            }
        }
        if (requestBody.isPresent() && !fields.contains(HttpHeaderNames.CONTENT_LENGTH)) {
            fields.add("Transfer-Encoding", HttpHeaderValues.CHUNKED);
        }
    }

    private boolean isForwarded(HeaderFields.FieldLine field) {
        if (field.name().equalsIgnoreCase("Transfer-Encoding")) {
            return false;
        }
        return !field.name().equalsIgnoreCase("Content-Length") || requestBody.isPresent() || field.value().equals("0");
    }

    /** Sends the body as objects: as bytes Reactor Netty would first gather the whole of a GET's, HEAD's or DELETE's. */
    private Mono<Void> sendBody(ClientHttpRequest message) {
        if (isCancelling) {
            return Mono.never();
        }
        NettyOutbound outbound = message.getNativeRequest();
        // The head by itself first: a body that has not been asked for can go out on another connection.
        Mono<Void> sending = requestBody
                .map(body -> outbound.then()
                        .then(Mono.defer(() -> outbound.sendObject((Publisher<?>) body.bytes()).then())))
                .orElseGet(() -> Mono.defer(message::setComplete));
        OriginConnection used = connection.orElseThrow();
        return used.isReused() ? used.verifyAlive().then(sending) : sending;
    }

    private Mono<OriginResponse> receiveResponse(ClientResponse response) {
        OriginConnection used = connection.orElseThrow();
        ResponseHead head = used.codec().responseHead();
        if (isConnectionExpired(used, head)) {
            response.body(BodyExtractors.toDataBuffers()).subscribe(new BodyDiscarder());
            // Hidden: an error that is known at once would cancel what led here, as if the client had left.
            return Mono.<OriginResponse>error(new ExpiredConnectionException()).hide();
        }
        if (UnsolicitedStatus.isUnsolicited(request.method(), request.fields(), head.status())) {
            response.body(BodyExtractors.toDataBuffers()).subscribe(new BodyDiscarder());
            return Mono.<OriginResponse>error(new OriginHttpCodec.MalformedResponseException(
                    "status " + head.status() + " that nobody asked for")).hide();
        }
        var arrival = new ResponseStart(head, bodyLength(head), requestTime, clock.instant());
        BodyMode wish = bodyModeSelector.apply(head);
        return Mono.<OriginResponse>create(sink -> {
            var body = new ResponseBodyReader(config, readerStallTimeout, permit, used, arrival, wish,
                    requestBody.isPresent() ? config.timeout() : remainingTime(), memoryBudget, sink);
            bodyReader = Optional.of(body);
            sink.onCancel(body::discard);
            response.body(BodyExtractors.toDataBuffers()).concatWith(Mono.defer(() -> endOfBody(used))).subscribe(body);
        }).doAfterTerminate(() -> {
            if (isClientGone) {
                bodyReader.ifPresent(ResponseBodyReader::discardUnlessRead);
            }
        });
    }

    /** The stack ends a body also when it tears an exchange down; only the wire knows whether that was its end. */
    private Mono<DataBuffer> endOfBody(OriginConnection used) {
        if (used.isResponseComplete()) {
            return Mono.empty();
        }
        return Mono.error(
                requestBody.<Throwable>flatMap(RequestBody::failure)
                        .orElseGet(() -> new OriginFailedException(TRUNCATED, config.id())));
    }

    /** RFC 9110 section 8.6: in an answer to HEAD, and in a 304, Content-Length is that of another answer. */
    private long bodyLength(ResponseHead head) {
        if (request.method().equals("HEAD") || head.status() == 204 || head.status() == 304) {
            return 0;
        }
        return head.fields()
                .firstValue("Content-Length")
                .map(Long::parseLong)
                .orElse(ResponseBodyReader.UNKNOWN_LENGTH);
    }

    private boolean hasResponseStarted() {
        return connection.filter(OriginConnection::hasResponseStarted).isPresent();
    }

    private void onFailure(Throwable error) {
        if (error instanceof OriginFailedException failure) {
            permit.onFailure(failure, connection.isPresent());
        }
        permit.release();
        // An error went out, so no answer did: if one was on its way at the same moment, nobody has it.
        bodyReader.ifPresent(ResponseBodyReader::discard);
        connection.ifPresent(OriginConnection::close);
    }

    /**
     * Cancels on the event loop of the connection, when there is one: cancelled elsewhere, Reactor Netty may close a connection that
     * has just gone back to the pool; cancelled before, it keeps the place in the pool's queue, which is as long as there are permits.
     */
    private void cancelOnEventLoop(Runnable cancellation, CompletableFuture<Optional<OriginConnection>> connected) {
        isCancelling = true;
        var unused = connected
                .thenAccept(connection -> connection.ifPresentOrElse(used -> used.eventLoop().execute(() -> {
                    cancellation.run();
                    if (bodyReader.filter(ResponseBodyReader::isHandedOver).isEmpty()) {
                        used.close();
                        permit.release();
                    }
                }), permit::release));
    }

    /** Leaving may cross an answer on its way out: that is dropped in silence somewhere below, and would hold its place until its timeout. */
    private void onClientGone() {
        if (bodyReader.filter(ResponseBodyReader::isDelivering).isEmpty()) {
            isClientGone = true;
            bodyReader.ifPresent(ResponseBodyReader::discardUnlessRead);
        }
    }

    /** After the cancellation has gone its way, or what it breaks off would look like the origin's failure. */
    private void onEnd(SignalType how) {
        if (how == SignalType.CANCEL && bodyReader.filter(ResponseBodyReader::isHandedOver).isEmpty()) {
            if (isCancelling && connection.isEmpty()) {
                permit.releaseIfPending();
            } else {
                permit.release();
            }
        }
    }
}
