package dev.corral.http;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Entity tags (RFC 9110 section 8.8.3), kept as their text. One without quotes is taken as it stands, and as strong. */
final class EntityTag {

    private EntityTag() {}

    /** The answer's entity tag. */
    static Optional<String> of(Head head) {
        return head.fields().first("ETag").map(Syntax::trim).filter(tag -> !tag.isEmpty());
    }

    static boolean weak(String tag) {
        return tag.startsWith("W/");
    }

    /** Section 8.8.3.2: the same opaque text, weak or not. */
    static boolean weakMatch(String one, String other) {
        return opaque(one).equals(opaque(other));
    }

    /** Section 8.8.3.2: the same opaque text, and neither is weak. */
    static boolean strongMatch(String one, String other) {
        return !weak(one) && !weak(other) && one.equals(other);
    }

    /** The tags of {@code If-None-Match}; an opaque text may hold commas and backslashes. */
    static List<String> list(List<String> lines) {
        var tags = new ArrayList<String>();
        for (String line : lines) {
            int at = 0;
            while (at < line.length()) {
                int end = end(line, at);
                String tag = Syntax.trim(line.substring(at, end));
                if (!tag.isEmpty()) {
                    tags.add(tag);
                }
                at = end + 1;
            }
        }
        return tags;
    }

    /** Where the member that starts at {@code start} ends: at the next comma that is not inside of its quotes. */
    private static int end(String line, int start) {
        int comma = line.indexOf(',', start);
        int quote = line.indexOf('"', start);
        if (quote >= 0 && (comma < 0 || quote < comma)) {
            int closing = line.indexOf('"', quote + 1);
            comma = line.indexOf(',', closing < 0 ? quote : closing);
        }
        return comma < 0 ? line.length() : comma;
    }

    private static String opaque(String tag) {
        return weak(tag) ? tag.substring(2) : tag;
    }
}
