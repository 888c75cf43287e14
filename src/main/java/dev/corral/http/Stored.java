package dev.corral.http;

import java.time.Duration;
import java.time.Instant;
import java.util.List;

/**
 * A stored answer. Immutable.
 *
 * @param key the canonical cache key
 * @param head status and the fields worth keeping: no hop-by-hop field, no {@code Age}, no {@code Content-Length}, which
 *        {@link Reply} makes
 * @param selecting the request fields that {@code Vary} named, normalised; an absent one has the value {@link Variant#ABSENT}
 * @param position the purge position before the fetch
 * @param tags the origin's labels, for purges
 * @param earlierVary of a response without {@code Vary}: the request fields that selected among the responses before it, lower-cased
 *        and sorted. Their variants are preferred while they are fresh (RFC 9111 section 4.1)
 */
public record Stored(String key, Head head, Fields selecting, Terms terms, long position, List<String> tags, Body body,
        List<String> earlierVary, String trace) implements Entry {

    /** Copies the lists. */
    public Stored {
        tags = List.copyOf(tags);
        earlierVary = List.copyOf(earlierVary);
    }

    /** Not traced, and there were no variants before. */
    public Stored(String key, Head head, Fields selecting, Terms terms, long position, List<String> tags, Body body) {
        this(key, head, selecting, terms, position, tags, body, List.of(), "");
    }

    /** What is kept of a shareable answer that was fetched for {@code asked}. */
    public static Stored of(String key, Asked asked, Storing.Share share, Policy policy, long position, Body body) {
        Fields selecting = Variant.selecting(Variant.names(share.head()), asked.fields(), policy);
        return new Stored(key, share.head(), selecting, share.terms(), position, share.tags(), body);
    }

    /** For how much longer it is worth keeping; negative when it is not. */
    public Duration left(Instant now) {
        return Duration.between(now, terms.at().plus(terms.life()));
    }

    /** The same under other terms, such as {@link Terms#staleFrom} after a soft purge. */
    public Stored with(Terms other) {
        return new Stored(key, head, selecting, other, position, tags, body, earlierVary, trace);
    }

    /** The same, in place of variants that these request fields selected. */
    public Stored inPlaceOf(List<String> names) {
        return new Stored(key, head, selecting, terms, position, tags, body, names, trace);
    }

    @Override
    public Stored traced(String fetch) {
        return new Stored(key, head, selecting, terms, position, tags, body, earlierVary, fetch);
    }
}
