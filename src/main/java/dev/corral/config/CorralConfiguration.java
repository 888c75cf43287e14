package dev.corral.config;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.cache.CacheKey;
import dev.corral.cache.CachePolicy;
import dev.corral.cache.Entry;
import dev.corral.cache.EntryCodec;
import dev.corral.cache.EntrySize;
import dev.corral.cache.FailedFill;
import dev.corral.cache.HitForMiss;
import dev.corral.cache.StaleOnError;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.CoalescerLimits;
import dev.corral.coalesce.TierKey;
import dev.corral.http.Forwarding;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.management.AsyncLoggerInstaller;
import dev.corral.management.CorralMetrics;
import dev.corral.management.FilteredEventConsumerRegistry;
import dev.corral.management.FlightDrain;
import dev.corral.management.RouteBreakerControl;
import dev.corral.management.endpoint.CacheEntryEndpoint;
import dev.corral.management.endpoint.FleetEndpoint;
import dev.corral.management.endpoint.FleetHealthIndicator;
import dev.corral.management.endpoint.FlightsEndpoint;
import dev.corral.management.endpoint.PurgeEndpoint;
import dev.corral.management.endpoint.RedisHealthIndicator;
import dev.corral.management.endpoint.RoutesEndpoint;
import dev.corral.management.fleet.DashboardController;
import dev.corral.management.fleet.FleetMonitor;
import dev.corral.management.fleet.ReplicaStatus;
import dev.corral.management.purge.CacheCatalog;
import dev.corral.management.purge.CacheInspector;
import dev.corral.management.purge.PurgeController;
import dev.corral.management.purge.PurgeCoordinator;
import dev.corral.memory.ByteBudget;
import dev.corral.near.NearCache;
import dev.corral.origin.OriginAddressResolverGroup;
import dev.corral.origin.OriginClient;
import dev.corral.origin.OriginConfig;
import dev.corral.proxy.AwaitedInvalidation;
import dev.corral.proxy.CacheController;
import dev.corral.proxy.IsolationLimit;
import dev.corral.proxy.ProxyContext;
import dev.corral.proxy.ResponseMemory;
import dev.corral.proxy.ResponseWriter;
import dev.corral.proxy.Route;
import dev.corral.proxy.UnmappedRequestFilter;
import dev.corral.proxy.VariantLimiter;
import dev.corral.proxy.netty.ConnectionGuard;
import dev.corral.proxy.netty.Http1Pipeline;
import dev.corral.proxy.netty.OpenConnections;
import dev.corral.proxy.netty.RequestSmugglingGuard;
import dev.corral.proxy.observe.AccessLog;
import dev.corral.proxy.observe.MicrometerRequestTracing;
import dev.corral.proxy.observe.ProxyMetrics;
import dev.corral.proxy.observe.RequestTracing;
import dev.corral.proxy.observe.Slf4jAccessLog;
import dev.corral.redis.RedisCircuitBreaker;
import dev.corral.redis.RedisConnections;
import dev.corral.redis.RedisHealthProbe;
import dev.corral.redis.RedisKeys;
import dev.corral.redis.RedisTier;
import dev.corral.redis.ValueCodec;
import dev.corral.redis.fleet.ReplicaRegistry;
import dev.corral.redis.purge.RedisPurgeRegistry;
import io.github.resilience4j.bulkhead.BulkheadConfig;
import io.github.resilience4j.bulkhead.BulkheadRegistry;
import io.github.resilience4j.bulkhead.event.BulkheadEvent;
import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import io.github.resilience4j.circuitbreaker.event.CircuitBreakerEvent;
import io.github.resilience4j.consumer.EventConsumerRegistry;
import io.github.resilience4j.springboot3.circuitbreaker.autoconfigure.CircuitBreakerProperties;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.tracing.Tracer;
import io.micrometer.tracing.propagation.Propagator;
import java.nio.ByteBuffer;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.stream.Collectors;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.data.redis.ClientResourcesBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.LettuceClientConfigurationBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.LettuceClientOptionsBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;
import org.springframework.boot.autoconfigure.data.redis.RedisProperties;
import org.springframework.boot.autoconfigure.web.ServerProperties;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.info.BuildProperties;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.boot.web.embedded.netty.NettyServerCustomizer;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.Environment;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.util.unit.DataSize;
import org.springframework.web.util.pattern.PathPatternParser;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/** Defines the beans that connect the packages. No other class depends on all of them. */
@Configuration(proxyBeanMethods = false)
@EnableConfigurationProperties(CorralProperties.class)
public final class CorralConfiguration {

