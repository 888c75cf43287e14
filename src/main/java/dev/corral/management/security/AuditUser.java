package dev.corral.management.security;

import java.security.Principal;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

/** Who asks, as the audit log and the fleet's record have it. */
public final class AuditUser {

    private AuditUser() {}

    /** The name of the login, in one line whatever a token's issuer has put into it. */
    public static Mono<String> nameOf(ServerWebExchange exchange) {
        return exchange.getPrincipal()
                .map(Principal::getName)
                .defaultIfEmpty("anonymous")
                .map(name -> name.replaceAll("[\\p{Cntrl}\u2028\u2029]", "?"));
    }
}
