package dev.corral.edge;

import dev.corral.http.Asked;
import dev.corral.http.CacheStatus;
import dev.corral.http.Fields;
import dev.corral.http.Forwarding;
import dev.corral.http.RequestTarget;
import dev.corral.origin.OriginFailed;
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
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;
import reactor.netty.Connection;
import reactor.netty.DisposableChannel;
import reactor.netty.http.server.HttpServerRequest;
import reactor.netty.http.server.HttpServerResponse;

/** The data port: every path, every method. Finds the route, lets the request be answered, counts. Thread-safe. */
@RestController
public final class EdgeController {

    private static final Logger log = LoggerFactory.getLogger(EdgeController.class);

    private final Edge edge;
    private final RouteTable routes;
    private final Responder responder;
    private final Tracing tracing;
    private final AccessLog accesses;
    private final ConcurrentMap<EventLoop, Scheduler> loops = new ConcurrentHashMap<>();
    private volatile Function<ServerHttpRequest, Optional<EdgeController>> diversion = request -> Optional.empty();

    /** @param routes in their order: the first that matches wins */
    public EdgeController(Edge edge, List<Route> routes, Responder responder, Tracing tracing, AccessLog accesses) {
        this.edge = edge;
        this.routes = new RouteTable(routes);
        this.responder = responder;
        this.tracing = tracing;
        this.accesses = accesses;
    }

    /**
     * From now on, requests for which this has a controller are handled by that one and not by these routes. For the warm-up,
     * whose requests come in where the clients' do.
     */
    public void divert(Function<ServerHttpRequest, Optional<EdgeController>> to) {
        diversion = to;
    }

    /** Answers one request. Completes when the answer is written, or cannot be. */
    @RequestMapping("/**")
    public Mono<Void> handle(ServerWebExchange exchange) {
        EdgeController responsible = diversion.apply(exchange.getRequest()).orElse(this);
        return responsible.dispatch(responsible.accesses.opened(exchange));
    }

    private Mono<Void> dispatch(ServerWebExchange exchange) {
        HttpServerRequest received = ServerHttpRequestDecorator.getNativeRequest(exchange.getRequest());
        Optional<Problem> refusal = ReceivedHead.refusal(received);
        if (refusal.isPresent()) {
            // What follows on the connection cannot be told from this.
            exchange.getResponse().getHeaders().set(HttpHeaders.CONNECTION, "close");
            return refuse(exchange, "none", refusal.get(), CacheStatus.Forward.BYPASS);
        }
        String method = exchange.getRequest().getMethod().name();
        if (method.equals("TRACE") || method.equals("CONNECT")) {
            return refuse(exchange, "none", Problem.METHOD_REFUSED, CacheStatus.Forward.METHOD);
        }
        Optional<RequestTarget> target = RequestTarget.parse(ReceivedHead.target(received));
        return switch (target.map(routes::match).orElseGet(RouteTable.Match.None::new)) {
            case RouteTable.Match.Found(Route route) -> dispatch(exchange, received, method, target.get(), route);
            case RouteTable.Match.None none ->
                refuse(exchange, "none", Problem.NO_ROUTE, CacheStatus.Forward.BYPASS);
            case RouteTable.Match.Ambiguous ambiguous ->
                refuse(exchange, "none", Problem.AMBIGUOUS_PATH, CacheStatus.Forward.BYPASS);
        };
    }

    private Mono<Void> dispatch(ServerWebExchange exchange, HttpServerRequest received, String method,
            RequestTarget target, Route route) {
        if (!route.allows(method)) {
            return refuse(exchange, route.id(), Problem.METHOD_REFUSED, CacheStatus.Forward.METHOD);
        }
        if (received.requestHeaders().containsValue("Upgrade", "websocket", true)) {
            return refuse(exchange, route.id(), Problem.UPGRADE_REFUSED, CacheStatus.Forward.BYPASS);
        }
        Request request = request(exchange, received, method, target, route);
        return request.asked().bypass().isPresent()
                ? pass(exchange, request)
                : visit(exchange, request, loop(received));
    }

    /** Reads the fields past Spring, which groups them by name. */
    private Request request(ServerWebExchange exchange, HttpServerRequest received, String method,
            RequestTarget target, Route route) {
        ServerHttpRequest spring = exchange.getRequest();
        var lines = new ArrayList<Fields.Field>();
        for (Map.Entry<String, String> line : received.requestHeaders()) {
            lines.add(new Fields.Field(line.getKey(), line.getValue()));
        }
        Fields fields = Fields.of(lines);
        InetSocketAddress peer = spring.getRemoteAddress();
        String address = peer == null || peer.getAddress() == null ? "unknown" : peer.getAddress().getHostAddress();
        HttpVersion version = received.version();
        var connection = new Forwarding.From(address, received.scheme(), fields.first("Host").orElse(""),
                version.majorVersion() + "." + version.minorVersion());
        Tracing.Trace trace = tracing.begin(method, target.path(), fields, route.id(),
                route.forwarding().trustForwarded());
        return Request.of(route, Asked.parse(method, fields), target,
                Forwarding.seen(fields, connection, route.forwarding()), Interims.to(exchange.getResponse(), version),
                trace);
    }

    /** The event loop of the client's connection, as a scheduler. */
    private Scheduler loop(HttpServerRequest received) {
        return received instanceof Connection connection
                ? loops.computeIfAbsent(connection.channel().eventLoop(), Schedulers::fromExecutor)
                : Schedulers.immediate();
    }

