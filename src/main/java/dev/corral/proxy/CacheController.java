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

/** The data port: every path, every method. Finds the route, lets the request be answered, counts. Thread-safe. */
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

    /** @param routes in their order: the first that matches wins */
    public CacheController(ProxyContext edge, List<Route> routes, ResponseWriter responder, RequestTracing tracing,
            AccessLog accesses) {
        this.context = edge;
        this.routes = new RouteTable(routes);
        this.responseWriter = responder;
        this.tracing = tracing;
        this.accessLog = accesses;
    }

    /**
     * From now on, requests for which this has a controller are handled by that one and not by these routes. For the warm-up,
     * whose requests come in where the clients' do.
     */
    public void overrideController(Function<ServerHttpRequest, Optional<CacheController>> to) {
        controllerOverride = to;
    }

    /** Answers one request. Completes when the answer is written, or cannot be. */
    @RequestMapping("/**")
    public Mono<Void> handle(ServerWebExchange exchange) {
        CacheController responsible = controllerOverride.apply(exchange.getRequest()).orElse(this);
        return responsible.dispatch(responsible.accessLog.requestStarted(exchange));
    }

    private Mono<Void> dispatch(ServerWebExchange exchange) {
        HttpServerRequest received = ServerHttpRequestDecorator.getNativeRequest(exchange.getRequest());
        Optional<Problem> refusal = ReceivedHeaders.rejection(received);
        if (refusal.isPresent()) {
            // What follows on the connection cannot be told from this.
            exchange.getResponse().getHeaders().set(HttpHeaders.CONNECTION, "close");
            return reject(exchange, "none", refusal.get(), CacheStatus.ForwardReason.BYPASS);
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

    /** Reads the fields past Spring, which groups them by name. */
    private ClientRequest parseRequest(ServerWebExchange exchange, HttpServerRequest received, String method,
            RequestTarget target, Route route) {
        ServerHttpRequest spring = exchange.getRequest();
        var lines = new ArrayList<HeaderFields.FieldLine>();
        for (Map.Entry<String, String> line : received.requestHeaders()) {
            lines.add(new HeaderFields.FieldLine(line.getKey(), line.getValue()));
        }
        HeaderFields fields = HeaderFields.of(lines);
        InetSocketAddress peer = spring.getRemoteAddress();
        String address = peer == null || peer.getAddress() == null ? "unknown" : peer.getAddress().getHostAddress();
        HttpVersion version = received.version();
        var connection = new Forwarding.ClientConnection(address, received.scheme(),
                fields.firstValue("Host").orElse(""),
                version.majorVersion() + "." + version.minorVersion());
        RequestTracing.RequestSpan trace = tracing.startRequest(method, target.path(), fields, route.id(),
                route.forwarding().trustForwardedFields());
        return ClientRequest.of(route, RequestHead.parse(method, fields), target,
                Forwarding.effectiveClient(fields, connection, route.forwarding()),
                InterimResponseRelay.to(exchange.getResponse(), version),
                trace);
    }

    /** The event loop of the client's connection, as a scheduler. */
    private Scheduler eventLoopScheduler(HttpServerRequest received) {
        return received instanceof Connection connection
                ? eventLoopSchedulers.computeIfAbsent(connection.channel().eventLoop(), Schedulers::fromExecutor)
                : Schedulers.immediate();
    }

    private Mono<Void> serveFromCache(ServerWebExchange exchange, ClientRequest request, Scheduler loop) {
        var handler = new CacheHandler(context, request, loop);
        return respond(exchange, request, handler.handle()).doFinally(end -> handler.release());
    }

    /** A request that the cache does not serve: to the origin and back, streamed. */
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
        var course = new RequestObservation(exchange, request.route().id(), request.span());
        return course
                .observe(result
                        .onErrorResume(cause -> Mono.just(course.span.inScope(() -> requestFailure(exchange, cause))))
                        .flatMap(end -> responseWriter.write(response, request, end).thenReturn(end.outcome()))
                        .onErrorResume(cause -> response.isCommitted(),
                                cause -> Mono.just(course.span.inScope(() -> responseFailure(response, cause)))));
    }

    private Mono<Void> reject(ServerWebExchange exchange, String route, Problem problem,
            CacheStatus.ForwardReason why) {
        var refused = new ProxyResponse.ProblemResponse(problem,
                CacheStatus.forwarded(why).withDetail(problem.reason()),
                ProxyMetrics.RequestOutcome.REJECTED);
        RequestTracing.RequestSpan trace = tracing.startRequest(exchange.getRequest().getMethod().name(),
                ReceivedHeaders.path(exchange.getRequest()),
                HeaderFields.EMPTY, route, false);
        return new RequestObservation(exchange, route, trace)
                .observe(responseWriter.writeProblem(exchange.getResponse(), refused).thenReturn(refused.outcome()));
    }

    /** No answer has begun: what fails here is the request's body, or ourselves. */
    private static ProxyResponse requestFailure(ServerWebExchange exchange, Throwable cause) {
        Problem problem = switch (cause) {
            case TimeoutException late -> Problem.REQUEST_BODY_TIMEOUT;
            case IllegalArgumentException mismatch -> Problem.REQUEST_BODY_MISMATCH;
            default -> Problem.INTERNAL_ERROR;
        };
        // Judged by its connection: an error that speaks of a lost connection may be about another one.
        boolean left = ServerHttpRequestDecorator
                .<HttpServerRequest>getNativeRequest(exchange.getRequest()) instanceof Connection client
                && !client.channel().isActive();
        if (problem.status() >= 500 && !left) {
            log.error("A request failed for a reason of our own", cause);
        }
        return new ProxyResponse.ProblemResponse(problem,
                CacheStatus.forwarded(CacheStatus.ForwardReason.MISS).withDetail(problem.reason()),
                left
                        ? ProxyMetrics.RequestOutcome.CLIENT_CLOSED
                        : problem.status() < 500
                                ? ProxyMetrics.RequestOutcome.REJECTED
                                : ProxyMetrics.RequestOutcome.FAILED);
    }

    /**
     * An answer has begun and cannot be finished. The connection is closed, so that the client does not take it for whole; what
     * an origin or a client has done is nothing to log.
     */
    private static ProxyMetrics.RequestOutcome responseFailure(ServerHttpResponse response, Throwable cause) {
        HttpServerResponse sent = ServerHttpResponseDecorator.getNativeResponse(response);
        sent.withConnection(DisposableChannel::dispose);
        return switch (cause) {
            case OriginFailedException failed -> ProxyMetrics.RequestOutcome.FAILED;
            case MalformedBodyException malformed -> ProxyMetrics.RequestOutcome.REJECTED;
            // The client takes nothing any more.
            case TimeoutException stalled -> ProxyMetrics.RequestOutcome.CLIENT_CLOSED;
            default -> {
                boolean left = DisconnectedClientHelper.isClientDisconnectedException(cause);
                if (!left) {
                    log.error("An answer broke off for a reason of our own", cause);
                }
                yield left ? ProxyMetrics.RequestOutcome.CLIENT_CLOSED : ProxyMetrics.RequestOutcome.FAILED;
            }
        };
    }

    /** One request from here to the end of its answer, for those who count and look. */
    private final class RequestObservation {

        private final ServerWebExchange exchange;
        private final String routeId;
        private final RequestTracing.RequestSpan span;
        /** Not the fleet's clock, which is set right now and then, and may go back. */
        private final long startNanos = System.nanoTime();

        RequestObservation(ServerWebExchange exchange, String route, RequestTracing.RequestSpan trace) {
            this.exchange = exchange;
            this.routeId = route;
            this.span = trace;
        }

        Mono<Void> observe(Mono<ProxyMetrics.RequestOutcome> answer) {
            return answer.doOnSuccess(this::complete)
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
