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

/**
 * One request and its response: at most two attempts, one deadline, one permit. Subscribed to once.
 *
 * <p>
 * How it runs:
 * <ol>
 * <li>An attempt acquires a connection, writes the head and the body, and waits for the response head. The first attempt may use a
 * pooled connection, the second one never does. A second attempt follows only when {@link #mayRetry} allows it.
 * <li>When the head has arrived, {@code bodyModeSelector} decides how the body is read, and a {@link ResponseBodyReader} takes over. It
 * emits the response: {@code Buffered} when the whole body was collected, {@code Streaming} when the body is still arriving.
 * <li>An error, the deadline or a cancellation ends the exchange earlier and closes the connection.
 * </ol>
 *
 * <p>
 * The permit belongs to the exchange until the reader has handed over the response ({@link ResponseBodyReader#isHandedOver}); from then
 * on the reader releases it. Every end releases the permit: an error in {@link #onFailure}, a cancellation in {@link #onEnd} or, when
 * the connection is still being acquired, in {@link #cancelOnEventLoop} as soon as the acquisition has ended. A response whose delivery
 * races with a cancellation is discarded, because nobody would release its permit before its timeout.
 *
 * <p>
 * Threads: the subscription and the cancellation may come from any thread, everything that concerns the connection runs on its event
 * loop. The volatile fields are written by one side and read by the other.
 */
final class OriginExchange {

    private static final int STATUS_REQUEST_TIMEOUT = 408;

    /** The origin sent 408 because it stopped waiting on an idle connection: not a response to this request. */
    private static final class ExpiredConnectionException extends IOException {

        private static final long serialVersionUID = 1L;

        ExpiredConnectionException() {
            super("the origin stopped waiting for a request on this connection");
        }

        @Override
        public synchronized Throwable fillInStackTrace() {
            return this;
        }
    }

    /** Closes the connection instead of reading the body. */
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

    /** Whether the subscriber cancelled before it received the response. */
    private volatile boolean isClientGone;
    /** Whether the attempt was cancelled. The cancellation takes effect once the connection is acquired. */
    private volatile boolean isCancelling;

    // State of the current attempt.
    private volatile Instant requestTime;
    private volatile Optional<OriginConnection> connection = Optional.empty();
    private volatile Optional<ResponseBodyReader> bodyReader = Optional.empty();

    OriginExchange(OriginConfig config, Duration readerStallTimeout, OriginRequest request,
            Function<ResponseHead, BodyMode> bodyModeSelector,
            Consumer<ResponseHead> interimListener, LongPredicate memoryBudget, OriginPermit permit, Clock clock) {
        this.memoryBudget = memoryBudget;
        this.config = config;
        this.readerStallTimeout = readerStallTimeout;
        this.request = request;
        this.bodyModeSelector = bodyModeSelector;
        this.interimListener = interimListener;
        this.permit = permit;
        this.clock = clock;
        this.requestTime = clock.instant();
        this.requestBody = request.requestBody();
    }

    /**
     * The response.
     *
     * @param pooledClient        for the first attempt
     * @param newConnectionClient for the second attempt; never reuses a connection, which could be dead again
     * @param isClientClosed      whether the client was closed; then there is no second attempt
     */
    Mono<OriginResponse> execute(WebClient pooledClient, WebClient newConnectionClient,
            BooleanSupplier isClientClosed) {
        // Connections that close() closes look like dead ones.
        Mono<OriginResponse> attempts = attempt(pooledClient).onErrorResume(
                error -> mayRetry(error) && !isClientClosed.getAsBoolean(),
                ignored -> attempt(newConnectionClient));
        return withTimeout(attempts)
                .onErrorMap(error -> OriginFailedException.translate(error, config.id(), hasResponseStarted()))
                .doOnError(this::onFailure)
                .doFinally(this::onEnd)
                .doOnCancel(this::onClientGone);
    }

    private Mono<OriginResponse> withTimeout(Mono<OriginResponse> attempts) {
        return requestBody.map(body -> attempts.timeout(body.awaitStall(config.timeout())))
                .orElseGet(() -> attempts
                        .timeout(Mono.defer(() -> Mono.delay(remainingTime())).then(Mono.defer(this::onTimeout))));
    }

    /** The rest of the time in which the whole response must arrive. */
    private Duration remainingTime() {
        return config.timeout().minusNanos(System.nanoTime() - startNanos);
    }

