package dev.corral.http;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** The conditions a cache answers itself (RFC 9110 section 13, RFC 9111 section 4.3.2). */
public final class ConditionalRequests {

    private ConditionalRequests() {}

    /**
     * Whether the client has this answer already: 304. {@code If-None-Match} counts before {@code If-Modified-Since}
     * (section 13.2.2).
     *
     * @param received when the answer was received
     */
    public static boolean isNotModified(RequestHead asked, ResponseHead head, Instant received) {
        List<String> tags = asked.fields().values("If-None-Match");
        if (!tags.isEmpty()) {
            Optional<String> ours = EntityTag.of(head);
            return EntityTag.parseList(tags)
                    .stream()
                    .anyMatch(tag -> tag.equals("*") || (ours.isPresent() && EntityTag.matchesWeakly(tag, ours.get())));
        }
        List<String> since = asked.fields().values("If-Modified-Since");
        if (since.size() != 1) {
            return false;
        }
        // Section 4.3.2: without Last-Modified the Date counts, and without that the time it was received.
        Instant modified = parseDateField(head, "Last-Modified", received)
                .or(() -> parseDateField(head, "Date", received))
                .orElse(received);
        return HttpDate.parse(since.getFirst(), received).filter(moment -> !modified.isAfter(moment)).isPresent();
    }

    /** Whether {@code If-Range} lets a part be sent: it is absent, or names exactly this answer (section 13.1.5). */
    public static boolean matchesIfRange(RequestHead asked, ResponseHead head, Instant received) {
        List<String> lines = asked.fields().values("If-Range");
        if (lines.isEmpty()) {
            return true;
        }
        String validator = FieldSyntax.trim(lines.getFirst());
        if (lines.size() > 1) {
            return false;
        }
        if (validator.startsWith("\"") || EntityTag.isWeak(validator)) {
            return EntityTag.of(head).filter(tag -> EntityTag.matchesStrongly(tag, validator)).isPresent();
        }
        Optional<Instant> modified = parseDateField(head, "Last-Modified", received);
        Optional<Instant> dated = parseDateField(head, "Date", received);
        // Section 8.8.2.2: a date is a strong validator only if it was a second old when the answer was made.
        return modified.isPresent() && dated.isPresent() && !modified.get().plusSeconds(1).isAfter(dated.get())
                && HttpDate.parse(validator, received).equals(modified);
    }

    private static Optional<Instant> parseDateField(ResponseHead head, String name, Instant received) {
        return head.fields().firstValue(name).flatMap(text -> HttpDate.parse(text, received));
    }
}
