package dev.corral.edge;

import org.springframework.context.ApplicationContext;
import org.springframework.http.HttpMethod;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.server.WebFilter;
import org.springframework.web.server.WebFilterChain;
import reactor.core.publisher.Mono;

/**
 * Hands the controller what WebFlux would answer itself before it asked one: OPTIONS, CORS preflights among them, whose answer
 * only the origin knows; and targets that are no path, such as those of {@code OPTIONS *} and CONNECT.
 */
public final class Unmapped implements WebFilter {

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
    public Mono<Void> filter(ServerWebExchange exchange, WebFilterChain chain) {
        ServerHttpRequest request = exchange.getRequest();
        boolean mapped = !clients.equals(exchange.getApplicationContext())
                || (!request.getMethod().equals(HttpMethod.OPTIONS)
                        && request.getPath().pathWithinApplication().value().startsWith("/"));
        return mapped ? chain.filter(exchange) : controller.handle(exchange);
    }
}
