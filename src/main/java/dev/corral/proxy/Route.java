package dev.corral.proxy;

import dev.corral.cache.CacheKey.QueryRule;
import dev.corral.cache.CachePolicy;
import dev.corral.http.Forwarding;
import dev.corral.origin.OriginClient;
import dev.corral.origin.OriginConfig;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.springframework.web.util.pattern.PathPattern;

/**
 * A route: the origin of a request and the rules for forwarding and caching it.
 *
 * @param pathPattern    the paths of this route
 * @param hostHeader     the Host that the origin gets
 * @param forwarding     which of the client's header fields the origin gets
 * @param queryRule      which query parameters are part of the cache key
 * @param keyHeaders     request fields whose values are part of the cache key
 * @param allowedMethods the methods among {@link #CACHE_ADMIN_METHODS} that are forwarded to the origin, in upper case
 * @param maxWait        how long a request waits for other replicas before it makes its own fetch
 */
public record Route(String id, PathPattern pathPattern, OriginConfig originConfig, OriginClient originClient,
        HostHeaderRule hostHeader,
        Forwarding.ForwardingRules forwarding, QueryRule queryRule, List<String> keyHeaders,
        CachePolicy cachePolicy, Set<String> allowedMethods, Duration maxWait) {

    /**
     * Methods that instruct caches to remove or refresh entries. An origin may be a cache too, and may trust requests from the
     * address of this proxy.
     */
    public static final List<String> CACHE_ADMIN_METHODS = List.of("PURGE", "BAN", "REFRESH", "PURGEALL", "SOFTPURGE",
            "BANURL",
            "URLBAN", "FULLBAN", "INVALIDATE");

    /** Whether caches treat this method as an administrative command, in upper or lower case. */
    public static boolean isCacheAdminMethod(String method) {
        return CACHE_ADMIN_METHODS.contains(method.toUpperCase(Locale.ROOT));
    }

    /** Converts the methods to upper case. */
    public Route {
        allowedMethods = allowedMethods.stream()
                .map(method -> method.toUpperCase(Locale.ROOT))
                .collect(Collectors.toUnmodifiableSet());
    }

    /** Whether this route forwards requests with this method. */
    boolean allowsMethod(String method) {
        return !isCacheAdminMethod(method) || allowedMethods.contains(method.toUpperCase(Locale.ROOT));
    }

    /** Determines the Host that the origin gets. */
    public sealed interface HostHeaderRule {

        /** The host of the origin's base URL. */
        record OriginHost() implements HostHeaderRule {}

        /** The host that the client sent; part of the cache key, because the response may depend on it. */
        record ClientHost() implements HostHeaderRule {}

        /** A fixed host. */
        record LiteralHost(String host) implements HostHeaderRule {}

        /** The rule for a value of {@code corral.routes[n].host}. */
        static HostHeaderRule of(String setting) {
            return switch (setting) {
                case "origin" -> new OriginHost();
                case "client" -> new ClientHost();
                default -> new LiteralHost(setting);
            };
        }
    }
}
