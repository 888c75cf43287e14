package dev.corral.management.purge;

import java.util.List;
import java.util.Map;
import reactor.core.publisher.Mono;

/**
 * Resolves URLs, tags and routes to purge targets, and inspects the cache. Every method that takes a text throws
 * {@link IllegalArgumentException} with a sentence that says why the text is invalid. Thread-safe.
 */
public interface CacheCatalog {

    /**
     * A target of a purge.
     *
     * @param description readable text, for the audit log and the response
     * @param names       the purge names as stored in the purge log
     */
    record PurgeTarget(String description, List<String> names) {}

    /**
     * How many responses in this replica's memory a purge hits.
     *
     * @param hit the number of responses that are hit
     * @param of  the number of all responses
     */
    record PurgeHits(long hit, long of) {}

    /** All variants of a URL. */
    PurgeTarget urlTarget(String url);

    /** All variants of a target on this host, for http and https. */
    PurgeTarget urlTarget(String host, String target);

    /** All URLs that start with this string. */
    PurgeTarget prefixTarget(String prefix);

    /** All URLs on this host that start with this path, for http and https; on any host where the host is not part of the key. */
    PurgeTarget prefixTarget(String host, String path);

    /** All responses with this tag. */
    PurgeTarget tagTarget(String tag);

    /** All responses with one of the tags in this field line, which is split like a response's field line. */
    List<PurgeTarget> tagTargets(String field, String line);

    /** All responses of this route. */
    PurgeTarget routeTarget(String id);

    /** All responses. */
    PurgeTarget everything();

    /** The responses in this replica's memory that a purge of these names would hit. */
    PurgeHits countHits(List<String> names);

    /** The entry for a URL and these request fields ({@code Name: value}), as a record for JSON; never with a body. */
    Mono<Object> inspectEntry(String url, List<String> fields);

    /** The routes' effective settings by id, in matching order. */
    Map<String, Object> routeSettings();
}
