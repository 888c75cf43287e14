package dev.corral.config;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.cache.Entry;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.CoalescerLimits;
import dev.corral.coalesce.TierKey;
import dev.corral.management.CorralMetrics;
import dev.corral.near.NearCache;
import dev.corral.origin.OriginAddressResolverGroup;
import dev.corral.proxy.AwaitedInvalidation;
import dev.corral.proxy.CacheController;
import dev.corral.proxy.ProxyContext;
import dev.corral.proxy.ResponseWriter;
import dev.corral.proxy.Route;
import dev.corral.proxy.observe.AccessLog;
import dev.corral.proxy.observe.RequestTracing;
import dev.corral.redis.RedisTier;
import dev.corral.redis.purge.RedisPurgeRegistry;
import io.github.resilience4j.bulkhead.BulkheadRegistry;
import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import io.github.resilience4j.common.circuitbreaker.configuration.CommonCircuitBreakerConfigurationProperties;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.util.List;
import java.util.Map;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.MapConfigurationPropertySource;
import org.springframework.boot.ssl.SslBundles;

/**
 * A second copy of everything between the data port and the origin, with one route. It runs the same code as the configured routes,
 * so that the JVM compiles it, but shares no state with them: its near cache, flights, metrics, circuit breaker and connections end
 * with it. Only the connections to Redis and the purge position belong to the replica. Two pipelines behave like two replicas: for
 * one key, one leads and the other follows.
 */
final class WarmUpPipeline implements AutoCloseable {

    /** TTL in Redis of the entries of the warm-up, in seconds. */
    private static final int ENTRY_TTL_SECONDS = 5;

    /** Size of the near cache in bytes: some thousand entries. */
    private static final long NEAR_CACHE_BYTES = 8L << 20;

    private final Route route;
    private final MeterRegistry meterRegistry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final Coalescer<TierKey, Entry> coalescer;
    private final CacheController controller;

    /**
     * @param prefix start of the paths of the route and of the origin
     * @param origin base URL of the origin
     */
    WarmUpPipeline(String prefix, String origin, CorralProperties settings, RedisTier<Entry> redis,
            RedisPurgeRegistry purges,
            AwaitedInvalidation invalidation, OriginAddressResolverGroup names, CoalescerLimits limits,
            ObjectMapper json, SslBundles bundles) {
        this.route = CorralConfiguration.newRoute(settings, routeProperties(prefix, origin),
                new RouteBreakerFactory(CircuitBreakerRegistry.ofDefaults(),
                        new CommonCircuitBreakerConfigurationProperties()),
                BulkheadRegistry.ofDefaults(), names, purges, new OriginSslBundles(bundles));
        var metrics = new CorralMetrics(meterRegistry);
        NearCache<Entry> near = CorralConfiguration.newNearCache(redis, purges, NEAR_CACHE_BYTES);
        this.coalescer = CorralConfiguration.newCoalescer(near, limits, purges, metrics);
        ProxyContext proxyContext = CorralConfiguration.newProxyContext(coalescer, near, purges, metrics, invalidation,
                settings,
                CorralConfiguration.newResponseMemory());
        this.controller = new CacheController(proxyContext, List.of(route),
                new ResponseWriter(purges.fleetClock(), json, proxyContext.memory()),
                RequestTracing.OFF, AccessLog.OFF);
    }

    /** Bound like a configured route, with the same defaults. */
    private static CorralProperties.RouteProperties routeProperties(String prefix, String origin) {
        var source = new MapConfigurationPropertySource(Map.of("route.id", "warm-up", "route.path", prefix + "**",
                "route.origin", origin, "route.timeout", "2s",
                "route.max-body", WarmUpOrigin.MAX_BODY_KILOBYTES + "KB",
                // Selects the pipeline; must not make two resources of one.
                "route.query.exclude", "second", "route.cache.max-life", ENTRY_TTL_SECONDS + "s", "route.hit-for-miss",
                "1s"));
        return new Binder(source).bind("route", CorralProperties.RouteProperties.class).get();
    }

    CacheController controller() {
        return controller;
    }

    /** The metrics of this pipeline, not visible to operators. */
    MeterRegistry meterRegistry() {
        return meterRegistry;
    }

    /** Whether no flight is in progress. */
    boolean isIdle() {
        return coalescer.flightCount() == 0;
    }

    @Override
    public void close() {
        route.originClient().close();
    }
}
