package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/**
 * A stored response. Immutable.
 *
 * @param cacheKey the canonical cache key
 * @param head status and fields, without hop-by-hop fields, {@code Age} and {@code Content-Length}; {@link ClientResponse} adds the
 *        last two
 * @param selectingFields the request fields that {@code Vary} names, normalized; an absent field has the value
 *        {@link Vary#ABSENT_VALUE}
 * @param freshness freshness and stale windows
 * @param purgePosition the purge position, read before the fetch
 * @param tags the surrogate tags, for purges
 * @param earlierVaryNames for a response without {@code Vary} that replaces variants: the lower-case, sorted names of the fields that
 *        selected them. These variants are preferred while they are fresh (RFC 9111 section 4.1)
 */
public record StoredResponse(String cacheKey, ResponseHead head, HeaderFields selectingFields, Freshness freshness,
        long purgePosition, List<String> tags, Body body,
        List<String> earlierVaryNames, String traceparent) implements Entry {

    /** Copies the lists. */
    public StoredResponse {
        tags = List.copyOf(tags);
        earlierVaryNames = List.copyOf(earlierVaryNames);
    }

    /** A response without a trace and without earlier variants. */
    public StoredResponse(String cacheKey, ResponseHead head, HeaderFields selectingFields, Freshness freshness,
            long purgePosition,
            List<String> tags, Body body) {
        this(cacheKey, head, selectingFields, freshness, purgePosition, tags, body, List.of(), "");
    }

    /** The stored form of a shareable response to {@code request}. */
    public static StoredResponse of(String cacheKey, RequestHead request, Storability.Store decision,
            CachePolicy policy,
            long purgePosition, Body body) {
        HeaderFields selectingFields = Vary.selectingFields(Vary.fieldNames(decision.head()), request.fields(), policy);
        return new StoredResponse(cacheKey, decision.head(), selectingFields, decision.freshness(), purgePosition,
                decision.tags(), body);
    }

    /** The remaining time for which the response is worth storing; negative if it is not. */
    public Duration remainingRetention(Instant now) {
        return Duration.between(now, freshness.responseTime().plus(freshness.retention()));
    }

    /** A copy with another freshness, for example {@link Freshness#staleAsOf} after a soft purge. */
    public StoredResponse withFreshness(Freshness freshness) {
        return new StoredResponse(cacheKey, head, selectingFields, freshness, purgePosition, tags, body,
                earlierVaryNames,
                traceparent);
    }

    /** A copy that replaces variants selected by these request fields. */
    public StoredResponse withEarlierVaryNames(List<String> earlierVaryNames) {
        return new StoredResponse(cacheKey, head, selectingFields, freshness, purgePosition, tags, body,
                earlierVaryNames,
                traceparent);
    }

    @Override
    public StoredResponse withTraceparent(String traceparent) {
        return new StoredResponse(cacheKey, head, selectingFields, freshness, purgePosition, tags, body,
                earlierVaryNames, traceparent);
    }
}
