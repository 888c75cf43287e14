package dev.corral.proxy;

import dev.corral.proxy.netty.ReceivedHeaders;
import dev.corral.proxy.netty.RequestSmugglingGuard;
import org.springframework.context.ApplicationContext;
import org.springframework.core.Ordered;
import org.springframework.http.HttpMethod;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.server.WebFilter;
import org.springframework.web.server.WebFilterChain;
import reactor.core.publisher.Mono;

/**
 * Hands the controller what WebFlux would answer itself before it asked one: OPTIONS, CORS preflights among them, whose answer
 * only the origin knows; targets that are no path, such as those of {@code OPTIONS *} and CONNECT; and on both ports what
 * {@link RequestSmugglingGuard} has refused, before anybody else takes it for a request.
 */
public final class UnmappedRequestFilter implements WebFilter, Ordered {

    private final CacheController controller;
    private final ApplicationContext dataPortContext;

    /**
     * @param controller answers them like any other request
     * @param clients    the context of the clients' port: that of the management port inherits this filter, and has no routes
     */
    public UnmappedRequestFilter(CacheController controller, ApplicationContext clients) {
        this.controller = controller;
        this.dataPortContext = clients;
    }

    @Override
    public int getOrder() {
        return Ordered.HIGHEST_PRECEDENCE;
    }

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, WebFilterChain chain) {
        ServerHttpRequest request = exchange.getRequest();
        if (ReceivedHeaders.isRejected(request)) {
            return controller.handle(exchange);
        }
        if (!dataPortContext.equals(exchange.getApplicationContext())) {
            return chain.filter(exchange);
        }
        boolean mapped = !request.getMethod().equals(HttpMethod.OPTIONS)
                && request.getPath().pathWithinApplication().value().startsWith("/");
        return mapped ? chain.filter(exchange) : controller.handle(exchange);
    }
}
