package dev.corral.http;

import java.util.ArrayList;

/** Percent-encoding and normal forms of URIs (RFC 3986). Each character represents one octet. */
public final class UriSyntax {

    private UriSyntax() {}

    /** The path in normal form (RFC 3986 section 6.2.2), without dot segments. Routes are matched against this form. */
    public static String normalizePath(String rawPath) {
        String path = normalize(rawPath.isEmpty() ? "/" : rawPath);
        while (path.contains("/.")) {
            // A removed segment may have been the only malformed one. The others are then normalized, which may reveal more dots.
            String reduced = normalize(removeDotSegments(path));
            if (reduced.equals(path)) {
                return path;
            }
            path = reduced;
        }
        return path;
    }

    /**
     * The text with upper-case percent-encodings, unreserved characters decoded, and spaces and control characters encoded. If any
     * percent sign encodes nothing, all encodings stay: decoding one could complete another ({@code %4%41}).
     */
    public static String normalize(String text) {
        int firstChanged = 0;
        while (firstChanged < text.length() && text.charAt(firstChanged) != '%'
                && !isControlOrSpace(text.charAt(firstChanged))) {
            firstChanged++;
        }
        if (firstChanged == text.length()) {
            return text;
        }
        boolean wellEncoded = isWellEncoded(text);
        var normalized = new StringBuilder(text.length() + 8).append(text, 0, firstChanged);
        for (int i = firstChanged; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '%' && wellEncoded) {
                appendNormalized(normalized, decodeOctet(text, i));
                i += 2;
            } else if (isControlOrSpace(c)) {
                appendEncoded(normalized, c);
            } else {
                normalized.append(c);
            }
        }
        return normalized.toString();
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

    /** The octet that the percent sign at {@code start} encodes; -1 if it encodes none. */
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

    /** The text with every percent-encoding decoded, one character for each octet. A percent sign that encodes nothing stays. */
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

    /** Removes dot segments (RFC 3986 section 5.2.4). An empty segment is a segment. */
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
