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

/** Says what is wrong with a request to the management port as problem+json (RFC 9457). Other errors are Spring's to tell. */
public final class ManagementExceptionHandler implements WebExceptionHandler, Ordered {

    private final ObjectMapper objectMapper;

    /** @param json the application's */
    public ManagementExceptionHandler(ObjectMapper json) {
        this.objectMapper = json;
    }

    @Override
    public Mono<Void> handle(ServerWebExchange exchange, Throwable error) {
        ServerHttpResponse response = exchange.getResponse();
        if (!(error instanceof ErrorResponse told) || response.isCommitted()) {
            return Mono.error(error);
        }
        ProblemDetail problem = told.getBody();
        problem.setProperty("reason", reasonOf(told.getStatusCode().value()));
        response.setStatusCode(told.getStatusCode());
        response.getHeaders().putAll(told.getHeaders());
        response.getHeaders().setContentType(MediaType.APPLICATION_PROBLEM_JSON);
        return response.writeWith(Mono.fromSupplier(() -> response.bufferFactory().wrap(problemJson(problem))));
    }

    /**
     * The answer of a route that knows what is wrong. Nobody keeps it.
     *
     * @param reason     a stable token for programs
     * @param detail     one sentence for people
     * @param retryAfter when to try again; empty when that would not help
     */
    public static Mono<ServerResponse> problemResponse(HttpStatus status, String reason, String detail,
            Optional<Duration> retryAfter) {
        ProblemDetail problem = ProblemDetail.forStatusAndDetail(status, detail);
        problem.setProperty("reason", reason);
        ServerResponse.BodyBuilder answer = ServerResponse.status(status)
                .cacheControl(CacheControl.noStore())
                .contentType(MediaType.APPLICATION_PROBLEM_JSON);
        retryAfter.ifPresent(time -> answer.header(HttpHeaders.RETRY_AFTER, Long.toString(time.toSeconds())));
        return answer.bodyValue(problem);
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
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("a problem is JSON", impossible);
        }
    }

    /** Before Spring Boot's, at -1. */
    @Override
    public int getOrder() {
        return -2;
    }
}
