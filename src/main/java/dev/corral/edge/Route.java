package dev.corral.edge;

import dev.corral.http.CacheKey.QueryRule;
import dev.corral.http.Forwarding;
import dev.corral.http.Policy;
import dev.corral.origin.Origin;
import dev.corral.origin.Upstream;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.springframework.web.util.pattern.PathPattern;

/**
 * Where a request goes and by what rules it is cached.
 *
 * @param pattern  which paths
 * @param host     the Host that the origin sees
 * @param forwarding which of the client's fields the origin sees
 * @param query    which query parameters are part of the cache key
 * @param keyed    request fields whose values are part of the cache key
 * @param allowedMethods of {@link #CACHE_ORDERS}, in upper case: those that reach the origin
 * @param patience how long a request waits for other replicas before it fetches alone
 */
public record Route(String id, PathPattern pattern, Upstream upstream, Origin origin, HostRule host,
        Forwarding.Rules forwarding, QueryRule query, List<String> keyed,
        Policy policy, Set<String> allowedMethods, Duration patience) {

    /**
     * Methods by which caches are told to remove or fetch again what they have. An origin may be a cache too, and may trust this
     * one's address.
     */
    public static final List<String> CACHE_ORDERS = List.of("PURGE", "BAN", "REFRESH", "PURGEALL", "SOFTPURGE",
            "BANURL",
            "URLBAN", "FULLBAN", "INVALIDATE");

    /** Whether caches take that method as an order, in whatever case. */
    public static boolean isCacheOrder(String method) {
        return CACHE_ORDERS.contains(method.toUpperCase(Locale.ROOT));
    }

    /** Upper-cases the methods. */
    public Route {
        allowedMethods = allowedMethods.stream()
                .map(method -> method.toUpperCase(Locale.ROOT))
                .collect(Collectors.toUnmodifiableSet());
    }

    /** Whether requests of that method are for the origin of this route. */
    boolean allows(String method) {
        return !isCacheOrder(method) || allowedMethods.contains(method.toUpperCase(Locale.ROOT));
    }

    /** The Host that the origin sees. */
    public sealed interface HostRule {

        /** The host of the origin's base URL. */
        record OfOrigin() implements HostRule {}

        /** What the client sent; part of the cache key, because the origin's answer may depend on it. */
        record OfClient() implements HostRule {}

        /** Always this one. */
        record Literal(String host) implements HostRule {}

        /** The rule that {@code corral.routes[n].host} names. */
        static HostRule of(String setting) {
            return switch (setting) {
                case "origin" -> new OfOrigin();
                case "client" -> new OfClient();
                default -> new Literal(setting);
            };
        }
    }
}
