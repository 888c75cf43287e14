package dev.corral.http;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Entity tags (RFC 9110 section 8.8.3) as text. A tag without quotes is used unchanged and counts as strong. */
public final class EntityTag {

    private EntityTag() {}

    /** The response's entity tag; empty if the field is absent or blank. */
    public static Optional<String> of(ResponseHead head) {
        return head.fields().firstValue("ETag").map(FieldSyntax::trim).filter(tag -> !tag.isEmpty());
    }

    /** Whether the tag is weak: {@code W/"..."}. */
    public static boolean isWeak(String tag) {
        return tag.startsWith("W/");
    }

    /** Weak comparison (section 8.8.3.2): the opaque texts are equal. */
    public static boolean matchesWeakly(String first, String second) {
        return opaqueTag(first).equals(opaqueTag(second));
    }

    /** Strong comparison (section 8.8.3.2): the opaque texts are equal and neither tag is weak. */
    static boolean matchesStrongly(String first, String second) {
        return !isWeak(first) && !isWeak(second) && first.equals(second);
    }

    /** The tags of {@code If-None-Match}. An opaque text may contain commas and backslashes. */
    static List<String> parseList(List<String> lines) {
        var tags = new ArrayList<String>();
        for (String line : lines) {
            int start = 0;
            while (start < line.length()) {
                int end = endOfMember(line, start);
                String tag = FieldSyntax.trim(line.substring(start, end));
                if (!tag.isEmpty()) {
                    tags.add(tag);
                }
                start = end + 1;
            }
        }
        return tags;
    }

    /** The end index of the member that starts at {@code start}: the next comma outside its quotes, or the end of the line. */
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
