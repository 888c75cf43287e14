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
 * Where a request goes and by what rules it is cached.
 *
 * @param pathPattern  which paths
 * @param hostHeader     the Host that the origin sees
 * @param forwarding which of the client's fields the origin sees
 * @param queryRule    which query parameters are part of the cache key
 * @param keyHeaders    request fields whose values are part of the cache key
 * @param allowedMethods of {@link #CACHE_ADMIN_METHODS}, in upper case: those that reach the origin
 * @param maxWait how long a request waits for other replicas before it fetches alone
 */
public record Route(String id, PathPattern pathPattern, OriginConfig originConfig, OriginClient originClient,
        HostHeaderRule hostHeader,
        Forwarding.ForwardingRules forwarding, QueryRule queryRule, List<String> keyHeaders,
        CachePolicy cachePolicy, Set<String> allowedMethods, Duration maxWait) {

    /**
     * Methods by which caches are told to remove or fetch again what they have. An origin may be a cache too, and may trust this
     * one's address.
     */
    public static final List<String> CACHE_ADMIN_METHODS = List.of("PURGE", "BAN", "REFRESH", "PURGEALL", "SOFTPURGE",
            "BANURL",
            "URLBAN", "FULLBAN", "INVALIDATE");

    /** Whether caches take that method as an order, in whatever case. */
    public static boolean isCacheAdminMethod(String method) {
        return CACHE_ADMIN_METHODS.contains(method.toUpperCase(Locale.ROOT));
    }

    /** Upper-cases the methods. */
    public Route {
        allowedMethods = allowedMethods.stream()
                .map(method -> method.toUpperCase(Locale.ROOT))
                .collect(Collectors.toUnmodifiableSet());
    }

    /** Whether requests of that method are for the origin of this route. */
    boolean allowsMethod(String method) {
        return !isCacheAdminMethod(method) || allowedMethods.contains(method.toUpperCase(Locale.ROOT));
    }

    /** The Host that the origin sees. */
    public sealed interface HostHeaderRule {

        /** The host of the origin's base URL. */
        record OriginHost() implements HostHeaderRule {}

        /** What the client sent; part of the cache key, because the origin's answer may depend on it. */
        record ClientHost() implements HostHeaderRule {}

        /** Always this one. */
        record LiteralHost(String host) implements HostHeaderRule {}

        /** The rule that {@code corral.routes[n].host} names. */
        static HostHeaderRule of(String setting) {
            return switch (setting) {
                case "origin" -> new OriginHost();
                case "client" -> new ClientHost();
                default -> new LiteralHost(setting);
            };
        }
    }
}
