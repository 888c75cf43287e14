package dev.corral.http;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;

/** Which of a resource's answers a request selects (RFC 9111 section 4.1). */
public final class Variant {

    /** The recorded value of a selecting field that was absent; no field can have it. */
    public static final String ABSENT = "\0";

    private Variant() {}

    /** The request fields that {@code Vary} names, lower-cased, sorted, each once; none when it is absent or {@code *}. */
    public static List<String> names(Head head) {
        List<String> lines = head.fields().all("Vary");
        if (lines.isEmpty() || star(head)) {
            return List.of();
        }
        var names = new TreeSet<String>();
        for (String member : Syntax.members(lines)) {
            names.add(member.toLowerCase(Locale.ROOT));
        }
        return List.copyOf(names);
    }

    /**
     * Whether {@code Vary} has {@code *} anywhere, or something that is no field name: then no other request ever selects this
     * answer.
     */
    public static boolean star(Head head) {
        for (String member : Syntax.members(head.fields().all("Vary"))) {
            if (member.equals("*") || !Syntax.isToken(member)) {
                return true;
            }
        }
        return false;
    }

    /** What this request has for the selecting fields, normalised, one line for each name in the given order. */
    public static Fields selecting(List<String> names, Fields request, Policy policy) {
        if (names.isEmpty()) {
            return Fields.NONE;
        }
        var lines = new ArrayList<Fields.Field>(names.size());
        for (String name : names) {
            lines.add(new Fields.Field(name, Normal.value(name, request, policy)));
        }
        return Fields.of(lines);
    }

    /** A stable text of the selecting fields, different for different fields: to be hashed into the variant's key. */
    public static String text(Fields selecting) {
        var text = new StringBuilder();
        for (Fields.Field field : selecting) {
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
    public static boolean matches(Stored stored, Asked asked, Policy policy) {
        return matches(stored.selecting(), asked.fields(), policy);
    }

    static boolean matches(Fields selecting, Fields request, Policy policy) {
        for (Fields.Field field : selecting) {
            if (!field.value().equals(Normal.value(field.name(), request, policy))) {
                return false;
            }
        }
        return true;
    }
}
