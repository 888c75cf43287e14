package dev.corral.cache;

import dev.corral.http.FieldSyntax;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;

/** Determines which of a resource's variants a request selects (RFC 9111 section 4.1). */
public final class Vary {

    /** The recorded value of an absent selecting field. No real field value can equal it. */
    public static final String ABSENT_VALUE = "\0";

    private Vary() {}

    /** The distinct names in {@code Vary}, in lower case and sorted; empty if it is absent or {@code *}. */
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
     * Whether {@code Vary} contains {@code *} or an invalid field name anywhere. No other request selects such a response.
     */
    public static boolean isStar(ResponseHead head) {
        for (String member : FieldSyntax.listMembers(head.fields().values("Vary"))) {
            if (member.equals("*") || !FieldSyntax.isToken(member)) {
                return true;
            }
        }
        return false;
    }

    /** The normalized values of the request's selecting fields, one line for each name in the given order. */
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

    /** A stable, injective text of the selecting fields. It is hashed into the key of the variant. */
    public static String variantText(HeaderFields selectingFields) {
        var text = new StringBuilder();
        for (HeaderFields.FieldLine field : selectingFields) {
            text.append(field.name())
                    .append(':')
                    .append(field.value().length())
                    .append(':')
                    .append(field.value())
                    .append('\n');
        }
        return text.toString();
    }

    /** Whether the request selects the stored response. */
    public static boolean matches(StoredResponse stored, RequestHead request, CachePolicy policy) {
        return matches(stored.selectingFields(), request.fields(), policy);
    }

    static boolean matches(HeaderFields selectingFields, HeaderFields request, CachePolicy policy) {
        for (HeaderFields.FieldLine field : selectingFields) {
            if (!field.value().equals(SelectingFieldNormalizer.normalizedValue(field.name(), request, policy))) {
                return false;
            }
        }
        return true;
    }
}
