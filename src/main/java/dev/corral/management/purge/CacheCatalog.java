package dev.corral.management.purge;

import java.util.List;
import java.util.Map;
import reactor.core.publisher.Mono;

/**
 * What the rooms below know of URLs, tags and routes. Every method that takes a text throws {@link IllegalArgumentException} with a
 * sentence that says what is wrong with it. Thread-safe.
 */
public interface CacheCatalog {

    /**
     * Something to purge.
     *
     * @param description in words, for people
     * @param names       as the fleet's record has them
     */
    record PurgeTarget(String description, List<String> names) {}

    /** How many answers in this replica's memory are hit, of how many. */
    record PurgeHits(long hit, long of) {}

    /** What a URL names. */
    PurgeTarget urlTarget(String url);

    /** What a URL names that was asked for on this host, by whichever scheme. */
    PurgeTarget urlTarget(String host, String target);

    /** What begins so. */
    PurgeTarget prefixTarget(String prefix);

    /** What begins so on this host, by whichever scheme; on any, where the host is no part of the key. */
    PurgeTarget prefixTarget(String host, String path);

    /** What has this tag. */
    PurgeTarget tagTarget(String tag);

    /** What has one of the tags that this line of a field names, as an answer's line would. */
    List<PurgeTarget> tagTargets(String field, String line);

    /** What belongs to this route. */
    PurgeTarget routeTarget(String id);

    /** Everything. */
    PurgeTarget everything();

    /** What a purge of these names would hit. */
    PurgeHits countHits(List<String> names);

    /** What is stored for a URL and these request fields ({@code Name: value}): a record for JSON, never with a body. */
    Mono<Object> inspectEntry(String url, List<String> fields);

    /** The routes' effective settings, by id, in their order. */
    Map<String, Object> routeSettings();
}
