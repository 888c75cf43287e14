package dev.corral.http;

import java.util.ArrayList;

/** Percent-encoding and normal forms of URIs (RFC 3986). A character stands for one octet. */
public final class UriSyntax {

    private UriSyntax() {}

    /** The path in normal form (RFC 3986 section 6.2.2), without dot segments. Routes are matched by it, too. */
    public static String normalizePath(String rawPath) {
        String path = normalize(rawPath.isEmpty() ? "/" : rawPath);
        while (path.contains("/.")) {
            // A segment that goes may have been what kept the others' encodings, and those may hide more dots.
            String shorter = normalize(removeDotSegments(path));
            if (shorter.equals(path)) {
                return path;
            }
            path = shorter;
        }
        return path;
    }

    /**
     * Percent-encodings in upper case, those of unreserved characters undone, blanks and controls encoded. A text with a percent
     * sign that encodes nothing keeps all of them: undoing one could complete another ({@code %4%41}).
     */
    public static String normalize(String text) {
        int odd = 0;
        while (odd < text.length() && text.charAt(odd) != '%' && !isControlOrSpace(text.charAt(odd))) {
            odd++;
        }
        if (odd == text.length()) {
            return text;
        }
        boolean encoded = isWellEncoded(text);
        var normal = new StringBuilder(text.length() + 8).append(text, 0, odd);
        for (int i = odd; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '%' && encoded) {
                appendNormalized(normal, decodeOctet(text, i));
                i += 2;
            } else if (isControlOrSpace(c)) {
                appendEncoded(normal, c);
            } else {
                normal.append(c);
            }
        }
        return normal.toString();
    }

    /** Whether every percent sign encodes an octet. */
    public static boolean isWellEncoded(String text) {
        for (int percent = text.indexOf('%'); percent >= 0; percent = text.indexOf('%', percent + 1)) {
            if (decodeOctet(text, percent) < 0) {
                return false;
            }
        }
        return true;
    }

    private static void appendNormalized(StringBuilder text, int octet) {
        if (isUnreserved(octet)) {
            text.append((char) octet);
        } else {
            appendEncoded(text, octet);
        }
    }

    /** Appends the percent-encoding of an octet, with upper-case digits. */
    public static void appendEncoded(StringBuilder text, int octet) {
        text.append('%')
                .append(Character.toUpperCase(Character.forDigit(octet >> 4, 16)))
                .append(Character.toUpperCase(Character.forDigit(octet & 15, 16)));
    }

    private static boolean isControlOrSpace(char c) {
        return c <= ' ' || c == 0x7f;
    }

    private static boolean isUnreserved(int c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.'
                || c == '_' || c == '~';
    }

    /** The octet that the percent sign at {@code start} encodes; -1 when it encodes none. */
    public static int decodeOctet(String text, int start) {
        if (start + 2 >= text.length()) {
            return -1;
        }
        int high = hexValue(text.charAt(start + 1));
        int low = hexValue(text.charAt(start + 2));
        return high < 0 || low < 0 ? -1 : high * 16 + low;
    }

    private static int hexValue(char c) {
        return c < 0x80 ? Character.digit(c, 16) : -1;
    }

    /** The text with every percent-encoding undone, one character an octet. A percent sign that encodes nothing stays. */
    public static String percentDecode(String text) {
        if (text.indexOf('%') < 0) {
            return text;
        }
        var decoded = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            int octet = text.charAt(i) == '%' ? decodeOctet(text, i) : -1;
            decoded.append(octet >= 0 ? (char) octet : text.charAt(i));
            i += octet >= 0 ? 2 : 0;
        }
        return decoded.toString();
    }

    /** RFC 3986 section 5.2.4. Only whole segments count, and an empty segment is one. */
    private static String removeDotSegments(String path) {
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
