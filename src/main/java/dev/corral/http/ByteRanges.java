package dev.corral.http;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The byte ranges of a request (RFC 9110 section 14.1.2), clipped to the length of a body.
 *
 * @param ranges the satisfiable ranges in request order; empty means 416
 */
public record ByteRanges(List<ByteRange> ranges) {

    /** Limit of ranges in one request: many small ranges are a known attack (section 14.2). */
    private static final int MAX_RANGES = 16;

    /** One non-empty range of the body: offset of the first byte and length in bytes. */
    public record ByteRange(int first, int length) {

        /**
         * The value of {@code Content-Range} (section 14.4).
         *
         * @param total length of the body in bytes
         */
        public String contentRange(int total) {
            return "bytes " + first + "-" + (first + length - 1) + "/" + total;
        }
    }

    /**
     * Parses {@code Range}. Empty means that the full body is sent: the field is absent, malformed, in another unit, has more than
     * 16 ranges, or has overlapping ranges that exceed the length of the body in total.
     *
     * @param total length of the body in bytes
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
            Optional<RequestedRange> range = parseRange(member, total);
            if (range.isEmpty()) {
                return Optional.empty();
            }
            if (range.get().length() > 0) {
                parts.add(new ByteRange((int) range.get().first, (int) range.get().length()));
                sum += range.get().length();
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

    /** One range, clipped to the body and possibly of length 0; empty if it is malformed. */
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
            // Saturates: no body is that long, so the position is past its end.
            position = Math.min(position * 10 + digit, Long.MAX_VALUE / 100);
        }
        return digits.isEmpty() ? Optional.empty() : Optional.of(position);
    }
}
