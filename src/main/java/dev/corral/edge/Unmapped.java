package dev.corral.edge;

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
 * {@link StrictHead} has refused, before anybody else takes it for a request.
 */
public final class Unmapped implements WebFilter, Ordered {

    private final EdgeController controller;
    private final ApplicationContext clients;

    /**
     * @param controller answers them like any other request
     * @param clients    the context of the clients' port: that of the management port inherits this filter, and has no routes
     */
    public Unmapped(EdgeController controller, ApplicationContext clients) {
        this.controller = controller;
        this.clients = clients;
    }

    @Override
    public int getOrder() {
        return Ordered.HIGHEST_PRECEDENCE;
    }

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, WebFilterChain chain) {
        ServerHttpRequest request = exchange.getRequest();
        if (ReceivedHead.isRefused(request)) {
            return controller.handle(exchange);
        }
        if (!clients.equals(exchange.getApplicationContext())) {
            return chain.filter(exchange);
        }
        boolean mapped = !request.getMethod().equals(HttpMethod.OPTIONS)
                && request.getPath().pathWithinApplication().value().startsWith("/");
        return mapped ? chain.filter(exchange) : controller.handle(exchange);
    }
}