    /** Renews leases. A thread of its own keeps renewals on time when all other threads are busy. */
    private static final Scheduler LEASE_RENEWAL_SCHEDULER = Schedulers.newSingle("lease-renewal", true);

    /** How long flights may take to complete after the web server has stopped: the default timeout of an origin. */
    private static final Duration FLIGHT_DRAIN_TIMEOUT = Duration.ofSeconds(5);

    /** How long a near-cache entry is served without checking its version in Redis: a hot key costs one command per second and replica. */
    private static final Duration NEAR_HIT_WINDOW = Duration.ofSeconds(1);

    /**
     * The same limit for a fresh response that has been unchanged in Redis for longer. Purges are known by their position, so only an
     * earlier refresh by another replica can be missed for this time. A hot key then costs one small command per half minute.
     */
    private static final Duration MAX_FRESH_NEAR_HIT_WINDOW = Duration.ofSeconds(30);

    /** How long a marker that was read from Redis is kept in memory, in case Redis becomes unavailable. */
    private static final Duration MARKER_TTL = Duration.ofSeconds(10);

    @Bean
    static StrictBindHandlerAdvisor strictBindHandlerAdvisor() {
        return new StrictBindHandlerAdvisor();
    }

    @Bean
    static ManagementPortValidator managementPortValidator(Environment environment) {
        return new ManagementPortValidator(environment);
    }

    // ---- health and metrics

    @Bean
    CorralMetrics corralMetrics(MeterRegistry registry) {
        return new CorralMetrics(registry);
    }

    @Bean
    RedisHealthIndicator redisHealthIndicator(RedisCircuitBreaker redisBreaker) {
        return new RedisHealthIndicator(() -> switch (redisBreaker.state()) {
            case RedisCircuitBreaker.RedisState.Available(Instant since) ->
                new RedisHealthIndicator.RedisStatus(true, since, "");
            case RedisCircuitBreaker.RedisState.ReadOnly(Instant since, String reason) ->
                new RedisHealthIndicator.RedisStatus(false, since,
                        "it does not accept writes: " + reason);
            case RedisCircuitBreaker.RedisState.Unavailable(Instant since, String reason) ->
                new RedisHealthIndicator.RedisStatus(false, since, reason);
        });
    }

    @Bean
    FleetHealthIndicator fleetHealthIndicator(FleetMonitor monitor, ReplicaId identity) {
        return new FleetHealthIndicator(identity.value(), monitor::duplicateIncarnation);
    }

    @Bean
    FlightDrain flightDrain(Coalescer<TierKey, Entry> coalescer, ConfiguredRoutes routes) {
        return new FlightDrain(coalescer, FLIGHT_DRAIN_TIMEOUT, routes::close);
    }

    // ---- Redis

    @Bean
    static ClientResourcesBuilderCustomizer redisClientResources() {
        return RedisConnections.clientResources();
    }

    @Bean
    static LettuceClientOptionsBuilderCustomizer redisClientOptions(RedisProperties properties) {
        return RedisConnections.clientOptions(properties);
    }

    @Bean
    static LettuceClientConfigurationBuilderCustomizer redisClientConfiguration(RedisProperties properties) {
        return RedisConnections.clientConfiguration(properties);
    }

    @Bean(destroyMethod = "")
    RedisConnections redisConnections(LettuceConnectionFactory factory, RedisConnectionDetails details,
            RedisProperties properties, CorralProperties settings) {
        return new RedisConnections(factory, details, properties,
                RedisKeys.of(settings.redis().keyPrefix(), details));
    }

