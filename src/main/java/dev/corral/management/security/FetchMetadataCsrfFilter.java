package dev.corral.management.security;

import java.net.URI;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.MediaType;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.server.WebFilter;
import org.springframework.web.server.WebFilterChain;
import reactor.core.publisher.Mono;

/**
 * Rejects requests that another site makes a logged-in browser send (CSRF), without tokens or sessions. A request that changes
 * something must have a method or a content type that no HTML form can send, for which browsers make a preflight request across sites;
 * and its {@code Sec-Fetch-Site} or {@code Origin} must not name another site. Thread-safe.
 */
public final class FetchMetadataCsrfFilter implements WebFilter {

    /** Methods that change nothing. */
    static final Set<HttpMethod> SAFE_METHODS = Set.of(HttpMethod.GET, HttpMethod.HEAD, HttpMethod.OPTIONS);

    /** The content types that a form can send (Fetch standard, "CORS-safelisted request-header"). */
    private static final Set<String> FORM_CONTENT_TYPES = Set.of(MediaType.APPLICATION_FORM_URLENCODED_VALUE,
            MediaType.MULTIPART_FORM_DATA_VALUE, MediaType.TEXT_PLAIN_VALUE);

    private final SecurityProblemHandler problemHandler;

    /** @param problemHandler writes the error response */
    public FetchMetadataCsrfFilter(SecurityProblemHandler problemHandler) {
        this.problemHandler = problemHandler;
    }

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, WebFilterChain chain) {
        ServerHttpRequest request = exchange.getRequest();
        return findProblem(request.getMethod(), request.getHeaders())
                .map(problem -> problemHandler.writeProblem(exchange, problem))
                .orElseGet(() -> chain.filter(exchange));
    }

    static Optional<SecurityProblemHandler.SecurityProblem> findProblem(HttpMethod method, HttpHeaders fields) {
        if (SAFE_METHODS.contains(method)) {
            return Optional.empty();
        }
        if (isCrossSite(fields)) {
            return Optional.of(SecurityProblemHandler.CROSS_SITE);
        }
        return method.equals(HttpMethod.POST) && hasFormContentType(fields)
                ? Optional.of(SecurityProblemHandler.FORM_CONTENT_TYPE)
                : Optional.empty();
    }

    private static boolean isCrossSite(HttpHeaders fields) {
        // Scripts cannot set Sec-Fetch-Site, and it is right behind a proxy that changes Host. Browsers send it only over TLS and to
        // localhost, hence the check of Origin below.
        String site = fields.getFirst("Sec-Fetch-Site");
        if (site != null) {
            return !site.equals("same-origin") && !site.equals("none");
        }
        String origin = fields.getOrigin();
        return origin != null && !authority(origin).equalsIgnoreCase(fields.getFirst(HttpHeaders.HOST));
    }

    /** The authority of an Origin field; empty, and so equal to no Host, when there is none, as in {@code Origin: null}. */
    private static String authority(String origin) {
        try {
            return Optional.ofNullable(URI.create(origin).getRawAuthority()).orElse("");
        } catch (IllegalArgumentException ignored) {
            return "";
        }
    }

    /** Reads the raw field, because a browser may send a content type that Spring cannot parse. */
    private static boolean hasFormContentType(HttpHeaders fields) {
        String type = fields.getFirst(HttpHeaders.CONTENT_TYPE);
        return type == null || type.isBlank()
                || FORM_CONTENT_TYPES.contains(type.split(";", 2)[0].strip().toLowerCase(Locale.ROOT));
    }
}
