package dev.corral.http;

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
 * ({@link #target}).
 */
public final class CacheKey {

    private CacheKey() {}

    /**
     * Which query parameters count; all by default.
     *
     * @param include the only ones that count; none: all
     * @param exclude those that do not count, although included; a name may end in {@code *}, and {@code utm} stands for
     *        {@link #UTM}
     * @param sort    the origin is asked for them in the order of their names, and so their order does not count; that of one
     *        name's values always does
     */
    public record QueryRule(List<String> include, List<String> exclude, boolean sort) {

        /** All parameters count. */
        public static final QueryRule ALL = new QueryRule(List.of(), List.of());

        /** What the preset {@code utm} leaves out: the marks that campaigns and their clicks leave. */
        public static final Set<String> UTM = Set.of("utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid",
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
                    names.addAll(UTM);
                } else {
                    names.add(name);
                }
            }
            names.sort(Comparator.naturalOrder());
            exclude = List.copyOf(names);
        }

        boolean all() {
            return include.isEmpty() && exclude.isEmpty();
        }

        boolean counts(String parameter) {
            String name = decoded(nameOf(parameter));
            return (include.isEmpty() || any(include, name)) && !any(exclude, name);
        }

        private static boolean any(List<String> names, String name) {
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
                .append(authority(lowScheme, authority))
                .append(path(rawPath));
        rawQuery.ifPresent(query -> append(key, counted(query, rule), true, Parameter::normal));
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
    public static String target(String rawPath, Optional<String> rawQuery, QueryRule rule) {
        var target = new StringBuilder(rawPath.isEmpty() ? "/" : rawPath);
        rawQuery.ifPresent(query -> append(target, counted(query, rule), rule.sort, Parameter::raw));
        return target.toString();
    }

    /** The path in normal form; what routes should be matched by too, so that no dot segment leads around one. */
    public static String path(String rawPath) {
        String path = normal(rawPath.isEmpty() ? "/" : rawPath);
        while (path.contains("/.")) {
            // A segment that goes may have been what kept the others' encodings, and those may hide more dots.
            String shorter = normal(withoutDots(path));
            if (shorter.equals(path)) {
                return path;
            }
            path = shorter;
        }
        return path;
    }

    private static String authority(String scheme, String authority) {
        return Authority.normal(scheme, contained(normal(authority)));
    }

    /** An authority that ends where it should: what would begin a path, a query or a fragment is encoded. */
    private static String contained(String authority) {
        var contained = new StringBuilder(authority.length());
        for (int i = 0; i < authority.length(); i++) {
            char c = authority.charAt(i);
            if (c == '/' || c == '\\' || c == '?' || c == '#' || c == '@') {
                encode(contained, c);
            } else {
                contained.append(c);
            }
        }
        return contained.toString();
    }

    /** A parameter as the client has sent it, and in normal form. */
    private record Parameter(String raw, String normal) {}

    /** The parameters that count, in their order. */
    private static List<Parameter> counted(String rawQuery, QueryRule rule) {
        var counted = new ArrayList<Parameter>();
        int start = 0;
        for (int i = 0; i <= rawQuery.length(); i++) {
            if (i == rawQuery.length() || rawQuery.charAt(i) == '&') {
                String raw = rawQuery.substring(start, i);
                String normal = normal(raw);
                if (rule.all() || rule.counts(normal)) {
                    counted.add(new Parameter(raw, normal));
                }
                start = i + 1;
            }
        }
        return counted;
    }

    /** No question mark either when none of those that were there counts. */
    private static void append(StringBuilder uri, List<Parameter> parameters, boolean sorted,
            Function<Parameter, String> form) {
        if (parameters.isEmpty()) {
            return;
        }
        if (sorted && parameters.size() > 1) {
            // A stable sort: the values of one name keep their order.
            parameters.sort(Comparator.comparing(parameter -> nameOf(parameter.normal)));
        }
        char before = '?';
        for (Parameter parameter : parameters) {
            uri.append(before).append(form.apply(parameter));
            before = '&';
        }
    }

    private static String nameOf(String parameter) {
        int equals = parameter.indexOf('=');
        return equals < 0 ? parameter : parameter.substring(0, equals);
    }

    /**
     * Percent-encodings in upper case, those of unreserved characters undone, blanks and controls encoded. A text with a percent
     * sign that encodes nothing keeps all of them: undoing one could complete another ({@code %4%41}).
     */
    private static String normal(String text) {
        int odd = 0;
        while (odd < text.length() && text.charAt(odd) != '%' && !control(text.charAt(odd))) {
            odd++;
        }
        if (odd == text.length()) {
            return text;
        }
        boolean encoded = wellEncoded(text);
        var normal = new StringBuilder(text.length() + 8).append(text, 0, odd);
        for (int i = odd; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '%' && encoded) {
                appendOctet(normal, octet(text, i));
                i += 2;
            } else if (control(c)) {
                encode(normal, c);
            } else {
                normal.append(c);
            }
        }
        return normal.toString();
    }

    static boolean wellEncoded(String text) {
        for (int percent = text.indexOf('%'); percent >= 0; percent = text.indexOf('%', percent + 1)) {
            if (octet(text, percent) < 0) {
                return false;
            }
        }
        return true;
    }

    private static void appendOctet(StringBuilder text, int octet) {
        if (unreserved(octet)) {
            text.append((char) octet);
        } else {
            encode(text, octet);
        }
    }

    static void encode(StringBuilder text, int octet) {
        text.append('%')
                .append(Character.toUpperCase(Character.forDigit(octet >> 4, 16)))
                .append(Character.toUpperCase(Character.forDigit(octet & 15, 16)));
    }

    private static boolean control(char c) {
        return c <= ' ' || c == 0x7f;
    }

    private static boolean unreserved(int c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.'
                || c == '_' || c == '~';
    }

    /** The octet that the percent sign at {@code start} encodes; -1 when it encodes none. */
    static int octet(String text, int start) {
        if (start + 2 >= text.length()) {
            return -1;
        }
        int high = hex(text.charAt(start + 1));
        int low = hex(text.charAt(start + 2));
        return high < 0 || low < 0 ? -1 : high * 16 + low;
    }

    private static int hex(char c) {
        return c < 0x80 ? Character.digit(c, 16) : -1;
    }

    /** All of the name's encodings undone, to compare it with a setting. */
    private static String decoded(String name) {
        if (name.indexOf('%') < 0) {
            return name;
        }
        var decoded = new StringBuilder(name.length());
        for (int i = 0; i < name.length(); i++) {
            int octet = name.charAt(i) == '%' ? octet(name, i) : -1;
            decoded.append(octet >= 0 ? (char) octet : name.charAt(i));
            i += octet >= 0 ? 2 : 0;
        }
        return decoded.toString();
    }

    /** RFC 3986 section 5.2.4. Only whole segments count, and an empty segment is one. */
    private static String withoutDots(String path) {
        var kept = new ArrayList<String>();
        String[] segments = path.split("/", -1);
        for (int i = 0; i < segments.length; i++) {
            boolean last = i == segments.length - 1;
            if (segments[i].equals("..")) {
                if (kept.size() > 1) {
                    kept.removeLast();
                }
                if (last) {
                    kept.add("");
                }
            } else if (segments[i].equals(".")) {
                if (last) {
                    kept.add("");
                }
            } else {
                kept.add(segments[i]);
            }
        }
        return String.join("/", kept);
    }
}
