package dev.corral.cache;

import dev.corral.http.FieldSyntax;
import dev.corral.http.HeaderFields;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;

/** The normal form of selecting fields: two values have the same only if they mean the same (RFC 9111 section 4.1). */
final class SelectingFieldNormalizer {

    /** Fields that are no lists, whose commas and blanks may mean something. */
    private static final Set<String> NON_LIST_FIELDS = Set.of("authorization", "proxy-authorization", "user-agent",
            "referer",
            "origin", "host", "from", "date", "if-modified-since", "content-type");

    private SelectingFieldNormalizer() {}

    /** The normal form of that field in a request; {@link Vary#ABSENT_VALUE} when it is absent. */
    static String normalizedValue(String name, HeaderFields request, CachePolicy policy) {
        List<String> lines = request.values(name);
        if (lines.isEmpty()) {
            return Vary.ABSENT_VALUE;
        }
        if (name.equals("cookie")) {
            // RFC 9113 section 8.2.3: split cookie lines are put together with "; ".
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

    /** Without the blanks around commas and at both ends; quoted strings stay as they are. */
    private static String trimList(String value) {
        var tight = new StringBuilder(value.length());
        int i = 0;
        while (i < value.length()) {
            char c = value.charAt(i);
            int quoted = c == '"' ? FieldSyntax.endOfQuotedString(value, i) : -1;
            if (quoted > 0) {
                tight.append(value, i, quoted);
                i = quoted;
            } else if (c == ',') {
                dropTrailingWhitespace(tight);
                tight.append(c);
                i++;
                while (i < value.length() && FieldSyntax.isWhitespace(value.charAt(i))) {
                    i++;
                }
            } else {
                tight.append(c);
                i++;
            }
        }
        return FieldSyntax.trim(tight.toString());
    }

    private static void dropTrailingWhitespace(StringBuilder text) {
        while (!text.isEmpty() && FieldSyntax.isWhitespace(text.charAt(text.length() - 1))) {
            text.setLength(text.length() - 1);
        }
    }

    /**
     * A list of weighted members (RFC 9110 section 12.4.2), heaviest first, then by name: neither case nor order nor the way a
     * weight is written matters. What is not of that form stays as it is, blanks aside.
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
                // Well-formed again, so that it never equals a malformed value, which stays as it was.
                text.append(";q=").append(BigDecimal.valueOf(member.thousandths, 3).toPlainString());
            }
        }
        return text.toString();
    }

    /** The thousandths of a weight, {@code q=0.5}; -1 when it is malformed. */
    private static int parseWeight(String weight) {
        boolean zero = weight.startsWith("q=0") || weight.startsWith("Q=0");
        boolean one = weight.startsWith("q=1") || weight.startsWith("Q=1");
        if (!(zero || one) || weight.length() > 7 || (weight.length() > 3 && weight.charAt(3) != '.')) {
            return -1;
        }
        int thousandths = one ? 1000 : 0;
        int unit = 100;
        for (int i = 4; i < weight.length(); i++) {
            int digit = weight.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            thousandths += digit * unit;
            unit /= 10;
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
