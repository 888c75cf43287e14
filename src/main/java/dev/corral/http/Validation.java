package dev.corral.http;

import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** Asking the origin whether a stored answer still holds (RFC 9111 section 4.3). */
public final class Validation {

    /** What a 304 must not change: it describes the stored body, not the one the 304 does not have (section 3.2). */
    private static final Set<String> OF_THE_BODY = Set.of("content-length", "content-encoding", "content-type",
            "content-range", "content-md5", "content-digest", "transfer-encoding");

    private Validation() {}

    /** The conditions to add to the request for the origin: both validators, if there. */
    public static Fields conditions(Stored stored) {
        Fields conditions = Fields.NONE;
        if (!possible(stored)) {
            return conditions;
        }
        Optional<String> tag = EntityTag.of(stored.head());
        if (tag.isPresent()) {
            conditions = conditions.plus("If-None-Match", tag.get());
        }
        Optional<String> modified = stored.head().fields().first("Last-Modified");
        return modified.isPresent() ? conditions.plus("If-Modified-Since", modified.get()) : conditions;
    }

    /** Whether it can be validated. An error is fetched anew: a 304 could mean the good answer that came back. */
    public static boolean possible(Stored stored) {
        return possible(stored.head());
    }

    static boolean possible(Head head) {
        return (head.status() == 200 || head.status() == 203 || head.status() == 204)
                && (EntityTag.of(head).isPresent() || head.fields().has("Last-Modified"));
    }

    /**
     * The stored answer as the origin's 304 makes it (section 4.3.4): for every later hit on every replica. Empty when it
     * cannot be: the 304 is about another answer, or the updated answer may not be shared; then fetch without conditions.
     *
     * @param position the purge position read before the validation began
     */
    public static Optional<Stored> freshen(Stored stored, Head notModified, Asked asked, Policy policy,
            Instant requestTime, Instant responseTime, long position) {
        if (notModified.status() != 304 || !sameAnswer(stored.head(), notModified)) {
            return Optional.empty();
        }
        boolean stronger = EntityTag.of(stored.head()).filter(EntityTag::weak).isPresent();
        Fields update = Forwarding.fromOrigin(notModified.fields())
                .without(name -> OF_THE_BODY.contains(name.toLowerCase(Locale.ROOT))
                        || (stronger && name.equalsIgnoreCase("ETag")));
        Fields kept = stored.head().fields().without(update::has);
        Fields dated = update.has("Date") ? update : update.plus("Date", HttpDate.format(responseTime));
        var head = new Head(stored.head().status(), kept.without("Date").plus(dated));
        boolean retagged = policy.tagFields().stream().anyMatch(update::has);
        // The body was fit for others already, and the origin says it is this client's too: a Cookie is no matter.
        return switch (Storing.decide(asked.withoutCookie(), head, policy, requestTime, responseTime)) {
            case Storing.Share share -> Optional.of(new Stored(stored.key(), share.head(),
                    Variant.selecting(Variant.names(share.head()), asked.fields(), policy), share.terms(), position,
                    retagged ? share.tags() : stored.tags(), stored.body())
                    .inPlaceOf(stored.earlierVary()));
            case Storing.Withhold withhold -> Optional.empty();
            case Storing.Fail fail -> Optional.empty();
        };
    }

    /**
     * Whether the 304 is about this answer: its validators, where it has any, are the stored ones. We asked about one answer only,
     * so one without validators is about that. Compared weakly, although section 4.3.4 wants a strong one to meet its like: servers
     * that weaken a tag when they compress (W/"a") leave it strong ("a") in a 304, and would never be believed. The stored tag then
     * stays weak: its bytes are not those the strong one names.
     */
    private static boolean sameAnswer(Head stored, Head notModified) {
        Optional<String> news = EntityTag.of(notModified);
        if (news.isPresent()) {
            Optional<String> old = EntityTag.of(stored);
            return old.isEmpty() || EntityTag.weakMatch(old.get(), news.get());
        }
        List<String> modified = notModified.fields().all("Last-Modified");
        return modified.isEmpty() || !stored.fields().has("Last-Modified")
                || stored.fields().all("Last-Modified").equals(modified);
    }
}
