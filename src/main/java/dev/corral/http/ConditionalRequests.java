package dev.corral.http;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Evaluates the request conditions that a cache handles itself (RFC 9110 section 13, RFC 9111 section 4.3.2). */
public final class ConditionalRequests {

    private ConditionalRequests() {}

    /**
     * Whether the client already has this response, so that 304 is sufficient. {@code If-None-Match} takes precedence over
     * {@code If-Modified-Since} (section 13.2.2).
     *
     * @param received when the response was received
     */
    public static boolean isNotModified(RequestHead request, ResponseHead head, Instant received) {
        List<String> requestTags = request.fields().values("If-None-Match");
        if (!requestTags.isEmpty()) {
            Optional<String> currentTag = EntityTag.of(head);
            return EntityTag.parseList(requestTags)
                    .stream()
                    .anyMatch(tag -> tag.equals("*")
                            || (currentTag.isPresent() && EntityTag.matchesWeakly(tag, currentTag.get())));
        }
        List<String> modifiedSince = request.fields().values("If-Modified-Since");
        if (modifiedSince.size() != 1) {
            return false;
        }
        // RFC 9111 section 4.3.2: without Last-Modified the Date applies, and without Date the time of receipt.
        Instant modified = parseDateField(head, "Last-Modified", received)
                .or(() -> parseDateField(head, "Date", received))
                .orElse(received);
        return HttpDate.parse(modifiedSince.getFirst(), received).filter(date -> !modified.isAfter(date)).isPresent();
    }

    /** Whether {@code If-Range} permits a partial response: it is absent or matches this response strongly (section 13.1.5). */
    public static boolean matchesIfRange(RequestHead request, ResponseHead head, Instant received) {
        List<String> lines = request.fields().values("If-Range");
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
        Optional<Instant> date = parseDateField(head, "Date", received);
        // Section 8.8.2.2: a date is a strong validator only if it is at least one second older than the response.
        return modified.isPresent() && date.isPresent() && !modified.get().plusSeconds(1).isAfter(date.get())
                && HttpDate.parse(validator, received).equals(modified);
    }

    private static Optional<Instant> parseDateField(ResponseHead head, String name, Instant received) {
        return head.fields().firstValue(name).flatMap(text -> HttpDate.parse(text, received));
    }
}
