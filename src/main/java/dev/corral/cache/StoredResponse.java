package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/**
 * A stored answer. Immutable.
 *
 * @param cacheKey the canonical cache key
 * @param head status and the fields worth keeping: no hop-by-hop field, no {@code Age}, no {@code Content-Length}, which
 *        {@link ClientResponse} makes
 * @param selectingFields the request fields that {@code Vary} named, normalised; an absent one has the value {@link Vary#ABSENT_VALUE}
 * @param purgePosition the purge position before the fetch
 * @param tags the origin's labels, for purges
 * @param earlierVaryNames of a response without {@code Vary}: the request fields that selected among the responses before it, lower-cased
 *        and sorted. Their variants are preferred while they are fresh (RFC 9111 section 4.1)
 */
public record StoredResponse(String cacheKey, ResponseHead head, HeaderFields selectingFields, Freshness freshness,
        long purgePosition, List<String> tags, Body body,
        List<String> earlierVaryNames, String traceparent) implements Entry {

    /** Copies the lists. */
    public StoredResponse {
        tags = List.copyOf(tags);
        earlierVaryNames = List.copyOf(earlierVaryNames);
    }

    /** Not traced, and there were no variants before. */
    public StoredResponse(String key, ResponseHead head, HeaderFields selecting, Freshness terms, long position,
            List<String> tags, Body body) {
        this(key, head, selecting, terms, position, tags, body, List.of(), "");
    }

    /** What is kept of a shareable answer that was fetched for {@code asked}. */
    public static StoredResponse of(String key, RequestHead asked, Storability.Store share, CachePolicy policy,
            long position, Body body) {
        HeaderFields selecting = Vary.selectingFields(Vary.fieldNames(share.head()), asked.fields(), policy);
        return new StoredResponse(key, share.head(), selecting, share.freshness(), position, share.tags(), body);
    }

    /** For how much longer it is worth keeping; negative when it is not. */
    public Duration remainingRetention(Instant now) {
        return Duration.between(now, freshness.responseTime().plus(freshness.retention()));
    }

    /** The same under other terms, such as {@link Freshness#staleAsOf} after a soft purge. */
    public StoredResponse withFreshness(Freshness other) {
        return new StoredResponse(cacheKey, head, selectingFields, other, purgePosition, tags, body, earlierVaryNames,
                traceparent);
    }

    /** The same, in place of variants that these request fields selected. */
    public StoredResponse withEarlierVaryNames(List<String> names) {
        return new StoredResponse(cacheKey, head, selectingFields, freshness, purgePosition, tags, body, names,
                traceparent);
    }

    @Override
    public StoredResponse withTraceparent(String fetch) {
        return new StoredResponse(cacheKey, head, selectingFields, freshness, purgePosition, tags, body,
                earlierVaryNames, fetch);
    }
}
