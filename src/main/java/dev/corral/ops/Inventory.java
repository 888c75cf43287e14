package dev.corral.ops;

import java.util.List;
import java.util.Map;
import reactor.core.publisher.Mono;

/**
 * What the rooms below know of URLs, tags and routes. Every method that takes a text throws {@link IllegalArgumentException} with a
 * sentence that says what is wrong with it. Thread-safe.
 */
public interface Inventory {

    /**
     * Something to purge.
     *
     * @param told  in words, for people
     * @param names as the fleet's record has them
     */
    record Target(String told, List<String> names) {}

    /** How many answers in this replica's memory are hit, of how many. */
    record Hits(long hit, long of) {}

    /** What a URL names. */
    Target url(String url);

    /** What a URL names that was asked for on this host, by whichever scheme. */
    Target url(String host, String target);

    /** What begins so. */
    Target prefix(String prefix);

    /** What begins so on this host, by whichever scheme; on any, where the host is no part of the key. */
    Target prefix(String host, String path);

    /** What has this tag. */
    Target tag(String tag);

    /** What has one of the tags that this line of a field names, as an answer's line would. */
    List<Target> tags(String field, String line);

    /** What belongs to this route. */
    Target route(String id);

    /** Everything. */
    Target all();

    /** What a purge of these names would hit. */
    Hits hits(List<String> names);

    /** What is stored for a URL and these request fields ({@code Name: value}): a record for JSON, never with a body. */
    Mono<Object> entry(String url, List<String> fields);

    /** The routes' effective settings, by id, in their order. */
    Map<String, Object> routes();
}
