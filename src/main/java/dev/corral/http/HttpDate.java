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

    private static final List<String> MONTHS = List.of("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep",
            "oct", "nov", "dec");
    private static final List<String> DAYS = List.of("mon", "tue", "wed", "thu", "fri", "sat", "sun");
    private static final List<String> LONG_DAYS = List.of("monday", "tuesday", "wednesday", "thursday", "friday",
            "saturday", "sunday");
    private static final DateTimeFormatter WRITTEN = DateTimeFormatter.ofPattern("EEE, dd MMM yyyy HH:mm:ss 'GMT'",
            Locale.ENGLISH);

    private static final Instant FIRST = Instant.parse("0001-01-01T00:00:00Z");
    private static final Instant LAST = Instant.parse("9999-12-31T23:59:59Z");

    private HttpDate() {}

    /**
     * The moment the text names; empty when it is in none of the three forms.
     *
     * @param now to tell the century of a two-digit year: not more than 50 years ahead
     */
    public static Optional<Instant> parse(String text, Instant now) {
        String date = Syntax.trim(text).toLowerCase(Locale.ROOT);
        int comma = date.indexOf(',');
        if (comma == 3) {
            return DAYS.contains(date.substring(0, 3)) && shaped(date, ", 00 aaa 0000 00:00:00 gmt", 3)
                    ? moment(number(date, 12, 4), date.substring(8, 11), number(date, 5, 2), date, 17)
                    : Optional.empty();
        }
        if (comma > 3) {
            return LONG_DAYS.contains(date.substring(0, comma)) && shaped(date, ", 00-aaa-00 00:00:00 gmt", comma)
                    ? moment(century(number(date, comma + 9, 2), now), date.substring(comma + 5, comma + 8),
                            number(date, comma + 2, 2), date, comma + 12)
                    : Optional.empty();
        }
        if (date.length() == 24 && DAYS.contains(date.substring(0, 3))) {
            String padded = date.charAt(8) == ' ' ? date.substring(0, 8) + '0' + date.substring(9) : date;
            return shaped(padded, " aaa 00 00:00:00 0000", 3)
                    ? moment(number(padded, 20, 4), padded.substring(4, 7), number(padded, 8, 2), padded, 11)
                    : Optional.empty();
        }
        return Optional.empty();
    }

    /** The preferred form. What its four digits cannot say becomes the nearest they can. */
    public static String format(Instant moment) {
        Instant held = moment.isBefore(FIRST) ? FIRST : moment.isAfter(LAST) ? LAST : moment;
        return WRITTEN.format(LocalDateTime.ofInstant(held, ZoneOffset.UTC));
    }

    /** Whether the text from {@code start} to its end has the pattern's shape: 0 a digit, a anything, else itself. */
    private static boolean shaped(String text, String pattern, int start) {
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

    private static int number(String text, int start, int digits) {
        return Integer.parseInt(text, start, start + digits, 10);
    }

    private static int century(int year, Instant now) {
        int current = LocalDateTime.ofInstant(now, ZoneOffset.UTC).getYear();
        int candidate = current - current % 100 + year;
        // Section 5.6.7: more than 50 years in the future is the past.
        return candidate > current + 50 ? candidate - 100 : candidate <= current - 50 ? candidate + 100 : candidate;
    }

    private static Optional<Instant> moment(int year, String monthName, int day, String text, int time) {
        int month = MONTHS.indexOf(monthName) + 1;
        int hour = number(text, time, 2);
        int minute = number(text, time + 3, 2);
        int second = number(text, time + 6, 2);
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