    @Bean
    RedisCircuitBreaker redisCircuitBreaker(RedisConnections connections) {
        return RedisCircuitBreaker.of(connections, Clock.systemUTC());
    }

    /** The name of this replica in the fleet. */
    record ReplicaId(String value) {}

    @Bean
    ReplicaId replicaId(CorralProperties settings) {
        return new ReplicaId(settings.replicaId().isEmpty() ? UUID.randomUUID().toString() : settings.replicaId());
    }

    @Bean(destroyMethod = "")
    RedisPurgeRegistry redisPurgeRegistry(RedisConnections connections, RedisCircuitBreaker redisBreaker,
            ReplicaId identity) {
        return new RedisPurgeRegistry(connections, redisBreaker, identity.value(), CachePolicy.DEFAULT.maxTtl(),
                Schedulers.parallel(),
                Ticker.systemTicker(),
                Clock.systemUTC());
    }

    /** Encodes entries for Redis. */
    @Bean
    ValueCodec<Entry> entryCodec() {
        return new ValueCodec<Entry>() {
            @Override
            public byte[] encode(Entry entry) {
                return EntryCodec.encode(entry);
            }

            @Override
            public byte[] encode(byte[] before, Entry entry) {
                return EntryCodec.encode(before, entry);
            }

            @Override
            public long estimateSize(Entry entry) {
                return EntrySize.of(entry);
            }

            @Override
            public Optional<Entry> decode(ByteBuffer bytes) {
                return EntryCodec.decode(bytes);
            }
        };
    }

    @Bean
    RedisTier<Entry> redisTier(RedisConnections connections, RedisCircuitBreaker redisBreaker, ValueCodec<Entry> codec,
            RedisPurgeRegistry purges,
            CoalescerLimits limits, ReplicaId identity) {
        return new RedisTier<>(connections, redisBreaker, codec, limits, purges::latestPosition, purges::sync,
                identity.value(),
                new ByteBudget(MemoryShares.ofThisJvm().encodingBytes()));
    }

    @Bean
    NearCache<Entry> nearCache(RedisTier<Entry> redis, RedisPurgeRegistry purges, CorralProperties settings) {
        long size = Optional.ofNullable(settings.near().size())
                .map(DataSize::toBytes)
                .orElse(MemoryShares.ofThisJvm().nearCacheBytes());
        return newNearCache(redis, purges, size);
    }

    /** @param size in bytes */
    static NearCache<Entry> newNearCache(RedisTier<Entry> redis, RedisPurgeRegistry purges, long size) {
        Clock clock = purges.fleetClock();
        return new NearCache<>(redis, purges, size, EntrySize::of, entry -> retention(entry, clock.instant()),
                NEAR_HIT_WINDOW,
                entry -> nearHitWindow(entry, clock.instant()),
                Ticker.systemTicker());
    }

    private static Duration retention(Entry entry, Instant now) {
        return switch (entry) {
            case StoredResponse stored -> stored.remainingRetention(now);
            case StaleOnError staleOnError -> staleOnError.staleResponse().remainingRetention(now);
            case VaryMarker marker -> MARKER_TTL;
            case HitForMiss marker -> MARKER_TTL;
            case FailedFill failure -> Duration.ZERO;
        };
    }

    private static Duration nearHitWindow(Entry entry, Instant now) {
        if (!(entry instanceof StoredResponse stored)) {
            return NEAR_HIT_WINDOW;
        }
        Duration fresh = stored.freshness().ttl(now);
        return fresh.compareTo(MAX_FRESH_NEAR_HIT_WINDOW) < 0 ? fresh : MAX_FRESH_NEAR_HIT_WINDOW;
    }

    /** Depends on every bean that subscribes to a channel, so that it is created after them. */
    @Bean
    RedisLifecycle redisLifecycle(RedisConnections connections, RedisPurgeRegistry purges,
            RedisCircuitBreaker redisBreaker,
            NearCache<Entry> tier) {
        return new RedisLifecycle(connections, purges,
                new RedisHealthProbe(connections, redisBreaker, Schedulers.parallel()),
                redisBreaker);
    }

    // ---- the fleet

