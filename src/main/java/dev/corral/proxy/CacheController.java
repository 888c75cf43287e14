package dev.corral.proxy;

import dev.corral.http.CacheStatus;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.Problem;
import dev.corral.http.RequestHead;
import dev.corral.http.RequestTarget;
import dev.corral.origin.OriginFailedException;
import dev.corral.proxy.netty.InterimResponseRelay;
import dev.corral.proxy.netty.ReceivedHeaders;
import dev.corral.proxy.observe.AccessLog;
import dev.corral.proxy.observe.ProxyMetrics;
import dev.corral.proxy.observe.RequestTracing;
import io.netty.channel.EventLoop;
import io.netty.handler.codec.http.HttpVersion;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.http.server.reactive.ServerHttpResponseDecorator;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.util.DisconnectedClientHelper;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;
import reactor.netty.Connection;
import reactor.netty.DisposableChannel;
import reactor.netty.http.server.HttpServerRequest;
import reactor.netty.http.server.HttpServerResponse;

/** Handles every path and method of the data port: finds the route, has the request served, records the outcome. Thread-safe. */
@RestController
public final class CacheController {

    private static final Logger log = LoggerFactory.getLogger(CacheController.class);

    private final ProxyContext context;
    private final RouteTable routes;
    private final ResponseWriter responseWriter;
    private final RequestTracing tracing;
    private final AccessLog accessLog;
    private final ConcurrentMap<EventLoop, Scheduler> eventLoopSchedulers = new ConcurrentHashMap<>();
    private volatile Function<ServerHttpRequest, Optional<CacheController>> controllerOverride = request -> Optional
            .empty();

    /** @param routes in order of precedence: the first match wins */
    public CacheController(ProxyContext context, List<Route> routes, ResponseWriter responseWriter,
            RequestTracing tracing, AccessLog accessLog) {
        this.context = context;
        this.routes = new RouteTable(routes);
        this.responseWriter = responseWriter;
        this.tracing = tracing;
        this.accessLog = accessLog;
    }

    /**
     * From now on, a request for which the override returns a controller is handled by that controller and not by these routes. For
     * the warm-up, whose requests arrive on the same port as those of the clients.
     */
    public void overrideController(Function<ServerHttpRequest, Optional<CacheController>> override) {
        controllerOverride = override;
    }

    /** Handles one request. Completes when the response is written or has failed. */
    @RequestMapping("/**")
    public Mono<Void> handle(ServerWebExchange exchange) {
        CacheController responsible = controllerOverride.apply(exchange.getRequest()).orElse(this);
        return responsible.dispatch(responsible.accessLog.requestStarted(exchange));
    }

    private Mono<Void> dispatch(ServerWebExchange exchange) {
        HttpServerRequest received = ServerHttpRequestDecorator.getNativeRequest(exchange.getRequest());
        Optional<Problem> rejection = ReceivedHeaders.rejection(received);
        if (rejection.isPresent()) {
            // The rest of the connection cannot be separated from this request.
            exchange.getResponse().getHeaders().set(HttpHeaders.CONNECTION, "close");
            return reject(exchange, "none", rejection.get(), CacheStatus.ForwardReason.BYPASS);
        }
        String method = exchange.getRequest().getMethod().name();
        if (method.equals("TRACE") || method.equals("CONNECT")) {
            return reject(exchange, "none", Problem.METHOD_NOT_SUPPORTED, CacheStatus.ForwardReason.METHOD);
        }
        Optional<RequestTarget> target = RequestTarget.parse(ReceivedHeaders.target(received));
        return switch (target.map(routes::match).orElseGet(RouteTable.RouteMatch.NoRoute::new)) {
            case RouteTable.RouteMatch.MatchedRoute(Route route) ->
                dispatchToRoute(exchange, received, method, target.get(), route);
            case RouteTable.RouteMatch.NoRoute none ->
                reject(exchange, "none", Problem.NO_ROUTE, CacheStatus.ForwardReason.BYPASS);
            case RouteTable.RouteMatch.AmbiguousPath ambiguous ->
                reject(exchange, "none", Problem.AMBIGUOUS_PATH, CacheStatus.ForwardReason.BYPASS);
        };
    }

