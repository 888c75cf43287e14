package dev.corral.cache;

import dev.corral.http.Authority;
import dev.corral.http.UriSyntax;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * Computes the canonical cache key: the URI in normal form (RFC 3986 section 6.2.2, RFC 9110 section 4.2.3), followed by the parts
 * that the route adds. The method is always GET.
 *
 * <p>Two URIs have the same key only if they are equivalent by syntax: they differ in the case of hex digits, needlessly encoded
 * unreserved characters, dot segments, the default port, the case of the host, or the order of query parameters.
 *
 * <p>An origin may still interpret equivalent URIs differently. A fetch that sends another spelling than that of the key must
 * therefore add its spelling to the key ({@link #sharedFetchTarget}).
 */
public final class CacheKey {

    private CacheKey() {}

    /**
     * Selects the query parameters that are part of the key; all by default. A name may end in {@code *}.
     *
     * @param include        the only parameters in the key; empty means all
     * @param exclude        parameters that are not in the key, even if included; {@code utm} stands for {@link #UTM_PARAMETERS}
     * @param sortParameters whether fetches send the parameters sorted by name, so that all orders share one key. The order of the
     *        values of one name is always significant
     */
    public record QueryRule(List<String> include, List<String> exclude, boolean sortParameters) {

        /** All parameters are part of the key. */
        public static final QueryRule ALL_PARAMETERS = new QueryRule(List.of(), List.of());

        /** The parameters of the preset {@code utm}: campaign and click identifiers. */
        public static final Set<String> UTM_PARAMETERS = Set.of("utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid",
                "fbclid",
                "msclkid", "yclid", "twclid", "ttclid", "li_fat_id", "mc_cid", "mc_eid", "igshid", "_ga", "_gl");

        /** A rule that keeps the client's order of parameters. */
        public QueryRule(List<String> include, List<String> exclude) {
            this(include, exclude, false);
        }

        /** Replaces the preset by its names. */
        public QueryRule {
            include = List.copyOf(include);
            var names = new ArrayList<String>();
            for (String name : exclude) {
                if (name.equals("utm")) {
                    names.addAll(UTM_PARAMETERS);
                } else {
                    names.add(name);
                }
            }
            names.sort(Comparator.naturalOrder());
            exclude = List.copyOf(names);
        }

        boolean includesAll() {
            return include.isEmpty() && exclude.isEmpty();
        }

        boolean includes(String parameter) {
            String name = UriSyntax.percentDecode(parameterName(parameter));
            return (include.isEmpty() || matchesAny(include, name)) && !matchesAny(exclude, name);
        }

        private static boolean matchesAny(List<String> names, String name) {
            for (String pattern : names) {
                if (pattern.endsWith("*")
                        ? name.startsWith(pattern.substring(0, pattern.length() - 1))
                        : name.equals(pattern)) {
                    return true;
                }
            }
            return false;
        }
    }

    /**
     * The cache key. Never throws; text that is not a valid URI is used unchanged.
     *
     * @param extra further parts of the key, such as {@code "X-Device=mobile"}, in the order of the route
     */
    public static String of(String scheme, String authority, String rawPath, Optional<String> rawQuery,
            QueryRule rule, List<String> extra) {
        String lowerCaseScheme = scheme.toLowerCase(Locale.ROOT);
        var key = new StringBuilder(64).append(lowerCaseScheme)
                .append("://")
                .append(normalizeAuthority(lowerCaseScheme, authority))
                .append(UriSyntax.normalizePath(rawPath));
        rawQuery.ifPresent(query -> appendQuery(key, keyParameters(query, rule), true, QueryParameter::normalized));
        for (String part : extra) {
            // A URI in normal form contains no line feed, so the parts cannot be mistaken for the URI.
            key.append('\n').append(part.replace("%", "%25").replace("\n", "%0A"));
        }
        return key.toString();
    }

    /**
     * The path and query that a shared fetch sends to the origin: as received from the client, but without the parameters that are
     * not part of the key. Such a parameter could otherwise decide what all clients get. If the result differs from the path and query
     * of the key, which are in normal form, it must be added to the key: the origin may interpret it as another resource.
     */
    public static String sharedFetchTarget(String rawPath, Optional<String> rawQuery, QueryRule rule) {
        var target = new StringBuilder(rawPath.isEmpty() ? "/" : rawPath);
        rawQuery.ifPresent(
                query -> appendQuery(target, keyParameters(query, rule), rule.sortParameters, QueryParameter::raw));
        return target.toString();
    }

    private static String normalizeAuthority(String scheme, String authority) {
        return Authority.normalize(scheme, escapeDelimiters(UriSyntax.normalize(authority)));
    }

    /** Encodes the characters that would end the authority and begin a path, a query or a fragment. */
    private static String escapeDelimiters(String authority) {
        var escaped = new StringBuilder(authority.length());
        for (int i = 0; i < authority.length(); i++) {
            char c = authority.charAt(i);
            if (c == '/' || c == '\\' || c == '?' || c == '#' || c == '@') {
                UriSyntax.appendEncoded(escaped, c);
            } else {
                escaped.append(c);
            }
        }
        return escaped.toString();
    }

    /** A query parameter as received and in normal form. */
    private record QueryParameter(String raw, String normalized) {}

    /** The parameters that are part of the key, in the order received. */
    private static List<QueryParameter> keyParameters(String rawQuery, QueryRule rule) {
        var parameters = new ArrayList<QueryParameter>();
        int start = 0;
        for (int i = 0; i <= rawQuery.length(); i++) {
            if (i == rawQuery.length() || rawQuery.charAt(i) == '&') {
                String raw = rawQuery.substring(start, i);
                String normalized = UriSyntax.normalize(raw);
                if (rule.includesAll() || rule.includes(normalized)) {
                    parameters.add(new QueryParameter(raw, normalized));
                }
                start = i + 1;
            }
        }
        return parameters;
    }

    /** Appends the query. Without parameters there is no question mark either. */
    private static void appendQuery(StringBuilder uri, List<QueryParameter> parameters, boolean sorted,
            Function<QueryParameter, String> form) {
        if (parameters.isEmpty()) {
            return;
        }
        if (sorted && parameters.size() > 1) {
            // The sort is stable: the values of one name keep their order.
            parameters.sort(Comparator.comparing(parameter -> parameterName(parameter.normalized)));
        }
        char separator = '?';
        for (QueryParameter parameter : parameters) {
            uri.append(separator).append(form.apply(parameter));
            separator = '&';
        }
    }

    private static String parameterName(String parameter) {
        int equals = parameter.indexOf('=');
        return equals < 0 ? parameter : parameter.substring(0, equals);
    }
}
