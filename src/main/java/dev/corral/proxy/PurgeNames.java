package dev.corral.proxy;

import dev.corral.cache.CacheKey;
import dev.corral.http.UriSyntax;
import dev.corral.purge.PurgeRegistry;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The names by which purges refer to a resource: its URL, the prefixes of its URL, its route. Other parts of its key, such as the
 * values of request fields, do not matter to a purge.
 *
 * @param uriAndRoute the common part of the canonical cache key: the normal form of the URI, then a line feed and the route
 * @param uriHash     the hash of {@link #uriAndRoute}; computed once, because every check of an entry against the purges needs it
 * @param hostInKey   whether the client's host is part of the key; otherwise all hosts share this resource
 */
public record PurgeNames(String uriAndRoute, String uriHash, String routeId, boolean hostInKey) {

    /** Prefix of a URL name; the hash of {@link #uriAndRoute} follows. */
    private static final String URL_PREFIX = "k:";

    private static final String ROUTE_PREFIX = "r:";
    private static final String TAG_PREFIX = "t:";

    // These follow PREFIX_NAME_MARKER in place of a host: for a prefix on any host, and for keys without a host.
    private static final String ANY_HOST = "*";
    private static final String NO_HOST = "-";

    /**
     * The names for the URL of a request or for a URL given by an operator.
     *
     * @param scheme    the client's scheme; ignored if the key has no host
     * @param authority the client's host and port; ignored if the key has no host
     */
    public static PurgeNames of(Route route, String scheme, String authority, String path, Optional<String> query) {
        boolean hostInKey = route.hostHeader() instanceof Route.HostHeaderRule.ClientHost;
        String uri = CacheKey.of(hostInKey ? scheme : route.originConfig().baseUri().getScheme(),
                hostInKey ? authority : route.originConfig().baseUri().getRawAuthority(), path, query,
                route.queryRule(), List.of("route=" + route.id()));
        return new PurgeNames(uri, ResourceKeys.hash(uri), route.id(), hostInKey);
    }

    /** The names of an entry with this canonical cache key; empty if the key belongs to another route. */
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

    /** The name of a purge of this URL. */
    public String urlName() {
        return URL_PREFIX + uriHash;
    }

    /** The name of a purge of this tag. */
    public static String tagName(String tag) {
        return TAG_PREFIX + tag;
    }

    /** The name of a purge of this route. */
    public static String routeName(String id) {
        return ROUTE_PREFIX + id;
    }

    /** The name of a purge of all URLs whose path starts with this one, on any host. */
    public static String prefixName(String path) {
        return PurgeRegistry.PREFIX_NAME_MARKER + ANY_HOST + UriSyntax.normalizePath(path);
    }

    /** The names of a purge of all URLs with this prefix: on this host if the host is part of the key, otherwise on any host. */
    public static List<String> prefixNames(String scheme, String authority, String path) {
        // In the form of a cache key, but without a query.
        return List.of(PurgeRegistry.PREFIX_NAME_MARKER
                + CacheKey.of(scheme, authority, path, Optional.empty(), CacheKey.QueryRule.ALL_PARAMETERS,
                        List.of()),
                PurgeRegistry.PREFIX_NAME_MARKER + NO_HOST + UriSyntax.normalizePath(path));
    }

    /** All names by which a response of this resource with these tags can be purged. */
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

    /** The path and query of the URI. */
    String target() {
        String url = url();
        return url.substring(url.indexOf('/', url.indexOf("://") + 3));
    }

    /** The URI in readable form. */
    public String url() {
        return uriAndRoute.substring(0, uriAndRoute.indexOf('\n'));
    }
}
