package dev.corral.http;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * The canonical cache key: the URI in normal form (RFC 3986 section 6.2.2, RFC 9110 section 4.2.3), and what the route adds. The
 * method is GET. Two URIs have one key only if they are equivalent by that syntax: hex digits' case, needlessly encoded
 * unreserved characters, dot segments, default port, case of the host; and the order of query parameters.
 */
public final class CacheKey {

    private CacheKey() {}

    /**
     * Which query parameters count; all by default. Their order never does, but that of one name's values.
     *
     * @param include the only ones that count; none: all
     * @param exclude those that do not count, although included; a name may end in {@code *}, and {@code utm} stands for
     *        {@link #UTM}
     */
    public record QueryRule(List<String> include, List<String> exclude) {

        /** All parameters count. */
        public static final QueryRule ALL = new QueryRule(List.of(), List.of());

        /** What the preset {@code utm} leaves out: the marks that campaigns and their clicks leave. */
        public static final Set<String> UTM = Set.of("utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid",
                "msclkid", "yclid", "twclid", "ttclid", "li_fat_id", "mc_cid", "mc_eid", "igshid", "_ga", "_gl");

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
        if (rawQuery.isPresent()) {
            append(key, counted(rawQuery.get(), rule), true);
        }
        for (String more : extra) {
            // No URI in normal form has a line feed.
            key.append('\n').append(more.replace("%", "%25").replace("\n", "%0A"));
        }
        return key.toString();
    }

    /**
     * The path and query to ask the origin for on a shared fetch: equivalent to what the client sent, and without the
     * parameters that do not count. Were the raw form fetched, the origin's answer to an odd spelling, or to a parameter that is
     * not in the key, would lie under the key of the resource that all others ask for.
     */
    public static String target(String rawPath, Optional<String> rawQuery, QueryRule rule) {
        var target = new StringBuilder(path(rawPath));
        if (rawQuery.isPresent()) {
            append(target, counted(rawQuery.get(), rule), false);
        }
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
        String low = contained(normal(authority)).toLowerCase(Locale.ROOT);
        String known = scheme.equals("https") ? ":443" : ":80";
        if (low.endsWith(known)) {
            return low.substring(0, low.length() - known.length());
        }
        return low.endsWith(":") ? low.substring(0, low.length() - 1) : low;
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

    /** The parameters that count, in their order, in normal form; empty when none of those that were there does. */
    private static Optional<List<String>> counted(String rawQuery, QueryRule rule) {
        var counted = new ArrayList<String>();
        int start = 0;
        for (int i = 0; i <= rawQuery.length(); i++) {
            if (i == rawQuery.length() || rawQuery.charAt(i) == '&') {
                String parameter = normal(rawQuery.substring(start, i));
                if (rule.all() || rule.counts(parameter)) {
                    counted.add(parameter);
                }
                start = i + 1;
            }
        }
        return counted.isEmpty() ? Optional.empty() : Optional.of(counted);
    }

    private static void append(StringBuilder uri, Optional<List<String>> parameters, boolean sorted) {
        if (parameters.isPresent()) {
            List<String> list = parameters.get();
            if (sorted && list.size() > 1) {
                // A stable sort: the values of one name keep their order.
                list.sort(Comparator.comparing(CacheKey::nameOf));
            }
            uri.append('?').append(String.join("&", list));
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

    private static boolean wellEncoded(String text) {
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

    private static void encode(StringBuilder text, int octet) {
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
    private static int octet(String text, int start) {
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
