package dev.corral.edge;

import dev.corral.coalesce.Purges;
import dev.corral.http.CacheKey;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A resource as purges name it: by its URL, by what its URL begins with, by its route. What its key has besides, such as the
 * values of request fields, makes no difference to a purge.
 *
 * @param uri    the canonical cache key's common part: the normal form of the URI, and behind a line feed the route
 * @param hash   of {@link #uri}: made once, for each entry that is judged by purges is asked for it
 * @param hosted whether the client's host is part of the key; else any host leads here
 */
record Place(String uri, String hash, String route, boolean hosted) {

    /** By URL, with the hash of {@link #uri}. */
    private static final String URL = "k:";

    private static final String ROUTE = "r:";
    private static final String TAG = "t:";

    // Behind Purges.PREFIX: what the host of a URL is when any will do, and when the key has none.
    private static final String ANY_HOST = "*";
    private static final String NO_HOST = "-";

    /**
     * The place of a request or of an operator's URL.
     *
     * @param scheme    the client's; of no concern when the key has no host
     * @param authority the client's host and port; likewise
     */
    static Place of(Route route, String scheme, String authority, String path, Optional<String> query) {
        boolean hosted = route.host() instanceof Route.HostRule.OfClient;
        String uri = CacheKey.of(hosted ? scheme : route.upstream().base().getScheme(),
                hosted ? authority : route.upstream().base().getRawAuthority(), path, query, route.query(),
                List.of("route=" + route.id()));
        return new Place(uri, Address.hash(uri), route.id(), hosted);
    }

    /** The place of an entry with this canonical cache key, if the route has it. */
    static Optional<Place> in(String key, Route route) {
        int first = key.indexOf('\n');
        int second = key.indexOf('\n', first + 1);
        String uri = second < 0 ? key : key.substring(0, second);
        return first > 0 && uri.substring(first + 1).equals("route=" + route.id())
                ? Optional.of(
                        new Place(uri, Address.hash(uri), route.id(), route.host() instanceof Route.HostRule.OfClient))
                : Optional.empty();
    }

    /** What a purge of this URL names. */
    String name() {
        return URL + hash;
    }

    /** What a purge of the tag names. */
    static String tag(String tag) {
        return TAG + tag;
    }

    /** What a purge of the route names. */
    static String route(String id) {
        return ROUTE + id;
    }

    /** What a purge of all that begins with this path names, on any host. */
    static String beginning(String path) {
        return Purges.PREFIX + ANY_HOST + CacheKey.path(path);
    }

    /** What a purge of all that begins so names: where hosts count that host's, elsewhere any. */
    static List<String> beginning(String scheme, String authority, String path) {
        // As a key has it, without the query a key would have.
        return List.of(Purges.PREFIX + CacheKey.of(scheme, authority, path, Optional.empty(), CacheKey.QueryRule.ALL,
                List.of()), Purges.PREFIX + NO_HOST + CacheKey.path(path));
    }

    /** All names that an answer from here with these tags can be purged by. */
    List<String> names(List<String> tags) {
        var names = new ArrayList<String>(tags.size() + 4);
        String url = url();
        int path = url.indexOf('/', url.indexOf("://") + 3);
        names.add(name());
        names.add(ROUTE + route);
        names.add(Purges.PREFIX + ANY_HOST + url.substring(path));
        names.add(Purges.PREFIX + (hosted ? url : NO_HOST + url.substring(path)));
        for (String tag : tags) {
            names.add(TAG + tag);
        }
        return names;
    }

    /** Path and query of the URI. */
    String target() {
        String url = url();
        return url.substring(url.indexOf('/', url.indexOf("://") + 3));
    }

    /** The URI for people to read. */
    String url() {
        return uri.substring(0, uri.indexOf('\n'));
    }
}
