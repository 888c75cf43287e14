package dev.corral.http;

import java.util.ArrayList;
import java.util.List;

/** Lexical rules common to all header fields (RFC 9110 section 5.6). */
public final class FieldSyntax {

    private FieldSyntax() {}

    /** A character of a token (section 5.6.2). */
    static boolean isTokenCharacter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                || "!#$%&'*+-.^_`|~".indexOf(c) >= 0;
    }

    /** Whether the text is a non-empty token (section 5.6.2). */
    public static boolean isToken(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (!isTokenCharacter(text.charAt(i))) {
                return false;
            }
        }
        return !text.isEmpty();
    }

    /** Whether the character is optional whitespace: a space or a tab (section 5.6.3). */
    public static boolean isWhitespace(char c) {
        return c == ' ' || c == '\t';
    }

    /** The text without leading and trailing spaces and tabs. */
    public static String trim(String text) {
        int start = 0;
        int end = text.length();
        while (start < end && isWhitespace(text.charAt(start))) {
            start++;
        }
        while (end > start && isWhitespace(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(start, end);
    }

    /** The exclusive end index of the quoted-string that opens at {@code start}; -1 if it is never closed (section 5.6.4). */
    public static int endOfQuotedString(String text, int start) {
        for (int i = start + 1; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"') {
                return i + 1;
            }
            if (c == '\\') {
                i++;
            }
        }
        return -1;
    }

    /** The value of the quoted-string from {@code start} to {@code end} (exclusive), both quotes included. */
    static String unquote(String text, int start, int end) {
        var unquoted = new StringBuilder(end - start);
        for (int i = start + 1; i < end - 1; i++) {
            char c = text.charAt(i);
            unquoted.append(c == '\\' && i + 1 < end - 1 ? text.charAt(++i) : c);
        }
        return unquoted.toString();
    }

    /** The text as a quoted-string. */
    static String quote(String text) {
        var quoted = new StringBuilder(text.length() + 2).append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                quoted.append('\\');
            }
            quoted.append(c);
        }
        return quoted.append('"').toString();
    }

    /** The trimmed, non-empty members of a list field (section 5.6.1). A comma inside quotes is no separator. */
    public static List<String> listMembers(List<String> lines) {
        var members = new ArrayList<String>();
        for (String line : lines) {
            int start = 0;
            for (int i = 0; i <= line.length(); i++) {
                if (i == line.length() || line.charAt(i) == ',') {
                    String member = trim(line.substring(start, i));
                    if (!member.isEmpty()) {
                        members.add(member);
                    }
                    start = i + 1;
                } else if (line.charAt(i) == '"') {
                    int end = endOfQuotedString(line, i);
                    i = end < 0 ? i : end - 1;
                }
            }
        }
        return members;
    }
}
