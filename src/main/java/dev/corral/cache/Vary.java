package dev.corral.cache;

import dev.corral.http.FieldSyntax;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;

/** Which of a resource's answers a request selects (RFC 9111 section 4.1). */
public final class Vary {

    /** The recorded value of a selecting field that was absent; no field can have it. */
    public static final String ABSENT_VALUE = "\0";

    private Vary() {}

    /** The request fields that {@code Vary} names, lower-cased, sorted, each once; none when it is absent or {@code *}. */
    public static List<String> fieldNames(ResponseHead head) {
        List<String> lines = head.fields().values("Vary");
        if (lines.isEmpty() || isStar(head)) {
            return List.of();
        }
        var names = new TreeSet<String>();
        for (String member : FieldSyntax.listMembers(lines)) {
            names.add(member.toLowerCase(Locale.ROOT));
        }
        return List.copyOf(names);
    }

    /**
     * Whether {@code Vary} has {@code *} anywhere, or something that is no field name: then no other request ever selects this
     * answer.
     */
    public static boolean isStar(ResponseHead head) {
        for (String member : FieldSyntax.listMembers(head.fields().values("Vary"))) {
            if (member.equals("*") || !FieldSyntax.isToken(member)) {
                return true;
            }
        }
        return false;
    }

    /** What this request has for the selecting fields, normalised, one line for each name in the given order. */
    public static HeaderFields selectingFields(List<String> names, HeaderFields request, CachePolicy policy) {
        if (names.isEmpty()) {
            return HeaderFields.EMPTY;
        }
        var lines = new ArrayList<HeaderFields.FieldLine>(names.size());
        for (String name : names) {
            lines.add(
                    new HeaderFields.FieldLine(name, SelectingFieldNormalizer.normalizedValue(name, request, policy)));
        }
        return HeaderFields.of(lines);
    }

    /** A stable text of the selecting fields, different for different fields: to be hashed into the variant's key. */
    public static String variantText(HeaderFields selecting) {
        var text = new StringBuilder();
        for (HeaderFields.FieldLine field : selecting) {
            text.append(field.name())
                    .append(':')
                    .append(field.value().length())
                    .append(':')
                    .append(field.value())
                    .append('\n');
        }
        return text.toString();
    }

    /** Whether the stored answer is the one this request selects. */
    public static boolean matches(StoredResponse stored, RequestHead asked, CachePolicy policy) {
        return matches(stored.selectingFields(), asked.fields(), policy);
    }

    static boolean matches(HeaderFields selecting, HeaderFields request, CachePolicy policy) {
        for (HeaderFields.FieldLine field : selecting) {
            if (!field.value().equals(SelectingFieldNormalizer.normalizedValue(field.name(), request, policy))) {
                return false;
            }
        }
        return true;
    }
}
