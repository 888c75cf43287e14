package dev.corral.management.security;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.security.access.AccessDeniedException;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.web.server.ServerAuthenticationEntryPoint;
import org.springframework.security.web.server.authorization.ServerAccessDeniedHandler;
import org.springframework.security.web.server.firewall.ServerExchangeRejectedException;
import org.springframework.security.web.server.firewall.ServerExchangeRejectedHandler;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

/** Who is not let in to the management port is told so, and why, as problem+json (RFC 9457). Thread-safe. */
public final class SecurityProblemHandler
        implements
            ServerAuthenticationEntryPoint,
            ServerAccessDeniedHandler,
            ServerExchangeRejectedHandler {

    /**
     * Why somebody is not let in.
     *
     * @param reason a stable token for programs
     * @param detail one sentence for people
     */
    record SecurityProblem(HttpStatus status, String reason, String detail, Optional<Duration> retryAfter) {}

    static final SecurityProblem UNAUTHENTICATED = new SecurityProblem(HttpStatus.UNAUTHORIZED, "unauthenticated",
            "This needs a login (corral.management), and there was none, or it was not right.", Optional.empty());

    static final SecurityProblem FORBIDDEN = new SecurityProblem(HttpStatus.FORBIDDEN, "forbidden",
            "This login may not do that: a viewer looks, an operator changes things.", Optional.empty());

    static final SecurityProblem CROSS_SITE = new SecurityProblem(HttpStatus.FORBIDDEN, "cross-site",
            "A page of another site must not change anything here.", Optional.empty());

    static final SecurityProblem FORM_CONTENT_TYPE = new SecurityProblem(HttpStatus.UNSUPPORTED_MEDIA_TYPE,
            "content-type",
            "A POST needs a Content-Type that no form can send, such as application/json.", Optional.empty());

    private static final SecurityProblem JWT_KEYS_UNAVAILABLE = new SecurityProblem(HttpStatus.SERVICE_UNAVAILABLE,
            "login-unavailable",
            "The keys of the tokens' issuer cannot be had.", Optional.of(Duration.ofSeconds(5)));

    private static final SecurityProblem MALFORMED_REQUEST = new SecurityProblem(HttpStatus.BAD_REQUEST, "malformed",
            "The request's method, path or fields are nothing this port knows.", Optional.empty());

    private final ObjectMapper objectMapper;
    private final List<String> challenges;

    /** @param challenges what a client may log in with, as WWW-Authenticate has it */
    public SecurityProblemHandler(ObjectMapper json, List<String> challenges) {
        this.objectMapper = json;
        this.challenges = List.copyOf(challenges);
    }

    @Override
    public Mono<Void> commence(ServerWebExchange exchange, AuthenticationException cause) {
        return switch (cause) {
            case LoginRateLimiter.TooManyLoginAttemptsException limit -> writeProblem(exchange,
                    new SecurityProblem(HttpStatus.TOO_MANY_REQUESTS, "too-many-logins",
                            "Too many logins from this address have failed, or are being checked.",
                            Optional.of(limit.retryAfter())));
            case AuthenticationServiceException away -> writeProblem(exchange, JWT_KEYS_UNAVAILABLE);
            default -> {
                exchange.getResponse().getHeaders().addAll(HttpHeaders.WWW_AUTHENTICATE, challenges(cause));
                yield writeProblem(exchange, UNAUTHENTICATED);
            }
        };
    }

    private List<String> challenges(AuthenticationException cause) {
        return cause instanceof OAuth2AuthenticationException
                ? List.of("Bearer error=\"invalid_token\"")
                : challenges;
    }

    @Override
    public Mono<Void> handle(ServerWebExchange exchange, AccessDeniedException denied) {
        return writeProblem(exchange, FORBIDDEN);
    }

    @Override
    public Mono<Void> handle(ServerWebExchange exchange, ServerExchangeRejectedException rejected) {
        return writeProblem(exchange, MALFORMED_REQUEST);
    }

    /** Answers with it. */
    Mono<Void> writeProblem(ServerWebExchange exchange, SecurityProblem refusal) {
        ServerHttpResponse response = exchange.getResponse();
        response.setStatusCode(refusal.status());
        HttpHeaders fields = response.getHeaders();
        fields.setContentType(MediaType.APPLICATION_PROBLEM_JSON);
        fields.setCacheControl("no-store");
        refusal.retryAfter()
                .ifPresent(
                        time -> fields.set(HttpHeaders.RETRY_AFTER, String.valueOf(time.plusMillis(999).toSeconds())));
        byte[] body = problemJson(refusal);
        fields.setContentLength(body.length);
        return response.writeWith(Mono.fromSupplier(() -> response.bufferFactory().wrap(body)));
    }

    private byte[] problemJson(SecurityProblem refusal) {
        Map<String, Object> problem = new LinkedHashMap<>();
        problem.put("type", "about:blank");
        problem.put("title", refusal.status().getReasonPhrase());
        problem.put("status", refusal.status().value());
        problem.put("detail", refusal.detail());
        problem.put("reason", refusal.reason());
        try {
            return objectMapper.writeValueAsBytes(problem);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("text and a number", impossible);
        }
    }
}
