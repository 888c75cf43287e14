package dev.corral.http;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The target of a request in origin form (RFC 9112 section 3.2.1), one character for each byte as received. Parsed once: what
 * chooses the route, what is keyed and what the origin gets are this. Wider than the RFC, because browsers are: of the WHATWG URL
 * Standard's parser come {@code |}, {@code ^}, brackets, braces, backslashes, lone percent signs and raw bytes of UTF-8.
 *
 * @param path  with the slash it begins with
 * @param query without its question mark; empty when there is none
 */
public record RequestTarget(String path, Optional<String> query) {

    private static final String URI_PATH_CHARACTERS = "-._~!$&'()*+,;=:@/";

    /**
     * Reads a target.
     *
     * @return empty when it is none: it does not begin with a slash, or has a blank, a control character or a fragment, which no
     *         two servers read alike
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

    /** Whether a target may have it: a byte that is neither a control character nor a blank nor the sign of a fragment. */
    public static boolean isTargetCharacter(char c) {
        return c > ' ' && c != 0x7f && c != '#' && c <= 0xff;
    }

    /** As it was received. */
    public String raw() {
        return query.map(text -> path + "?" + text).orElse(path);
    }

    /** The target with everything percent-encoded that RFC 3986 does not allow, for readers that take nothing else. */
    public String encoded() {
        return query.map(text -> percentEncode(path, "") + "?" + percentEncode(text, "?"))
                .orElseGet(() -> percentEncode(path, ""));
    }

    private static String percentEncode(String text, String allowed) {
        int odd = 0;
        while (odd < text.length() && (isPathCharacter(text.charAt(odd)) || allowed.indexOf(text.charAt(odd)) >= 0)) {
            odd++;
        }
        if (odd == text.length()) {
            // As nearly all are.
            return text;
        }
        var encoded = new StringBuilder(text.length() + 16);
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean plain = c == '%'
                    ? UriSyntax.decodeOctet(text, i) >= 0
                    : isPathCharacter(c) || allowed.indexOf(c) >= 0;
            if (plain) {
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
     * Whether the path's dot segments could lead elsewhere at the origin than here: above the root, where the origin may have more
     * than its base; or by an encoding, a path parameter, a backslash or an empty segment, of which servers make different paths
     * ({@code ..%2f}, {@code ..;/}, {@code ..\}, {@code //..}).
     */
    public boolean isAmbiguous() {
        if (path.indexOf('.') < 0 && path.indexOf('%') < 0) {
            return false;
        }
        boolean wellEncoded = UriSyntax.isWellEncoded(path);
        Deque<Boolean> above = new ArrayDeque<>();
        for (String segment : path.substring(1).split("/", -1)) {
            // As UriSyntax has it: of what could be a dot, these encodings are one by RFC 3986 section 6.2.2.2.
            String plain = segment.replace("%2e", ".").replace("%2E", ".");
            boolean up = plain.equals("..");
            if (up || plain.equals(".")) {
                // The empty one that would be left may be none to the origin, which then goes up one more.
                if (!wellEncoded || (up && (above.isEmpty() || above.pop()))) {
                    return true;
                }
            } else if (hasHiddenDotSegment(percentDecode(segment))) {
                return true;
            } else {
                above.push(segment.isEmpty());
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

    /** Without the control characters at its end: to some the text ends there. */
    private static String trimTrailingControls(String name) {
        int end = name.length();
        while (end > 0 && (name.charAt(end - 1) <= ' ' || name.charAt(end - 1) == 0x7f)) {
            end--;
        }
        return name.substring(0, end);
    }

    /** All encodings undone, those of dots and slashes that are too long for UTF-8 too. */
    private static String percentDecode(String segment) {
        return UriSyntax.percentDecode(segment)
                .replace("\u00c0\u00ae", ".")
                .replace("\u00c0\u00af", "/")
                .replace("\u00c1\u009c", "\\");
    }

    /**
     * The paths that servers may take this one for, encoded as {@link #encoded()} and without dot segments: as RFC 3986 has it;
     * with path parameters as part of the name; with encoded slashes and backslashes as slashes, of which several are one. The
     * first is always there, others where they differ.
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
