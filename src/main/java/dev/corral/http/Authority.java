package dev.corral.http;

import java.util.Locale;
import java.util.regex.Pattern;

/**
 * The host and port that a request names, as in {@code Host} (RFC 9110 section 7.2, RFC 3986 section 3.2.2). Narrower than the
 * RFC: names have letters, digits, dots, hyphens and underscores. What else it would allow, percent-encodings and sub-delimiters,
 * no DNS name has, and one origin reads {@code sho%70.example} as {@code shop.example} where another does not.
 */
public final class Authority {

    private static final Pattern VALID_PATTERN = Pattern
            .compile("(\\[[0-9A-Fa-f:.]+]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?");

    private static final int MAX_PORT = 65_535;

    private Authority() {}

    /** Whether that is a host, with or without a port. */
    public static boolean isValid(String authority) {
        var parts = VALID_PATTERN.matcher(authority);
        return parts.matches() && (parts.group(2) == null || Integer.parseInt(parts.group(2), 10) <= MAX_PORT);
    }

    /**
     * The form in which two equivalent ones are equal: in lower case, without the scheme's default port (RFC 9110 section 4.2.3).
     * A dot at the end stays: it is another spelling, with a key of its own.
     *
     * @param scheme in lower case
     */
    public static String normalize(String scheme, String authority) {
        String low = authority.toLowerCase(Locale.ROOT);
        String known = scheme.equals("https") ? ":443" : ":80";
        if (low.endsWith(known)) {
            return low.substring(0, low.length() - known.length());
        }
        return low.endsWith(":") ? low.substring(0, low.length() - 1) : low;
    }
}
