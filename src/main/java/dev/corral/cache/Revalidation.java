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

/** Validates a stored response with the origin (RFC 9111 section 4.3). Pure functions. */
public final class Revalidation {

    /** Fields that a 304 must not change: they describe the stored body, and a 304 has none (section 3.2). */
    private static final Set<String> REPRESENTATION_FIELDS = Set.of("content-length", "content-encoding",
            "content-type",
            "content-range", "content-md5", "content-digest", "transfer-encoding");

    private Revalidation() {}

    /** The conditions to add to the request to the origin: one for each validator of the stored response. */
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

    /**
     * Whether the response can be validated. An error is always fetched again: the origin could compare the validators with those of a
     * successful response that has replaced the error.
     */
    public static boolean isPossible(StoredResponse stored) {
        return isPossible(stored.head());
    }

    static boolean isPossible(ResponseHead head) {
        return (head.status() == 200 || head.status() == 203 || head.status() == 204)
                && (EntityTag.of(head).isPresent() || head.fields().has("Last-Modified"));
    }

    /**
     * The stored response updated by the origin's 304 (section 4.3.4), for all later hits on all replicas. Empty if the 304 belongs to
     * another response, or the updated response may not be shared. The caller must then fetch without conditions.
     *
     * @param purgePosition the purge position, read before the validation began
     */
    public static Optional<StoredResponse> freshen(StoredResponse stored, ResponseHead notModified, RequestHead request,
            CachePolicy policy,
            Instant requestTime, Instant responseTime, long purgePosition) {
        if (notModified.status() != 304 || !isSameResponse(stored.head(), notModified)) {
            return Optional.empty();
        }
        boolean storedTagIsWeak = EntityTag.of(stored.head()).filter(EntityTag::isWeak).isPresent();
        HeaderFields update = Forwarding.endToEndResponseFields(notModified.fields())
                .without(name -> REPRESENTATION_FIELDS.contains(name.toLowerCase(Locale.ROOT))
                        || (storedTagIsWeak && name.equalsIgnoreCase("ETag")));
        HeaderFields retained = stored.head().fields().without(update::has);
        HeaderFields updateWithDate = update.has("Date") ? update : update.plus("Date", HttpDate.format(responseTime));
        var head = new ResponseHead(stored.head().status(), retained.without("Date").plus(updateWithDate));
        boolean hasNewTags = policy.tagFields().stream().anyMatch(update::has);
        // The stored body is already shared, and the 304 says that it is current for this client, so a Cookie is irrelevant.
        return switch (Storability.decide(request.withoutCookieOrCredential(), head, policy, requestTime,
                responseTime)) {
            case Storability.Store share -> Optional.of(new StoredResponse(stored.cacheKey(), share.head(),
                    Vary.selectingFields(Vary.fieldNames(share.head()), request.fields(), policy), share.freshness(),
                    purgePosition,
                    hasNewTags ? share.tags() : stored.tags(), stored.body())
                    .withEarlierVaryNames(stored.earlierVaryNames()));
            case Storability.DoNotStore ignored -> Optional.empty();
            case Storability.FailFill ignored -> Optional.empty();
        };
    }

    /**
     * Whether the 304 belongs to the stored response: its validators, if any, equal the stored ones. A 304 without validators belongs
     * to it because the request named only this response.
     *
     * <p>Tags are compared weakly although section 4.3.4 requires strong comparison for strong tags. Servers that weaken a tag when
     * they compress (W/"a") send the strong tag ("a") in a 304 and could otherwise never be revalidated. The stored tag then stays
     * weak, because the strong tag names other bytes.
     */
    private static boolean isSameResponse(ResponseHead stored, ResponseHead notModified) {
        Optional<String> newTag = EntityTag.of(notModified);
        if (newTag.isPresent()) {
            Optional<String> storedTag = EntityTag.of(stored);
            return storedTag.isEmpty() || EntityTag.matchesWeakly(storedTag.get(), newTag.get());
        }
        List<String> modified = notModified.fields().values("Last-Modified");
        return modified.isEmpty() || !stored.fields().has("Last-Modified")
                || stored.fields().values("Last-Modified").equals(modified);
    }
}
