package dev.corral.management.security;

import dev.corral.management.purge.PurgeController;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.web.method.HandlerMethod;
import org.springframework.web.reactive.HandlerMapping;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.server.WebFilter;
import org.springframework.web.server.WebFilterChain;
import reactor.core.publisher.Mono;

/**
 * A line of the audit log, {@code corral.audit}, for whatever an endpoint has changed: a log level, a flight. What {@link PurgeController}
 * does says more of itself.
 */
public final class AuditFilter implements WebFilter {

    private static final Logger audit = LoggerFactory.getLogger("corral.audit");

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, WebFilterChain chain) {
        if (FetchMetadataCsrfFilter.SAFE_METHODS.contains(exchange.getRequest().getMethod())) {
            return chain.filter(exchange);
        }
        return AuditUser.nameOf(exchange)
                .flatMap(by -> chain.filter(exchange).then(Mono.<Void>fromRunnable(() -> auditChange(exchange, by))));
    }

    private static void auditChange(ServerWebExchange exchange, String by) {
        HttpStatusCode status = exchange.getResponse().getStatusCode();
        boolean byEndpoint = exchange
                .getAttribute(HandlerMapping.BEST_MATCHING_HANDLER_ATTRIBUTE) instanceof HandlerMethod;
        if (byEndpoint && status != null && !status.isError()) {
            ServerHttpRequest request = exchange.getRequest();
            // The path as it was sent, with its escapes: it cannot begin a line.
            audit.info("change method={} path={} by={}", request.getMethod(), request.getURI().getRawPath(), by);
        }
    }
}
