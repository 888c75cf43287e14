package dev.corral.http;

import java.time.Instant;
import java.time.LocalDateTime;
import java.time.YearMonth;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Dates in HTTP fields (RFC 9110 section 5.6.7): parses all three formats, writes IMF-fixdate. Parsing is strict, as RFC 9111
 * section 4.2 requires of a cache: GMT only, exact digits and separators. Two exceptions: case is ignored, and the weekday need
 * not match the date.
 */
public final class HttpDate {

    private static final List<String> MONTH_NAMES = List.of("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug",
            "sep",
            "oct", "nov", "dec");
    private static final List<String> DAY_NAMES = List.of("mon", "tue", "wed", "thu", "fri", "sat", "sun");
    private static final List<String> LONG_DAY_NAMES = List.of("monday", "tuesday", "wednesday", "thursday", "friday",
            "saturday", "sunday");
    private static final DateTimeFormatter IMF_FIXDATE = DateTimeFormatter.ofPattern("EEE, dd MMM yyyy HH:mm:ss 'GMT'",
            Locale.ENGLISH);

    private static final Instant MIN_INSTANT = Instant.parse("0001-01-01T00:00:00Z");
    private static final Instant MAX_INSTANT = Instant.parse("9999-12-31T23:59:59Z");

    private HttpDate() {}

    /**
     * The instant of the date; empty if the text is in none of the three formats.
     *
     * @param now determines the century of a two-digit year, which is at most 50 years ahead
     */
    public static Optional<Instant> parse(String text, Instant now) {
        String date = FieldSyntax.trim(text).toLowerCase(Locale.ROOT);
        int comma = date.indexOf(',');
        if (comma == 3) {
            return DAY_NAMES.contains(date.substring(0, 3)) && matchesShape(date, ", 00 aaa 0000 00:00:00 gmt", 3)
                    ? toInstant(parseNumber(date, 12, 4), date.substring(8, 11), parseNumber(date, 5, 2), date, 17)
                    : Optional.empty();
        }
        if (comma > 3) {
            return LONG_DAY_NAMES.contains(date.substring(0, comma))
                    && matchesShape(date, ", 00-aaa-00 00:00:00 gmt", comma)
                            ? toInstant(fullYear(parseNumber(date, comma + 9, 2), now),
                                    date.substring(comma + 5, comma + 8),
                                    parseNumber(date, comma + 2, 2), date, comma + 12)
                            : Optional.empty();
        }
        if (date.length() == 24 && DAY_NAMES.contains(date.substring(0, 3))) {
            String padded = date.charAt(8) == ' ' ? date.substring(0, 8) + '0' + date.substring(9) : date;
            return matchesShape(padded, " aaa 00 00:00:00 0000", 3)
                    ? toInstant(parseNumber(padded, 20, 4), padded.substring(4, 7), parseNumber(padded, 8, 2), padded,
                            11)
                    : Optional.empty();
        }
        return Optional.empty();
    }

    /** The date as IMF-fixdate. An instant outside the years 1 to 9999 becomes the nearest one inside. */
    public static String format(Instant instant) {
        Instant clamped = instant.isBefore(MIN_INSTANT)
                ? MIN_INSTANT
                : instant.isAfter(MAX_INSTANT) ? MAX_INSTANT : instant;
        return IMF_FIXDATE.format(LocalDateTime.ofInstant(clamped, ZoneOffset.UTC));
    }

    /** Whether the rest of the text from {@code start} matches the pattern: {@code 0} is a digit, {@code a} any character. */
    private static boolean matchesShape(String text, String pattern, int start) {
        if (text.length() - start != pattern.length()) {
            return false;
        }
        for (int i = 0; i < pattern.length(); i++) {
            char expected = pattern.charAt(i);
            char found = text.charAt(start + i);
            if (expected == '0' ? (found < '0' || found > '9') : (expected != 'a' && expected != found)) {
                return false;
            }
        }
        return true;
    }

    private static int parseNumber(String text, int start, int digits) {
        return Integer.parseInt(text, start, start + digits, 10);
    }

    private static int fullYear(int year, Instant now) {
        int current = LocalDateTime.ofInstant(now, ZoneOffset.UTC).getYear();
        int candidate = current - current % 100 + year;
        // Section 5.6.7: a year more than 50 years in the future is in the past.
        return candidate > current + 50 ? candidate - 100 : candidate <= current - 50 ? candidate + 100 : candidate;
    }

    private static Optional<Instant> toInstant(int year, String monthName, int day, String text, int time) {
        int month = MONTH_NAMES.indexOf(monthName) + 1;
        int hour = parseNumber(text, time, 2);
        int minute = parseNumber(text, time + 3, 2);
        int second = parseNumber(text, time + 6, 2);
        // Second 60 is a leap second and means the second after 59.
        if (month == 0 || day == 0 || hour > 23 || minute > 59 || second > 60
                || day > YearMonth.of(year, month).lengthOfMonth()) {
            return Optional.empty();
        }
        return Optional.of(LocalDateTime.of(year, month, day, hour, minute)
                .toInstant(ZoneOffset.UTC)
                .plusSeconds(second));
    }
}
