package dev.corral.http;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * What an answer becomes for one client: whole, 304, one part or several, 416, or without its body for HEAD. Immutable.
 *
 * @param fields complete, with {@code Content-Length} where there may be one
 * @param body what is sent, in order; slices of the stored body, which is not copied
 */
public record Reply(int status, Fields fields, List<Slice> body) {

    /** What describes a body: not in a 304 (RFC 9110 section 15.4.5), nor in a 416, which has none. */
    private static final Set<String> OF_THE_BODY = Set.of("content-type", "content-encoding", "content-language",
            "content-range", "content-md5", "content-digest", "repr-digest", "digest", "content-disposition");

    /** What would let a cache after us keep a 416, or validate with it. */
    private static final Set<String> OF_THE_ANSWER = Set.of("cache-control", "expires", "etag", "last-modified",
            "content-location", "age", "cdn-cache-control");

    /** Copies the slices' list. */
    public Reply {
        body = List.copyOf(body);
    }

    /** A stored answer, used now. */
    public static Reply of(Asked asked, Stored stored, Instant now, Policy policy) {
        Fields kept = stored.head().fields();
        Fields visible = policy.surrogateControl() ? kept.without("Surrogate-Control") : kept;
        String age = Long.toString(stored.terms().age(now).toSeconds());
        return of(asked, new Head(stored.head().status(), visible.plus("Age", age)), stored.body(),
                stored.terms().at());
    }

    /**
     * An answer that was fetched whole for this client, and is not stored.
     *
     * @param received when
     */
    public static Reply of(Asked asked, Head head, Body body, Instant received, Policy policy) {
        Fields visible = Tags.hidden(Forwarding.fromOrigin(head.fields()), policy).without("Content-Length");
        Fields seen = policy.surrogateControl() ? visible.without("Surrogate-Control") : visible;
        return of(asked, new Head(head.status(), seen), body, received);
    }

    private static Reply of(Asked asked, Head head, Body body, Instant received) {
        // RFC 9110 section 13.2.1: conditions and ranges are about an answer that would be 200.
        if (head.status() == 200 && asked.conditional() && Conditions.notModified(asked, head, received)) {
            return notModified(head);
        }
        if (head.status() == 200 && asked.ranged() && asked.method().equals("GET")
                && Conditions.sameForRange(asked, head, received)) {
            Optional<Ranges> ranges = Ranges.of(asked.fields(), body.length());
            if (ranges.isPresent()) {
                return ranged(head, body, ranges.get());
            }
        }
        return whole(asked, head, body);
    }

    private static Reply whole(Asked asked, Head head, Body body) {
        boolean bodiless = head.status() == 204 || head.status() == 304;
        // RFC 9110 section 8.6: no Content-Length in a 204.
        Fields fields = bodiless ? head.fields() : measured(head.fields(), body.length());
        return new Reply(head.status(), fields,
                asked.head() || bodiless || body.length() == 0 ? List.of() : List.of(Slice.of(body)));
    }

    private static Reply notModified(Head head) {
        boolean tagged = EntityTag.of(head).isPresent();
        return new Reply(304, head.fields().without(field -> {
            String name = field.toLowerCase(Locale.ROOT);
            return OF_THE_BODY.contains(name) || (tagged && name.equals("last-modified"));
        }), List.of());
    }

    private static Reply ranged(Head head, Body body, Ranges ranges) {
        return switch (ranges.parts().size()) {
            case 0 -> unsatisfiable(head, body);
            case 1 -> {
                Ranges.Part part = ranges.parts().getFirst();
                Fields fields = head.fields().with("Content-Range", part.contentRange(body.length()));
                yield new Reply(206, measured(fields, part.length()),
                        List.of(new Slice(body, part.first(), part.length())));
            }
            default -> multipart(head, body, ranges);
        };
    }

    /** RFC 9110 section 15.5.17. */
    private static Reply unsatisfiable(Head head, Body body) {
        Fields fields = head.fields().without(field -> {
            String name = field.toLowerCase(Locale.ROOT);
            return OF_THE_BODY.contains(name) || OF_THE_ANSWER.contains(name);
        });
        return new Reply(416, measured(
                fields.plus("Content-Range", "bytes */" + body.length()).plus("Cache-Control", "no-store"), 0),
                List.of());
    }

    /** RFC 9110 section 14.6: each part with its own small head, the bodies' bytes as slices. */
    private static Reply multipart(Head head, Body body, Ranges ranges) {
        String boundary = boundary(head, body);
        String type = head.fields().first("Content-Type").map(value -> "Content-Type: " + value + "\r\n").orElse("");
        var slices = new ArrayList<Slice>();
        int length = 0;
        String before = "--" + boundary + "\r\n";
        for (Ranges.Part part : ranges.parts()) {
            slices.add(text(before + type + "Content-Range: " + part.contentRange(body.length()) + "\r\n\r\n"));
            slices.add(new Slice(body, part.first(), part.length()));
            before = "\r\n--" + boundary + "\r\n";
        }
        slices.add(text("\r\n--" + boundary + "--\r\n"));
        for (Slice slice : slices) {
            length = Math.addExact(length, slice.length());
        }
        Fields fields = head.fields()
                .without("Content-Range")
                .with("Content-Type", "multipart/byteranges; boundary=" + boundary);
        return new Reply(206, measured(fields, length), slices);
    }

    private static Slice text(String text) {
        return Slice.of(Body.of(text.getBytes(StandardCharsets.ISO_8859_1)));
    }

    /** A text the body cannot hold by accident, always the same for the same answer. */
    private static String boundary(Head head, Body body) {
        long mixed = body.hashCode() * 0x9E3779B97F4A7C15L + head.fields().hashCode();
        mixed = (mixed ^ (mixed >>> 29)) * 0xBF58476D1CE4E5B9L;
        return "corral-" + Long.toHexString(mixed) + Long.toHexString(Long.reverse(mixed * 31 + body.length()));
    }

    private static Fields measured(Fields fields, int length) {
        return fields.with("Content-Length", Integer.toString(length));
    }
}
