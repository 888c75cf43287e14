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
 * Writes a line to the audit log {@code corral.audit} for each successful change by an actuator endpoint, such as a log level or a
 * flight. {@link PurgeController} writes its own, more detailed lines.
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
        boolean isEndpoint = exchange
                .getAttribute(HandlerMapping.BEST_MATCHING_HANDLER_ATTRIBUTE) instanceof HandlerMethod;
        if (isEndpoint && status != null && !status.isError()) {
            ServerHttpRequest request = exchange.getRequest();
            // The raw path keeps its percent-encoding, so it cannot inject a line.
            audit.info("change method={} path={} by={}", request.getMethod(), request.getURI().getRawPath(), by);
        }
    }
}