    @Bean
    CoalescerLimits coalescerLimits(CorralProperties settings) {
        return CoalescerLimits.of(settings.lease().ttl(), settings.waiters().effectiveMaxPerKey(),
                settings.waiters().effectiveMaxPerReplica());
    }

    @Bean
    Coalescer<TierKey, Entry> coalescer(NearCache<Entry> tier, CoalescerLimits limits, RedisPurgeRegistry purges,
            CorralMetrics metrics,
            RedisCircuitBreaker redisBreaker) {
        Coalescer<TierKey, Entry> coalescer = newCoalescer(tier, limits, purges, metrics);
        metrics.registerGauges(coalescer::flightCount, coalescer::waiterCount,
                () -> !(redisBreaker.state() instanceof RedisCircuitBreaker.RedisState.Unavailable),
                () -> redisBreaker.state() instanceof RedisCircuitBreaker.RedisState.Available,
                purges::syncLag);
        return coalescer;
    }

    static Coalescer<TierKey, Entry> newCoalescer(NearCache<Entry> tier, CoalescerLimits limits,
            RedisPurgeRegistry purges, CorralMetrics metrics) {
        return new Coalescer<>(tier, limits, purges::latestPosition, Schedulers.parallel(),
                LEASE_RENEWAL_SCHEDULER, RandomGenerator.getDefault(), metrics);
    }

    // ---- management

    @Bean
    ReplicaRegistry replicaRegistry(RedisConnections connections, RedisCircuitBreaker redisBreaker,
            ReplicaId identity) {
        return new ReplicaRegistry(connections, redisBreaker, identity.value());
    }

    @Bean
    ReplicaIdClaim replicaIdClaim(ReplicaRegistry fleet, ReplicaId identity) {
        return new ReplicaIdClaim(fleet, identity.value());
    }

    @Bean
    RouteBreakerControl routeBreakerControl(ConfiguredRoutes routes, CircuitBreakerRegistry breakers,
            BulkheadRegistry bulkheads) {
        List<String> ids = routes.routes().stream().map(Route::id).toList();
        return new RouteBreakerControl(ids.stream().map(breakers::circuitBreaker).toList(),
                ids.stream().map(bulkheads::bulkhead).toList());
    }

    @Bean
    FleetMonitor fleetMonitor(ReplicaRegistry fleet, RedisPurgeRegistry purges, RedisCircuitBreaker redisBreaker,
            Coalescer<TierKey, Entry> coalescer, CorralMetrics metrics,
            RouteBreakerControl breakers, ReplicaId identity, Optional<BuildProperties> build, ObjectMapper json) {
        String version = build.map(BuildProperties::getVersion).orElse("unknown");
        Instant started = Instant.now();
        Supplier<ReplicaStatus> status = () -> replicaStatus(version, started, purges, redisBreaker, coalescer, metrics,
                breakers);
        return new FleetMonitor(identity.value(), status, new RedisFleetRegistry(fleet), () -> recentPurges(purges),
                purges.fleetClock()::instant, Schedulers.parallel(), json);
    }

    private static ReplicaStatus replicaStatus(String version, Instant started, RedisPurgeRegistry purges,
            RedisCircuitBreaker redisBreaker,
            Coalescer<TierKey, Entry> coalescer, CorralMetrics metrics, RouteBreakerControl breakers) {
        String redis = switch (redisBreaker.state()) {
            case RedisCircuitBreaker.RedisState.Available available -> "UP";
            case RedisCircuitBreaker.RedisState.ReadOnly readOnly -> "DEGRADED";
            case RedisCircuitBreaker.RedisState.Unavailable unavailable -> "DEGRADED";
        };
        return metrics.collectStatus(version, started, redis, purges.syncedPosition(), purges.syncLag(),
                purges.clockOffset(),
                flightStatuses(coalescer), coalescer.flightCount(), coalescer.waiterCount(), breakers.breakerStates());
    }

    private static List<ReplicaStatus.FlightStatus> flightStatuses(Coalescer<TierKey, Entry> coalescer) {
        return coalescer.flights()
                .stream()
                .map(flight -> new ReplicaStatus.FlightStatus(flight.key().text(), flight.displayName(),
                        flight.role().name().toLowerCase(Locale.ROOT), flight.waiters(), flight.age().toMillis()))
                .toList();
    }