    private Mono<Void> dispatchToRoute(ServerWebExchange exchange, HttpServerRequest received, String method,
            RequestTarget target, Route route) {
        if (!route.allowsMethod(method)) {
            return reject(exchange, route.id(), Problem.METHOD_NOT_SUPPORTED, CacheStatus.ForwardReason.METHOD);
        }
        if (received.requestHeaders().containsValue("Upgrade", "websocket", true)) {
            return reject(exchange, route.id(), Problem.UPGRADE_NOT_SUPPORTED, CacheStatus.ForwardReason.BYPASS);
        }
        ClientRequest request = parseRequest(exchange, received, method, target, route);
        return request.head().bypassReason().isPresent()
                ? pass(exchange, request)
                : serveFromCache(exchange, request, eventLoopScheduler(received));
    }

    /** Reads the fields from Netty, because Spring groups them by name. */
    private ClientRequest parseRequest(ServerWebExchange exchange, HttpServerRequest received, String method,
            RequestTarget target, Route route) {
        ServerHttpRequest springRequest = exchange.getRequest();
        var lines = new ArrayList<HeaderFields.FieldLine>();
        for (Map.Entry<String, String> line : received.requestHeaders()) {
            lines.add(new HeaderFields.FieldLine(line.getKey(), line.getValue()));
        }
        HeaderFields fields = HeaderFields.of(lines);
        InetSocketAddress peer = springRequest.getRemoteAddress();
        String address = peer == null || peer.getAddress() == null ? "unknown" : peer.getAddress().getHostAddress();
        HttpVersion version = received.version();
        var connection = new Forwarding.ClientConnection(address, received.scheme(),
                fields.firstValue("Host").orElse(""),
                version.majorVersion() + "." + version.minorVersion());
        RequestTracing.RequestSpan span = tracing.startRequest(method, target.path(), fields, route.id(),
                route.forwarding().trustForwardedFields());
        return ClientRequest.of(route, RequestHead.parse(method, fields), target,
                Forwarding.effectiveClient(fields, connection, route.forwarding()),
                InterimResponseRelay.to(exchange.getResponse(), version),
                span);
    }

    /** The event loop of the client's connection, as a scheduler. */
    private Scheduler eventLoopScheduler(HttpServerRequest received) {
        return received instanceof Connection connection
                ? eventLoopSchedulers.computeIfAbsent(connection.channel().eventLoop(), Schedulers::fromExecutor)
                : Schedulers.immediate();
    }

    private Mono<Void> serveFromCache(ServerWebExchange exchange, ClientRequest request, Scheduler eventLoop) {
        var handler = new CacheHandler(context, request, eventLoop);
        return respond(exchange, request, handler.handle()).doFinally(end -> handler.release());
    }

    /** Passes a request that the cache does not serve to the origin and streams the response back. */
    private Mono<Void> pass(ServerWebExchange exchange, ClientRequest request) {
        var unshared = new UnsharedResponse();
        var handler = new PassHandler(context, request, unshared);
        return respond(exchange, request, handler.handle(body(exchange.getRequest())))
                .doFinally(end -> unshared.release());
    }

    private static Flux<DataBuffer> body(ServerHttpRequest request) {
        return request.getBody()
                .concatWith(Mono.defer(() -> ReceivedHeaders.isBodyMalformed(request)
                        ? Mono.error(MalformedBodyException::new)
                        : Mono.empty()));
    }

    private Mono<Void> respond(ServerWebExchange exchange, ClientRequest request, Mono<ProxyResponse> result) {
        ServerHttpResponse response = exchange.getResponse();
        var observation = new RequestObservation(exchange, request.route().id(), request.span());
        return observation
                .observe(result
                        .onErrorResume(
                                cause -> Mono.just(observation.span.inScope(() -> requestFailure(exchange, cause))))
                        .flatMap(proxyResponse -> responseWriter.write(response, request, proxyResponse)
                                .thenReturn(proxyResponse.outcome()))
                        .onErrorResume(cause -> response.isCommitted(),
                                cause -> Mono.just(observation.span.inScope(() -> responseFailure(response, cause)))));
    }

