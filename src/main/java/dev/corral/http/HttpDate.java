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
 * The date of HTTP fields (RFC 9110 section 5.6.7): three forms are read, one is written. Strict, as RFC 9111 section 4.2 wants
 * of a cache (GMT only, exact digits and separators), except that case is ignored and a weekday need not fit its date.
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
     * The moment the text names; empty when it is in none of the three forms.
     *
     * @param now to tell the century of a two-digit year: not more than 50 years ahead
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

    /** The preferred form. What its four digits cannot say becomes the nearest they can. */
    public static String format(Instant moment) {
        Instant held = moment.isBefore(MIN_INSTANT) ? MIN_INSTANT : moment.isAfter(MAX_INSTANT) ? MAX_INSTANT : moment;
        return IMF_FIXDATE.format(LocalDateTime.ofInstant(held, ZoneOffset.UTC));
    }

    /** Whether the text from {@code start} to its end has the pattern's shape: 0 a digit, a anything, else itself. */
    private static boolean matchesShape(String text, String pattern, int start) {
        if (text.length() - start != pattern.length()) {
            return false;
        }
        for (int i = 0; i < pattern.length(); i++) {
            char wanted = pattern.charAt(i);
            char found = text.charAt(start + i);
            if (wanted == '0' ? (found < '0' || found > '9') : (wanted != 'a' && wanted != found)) {
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
        // Section 5.6.7: more than 50 years in the future is the past.
        return candidate > current + 50 ? candidate - 100 : candidate <= current - 50 ? candidate + 100 : candidate;
    }

    private static Optional<Instant> toInstant(int year, String monthName, int day, String text, int time) {
        int month = MONTH_NAMES.indexOf(monthName) + 1;
        int hour = parseNumber(text, time, 2);
        int minute = parseNumber(text, time + 3, 2);
        int second = parseNumber(text, time + 6, 2);
        // A leap second, 60, is the second after 59.
        if (month == 0 || day == 0 || hour > 23 || minute > 59 || second > 60
                || day > YearMonth.of(year, month).lengthOfMonth()) {
            return Optional.empty();
        }
        return Optional.of(LocalDateTime.of(year, month, day, hour, minute)
                .toInstant(ZoneOffset.UTC)
                .plusSeconds(second));
    }
}
