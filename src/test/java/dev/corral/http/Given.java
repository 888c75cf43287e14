package dev.corral.http;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** Requests and answers in one line of text, at a fixed time. */
final class Given {

    static final Instant NOW = Instant.parse("2026-11-23T12:00:00Z");
    static final String KEY = "http://shop.example/product/1";

    private static final Pattern DATE = Pattern.compile("\\{(-?\\d+)}");

    private Given() {}

    /** Fields from {@code "Name: value | Name: value"}; {@code {n}} is the date {@code n} seconds from {@link #NOW}. */
    static Fields fields(String text) {
        var lines = new ArrayList<Fields.Field>();
        for (String line : text.isEmpty() ? new String[0] : text.split(" \\| ", -1)) {
            int colon = line.indexOf(':');
            String value = line.substring(colon + 1);
            lines.add(new Fields.Field(line.substring(0, colon), dates(value.startsWith(" ")
                    ? value.substring(1)
                    : value)));
        }
        return Fields.of(lines);
    }

    private static String dates(String value) {
        return DATE.matcher(value)
                .replaceAll(found -> HttpDate.format(NOW.plusSeconds(Long.parseLong(found.group(1)))));
    }

    static Asked get(String fields) {
        return Asked.parse("GET", fields(fields));
    }

    static Head ok(String fields) {
        return new Head(200, fields(fields));
    }

    /** What becomes of an answer that took no time. */
    static Storing storing(Asked asked, Head head, Policy policy) {
        return Storing.decide(asked, head, policy, NOW, NOW);
    }

    static Stored stored(String answer) {
        return stored("", answer, Policy.DEFAULT, "0123456789");
    }

    /** The stored form of a 200 to a GET, which must be shareable. */
    static Stored stored(String request, String answer, Policy policy, String body) {
        Asked asked = get(request);
        if (storing(asked, ok(answer), policy) instanceof Storing.Share share) {
            return Stored.of(KEY, asked, share, policy, 7,
                    Body.of(body.getBytes(StandardCharsets.UTF_8)));
        }
        throw new AssertionError(answer + " is not shared: " + storing(asked, ok(answer), policy));
    }

    static Terms terms(String answer) {
        return stored(answer).terms();
    }

    static Instant in(long seconds) {
        return NOW.plusSeconds(seconds);
    }

    static Duration seconds(long seconds) {
        return Duration.ofSeconds(seconds);
    }

    static String text(Reply reply) {
        var text = new StringBuilder();
        for (Slice slice : reply.body()) {
            text.append(new String(slice.body().bytes(), slice.offset(), slice.length(),
                    StandardCharsets.ISO_8859_1));
        }
        return text.toString();
    }

    static List<String> all(Reply reply, String field) {
        return reply.fields().all(field);
    }
}