    private static List<FleetMonitor.RecentPurge> recentPurges(RedisPurgeRegistry purges) {
        return purges.recentPurges()
                .stream()
                .map(purge -> new FleetMonitor.RecentPurge(purge.position(), purge.time(), purge.isSoft(),
                        purge.description(), purge.requestedBy()))
                .toList();
    }

    @Bean
    CacheCatalog cacheCatalog(ProxyContext proxyContext, ConfiguredRoutes routes, NearCache<Entry> tier,
            CorralProperties settings) {
        return new RoutedCacheCatalog(new CacheInspector(proxyContext, routes.routes(), tier::values), settings);
    }

    @Bean
    PurgeCoordinator purgeCoordinator(RedisPurgeRegistry purges, ReplicaRegistry fleet, CorralMetrics metrics,
            CorralProperties settings) {
        Mono<List<PurgeCoordinator.ReplicaPosition>> positions = fleet.replicaPositions()
                .map(members -> members.stream()
                        .map(member -> new PurgeCoordinator.ReplicaPosition(member.id(), member.isLive(),
                                member.purgePosition()))
                        .toList());
        return new PurgeCoordinator(purges, positions, settings.purge().timeout(), settings.purge().maxIsolation(),
                Schedulers.parallel(), metrics);
    }

    @Bean
    PurgeEndpoint purgeEndpoint(RedisPurgeRegistry purges) {
        return new PurgeEndpoint(purges::syncedPosition, () -> recentPurges(purges));
    }

    @Bean
    FleetEndpoint fleetEndpoint(FleetMonitor monitor) {
        return new FleetEndpoint(monitor);
    }

    @Bean
    FlightsEndpoint flightsEndpoint(Coalescer<TierKey, Entry> coalescer) {
        return new FlightsEndpoint(() -> flightStatuses(coalescer), id -> coalescer.abandonFlight(TierKey.parse(id)));
    }

    @Bean
    CacheEntryEndpoint cacheEntryEndpoint(CacheCatalog catalog) {
        return new CacheEntryEndpoint(catalog);
    }

    @Bean
    RoutesEndpoint routesEndpoint(CacheCatalog catalog, RouteBreakerControl breakers) {
        return new RoutesEndpoint(catalog, breakers);
    }

    @Bean
    PurgeController purgeController(PurgeCoordinator coordinator, CacheCatalog catalog, RouteBreakerControl breakers,
            ObjectMapper json) {
        return new PurgeController(coordinator, catalog, breakers, json);
    }

    @Bean
    DashboardController dashboardController(FleetMonitor monitor) {
        // More streams than operators watch one replica; each costs it some kilobytes per second.
        return new DashboardController(monitor, 50, Schedulers.parallel());
    }

    // ---- routes

    @Bean
    EventConsumerRegistry<CircuitBreakerEvent> breakerEventRegistry() {
        return new FilteredEventConsumerRegistry<>(
                event -> event.getEventType() == CircuitBreakerEvent.Type.STATE_TRANSITION);
    }

    @Bean
    EventConsumerRegistry<BulkheadEvent> bulkheadEventRegistry() {
        return new FilteredEventConsumerRegistry<>(event -> false);
    }

    @Bean
    OriginAddressResolverGroup originAddressResolverGroup() {
        return new OriginAddressResolverGroup();
    }

    @Bean
    ConfiguredRoutes configuredRoutes(CorralProperties settings, CircuitBreakerRegistry registry,
            CircuitBreakerProperties breakerProperties,
            BulkheadRegistry bulkheads, OriginAddressResolverGroup names, RedisPurgeRegistry purges,
            SslBundles bundles) {
        var originTls = new OriginSslBundles(bundles);
        var breakers = new RouteBreakerFactory(registry, breakerProperties);
        return new ConfiguredRoutes(settings.routes()
                .stream()
                .map(route -> newRoute(settings, route, breakers, bulkheads, names, purges, originTls))
                .toList());
    }

