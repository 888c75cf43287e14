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

/** Renders the management port's security errors as problem+json (RFC 9457). Thread-safe. */
public final class SecurityProblemHandler
        implements
            ServerAuthenticationEntryPoint,
            ServerAccessDeniedHandler,
            ServerExchangeRejectedHandler {

    /**
     * A reason for rejecting a request.
     *
     * @param reason a stable token for programs
     * @param detail one sentence for people
     */
    record SecurityProblem(HttpStatus status, String reason, String detail, Optional<Duration> retryAfter) {}

    static final SecurityProblem UNAUTHENTICATED = new SecurityProblem(HttpStatus.UNAUTHORIZED, "unauthenticated",
            "Authentication required, or the credentials are invalid (see corral.management).", Optional.empty());

    static final SecurityProblem FORBIDDEN = new SecurityProblem(HttpStatus.FORBIDDEN, "forbidden",
            "This login lacks the role for this request: viewers may read, operators may also make changes.",
            Optional.empty());

    static final SecurityProblem CROSS_SITE = new SecurityProblem(HttpStatus.FORBIDDEN, "cross-site",
            "Requests from pages of other sites may not make changes.", Optional.empty());

    static final SecurityProblem FORM_CONTENT_TYPE = new SecurityProblem(HttpStatus.UNSUPPORTED_MEDIA_TYPE,
            "content-type",
            "A POST needs a Content-Type that no form can send, such as application/json.", Optional.empty());

    private static final SecurityProblem JWT_KEYS_UNAVAILABLE = new SecurityProblem(HttpStatus.SERVICE_UNAVAILABLE,
            "login-unavailable",
            "The keys of the token issuer cannot be fetched.", Optional.of(Duration.ofSeconds(5)));

    private static final SecurityProblem MALFORMED_REQUEST = new SecurityProblem(HttpStatus.BAD_REQUEST, "malformed",
            "Malformed request: the method, path or header fields are not valid on this port.", Optional.empty());

    private final ObjectMapper objectMapper;
    private final List<String> challenges;

    /** @param challenges the accepted authentication schemes, as values of WWW-Authenticate */
    public SecurityProblemHandler(ObjectMapper objectMapper, List<String> challenges) {
        this.objectMapper = objectMapper;
        this.challenges = List.copyOf(challenges);
    }

    @Override
    public Mono<Void> commence(ServerWebExchange exchange, AuthenticationException cause) {
        return switch (cause) {
            case LoginRateLimiter.TooManyLoginAttemptsException e -> writeProblem(exchange,
                    new SecurityProblem(HttpStatus.TOO_MANY_REQUESTS, "too-many-logins",
                            "Too many logins from this address have failed, or too many logins are being verified.",
                            Optional.of(e.retryAfter())));
            case AuthenticationServiceException ignored -> writeProblem(exchange, JWT_KEYS_UNAVAILABLE);
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

    /** Writes the problem as the response. */
    Mono<Void> writeProblem(ServerWebExchange exchange, SecurityProblem problem) {
        ServerHttpResponse response = exchange.getResponse();
        response.setStatusCode(problem.status());
        HttpHeaders fields = response.getHeaders();
        fields.setContentType(MediaType.APPLICATION_PROBLEM_JSON);
        fields.setCacheControl("no-store");
        problem.retryAfter()
                .ifPresent(
                        time -> fields.set(HttpHeaders.RETRY_AFTER, String.valueOf(time.plusMillis(999).toSeconds())));
        byte[] body = problemJson(problem);
        fields.setContentLength(body.length);
        return response.writeWith(Mono.fromSupplier(() -> response.bufferFactory().wrap(body)));
    }

    private byte[] problemJson(SecurityProblem problem) {
        Map<String, Object> members = new LinkedHashMap<>();
        members.put("type", "about:blank");
        members.put("title", problem.status().getReasonPhrase());
        members.put("status", problem.status().value());
        members.put("detail", problem.detail());
        members.put("reason", problem.reason());
        try {
            return objectMapper.writeValueAsBytes(members);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a problem can always be written as JSON", e);
        }
    }
}
