package dev.corral.cache;

import dev.corral.http.FieldSyntax;
import dev.corral.http.HeaderFields;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;

/** Normalizes selecting fields: two values have the same normal form only if they have the same meaning (RFC 9111 section 4.1). */
final class SelectingFieldNormalizer {

    /** Fields that are not lists; their commas and spaces may be significant. */
    private static final Set<String> NON_LIST_FIELDS = Set.of("authorization", "proxy-authorization", "user-agent",
            "referer",
            "origin", "host", "from", "date", "if-modified-since", "content-type");

    private SelectingFieldNormalizer() {}

    /** The normal form of the field in the request; {@link Vary#ABSENT_VALUE} if it is absent. */
    static String normalizedValue(String name, HeaderFields request, CachePolicy policy) {
        List<String> lines = request.values(name);
        if (lines.isEmpty()) {
            return Vary.ABSENT_VALUE;
        }
        if (name.equals("cookie")) {
            // RFC 9113 section 8.2.3: split cookie lines are joined with "; ".
            return FieldSyntax.trim(String.join("; ", lines));
        }
        if ((name.equals("accept-encoding") && policy.normalizeAcceptEncoding())
                || (name.equals("accept-language") && policy.normalizeAcceptLanguage())) {
            return normalizeWeighted(lines);
        }
        return NON_LIST_FIELDS.contains(name)
                ? FieldSyntax.trim(String.join(",", lines))
                : trimList(String.join(",", lines));
    }

    /** The value without whitespace around commas and at both ends. Quoted strings do not change. */
    private static String trimList(String value) {
        var trimmed = new StringBuilder(value.length());
        int i = 0;
        while (i < value.length()) {
            char c = value.charAt(i);
            int quotedEnd = c == '"' ? FieldSyntax.endOfQuotedString(value, i) : -1;
            if (quotedEnd > 0) {
                trimmed.append(value, i, quotedEnd);
                i = quotedEnd;
            } else if (c == ',') {
                dropTrailingWhitespace(trimmed);
                trimmed.append(c);
                i++;
                while (i < value.length() && FieldSyntax.isWhitespace(value.charAt(i))) {
                    i++;
                }
            } else {
                trimmed.append(c);
                i++;
            }
        }
        return FieldSyntax.trim(trimmed.toString());
    }

    private static void dropTrailingWhitespace(StringBuilder text) {
        while (!text.isEmpty() && FieldSyntax.isWhitespace(text.charAt(text.length() - 1))) {
            text.setLength(text.length() - 1);
        }
    }

    /**
     * A list of weighted members (RFC 9110 section 12.4.2), sorted by descending weight and then by name, so that case, order and the
     * notation of weights do not matter. A value of another form only loses its whitespace.
     */
    private static String normalizeWeighted(List<String> lines) {
        var members = new ArrayList<WeightedMember>();
        for (String member : FieldSyntax.listMembers(lines)) {
            int semicolon = member.indexOf(';');
            String name = FieldSyntax.trim(semicolon < 0 ? member : member.substring(0, semicolon));
            int thousandths = semicolon < 0 ? 1000 : parseWeight(FieldSyntax.trim(member.substring(semicolon + 1)));
            if (thousandths < 0) {
                return trimList(String.join(",", lines));
            }
            members.add(new WeightedMember(name.toLowerCase(Locale.ROOT), thousandths));
        }
        var sorted = new TreeSet<>(members);
        var text = new StringBuilder();
        for (WeightedMember member : sorted) {
            text.append(text.isEmpty() ? "" : ",").append(member.name);
            if (member.thousandths != 1000) {
                // A well-formed weight, so that the result never equals a malformed value, which is left unchanged.
                text.append(";q=").append(BigDecimal.valueOf(member.thousandths, 3).toPlainString());
            }
        }
        return text.toString();
    }

    /** The weight in thousandths, for example 500 for {@code q=0.5}; -1 if it is malformed. */
    private static int parseWeight(String weight) {
        boolean startsWithZero = weight.startsWith("q=0") || weight.startsWith("Q=0");
        boolean startsWithOne = weight.startsWith("q=1") || weight.startsWith("Q=1");
        if (!(startsWithZero || startsWithOne) || weight.length() > 7
                || (weight.length() > 3 && weight.charAt(3) != '.')) {
            return -1;
        }
        int thousandths = startsWithOne ? 1000 : 0;
        int placeValue = 100;
        for (int i = 4; i < weight.length(); i++) {
            int digit = weight.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            thousandths += digit * placeValue;
            placeValue /= 10;
        }
        return thousandths > 1000 ? -1 : thousandths;
    }

    private record WeightedMember(String name, int thousandths) implements Comparable<WeightedMember> {
        @Override
        public int compareTo(WeightedMember other) {
            int byWeight = Integer.compare(other.thousandths, thousandths);
            return byWeight != 0 ? byWeight : name.compareTo(other.name);
        }
    }
}