    /** The routes in the order of the settings. Closing it closes the connections to their origins. */
    record ConfiguredRoutes(List<Route> routes) implements AutoCloseable {

        @Override
        public void close() {
            routes.forEach(route -> route.originClient().close());
        }
    }

    static Route newRoute(CorralProperties settings, CorralProperties.RouteProperties route,
            RouteBreakerFactory breakers,
            BulkheadRegistry bulkheads, OriginAddressResolverGroup names, RedisPurgeRegistry purges,
            OriginSslBundles originTls) {
        var originConfig = new OriginConfig(route.id(), route.origin(), route.timeout(), route.maxBody(),
                route.concurrency(),
                route.connectionMaxLife(), originTls.bundle(route));
        var limit = BulkheadConfig.custom()
                .maxConcurrentCalls(route.concurrency())
                .maxWaitDuration(Duration.ZERO)
                .build();
        var originClient = new OriginClient(originConfig, literalPathPrefix(route.path()), breakers.create(route.id()),
                bulkheads.bulkhead(route.id(), limit), names, purges.fleetClock(), settings.server().writeTimeout());
        originTls.registerUpdates(route, originClient);
        var host = Route.HostHeaderRule.of(route.host());
        boolean hostInKey = host instanceof Route.HostHeaderRule.ClientHost;
        var rules = new Forwarding.ForwardingRules("corral", route.forward().trust(), hostInKey,
                requestHeaderPolicy(route));
        var query = new CacheKey.QueryRule(List.copyOf(route.query().include()), List.copyOf(route.query().exclude()),
                route.query().sort());
        CachePolicy policy = route.cache().toCachePolicy(route.hitForMiss());
        // A leader may die just before its timeout, and its successor may need a full timeout.
        Duration maxWait = route.timeout().multipliedBy(2).plus(settings.lease().ttl());
        return new Route(route.id(), PathPatternParser.defaultInstance.parse(route.path()), originConfig, originClient,
                host,
                rules, query,
                route.key().fields(), policy, route.allowMethods(), maxWait);
    }

    /** The literal start of the pattern up to a slash, common to all its paths: {@code /shop/} of {@code /shop/**}. */
    private static String literalPathPrefix(String pattern) {
        int end = 0;
        while (end < pattern.length() && "*?{".indexOf(pattern.charAt(end)) < 0) {
            end++;
        }
        return pattern.substring(0, pattern.lastIndexOf('/', end - 1) + 1);
    }

    private static RequestHeaderPolicy requestHeaderPolicy(CorralProperties.RouteProperties route) {
        return new RequestHeaderPolicy(route.requestHeaders().mode(), Set.copyOf(route.key().fields()),
                route.forward().keep(), route.forward().drop());
    }

    // ---- the data port

    @Bean
    AwaitedInvalidation awaitedInvalidation(RedisPurgeRegistry purges, ReplicaRegistry fleet,
            CorralProperties settings) {
        // Cached for a second: a replica that joins later has read the purge log at its start.
        Mono<Set<String>> liveReplicas = fleet.replicaPositions()
                .map(positions -> positions.stream()
                        .filter(ReplicaRegistry.ReplicaPurgePosition::isLive)
                        .map(ReplicaRegistry.ReplicaPurgePosition::id)
                        .collect(Collectors.toSet()))
                .cache(ids -> Duration.ofSeconds(1), e -> Duration.ZERO, () -> Duration.ZERO);
        return new AwaitedInvalidation(purges, liveReplicas, settings.purge().invalidationWait(),
                Schedulers.parallel());
    }

    @Bean
    ResponseMemory responseMemory() {
        return newResponseMemory();
    }

    /** Budgets from the memory of this JVM. */
    static ResponseMemory newResponseMemory() {
        MemoryShares shares = MemoryShares.ofThisJvm();
        return new ResponseMemory(new ByteBudget(shares.bufferedBodyBytes()), new ByteBudget(shares.unreadBodyBytes()),
                new ByteBudget(shares.directBufferBytes()));
    }