    private Mono<Void> reject(ServerWebExchange exchange, String route, Problem problem,
            CacheStatus.ForwardReason reason) {
        var problemResponse = new ProxyResponse.ProblemResponse(problem,
                CacheStatus.forwarded(reason).withDetail(problem.reason()),
                ProxyMetrics.RequestOutcome.REJECTED);
        RequestTracing.RequestSpan span = tracing.startRequest(exchange.getRequest().getMethod().name(),
                ReceivedHeaders.path(exchange.getRequest()),
                HeaderFields.EMPTY, route, false);
        return new RequestObservation(exchange, route, span)
                .observe(responseWriter.writeProblem(exchange.getResponse(), problemResponse)
                        .thenReturn(problemResponse.outcome()));
    }

    /** Handles a failure before the response begins: the request body is at fault, or Corral itself. */
    private static ProxyResponse requestFailure(ServerWebExchange exchange, Throwable cause) {
        Problem problem = switch (cause) {
            case TimeoutException timeout -> Problem.REQUEST_BODY_TIMEOUT;
            case IllegalArgumentException mismatch -> Problem.REQUEST_BODY_MISMATCH;
            default -> Problem.INTERNAL_ERROR;
        };
        // Check the client connection itself: an error about a lost connection may concern another connection.
        boolean clientClosed = ServerHttpRequestDecorator
                .<HttpServerRequest>getNativeRequest(exchange.getRequest()) instanceof Connection client
                && !client.channel().isActive();
        if (problem.status() >= 500 && !clientClosed) {
            log.error("A request failed because of an internal error", cause);
        }
        return new ProxyResponse.ProblemResponse(problem,
                CacheStatus.forwarded(CacheStatus.ForwardReason.MISS).withDetail(problem.reason()),
                clientClosed
                        ? ProxyMetrics.RequestOutcome.CLIENT_CLOSED
                        : problem.status() < 500
                                ? ProxyMetrics.RequestOutcome.REJECTED
                                : ProxyMetrics.RequestOutcome.FAILED);
    }

    /**
     * Handles a failure after the response has begun. Closes the connection, so that the client does not treat the response as
     * complete. Failures that an origin or a client has caused are not logged.
     */
    private static ProxyMetrics.RequestOutcome responseFailure(ServerHttpResponse response, Throwable cause) {
        HttpServerResponse sent = ServerHttpResponseDecorator.getNativeResponse(response);
        sent.withConnection(DisposableChannel::dispose);
        return switch (cause) {
            case OriginFailedException failed -> ProxyMetrics.RequestOutcome.FAILED;
            case MalformedBodyException malformed -> ProxyMetrics.RequestOutcome.REJECTED;
            // The client has stopped reading.
            case TimeoutException stalled -> ProxyMetrics.RequestOutcome.CLIENT_CLOSED;
            default -> {
                boolean clientClosed = DisconnectedClientHelper.isClientDisconnectedException(cause);
                if (!clientClosed) {
                    log.error("A response was aborted because of an internal error", cause);
                }
                yield clientClosed ? ProxyMetrics.RequestOutcome.CLIENT_CLOSED : ProxyMetrics.RequestOutcome.FAILED;
            }
        };
    }

    /** Records one request in metrics, access log and trace, from its dispatch to the end of its response. */
    private final class RequestObservation {

        private final ServerWebExchange exchange;
        private final String routeId;
        private final RequestTracing.RequestSpan span;
        /** Monotonic time. The fleet clock is adjusted now and then and may go backwards. */
        private final long startNanos = System.nanoTime();

        RequestObservation(ServerWebExchange exchange, String route, RequestTracing.RequestSpan span) {
            this.exchange = exchange;
            this.routeId = route;
            this.span = span;
        }

        Mono<Void> observe(Mono<ProxyMetrics.RequestOutcome> completion) {
            return completion.doOnSuccess(this::complete)
                    .doOnError(error -> complete(ProxyMetrics.RequestOutcome.FAILED))
                    .doOnCancel(() -> complete(ProxyMetrics.RequestOutcome.CLIENT_CLOSED))
                    .then();
        }

        private void complete(ProxyMetrics.RequestOutcome outcome) {
            Duration time = Duration.ofNanos(System.nanoTime() - startNanos);
            span.inScope(() -> {
                context.metrics().recordRequest(routeId, outcome, time);
                accessLog.requestCompleted(exchange, routeId, outcome, time);
                return outcome;
            });
            ServerHttpResponse response = exchange.getResponse();
            HttpStatusCode status = response.getStatusCode();
            span.end(status == null || !response.isCommitted() ? 0 : status.value(), outcome);
        }
    }
}