    private Mono<Void> visit(ServerWebExchange exchange, Request request, Scheduler loop) {
        Visit visit = Visit.of(edge, request, loop);
        return answer(exchange, request, visit.result()).doFinally(end -> visit.leave());
    }

    /** A request that is none of the cache's business: to the origin and back, streamed, untouched. */
    private Mono<Void> pass(ServerWebExchange exchange, Request request) {
        var passage = new Passage(edge, request);
        return answer(exchange, request, passage.result(exchange.getRequest().getBody()))
                .doFinally(end -> passage.leave());
    }

    private Mono<Void> answer(ServerWebExchange exchange, Request request, Mono<Result> result) {
        ServerHttpResponse response = exchange.getResponse();
        var course = new Course(exchange, request.route().id(), request.trace());
        return course
                .counted(result.onErrorResume(cause -> Mono.just(course.trace.within(() -> broken(exchange, cause))))
                        .flatMap(end -> refused(response)
                                ? Mono.just(Traffic.Outcome.REFUSED)
                                : responder.write(response, request, end).thenReturn(end.outcome()))
                        .onErrorResume(cause -> response.isCommitted(),
                                cause -> Mono.just(course.trace.within(() -> brokenOff(response, cause)))));
    }

    private Mono<Void> refuse(ServerWebExchange exchange, String route, Problem problem, CacheStatus.Forward why) {
        var refused = new Result.Refused(problem, CacheStatus.forwarded(why).detail(problem.reason()),
                Traffic.Outcome.REFUSED);
        Tracing.Trace trace = tracing.begin(exchange.getRequest().getMethod().name(),
                ReceivedHead.path(exchange.getRequest()),
                Fields.NONE, route, false);
        return new Course(exchange, route, trace)
                .counted(responder.write(exchange.getResponse(), refused).thenReturn(refused.outcome()));
    }

    /** Whether Reactor Netty has answered for us: 400, to a body that is no HTTP. It closes the connection then. */
    private static boolean refused(ServerHttpResponse response) {
        HttpServerResponse sent = ServerHttpResponseDecorator.getNativeResponse(response);
        return !response.isCommitted() && sent.hasSentHeaders();
    }

    /** No answer has begun: what fails here is the request's body, or ourselves. */
    private static Result broken(ServerWebExchange exchange, Throwable cause) {
        Problem problem = switch (cause) {
            case TimeoutException late -> Problem.BODY_LATE;
            case IllegalArgumentException mismatch -> Problem.BODY_BROKEN;
            default -> Problem.INTERNAL;
        };
        // Judged by its connection: an error that speaks of a lost connection may be about another one.
        boolean left = ServerHttpRequestDecorator
                .<HttpServerRequest>getNativeRequest(exchange.getRequest()) instanceof Connection client
                && !client.channel().isActive();
        if (problem.status() >= 500 && !left) {
            log.error("A request failed for a reason of our own", cause);
        }
        return new Result.Refused(problem, CacheStatus.forwarded(CacheStatus.Forward.MISS).detail(problem.reason()),
                left
                        ? Traffic.Outcome.LEFT
                        : problem.status() < 500 ? Traffic.Outcome.REFUSED : Traffic.Outcome.FAILED);
    }

    /**
     * An answer has begun and cannot be finished. The connection is closed, so that the client does not take it for whole; what
     * an origin or a client has done is nothing to log.
     */
    private static Traffic.Outcome brokenOff(ServerHttpResponse response, Throwable cause) {
        HttpServerResponse sent = ServerHttpResponseDecorator.getNativeResponse(response);
        sent.withConnection(DisposableChannel::dispose);
        return switch (cause) {
            case OriginFailed failed -> Traffic.Outcome.FAILED;
            // The client takes nothing any more.
            case TimeoutException stalled -> Traffic.Outcome.LEFT;
            default -> {
                boolean left = DisconnectedClientHelper.isClientDisconnectedException(cause);
                if (!left) {
                    log.error("An answer broke off for a reason of our own", cause);
                }
                yield left ? Traffic.Outcome.LEFT : Traffic.Outcome.FAILED;
            }
        };
    }

    /** One request from here to the end of its answer, for those who count and look. */
    private final class Course {

        private final ServerWebExchange exchange;
        private final String route;
        private final Tracing.Trace trace;
        /** Not the fleet's clock, which is set right now and then, and may go back. */
        private final long start = System.nanoTime();

        Course(ServerWebExchange exchange, String route, Tracing.Trace trace) {
            this.exchange = exchange;
            this.route = route;
            this.trace = trace;
        }

        Mono<Void> counted(Mono<Traffic.Outcome> answer) {
            return answer.doOnSuccess(this::ended)
                    .doOnError(error -> ended(Traffic.Outcome.FAILED))
                    .doOnCancel(() -> ended(Traffic.Outcome.LEFT))
                    .then();
        }

        private void ended(Traffic.Outcome outcome) {
            Duration time = Duration.ofNanos(System.nanoTime() - start);
            trace.within(() -> {
                edge.traffic().answered(route, outcome, time);
                accesses.closed(exchange, route, outcome, time);
                return outcome;
            });
            ServerHttpResponse response = exchange.getResponse();
            HttpStatusCode status = response.getStatusCode();
            trace.ended(status == null || !response.isCommitted() ? 0 : status.value(), outcome);
        }
    }
}
