package dev.corral.proxy;

import dev.corral.cache.CacheKey;
import dev.corral.http.UriSyntax;
import dev.corral.purge.PurgeRegistry;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A resource as purges name it: by its URL, by what its URL begins with, by its route. What its key has besides, such as the
 * values of request fields, makes no difference to a purge.
 *
 * @param uriAndRoute the canonical cache key's common part: the normal form of the URI, and behind a line feed the route
 * @param uriHash     of {@link #uriAndRoute}: made once, for each entry that is judged by purges is asked for it
 * @param hostInKey   whether the client's host is part of the key; else any host leads here
 */
public record PurgeNames(String uriAndRoute, String uriHash, String routeId, boolean hostInKey) {

    /** By URL, with the hash of {@link #uriAndRoute}. */
    private static final String URL_PREFIX = "k:";

    private static final String ROUTE_PREFIX = "r:";
    private static final String TAG_PREFIX = "t:";

    // Behind Purges.PREFIX: what the host of a URL is when any will do, and when the key has none.
    private static final String ANY_HOST = "*";
    private static final String NO_HOST = "-";

    /**
     * The place of a request or of an operator's URL.
     *
     * @param scheme    the client's; of no concern when the key has no host
     * @param authority the client's host and port; likewise
     */
    public static PurgeNames of(Route route, String scheme, String authority, String path, Optional<String> query) {
        boolean hosted = route.hostHeader() instanceof Route.HostHeaderRule.ClientHost;
        String uri = CacheKey.of(hosted ? scheme : route.originConfig().baseUri().getScheme(),
                hosted ? authority : route.originConfig().baseUri().getRawAuthority(), path, query, route.queryRule(),
                List.of("route=" + route.id()));
        return new PurgeNames(uri, ResourceKeys.hash(uri), route.id(), hosted);
    }

    /** The place of an entry with this canonical cache key, if the route has it. */
    public static Optional<PurgeNames> ofEntry(String key, Route route) {
        int first = key.indexOf('\n');
        int second = key.indexOf('\n', first + 1);
        String uri = second < 0 ? key : key.substring(0, second);
        return first > 0 && uri.substring(first + 1).equals("route=" + route.id())
                ? Optional.of(
                        new PurgeNames(uri, ResourceKeys.hash(uri), route.id(),
                                route.hostHeader() instanceof Route.HostHeaderRule.ClientHost))
                : Optional.empty();
    }

    /** What a purge of this URL names. */
    public String urlName() {
        return URL_PREFIX + uriHash;
    }

    /** What a purge of the tag names. */
    public static String tagName(String tag) {
        return TAG_PREFIX + tag;
    }

    /** What a purge of the route names. */
    public static String routeName(String id) {
        return ROUTE_PREFIX + id;
    }

    /** What a purge of all that begins with this path names, on any host. */
    public static String prefixName(String path) {
        return PurgeRegistry.PREFIX_NAME_MARKER + ANY_HOST + UriSyntax.normalizePath(path);
    }

    /** What a purge of all that begins so names: where hosts count that host's, elsewhere any. */
    public static List<String> prefixNames(String scheme, String authority, String path) {
        // As a key has it, without the query a key would have.
        return List.of(PurgeRegistry.PREFIX_NAME_MARKER
                + CacheKey.of(scheme, authority, path, Optional.empty(), CacheKey.QueryRule.ALL_PARAMETERS,
                        List.of()),
                PurgeRegistry.PREFIX_NAME_MARKER + NO_HOST + UriSyntax.normalizePath(path));
    }

    /** All names that an answer from here with these tags can be purged by. */
    public List<String> allNames(List<String> tags) {
        var names = new ArrayList<String>(tags.size() + 4);
        String url = url();
        int path = url.indexOf('/', url.indexOf("://") + 3);
        names.add(urlName());
        names.add(ROUTE_PREFIX + routeId);
        names.add(PurgeRegistry.PREFIX_NAME_MARKER + ANY_HOST + url.substring(path));
        names.add(PurgeRegistry.PREFIX_NAME_MARKER + (hostInKey ? url : NO_HOST + url.substring(path)));
        for (String tag : tags) {
            names.add(TAG_PREFIX + tag);
        }
        return names;
    }

    /** Path and query of the URI. */
    String target() {
        String url = url();
        return url.substring(url.indexOf('/', url.indexOf("://") + 3));
    }

    /** The URI for people to read. */
    public String url() {
        return uriAndRoute.substring(0, uriAndRoute.indexOf('\n'));
    }
}
