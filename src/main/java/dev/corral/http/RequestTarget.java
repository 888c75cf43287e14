package dev.corral.http;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The target of a request in origin form (RFC 9112 section 3.2.1), one character for each byte as received. Parsed once; route
 * selection, cache key and the request to the origin all use this value.
 *
 * <p>Accepts more than the RFC because browsers send more: the parser of the WHATWG URL Standard leaves {@code |}, {@code ^},
 * brackets, braces, backslashes, lone percent signs and raw UTF-8 bytes unencoded.
 *
 * @param path  the path, with its leading slash
 * @param query the query without its question mark; empty if there is no question mark
 */
public record RequestTarget(String path, Optional<String> query) {

    private static final String URI_PATH_CHARACTERS = "-._~!$&'()*+,;=:@/";

    /**
     * Parses a target.
     *
     * @return empty if the text does not begin with a slash, or contains a space, a control character or a fragment, which servers
     *         interpret differently
     */
    public static Optional<RequestTarget> parse(String target) {
        if (!target.startsWith("/")) {
            return Optional.empty();
        }
        int mark = -1;
        for (int i = 0; i < target.length(); i++) {
            char c = target.charAt(i);
            if (!isTargetCharacter(c)) {
                return Optional.empty();
            }
            if (c == '?' && mark < 0) {
                mark = i;
            }
        }
        return Optional.of(mark < 0
                ? new RequestTarget(target, Optional.empty())
                : new RequestTarget(target.substring(0, mark), Optional.of(target.substring(mark + 1))));
    }

    /** Whether a target may contain the character: a byte that is neither a control character, a space nor {@code #}. */
    public static boolean isTargetCharacter(char c) {
        return c > ' ' && c != 0x7f && c != '#' && c <= 0xff;
    }

    /** The target as received. */
    public String raw() {
        return query.map(text -> path + "?" + text).orElse(path);
    }

    /** The target as a valid RFC 3986 URI reference: illegal characters are percent-encoded. */
    public String encoded() {
        return query.map(text -> percentEncode(path, "") + "?" + percentEncode(text, "?"))
                .orElseGet(() -> percentEncode(path, ""));
    }

    private static String percentEncode(String text, String allowed) {
        int firstIllegal = 0;
        while (firstIllegal < text.length()
                && (isPathCharacter(text.charAt(firstIllegal)) || allowed.indexOf(text.charAt(firstIllegal)) >= 0)) {
            firstIllegal++;
        }
        if (firstIllegal == text.length()) {
            return text;
        }
        var encoded = new StringBuilder(text.length() + 16);
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean keep = c == '%'
                    ? UriSyntax.decodeOctet(text, i) >= 0
                    : isPathCharacter(c) || allowed.indexOf(c) >= 0;
            if (keep) {
                encoded.append(c);
            } else {
                UriSyntax.appendEncoded(encoded, c);
            }
        }
        return encoded.toString();
    }

    private static boolean isPathCharacter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                || URI_PATH_CHARACTERS.indexOf(c) >= 0;
    }

    /**
     * Whether the path's dot segments could lead the origin to another resource than the one that Corral routes and keys. This is the
     * case if they leave the root, because the origin's base path may not be its root, and if they are combined with an encoding, a
     * path parameter, a backslash or an empty segment, which servers resolve differently ({@code ..%2f}, {@code ..;/}, {@code ..\},
     * {@code //..}).
     */
    public boolean isAmbiguous() {
        if (path.indexOf('.') < 0 && path.indexOf('%') < 0) {
            return false;
        }
        boolean wellEncoded = UriSyntax.isWellEncoded(path);
        Deque<Boolean> parentIsEmpty = new ArrayDeque<>();
        for (String segment : path.substring(1).split("/", -1)) {
            // As in UriSyntax: only these two encodings equal a dot (RFC 3986 section 6.2.2.2).
            String decoded = segment.replace("%2e", ".").replace("%2E", ".");
            boolean up = decoded.equals("..");
            if (up || decoded.equals(".")) {
                // An origin that ignores the empty segment would go up one level more.
                if (!wellEncoded || (up && (parentIsEmpty.isEmpty() || parentIsEmpty.pop()))) {
                    return true;
                }
            } else if (hasHiddenDotSegment(percentDecode(segment))) {
                return true;
            } else {
                parentIsEmpty.push(segment.isEmpty());
            }
        }
        return false;
    }

    private static boolean hasHiddenDotSegment(String decoded) {
        for (String part : decoded.split("[/\\\\]", -1)) {
            int parameter = part.indexOf(';');
            String name = (parameter < 0 ? part : part.substring(0, parameter)).strip();
            if (trimTrailingControls(name).equals(".") || trimTrailingControls(name).equals("..")) {
                return true;
            }
        }
        return false;
    }

    /** The name without trailing control characters, where some servers end the text. */
    private static String trimTrailingControls(String name) {
        int end = name.length();
        while (end > 0 && (name.charAt(end - 1) <= ' ' || name.charAt(end - 1) == 0x7f)) {
            end--;
        }
        return name.substring(0, end);
    }

    /** The segment fully decoded, including overlong UTF-8 encodings of dots and slashes. */
    private static String percentDecode(String segment) {
        return UriSyntax.percentDecode(segment)
                .replace("\u00c0\u00ae", ".")
                .replace("\u00c0\u00af", "/")
                .replace("\u00c1\u009c", "\\");
    }

    /**
     * The paths that servers may understand this path as, encoded like {@link #encoded()} and without dot segments: first the normal
     * form of RFC 3986; then, where they differ, with path parameters as part of the name, and with encoded slashes and backslashes
     * as slashes and repeated slashes as one.
     */
    public List<String> interpretations() {
        String normal = percentEncode(UriSyntax.normalizePath(path), "");
        if (normal.indexOf('%') < 0 && normal.indexOf(';') < 0 && !normal.contains("//")) {
            return List.of(normal);
        }
        return Stream.of(normal, normal.replace(";", "%3B"),
                normal.replace("%2F", "/").replace("%5C", "/").replaceAll("//+", "/")).distinct().toList();
    }
}
