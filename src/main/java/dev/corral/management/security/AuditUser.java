package dev.corral.management.security;

import java.security.Principal;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

/** The name of a request's user for the audit log and the purge log. */
public final class AuditUser {

    private AuditUser() {}

    /** The user's name, or {@code anonymous}. Control characters and line breaks are replaced, as a token may contain any. */
    public static Mono<String> nameOf(ServerWebExchange exchange) {
        return exchange.getPrincipal()
                .map(Principal::getName)
                .defaultIfEmpty("anonymous")
                .map(name -> name.replaceAll("[\\p{Cntrl}\u2028\u2029]", "?"));
    }
}
