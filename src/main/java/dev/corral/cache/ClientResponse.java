package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.BodySlice;
import dev.corral.http.ByteRanges;
import dev.corral.http.ConditionalRequests;
import dev.corral.http.EntityTag;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * The response to one client, made of a complete response: the full response, 304, one or several ranges, 416, or no body for HEAD.
 * Immutable.
 *
 * @param fields all fields, with {@code Content-Length} where it is allowed
 * @param body the body to send, in order; slices of the stored body, which is not copied
 */
public record ClientResponse(int status, HeaderFields fields, List<BodySlice> body) {

    /** Fields that describe a body. They are not sent in a 304 (RFC 9110 section 15.4.5) nor in a 416, which has no body. */
    private static final Set<String> REPRESENTATION_FIELDS = Set.of("content-type", "content-encoding",
            "content-language",
            "content-range", "content-md5", "content-digest", "repr-digest", "digest", "content-disposition");

    /** Fields that would let a downstream cache store a 416 or validate with it. */
    private static final Set<String> CACHING_FIELDS = Set.of("cache-control", "expires", "etag", "last-modified",
            "content-location", "age", "cdn-cache-control");

    /** Copies the list. */
    public ClientResponse {
        body = List.copyOf(body);
    }

    /** The response made of a stored response at this time. */
    public static ClientResponse of(RequestHead request, StoredResponse stored, Instant now, CachePolicy policy) {
        HeaderFields storedFields = stored.head().fields();
        HeaderFields visible = policy.surrogateControl() ? storedFields.without("Surrogate-Control") : storedFields;
        String age = Long.toString(stored.freshness().age(now).toSeconds());
        return of(request, new ResponseHead(stored.head().status(), visible.plus("Age", age)), stored.body(),
                stored.freshness().responseTime());
    }

    /**
     * The response made of a complete response that was fetched for this client and is not stored.
     *
     * @param received when the response was received
     */
    public static ClientResponse of(RequestHead request, ResponseHead head, Body body, Instant received,
            CachePolicy policy) {
        HeaderFields visible = SurrogateTags.strip(Forwarding.endToEndResponseFields(head.fields()), policy)
                .without("Content-Length");
        HeaderFields clientFields = policy.surrogateControl() ? visible.without("Surrogate-Control") : visible;
        return of(request, new ResponseHead(head.status(), clientFields), body, received);
    }

    private static ClientResponse of(RequestHead request, ResponseHead head, Body body, Instant received) {
        // RFC 9110 section 13.2.1: conditions and ranges apply only to a response that would be 200.
        if (head.status() == 200 && request.isConditional()
                && ConditionalRequests.isNotModified(request, head, received)) {
            return notModified(head);
        }
        if (head.status() == 200 && request.hasRange() && request.method().equals("GET")
                && ConditionalRequests.matchesIfRange(request, head, received)) {
            Optional<ByteRanges> ranges = ByteRanges.parse(request.fields(), body.length());
            if (ranges.isPresent()) {
                return rangeResponse(head, body, ranges.get());
            }
        }
        return fullResponse(request, head, body);
    }

    private static ClientResponse fullResponse(RequestHead request, ResponseHead head, Body body) {
        boolean hasNoBody = head.status() == 204 || head.status() == 304;
        // RFC 9110 section 8.6: no Content-Length in a 204.
        HeaderFields fields = hasNoBody ? head.fields() : withContentLength(head.fields(), body.length());
        return new ClientResponse(head.status(), fields,
                request.isHead() || hasNoBody || body.length() == 0 ? List.of() : List.of(BodySlice.of(body)));
    }

    private static ClientResponse notModified(ResponseHead head) {
        boolean hasEntityTag = EntityTag.of(head).isPresent();
        return new ClientResponse(304, head.fields().without(field -> {
            String name = field.toLowerCase(Locale.ROOT);
            return REPRESENTATION_FIELDS.contains(name) || (hasEntityTag && name.equals("last-modified"));
        }), List.of());
    }

    private static ClientResponse rangeResponse(ResponseHead head, Body body, ByteRanges ranges) {
        return switch (ranges.ranges().size()) {
            case 0 -> rangeNotSatisfiable(head, body);
            case 1 -> {
                ByteRanges.ByteRange range = ranges.ranges().getFirst();
                HeaderFields fields = head.fields().withReplaced("Content-Range", range.contentRange(body.length()));
                yield new ClientResponse(206, withContentLength(fields, range.length()),
                        List.of(new BodySlice(body, range.first(), range.length())));
            }
            default -> multipart(head, body, ranges);
        };
    }

    /** The 416 response (RFC 9110 section 15.5.17). */
    private static ClientResponse rangeNotSatisfiable(ResponseHead head, Body body) {
        HeaderFields fields = head.fields().without(field -> {
            String name = field.toLowerCase(Locale.ROOT);
            return REPRESENTATION_FIELDS.contains(name) || CACHING_FIELDS.contains(name);
        });
        return new ClientResponse(416, withContentLength(
                fields.plus("Content-Range", "bytes */" + body.length()).plus("Cache-Control", "no-store"), 0),
                List.of());
    }

    /** The multipart/byteranges response (RFC 9110 section 14.6): a part header as text, then the bytes as a slice, for each range. */
    private static ClientResponse multipart(ResponseHead head, Body body, ByteRanges ranges) {
        String boundary = multipartBoundary(head, body);
        String type = head.fields()
                .firstValue("Content-Type")
                .map(value -> "Content-Type: " + value + "\r\n")
                .orElse("");
        var slices = new ArrayList<BodySlice>();
        int length = 0;
        String delimiter = "--" + boundary + "\r\n";
        for (ByteRanges.ByteRange range : ranges.ranges()) {
            slices.add(
                    textSlice(delimiter + type + "Content-Range: " + range.contentRange(body.length()) + "\r\n\r\n"));
            slices.add(new BodySlice(body, range.first(), range.length()));
            delimiter = "\r\n--" + boundary + "\r\n";
        }
        slices.add(textSlice("\r\n--" + boundary + "--\r\n"));
        for (BodySlice slice : slices) {
            length = Math.addExact(length, slice.length());
        }
        HeaderFields fields = head.fields()
                .without("Content-Range")
                .withReplaced("Content-Type", "multipart/byteranges; boundary=" + boundary);
        return new ClientResponse(206, withContentLength(fields, length), slices);
    }

    private static BodySlice textSlice(String text) {
        return BodySlice.of(Body.of(text.getBytes(StandardCharsets.ISO_8859_1)));
    }

    /** A boundary that the body does not contain by accident; always the same for the same response. */
    private static String multipartBoundary(ResponseHead head, Body body) {
        long mixed = body.hashCode() * 0x9E3779B97F4A7C15L + head.fields().hashCode();
        mixed = (mixed ^ (mixed >>> 29)) * 0xBF58476D1CE4E5B9L;
        return "corral-" + Long.toHexString(mixed) + Long.toHexString(Long.reverse(mixed * 31 + body.length()));
    }

    private static HeaderFields withContentLength(HeaderFields fields, int length) {
        return fields.withReplaced("Content-Length", Integer.toString(length));
    }
}
