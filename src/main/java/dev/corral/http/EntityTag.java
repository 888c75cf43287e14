package dev.corral.http;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Entity tags (RFC 9110 section 8.8.3), kept as their text. One without quotes is taken as it stands, and as strong. */
public final class EntityTag {

    private EntityTag() {}

    /** The answer's entity tag. */
    public static Optional<String> of(ResponseHead head) {
        return head.fields().firstValue("ETag").map(FieldSyntax::trim).filter(tag -> !tag.isEmpty());
    }

    public static boolean isWeak(String tag) {
        return tag.startsWith("W/");
    }

    /** Section 8.8.3.2: the same opaque text, weak or not. */
    public static boolean matchesWeakly(String one, String other) {
        return opaqueTag(one).equals(opaqueTag(other));
    }

    /** Section 8.8.3.2: the same opaque text, and neither is weak. */
    static boolean matchesStrongly(String one, String other) {
        return !isWeak(one) && !isWeak(other) && one.equals(other);
    }

    /** The tags of {@code If-None-Match}; an opaque text may hold commas and backslashes. */
    static List<String> parseList(List<String> lines) {
        var tags = new ArrayList<String>();
        for (String line : lines) {
            int at = 0;
            while (at < line.length()) {
                int end = endOfMember(line, at);
                String tag = FieldSyntax.trim(line.substring(at, end));
                if (!tag.isEmpty()) {
                    tags.add(tag);
                }
                at = end + 1;
            }
        }
        return tags;
    }

    /** Where the member that starts at {@code start} ends: at the next comma that is not inside of its quotes. */
    private static int endOfMember(String line, int start) {
        int comma = line.indexOf(',', start);
        int quote = line.indexOf('"', start);
        if (quote >= 0 && (comma < 0 || quote < comma)) {
            int closing = line.indexOf('"', quote + 1);
            comma = line.indexOf(',', closing < 0 ? quote : closing);
        }
        return comma < 0 ? line.length() : comma;
    }

    private static String opaqueTag(String tag) {
        return isWeak(tag) ? tag.substring(2) : tag;
    }
}