    /** Called when the time is over. Ends the exchange unless a body is arriving: its reader has the same limit and decides. */
    private Mono<Void> onTimeout() {
        return bodyReader.isPresent() ? Mono.never() : Mono.empty();
    }

    // exchange() is deprecated because its caller must consume the body; the other forms drain a body that is not read at once.
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
     * Whether the connection was lost and the request may be sent on a new one. Either no byte of the request was sent, whatever its
     * method; or the request is safe to repeat, and a reused connection was lost without a byte of a response (RFC 9112 section
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

    /** Without a connection: a new one failed, and another new one would fail too. False when only pooled connections were dead. */
    private static boolean isNewConnectionFailure(@Nullable Throwable cause) {
        return cause instanceof SocketException || cause instanceof UnknownHostException
                || cause instanceof SSLException;
    }

    /** Whether the origin stopped waiting on an idle connection just when the request was sent (408, RFC 9110 section 15.5.9). */
    private boolean isConnectionExpired(OriginConnection used, ResponseHead head) {
        return head.status() == STATUS_REQUEST_TIMEOUT && used.isReused() && request.isRepeatable()
                && !used.operations().isPersistent();
    }

    /** Writes the header fields directly: Spring would group them by name. They replace Reactor Netty's default fields. */
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

    /** Sends the body as objects: sent as bytes, Reactor Netty would first collect the whole body of a GET, HEAD or DELETE. */
    private Mono<Void> sendBody(ClientHttpRequest message) {
        if (isCancelling) {
            return Mono.never();
        }
        NettyOutbound outbound = message.getNativeRequest();
        // The head is written first and by itself: as long as the body is not requested, it can be sent on another connection.
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
            // hide(): a scalar error would cancel the upstream operators, as if the client had disconnected.
            return Mono.<OriginResponse>error(new ExpiredConnectionException()).hide();
        }
        if (UnsolicitedStatus.isUnsolicited(request.method(), request.fields(), head.status())) {
            response.body(BodyExtractors.toDataBuffers()).subscribe(new BodyDiscarder());
            return Mono.<OriginResponse>error(new OriginHttpCodec.MalformedResponseException(
                    "unsolicited status " + head.status())).hide();
        }
        var responseStart = new ResponseStart(head, bodyLength(head), requestTime, clock.instant());
        BodyMode bodyMode = bodyModeSelector.apply(head);
        return Mono.<OriginResponse>create(sink -> {
            var body = new ResponseBodyReader(config, readerStallTimeout, permit, used, responseStart, bodyMode,
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

    /** Reactor Netty completes a body also when it tears down an exchange; only the codec knows whether the body was complete. */
    private Mono<DataBuffer> endOfBody(OriginConnection used) {
        if (used.isResponseComplete()) {
            return Mono.empty();
        }
        return Mono.error(
                requestBody.<Throwable>flatMap(RequestBody::failure)
                        .orElseGet(() -> new OriginFailedException(TRUNCATED, config.id())));
    }

    /** RFC 9110 section 8.6: in a response to HEAD and in a 304, Content-Length is the length of another response. */
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
        // The subscriber got an error, so a response that was being delivered at the same moment has no reader.
        bodyReader.ifPresent(ResponseBodyReader::discard);
        connection.ifPresent(OriginConnection::close);
    }

    /**
     * Cancels on the event loop of the connection, once the connection is acquired. Cancelled on another thread, Reactor Netty could
     * close a connection that was just returned to the pool. Cancelled before the acquisition, it would keep its place in the pool's
     * queue, which has only as many places as there are permits.
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

    /**
     * A cancellation can race with the delivery of the response. Reactor drops an undelivered response silently, so it must be
     * discarded here; otherwise it holds its permit until its timeout.
     */
    private void onClientGone() {
        if (bodyReader.filter(ResponseBodyReader::isDelivering).isEmpty()) {
            isClientGone = true;
            bodyReader.ifPresent(ResponseBodyReader::discardUnlessRead);
        }
    }

    /** Runs after the cancellation was propagated; the aborted connection would look like a failure of the origin otherwise. */
    private void onEnd(SignalType signal) {
        if (signal == SignalType.CANCEL && bodyReader.filter(ResponseBodyReader::isHandedOver).isEmpty()) {
            if (isCancelling && connection.isEmpty()) {
                permit.releaseIfPending();
            } else {
                permit.release();
            }
        }
    }
}
