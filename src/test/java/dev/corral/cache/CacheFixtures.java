package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.BodySlice;
import dev.corral.http.HeaderFields;
import dev.corral.http.HttpDate;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** Requests and answers in one line of text, at a fixed time. */
public final class CacheFixtures {

    public static final Instant NOW = Instant.parse("2026-11-23T12:00:00Z");
    static final String KEY = "http://shop.example/product/1";

    private static final Pattern DATE = Pattern.compile("\\{(-?\\d+)}");

    private CacheFixtures() {}

    /** Fields from {@code "Name: value | Name: value"}; {@code {n}} is the date {@code n} seconds from {@link #NOW}. */
    public static HeaderFields headerFields(String text) {
        var lines = new ArrayList<HeaderFields.FieldLine>();
        for (String line : text.isEmpty() ? new String[0] : text.split(" \\| ", -1)) {
            int colon = line.indexOf(':');
            String value = line.substring(colon + 1);
            lines.add(new HeaderFields.FieldLine(line.substring(0, colon), withDates(value.startsWith(" ")
                    ? value.substring(1)
                    : value)));
        }
        return HeaderFields.of(lines);
    }

    private static String withDates(String value) {
        return DATE.matcher(value)
                .replaceAll(found -> HttpDate.format(NOW.plusSeconds(Long.parseLong(found.group(1)))));
    }

    public static RequestHead getRequest(String fields) {
        return RequestHead.parse("GET", headerFields(fields));
    }

    static ResponseHead okResponse(String fields) {
        return new ResponseHead(200, headerFields(fields));
    }

    /** What becomes of an answer that took no time. */
    static Storability storability(RequestHead asked, ResponseHead head, CachePolicy policy) {
        return Storability.decide(asked, head, policy, NOW, NOW);
    }

    static StoredResponse storedResponse(String answer) {
        return storedResponse("", answer, CachePolicy.DEFAULT, "0123456789");
    }

    /** The stored form of a 200 to a GET, which must be shareable. */
    static StoredResponse storedResponse(String request, String answer, CachePolicy policy, String body) {
        RequestHead asked = getRequest(request);
        if (storability(asked, okResponse(answer), policy) instanceof Storability.Store share) {
            return StoredResponse.of(KEY, asked, share, policy, 7,
                    Body.of(body.getBytes(StandardCharsets.UTF_8)));
        }
        throw new AssertionError(answer + " is not shared: " + storability(asked, okResponse(answer), policy));
    }

    static Freshness freshness(String answer) {
        return storedResponse(answer).freshness();
    }

    static Instant secondsLater(long seconds) {
        return NOW.plusSeconds(seconds);
    }

    static Duration seconds(long seconds) {
        return Duration.ofSeconds(seconds);
    }

    static String bodyText(ClientResponse reply) {
        var text = new StringBuilder();
        for (BodySlice slice : reply.body()) {
            text.append(new String(slice.body().bytes(), slice.offset(), slice.length(),
                    StandardCharsets.ISO_8859_1));
        }
        return text.toString();
    }

    static List<String> fieldValues(ClientResponse reply, String field) {
        return reply.fields().values(field);
    }
}
