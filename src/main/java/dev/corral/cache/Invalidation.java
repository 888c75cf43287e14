package dev.corral.cache;

import dev.corral.http.FieldSyntax;
import dev.corral.http.ResponseHead;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** Computes what an unsafe request invalidates (RFC 9111 section 4.4). */
public final class Invalidation {

    private Invalidation() {}

    /** Whether the method is safe (RFC 9110 section 9.2.1 and IANA's method registry). Unknown methods are unsafe. */
    public static boolean isSafe(String method) {
        return switch (method) {
            case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY" -> true;
            default -> false;
        };
    }

    /**
     * The absolute URIs to invalidate: the request target, and {@code Location} and {@code Content-Location} if they have the same
     * origin. Empty for a safe method or an error response. Never throws; invalid URIs are omitted.
     *
     * @param requestUri the absolute URI of the request target
     */
    public static List<String> targets(String method, String requestUri, ResponseHead head) {
        if (isSafe(method) || head.status() < 200 || head.status() >= 400) {
            return List.of();
        }
        Set<String> targets = new LinkedHashSet<>();
        targets.add(requestUri);
        for (String name : List.of("Location", "Content-Location")) {
            referencedUri(name, requestUri, head)
                    .filter(target -> isSameOrigin(requestUri, target))
                    .ifPresent(targets::add);
        }
        return List.copyOf(targets);
    }

    /** The absolute URI in this field of the response, without its fragment; empty if the field is absent or invalid. */
    static Optional<String> referencedUri(String field, String requestUri, ResponseHead head) {
        Optional<String> reference = head.fields()
                .firstValue(field)
                .map(FieldSyntax::trim)
                .map(Invalidation::withoutFragment);
        if (reference.isEmpty() || reference.get().isEmpty()) {
            return reference.map(ignored -> requestUri);
        }
        // RFC 3986 section 5.2.2: a reference of only a query keeps the path. java.net.URI would drop the last segment.
        int query = requestUri.indexOf('?');
        String absolute = reference.get().startsWith("?")
                ? (query < 0 ? requestUri : requestUri.substring(0, query)) + reference.get()
                : reference.get();
        return parseUri(requestUri).flatMap(base -> parseUri(absolute).map(base::resolve)).map(URI::toString);
    }

    private static Optional<URI> parseUri(String text) {
        try {
            return Optional.of(new URI(text));
        } catch (URISyntaxException ignored) {
            return Optional.empty();
        }
    }

    /** Whether both URIs have the same origin (RFC 9110 section 4.3.1): a response must not invalidate another origin's responses. */
    private static boolean isSameOrigin(String uri, String otherUri) {
        Optional<String> origin = parseUri(uri).flatMap(Invalidation::originOf);
        return origin.isPresent() && origin.equals(parseUri(otherUri).flatMap(Invalidation::originOf));
    }

    private static Optional<String> originOf(URI uri) {
        if (uri.getScheme() == null || uri.getHost() == null) {
            return Optional.empty();
        }
        String scheme = uri.getScheme().toLowerCase(Locale.ROOT);
        int defaultPort = scheme.equals("https") ? 443 : 80;
        return Optional.of(scheme + "://" + uri.getHost().toLowerCase(Locale.ROOT) + ":"
                + (uri.getPort() < 0 ? defaultPort : uri.getPort()));
    }

    private static String withoutFragment(String uri) {
        int hash = uri.indexOf('#');
        return hash < 0 ? uri : uri.substring(0, hash);
    }
}
