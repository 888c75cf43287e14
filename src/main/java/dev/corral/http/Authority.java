package dev.corral.http;

import java.util.Locale;
import java.util.regex.Pattern;

/**
 * Host and port of a request, as in {@code Host} (RFC 9110 section 7.2, RFC 3986 section 3.2.2).
 *
 * <p>Accepts less than the RFC: a name consists of letters, digits, dots, hyphens, underscores and tildes. Percent-encodings and
 * sub-delimiters are rejected. They occur in no DNS name, and origins disagree whether {@code sho%70.example} is
 * {@code shop.example}.
 */
public final class Authority {

    private static final Pattern VALID_PATTERN = Pattern
            .compile("(\\[[0-9A-Fa-f:.]+]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?");

    private static final int MAX_PORT = 65_535;

    private Authority() {}

    /** Whether the text is a valid host, with or without a port. */
    public static boolean isValid(String authority) {
        var parts = VALID_PATTERN.matcher(authority);
        return parts.matches() && (parts.group(2) == null || Integer.parseInt(parts.group(2), 10) <= MAX_PORT);
    }

    /**
     * The normal form of an authority: in lower case, without the scheme's default port (RFC 9110 section 4.2.3). A trailing dot
     * is kept: it is a different spelling and has a different cache key.
     *
     * @param scheme in lower case
     */
    public static String normalize(String scheme, String authority) {
        String lowerCase = authority.toLowerCase(Locale.ROOT);
        String defaultPort = scheme.equals("https") ? ":443" : ":80";
        if (lowerCase.endsWith(defaultPort)) {
            return lowerCase.substring(0, lowerCase.length() - defaultPort.length());
        }
        return lowerCase.endsWith(":") ? lowerCase.substring(0, lowerCase.length() - 1) : lowerCase;
    }
}
