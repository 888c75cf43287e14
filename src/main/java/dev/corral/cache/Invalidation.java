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

/** What a request that changes things makes invalid (RFC 9111 section 4.4). */
public final class Invalidation {

    private Invalidation() {}

    /** Whether the method is known to change nothing (RFC 9110 section 9.2.1 and IANA's registry). */
    public static boolean isSafe(String method) {
        return switch (method) {
            case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY" -> true;
            default -> false;
        };
    }

    /**
     * The absolute URIs to invalidate: the target and, on the same origin, {@code Location} and {@code Content-Location};
     * none for a safe method or an error. Never throws; what is no URI is left out.
     *
     * @param requestUri absolute
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

    /** The URI a field of the answer refers to, made absolute, without its fragment. */
    static Optional<String> referencedUri(String field, String requestUri, ResponseHead head) {
        Optional<String> reference = head.fields()
                .firstValue(field)
                .map(FieldSyntax::trim)
                .map(Invalidation::withoutFragment);
        if (reference.isEmpty() || reference.get().isEmpty()) {
            return reference.map(itself -> requestUri);
        }
        // RFC 3986 section 5.2.2: a query alone keeps the path; java.net.URI would drop its last segment.
        int query = requestUri.indexOf('?');
        String absolute = reference.get().startsWith("?")
                ? (query < 0 ? requestUri : requestUri.substring(0, query)) + reference.get()
                : reference.get();
        return parseUri(requestUri).flatMap(base -> parseUri(absolute).map(base::resolve)).map(URI::toString);
    }

    private static Optional<URI> parseUri(String text) {
        try {
            return Optional.of(new URI(text));
        } catch (URISyntaxException odd) {
            return Optional.empty();
        }
    }

    /** RFC 9110 section 4.3.1. Another origin's answer must not be thrown out by this one. */
    private static boolean isSameOrigin(String one, String other) {
        Optional<String> origin = parseUri(one).flatMap(Invalidation::originOf);
        return origin.isPresent() && origin.equals(parseUri(other).flatMap(Invalidation::originOf));
    }

    private static Optional<String> originOf(URI uri) {
        if (uri.getScheme() == null || uri.getHost() == null) {
            return Optional.empty();
        }
        String scheme = uri.getScheme().toLowerCase(Locale.ROOT);
        int known = scheme.equals("https") ? 443 : 80;
        return Optional.of(scheme + "://" + uri.getHost().toLowerCase(Locale.ROOT) + ":"
                + (uri.getPort() < 0 ? known : uri.getPort()));
    }

    private static String withoutFragment(String uri) {
        int hash = uri.indexOf('#');
        return hash < 0 ? uri : uri.substring(0, hash);
    }
}
