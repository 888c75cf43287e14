package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.BodySlice;
import dev.corral.http.HeaderFields;
import dev.corral.http.HttpDate;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/** Requests and responses from one line of text, at a fixed time. */
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
                .replaceAll(match -> HttpDate.format(NOW.plusSeconds(Long.parseLong(match.group(1)))));
    }

    public static RequestHead getRequest(String fields) {
        return RequestHead.parse("GET", headerFields(fields));
    }

    static ResponseHead okResponse(String fields) {
        return new ResponseHead(200, headerFields(fields));
    }

    /** The storability of a response that took no time. */
    static Storability storability(RequestHead request, ResponseHead head, CachePolicy policy) {
        return Storability.decide(request, head, policy, NOW, NOW);
    }

    static StoredResponse storedResponse(String response) {
        return storedResponse("", response, CachePolicy.DEFAULT, "0123456789");
    }

    /** The stored form of a 200 to a GET; fails if the response is not shareable. */
    static StoredResponse storedResponse(String request, String response, CachePolicy policy, String body) {
        RequestHead requestHead = getRequest(request);
        if (storability(requestHead, okResponse(response), policy) instanceof Storability.Store decision) {
            return StoredResponse.of(KEY, requestHead, decision, policy, 7,
                    Body.of(body.getBytes(StandardCharsets.UTF_8)));
        }
        throw new AssertionError(
                response + " is not shareable: " + storability(requestHead, okResponse(response), policy));
    }

    /** Decodes an entry from the whole array. */
    static Optional<Entry> decode(byte[] bytes) {
        return EntryCodec.decode(ByteBuffer.wrap(bytes));
    }

    static Freshness freshness(String response) {
        return storedResponse(response).freshness();
    }

    static Instant secondsLater(long seconds) {
        return NOW.plusSeconds(seconds);
    }

    static Duration seconds(long seconds) {
        return Duration.ofSeconds(seconds);
    }

    static String bodyText(ClientResponse response) {
        var text = new StringBuilder();
        for (BodySlice slice : response.body()) {
            text.append(new String(slice.body().bytes(), slice.offset(), slice.length(),
                    StandardCharsets.ISO_8859_1));
        }
        return text.toString();
    }

    static List<String> fieldValues(ClientResponse response, String field) {
        return response.fields().values(field);
    }
}
