package dev.corral.management.security;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.Optional;
import org.springframework.core.Ordered;
import org.springframework.http.CacheControl;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ProblemDetail;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.web.ErrorResponse;
import org.springframework.web.reactive.function.server.ServerResponse;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.server.WebExceptionHandler;
import reactor.core.publisher.Mono;

/** Renders Spring's error responses of the management port as problem+json (RFC 9457). Other errors are left to Spring Boot. */
public final class ManagementExceptionHandler implements WebExceptionHandler, Ordered {

    private final ObjectMapper objectMapper;

    /** @param objectMapper the application's */
    public ManagementExceptionHandler(ObjectMapper objectMapper) {
        this.objectMapper = objectMapper;
    }

    @Override
    public Mono<Void> handle(ServerWebExchange exchange, Throwable error) {
        ServerHttpResponse response = exchange.getResponse();
        if (!(error instanceof ErrorResponse errorResponse) || response.isCommitted()) {
            return Mono.error(error);
        }
        ProblemDetail problem = errorResponse.getBody();
        problem.setProperty("reason", reasonOf(errorResponse.getStatusCode().value()));
        response.setStatusCode(errorResponse.getStatusCode());
        response.getHeaders().putAll(errorResponse.getHeaders());
        response.getHeaders().setContentType(MediaType.APPLICATION_PROBLEM_JSON);
        return response.writeWith(Mono.fromSupplier(() -> response.bufferFactory().wrap(problemJson(problem))));
    }

    /**
     * A problem response for a route; sent with {@code Cache-Control: no-store}.
     *
     * @param reason     a stable token for programs
     * @param detail     one sentence for people
     * @param retryAfter the time after which a retry may succeed; empty when a retry does not help
     */
    public static Mono<ServerResponse> problemResponse(HttpStatus status, String reason, String detail,
            Optional<Duration> retryAfter) {
        ProblemDetail problem = ProblemDetail.forStatusAndDetail(status, detail);
        problem.setProperty("reason", reason);
        ServerResponse.BodyBuilder response = ServerResponse.status(status)
                .cacheControl(CacheControl.noStore())
                .contentType(MediaType.APPLICATION_PROBLEM_JSON);
        retryAfter.ifPresent(time -> response.header(HttpHeaders.RETRY_AFTER, Long.toString(time.toSeconds())));
        return response.bodyValue(problem);
    }

    /** A stable token for programs. */
    private static String reasonOf(int status) {
        return switch (status) {
            case 400 -> "bad-input";
            case 404 -> "not-found";
            case 405 -> "method-not-allowed";
            case 406 -> "not-acceptable";
            case 413 -> "too-large";
            case 415 -> "content-type";
            default -> status < 500 ? "refused" : "error";
        };
    }

    private byte[] problemJson(ProblemDetail problem) {
        try {
            return objectMapper.writeValueAsBytes(problem);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a problem can always be written as JSON", e);
        }
    }

    /** Before Spring Boot's handler, which has order -1. */
    @Override
    public int getOrder() {
        return -2;
    }
}
