package dev.corral;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.coalesce.AwaitedInvalidation;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Timing;
import dev.corral.edge.AccessLog;
import dev.corral.edge.Edge;
import dev.corral.edge.EdgeController;
import dev.corral.edge.Responder;
import dev.corral.edge.Route;
import dev.corral.edge.Tracing;
import dev.corral.http.Entry;
import dev.corral.ops.Meters;
import dev.corral.origin.OriginNames;
import dev.corral.tier.NearCache;
import dev.corral.tier.RedisPurges;
import dev.corral.tier.RedisTier;
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
 * Everything between the clients' port and the origin once more, with one route of its own. It runs the same code as the real
 * routes, so that the JVM compiles it, but shares no state with them: its near cache, flights, meters, circuit breaker and
 * connections end with it. Only the connections to Redis and the purge position are the replica's. Two of these behave like two
 * replicas: for one key one leads, and the other follows.
 */
final class WarmUpPipeline implements AutoCloseable {

    /** Seconds that entries of the warm-up stay in Redis. */
    private static final int LIFE = 5;

    /** Bytes of its near cache: some thousand entries. */
    private static final long NEAR = 8L << 20;

    private final Route route;
    private final MeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final Coalescer<Key, Entry> coalescer;
    private final EdgeController controller;

    /**
     * @param prefix of its route's paths, and of the origin's
     * @param origin base URL
     */
    WarmUpPipeline(String prefix, String origin, Settings settings, RedisTier<Entry> redis, RedisPurges purges,
            AwaitedInvalidation invalidation, OriginNames names, Timing timing, ObjectMapper json, SslBundles bundles) {
        this.route = Wiring.route(settings, route(prefix, origin),
                new RouteBreakers(CircuitBreakerRegistry.ofDefaults(),
                        new CommonCircuitBreakerConfigurationProperties()),
                BulkheadRegistry.ofDefaults(), names, purges, new OriginTls(bundles));
        var meters = new Meters(registry);
        NearCache<Entry> near = Wiring.newNearCache(redis, purges, NEAR);
        this.coalescer = Wiring.newCoalescer(near, timing, purges, meters);
        Edge edge = Wiring.newEdge(coalescer, near, purges, meters, invalidation, settings, Wiring.newMemory());
        this.controller = new EdgeController(edge, List.of(route),
                new Responder(purges.fleetClock(), json, edge.memory()),
                Tracing.OFF, AccessLog.OFF);
    }

    /** By the same names and with the same defaults as a route of the settings. */
    private static Settings.Route route(String prefix, String origin) {
        var source = new MapConfigurationPropertySource(Map.of("route.id", "warm-up", "route.path", prefix + "**",
                "route.origin", origin, "route.timeout", "2s",
                "route.max-body", WarmUpOrigin.MAX_BODY_KILOBYTES + "KB",
                // Names the pipeline, and must not make two resources of one.
                "route.query.exclude", "second", "route.cache.max-life", LIFE + "s", "route.hit-for-miss", "1s"));
        return new Binder(source).bind("route", Settings.Route.class).get();
    }

    EdgeController controller() {
        return controller;
    }

    /** Counts what happened here; operators do not see it. */
    MeterRegistry registry() {
        return registry;
    }

    /** Whether no flight is in progress. */
    boolean isIdle() {
        return coalescer.inFlight() == 0;
    }

    @Override
    public void close() {
        route.origin().close();
    }
}
