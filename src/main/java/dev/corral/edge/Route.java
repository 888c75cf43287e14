package dev.corral.edge;

import dev.corral.http.CacheKey.QueryRule;
import dev.corral.http.Forwarding;
import dev.corral.http.Policy;
import dev.corral.origin.Origin;
import dev.corral.origin.Upstream;
import java.time.Duration;
import java.util.List;
import org.springframework.web.util.pattern.PathPattern;

/**
 * Where a request goes and by what rules it is cached.
 *
 * @param pattern  which paths
 * @param host     the Host that the origin sees
 * @param forwarding which of the client's fields the origin sees
 * @param query    which query parameters are part of the cache key
 * @param keyed    request fields whose values are part of the cache key
 * @param patience how long a request waits for other replicas before it fetches alone
 */
public record Route(String id, PathPattern pattern, Upstream upstream, Origin origin, HostRule host,
        Forwarding.Rules forwarding, QueryRule query, List<String> keyed,
        Policy policy, Duration patience) {

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
