package dev.corral.http;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The byte ranges a request asks for (RFC 9110 section 14.1.2), fitted to a body.
 *
 * @param ranges those that can be had, in the order asked; none: 416
 */
public record ByteRanges(List<ByteRange> ranges) {

    /** More are not worth the trouble, and a way to make trouble (section 14.2). */
    private static final int MAX_RANGES = 16;

    /** One stretch of the body, never empty. */
    public record ByteRange(int first, int length) {

        /** As in {@code Content-Range} (section 14.4). */
        public String contentRange(int total) {
            return "bytes " + first + "-" + (first + length - 1) + "/" + total;
        }
    }

    /**
     * Reads {@code Range}. Empty, so that the whole body is sent: it is absent, malformed, in another unit, has too many ranges,
     * or overlapping ones that ask for more than there is.
     */
    public static Optional<ByteRanges> parse(HeaderFields request, int total) {
        List<String> lines = request.values("Range");
        if (lines.size() != 1) {
            return Optional.empty();
        }
        String line = FieldSyntax.trim(lines.getFirst());
        int equals = line.indexOf('=');
        if (equals < 0 || !FieldSyntax.trim(line.substring(0, equals)).equalsIgnoreCase("bytes")) {
            return Optional.empty();
        }
        List<String> members = FieldSyntax.listMembers(List.of(line.substring(equals + 1)));
        var parts = new ArrayList<ByteRange>();
        long sum = 0;
        for (String member : members) {
            Optional<RequestedRange> span = parseRange(member, total);
            if (span.isEmpty()) {
                return Optional.empty();
            }
            if (span.get().length() > 0) {
                parts.add(new ByteRange((int) span.get().first, (int) span.get().length()));
                sum += span.get().length();
            }
        }
        return members.isEmpty() || members.size() > MAX_RANGES || (sum > total && parts.size() > 1)
                ? Optional.empty()
                : Optional.of(new ByteRanges(parts));
    }

    private record RequestedRange(long first, long last) {
        long length() {
            return Math.max(0, last - first + 1);
        }
    }

    /** One range, cut to the body, perhaps to nothing; empty when it is malformed. */
    private static Optional<RequestedRange> parseRange(String text, int total) {
        int dash = text.indexOf('-');
        if (dash < 0) {
            return Optional.empty();
        }
        String first = text.substring(0, dash);
        String last = text.substring(dash + 1);
        if (first.isEmpty()) {
            return parsePosition(last).map(suffix -> new RequestedRange(Math.max(0, total - suffix), total - 1L));
        }
        Optional<Long> from = parsePosition(first);
        Optional<Long> to = last.isEmpty() ? Optional.of(Long.MAX_VALUE) : parsePosition(last);
        return from.isEmpty() || to.isEmpty() || to.get() < from.get()
                ? Optional.empty()
                : Optional.of(new RequestedRange(from.get(), Math.min(to.get(), total - 1L)));
    }

    private static Optional<Long> parsePosition(String digits) {
        long position = 0;
        for (int i = 0; i < digits.length(); i++) {
            int digit = digits.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return Optional.empty();
            }
            // No body is that long: enough to be beyond its end.
            position = Math.min(position * 10 + digit, Long.MAX_VALUE / 100);
        }
        return digits.isEmpty() ? Optional.empty() : Optional.of(position);
    }
}