    @Bean
    ProxyContext proxyContext(Coalescer<TierKey, Entry> coalescer, NearCache<Entry> tier, RedisPurgeRegistry purges,
            CorralMetrics metrics,
            AwaitedInvalidation invalidation, CorralProperties settings, ResponseMemory memory) {
        return newProxyContext(coalescer, tier, purges, metrics, invalidation, settings, memory);
    }

    static ProxyContext newProxyContext(Coalescer<TierKey, Entry> coalescer, NearCache<Entry> tier,
            RedisPurgeRegistry purges, CorralMetrics metrics,
            AwaitedInvalidation invalidation, CorralProperties settings, ResponseMemory memory) {
        var isolation = new IsolationLimit(settings.purge().maxIsolation(), purges::syncLag);
        return new ProxyContext(coalescer, tier::getIfRecent, purges, isolation, invalidation, purges.fleetClock(),
                new ProxyMetrics() {
                    @Override
                    public void recordRequest(String route, RequestOutcome outcome, Duration time) {
                        metrics.recordRequest(route, outcome.tag(), time);
                    }

                    @Override
                    public void recordFetch(String route, String result, Duration time) {
                        metrics.recordFetch(route, result, time);
                    }

                    @Override
                    public void recordBackgroundError(String task, Throwable cause) {
                        metrics.onBackgroundError(task, cause);
                    }
                }, new VariantLimiter(Ticker.systemTicker()), memory, settings.coalesce());
    }

    @Bean
    CacheController cacheController(ProxyContext proxyContext, ConfiguredRoutes routes, RedisPurgeRegistry purges,
            ObjectMapper json, RequestTracing tracing,
            AccessLog accesses) {
        return new CacheController(proxyContext, routes.routes(),
                new ResponseWriter(purges.fleetClock(), json, proxyContext.memory()),
                tracing,
                accesses);
    }

    /** Off unless {@code management.tracing.enabled} is true: otherwise there is no propagator. */
    @Bean
    RequestTracing requestTracing(Tracer tracer, ObjectProvider<Propagator> propagator) {
        return Optional.ofNullable(propagator.getIfAvailable())
                .<RequestTracing>map(found -> new MicrometerRequestTracing(tracer, found))
                .orElse(RequestTracing.OFF);
    }

    @Bean
    AccessLog accessLog(CorralProperties settings) {
        if (!settings.accessLog()) {
            return AccessLog.OFF;
        }
        AsyncLoggerInstaller.install(Slf4jAccessLog.LOGGER_NAME);
        return new Slf4jAccessLog();
    }

    @Bean
    OpenConnections clientConnections() {
        return new OpenConnections();
    }

    @Bean
    NettyServerCustomizer connectionGuards(OpenConnections connections, CorralProperties settings) {
        return server -> server.doOnChannelInit(
                (observer, channel, peer) -> Http1Pipeline.whenReady(channel, ready -> {
                    ConnectionGuard.install(ready, settings.server().toConnectionLimits());
                    RequestSmugglingGuard.install(ready);
                    connections.add(ready);
                }));
    }

    @Bean
    ShutdownDrain shutdownDrain(ApplicationContext context, OpenConnections connections, CorralProperties settings) {
        return new ShutdownDrain(context, connections, settings.shutdown().drain());
    }

    @Bean
    WarmUpRunner warmUpRunner(CorralProperties settings, CacheController controller, ApplicationContext context,
            ObjectProvider<ServerProperties> server, RedisTier<Entry> redis, RedisPurgeRegistry purges,
            AwaitedInvalidation invalidation, OriginAddressResolverGroup names, CoalescerLimits limits,
            ObjectMapper json, SslBundles bundles) {
        return new WarmUpRunner(settings.warmUp(), controller, context, Optional.ofNullable(server.getIfAvailable()),
                (prefix, origin) -> new WarmUpPipeline(prefix, origin, settings, redis, purges, invalidation, names,
                        limits, json, bundles));
    }

    @Bean
    UnmappedRequestFilter unmappedRequestFilter(CacheController controller, ApplicationContext clients) {
        return new UnmappedRequestFilter(controller, clients);
    }
}
