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
 * The canonical cache key: the URI in normal form (RFC 3986 section 6.2.2, RFC 9110 section 4.2.3), and what the route adds. The
 * method is GET. Two URIs have one key only if they are equivalent by that syntax: hex digits' case, needlessly encoded
 * unreserved characters, dot segments, default port, case of the host; and the order of query parameters. An origin may read them
 * differently all the same, so whoever asks it for another spelling than the key's must add that spelling to the key
 * ({@link #sharedFetchTarget}).
 */
public final class CacheKey {

    private CacheKey() {}

    /**
     * Which query parameters count; all by default.
     *
     * @param include        the only ones that count; none: all
     * @param exclude        those that do not count, although included; a name may end in {@code *}, and {@code utm} stands for
     *        {@link #UTM_PARAMETERS}
     * @param sortParameters the origin is asked for them in the order of their names, and so their order does not count; that of one
     *        name's values always does
     */
    public record QueryRule(List<String> include, List<String> exclude, boolean sortParameters) {

        /** All parameters count. */
        public static final QueryRule ALL_PARAMETERS = new QueryRule(List.of(), List.of());

        /** What the preset {@code utm} leaves out: the marks that campaigns and their clicks leave. */
        public static final Set<String> UTM_PARAMETERS = Set.of("utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid",
                "fbclid",
                "msclkid", "yclid", "twclid", "ttclid", "li_fat_id", "mc_cid", "mc_eid", "igshid", "_ga", "_gl");

        /** In the order that the client has sent. */
        public QueryRule(List<String> include, List<String> exclude) {
            this(include, exclude, false);
        }

        /** Puts the preset's names in its place. */
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
     * The key. Never throws; what is no URI is taken as it stands.
     *
     * @param extra what else the key has, such as {@code "X-Device=mobile"}, in the route's order
     */
    public static String of(String scheme, String authority, String rawPath, Optional<String> rawQuery,
            QueryRule rule, List<String> extra) {
        String lowScheme = scheme.toLowerCase(Locale.ROOT);
        var key = new StringBuilder(64).append(lowScheme)
                .append("://")
                .append(normalizeAuthority(lowScheme, authority))
                .append(UriSyntax.normalizePath(rawPath));
        rawQuery.ifPresent(query -> appendQuery(key, keyParameters(query, rule), true, QueryParameter::normalized));
        for (String more : extra) {
            // No URI in normal form has a line feed.
            key.append('\n').append(more.replace("%", "%25").replace("\n", "%0A"));
        }
        return key.toString();
    }

    /**
     * The path and query to ask the origin for on a shared fetch: as the client has sent them, without the parameters that do not
     * count. Those could decide what all others get. Where it is not the path and query of the key, which are in normal form, it
     * must be part of the key besides: the origin may take it for another resource.
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

    /** An authority that ends where it should: what would begin a path, a query or a fragment is encoded. */
    private static String escapeDelimiters(String authority) {
        var contained = new StringBuilder(authority.length());
        for (int i = 0; i < authority.length(); i++) {
            char c = authority.charAt(i);
            if (c == '/' || c == '\\' || c == '?' || c == '#' || c == '@') {
                UriSyntax.appendEncoded(contained, c);
            } else {
                contained.append(c);
            }
        }
        return contained.toString();
    }

    /** A parameter as the client has sent it, and in normal form. */
    private record QueryParameter(String raw, String normalized) {}

    /** The parameters that count, in their order. */
    private static List<QueryParameter> keyParameters(String rawQuery, QueryRule rule) {
        var counted = new ArrayList<QueryParameter>();
        int start = 0;
        for (int i = 0; i <= rawQuery.length(); i++) {
            if (i == rawQuery.length() || rawQuery.charAt(i) == '&') {
                String raw = rawQuery.substring(start, i);
                String normal = UriSyntax.normalize(raw);
                if (rule.includesAll() || rule.includes(normal)) {
                    counted.add(new QueryParameter(raw, normal));
                }
                start = i + 1;
            }
        }
        return counted;
    }

    /** No question mark either when none of those that were there counts. */
    private static void appendQuery(StringBuilder uri, List<QueryParameter> parameters, boolean sorted,
            Function<QueryParameter, String> form) {
        if (parameters.isEmpty()) {
            return;
        }
        if (sorted && parameters.size() > 1) {
            // A stable sort: the values of one name keep their order.
            parameters.sort(Comparator.comparing(parameter -> parameterName(parameter.normalized)));
        }
        char before = '?';
        for (QueryParameter parameter : parameters) {
            uri.append(before).append(form.apply(parameter));
            before = '&';
        }
    }

    private static String parameterName(String parameter) {
        int equals = parameter.indexOf('=');
        return equals < 0 ? parameter : parameter.substring(0, equals);
    }
}
