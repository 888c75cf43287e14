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
 * Refuses what another site makes a browser send that is logged in here (CSRF), without tokens or sessions: a request that changes
 * something must be one that a browser sends across sites only after asking (a method or a content type that no form has), and
 * must not say that it comes from elsewhere. Thread-safe.
 */
public final class FetchMetadataCsrfFilter implements WebFilter {

    /** Methods that change nothing. */
    static final Set<HttpMethod> SAFE_METHODS = Set.of(HttpMethod.GET, HttpMethod.HEAD, HttpMethod.OPTIONS);

    /** What a form can send (Fetch standard, "CORS-safelisted request-header"). */
    private static final Set<String> FORM_CONTENT_TYPES = Set.of(MediaType.APPLICATION_FORM_URLENCODED_VALUE,
            MediaType.MULTIPART_FORM_DATA_VALUE, MediaType.TEXT_PLAIN_VALUE);

    private final SecurityProblemHandler problemHandler;

    /** @param refusals tells the client */
    public FetchMetadataCsrfFilter(SecurityProblemHandler refusals) {
        this.problemHandler = refusals;
    }

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, WebFilterChain chain) {
        ServerHttpRequest request = exchange.getRequest();
        return findProblem(request.getMethod(), request.getHeaders())
                .map(refusal -> problemHandler.writeProblem(exchange, refusal))
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
        // A script cannot set it, and it holds behind a proxy that changes Host; a browser sends it over TLS and to localhost only.
        String site = fields.getFirst("Sec-Fetch-Site");
        if (site != null) {
            return !site.equals("same-origin") && !site.equals("none");
        }
        String origin = fields.getOrigin();
        return origin != null && !authority(origin).equalsIgnoreCase(fields.getFirst(HttpHeaders.HOST));
    }

    /** Empty, which no Host is, when there is none, as in {@code null}. */
    private static String authority(String origin) {
        try {
            return Optional.ofNullable(URI.create(origin).getRawAuthority()).orElse("");
        } catch (IllegalArgumentException broken) {
            return "";
        }
    }

    /** The raw field: what Spring cannot parse a browser may still send. */
    private static boolean hasFormContentType(HttpHeaders fields) {
        String type = fields.getFirst(HttpHeaders.CONTENT_TYPE);
        return type == null || type.isBlank()
                || FORM_CONTENT_TYPES.contains(type.split(";", 2)[0].strip().toLowerCase(Locale.ROOT));
    }
}
