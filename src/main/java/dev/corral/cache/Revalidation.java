package dev.corral.cache;

import dev.corral.http.EntityTag;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.HttpDate;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** Asking the origin whether a stored answer still holds (RFC 9111 section 4.3). */
public final class Revalidation {

    /** What a 304 must not change: it describes the stored body, not the one the 304 does not have (section 3.2). */
    private static final Set<String> REPRESENTATION_FIELDS = Set.of("content-length", "content-encoding",
            "content-type",
            "content-range", "content-md5", "content-digest", "transfer-encoding");

    private Revalidation() {}

    /** The conditions to add to the request for the origin: both validators, if there. */
    public static HeaderFields conditionalFields(StoredResponse stored) {
        HeaderFields conditions = HeaderFields.EMPTY;
        if (!isPossible(stored)) {
            return conditions;
        }
        Optional<String> tag = EntityTag.of(stored.head());
        if (tag.isPresent()) {
            conditions = conditions.plus("If-None-Match", tag.get());
        }
        Optional<String> modified = stored.head().fields().firstValue("Last-Modified");
        return modified.isPresent() ? conditions.plus("If-Modified-Since", modified.get()) : conditions;
    }

    /** Whether it can be validated. An error is fetched anew: a 304 could mean the good answer that came back. */
    public static boolean isPossible(StoredResponse stored) {
        return isPossible(stored.head());
    }

    static boolean isPossible(ResponseHead head) {
        return (head.status() == 200 || head.status() == 203 || head.status() == 204)
                && (EntityTag.of(head).isPresent() || head.fields().has("Last-Modified"));
    }

    /**
     * The stored answer as the origin's 304 makes it (section 4.3.4): for every later hit on every replica. Empty when it
     * cannot be: the 304 is about another answer, or the updated answer may not be shared; then fetch without conditions.
     *
     * @param position the purge position read before the validation began
     */
    public static Optional<StoredResponse> freshen(StoredResponse stored, ResponseHead notModified, RequestHead asked,
            CachePolicy policy,
            Instant requestTime, Instant responseTime, long position) {
        if (notModified.status() != 304 || !isSameResponse(stored.head(), notModified)) {
            return Optional.empty();
        }
        boolean stronger = EntityTag.of(stored.head()).filter(EntityTag::isWeak).isPresent();
        HeaderFields update = Forwarding.endToEndResponseFields(notModified.fields())
                .without(name -> REPRESENTATION_FIELDS.contains(name.toLowerCase(Locale.ROOT))
                        || (stronger && name.equalsIgnoreCase("ETag")));
        HeaderFields kept = stored.head().fields().without(update::has);
        HeaderFields dated = update.has("Date") ? update : update.plus("Date", HttpDate.format(responseTime));
        var head = new ResponseHead(stored.head().status(), kept.without("Date").plus(dated));
        boolean retagged = policy.tagFields().stream().anyMatch(update::has);
        // The body was fit for others already, and the origin says it is this client's too: a Cookie is no matter.
        return switch (Storability.decide(asked.withoutCookieOrCredential(), head, policy, requestTime, responseTime)) {
            case Storability.Store share -> Optional.of(new StoredResponse(stored.cacheKey(), share.head(),
                    Vary.selectingFields(Vary.fieldNames(share.head()), asked.fields(), policy), share.freshness(),
                    position,
                    retagged ? share.tags() : stored.tags(), stored.body())
                    .withEarlierVaryNames(stored.earlierVaryNames()));
            case Storability.DoNotStore withhold -> Optional.empty();
            case Storability.FailFill fail -> Optional.empty();
        };
    }

    /**
     * Whether the 304 is about this answer: its validators, where it has any, are the stored ones. We asked about one answer only,
     * so one without validators is about that. Compared weakly, although section 4.3.4 wants a strong one to meet its like: servers
     * that weaken a tag when they compress (W/"a") leave it strong ("a") in a 304, and would never be believed. The stored tag then
     * stays weak: its bytes are not those the strong one names.
     */
    private static boolean isSameResponse(ResponseHead stored, ResponseHead notModified) {
        Optional<String> news = EntityTag.of(notModified);
        if (news.isPresent()) {
            Optional<String> old = EntityTag.of(stored);
            return old.isEmpty() || EntityTag.matchesWeakly(old.get(), news.get());
        }
        List<String> modified = notModified.fields().values("Last-Modified");
        return modified.isEmpty() || !stored.fields().has("Last-Modified")
                || stored.fields().values("Last-Modified").equals(modified);
    }
}
