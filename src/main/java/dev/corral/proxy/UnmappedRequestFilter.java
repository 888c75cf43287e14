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
 * Forwards requests to the controller that WebFlux would otherwise handle itself: OPTIONS requests, including CORS preflights,
 * because only the origin knows their response; and targets that are not paths, such as those of {@code OPTIONS *} and CONNECT. On
 * both ports it also forwards what {@link RequestSmugglingGuard} has rejected, before another component treats it as a request.
 */
public final class UnmappedRequestFilter implements WebFilter, Ordered {

    private final CacheController controller;
    private final ApplicationContext dataPortContext;

    /**
     * @param controller      handles them like any other request
     * @param dataPortContext the context of the data port; the context of the management port inherits this filter but has no
     *                        routes
     */
    public UnmappedRequestFilter(CacheController controller, ApplicationContext dataPortContext) {
        this.controller = controller;
        this.dataPortContext = dataPortContext;
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
