package dev.corral;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.AwaitedInvalidation;
import dev.corral.coalesce.ByteBudget;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Timing;
import dev.corral.edge.AccessLines;
import dev.corral.edge.AccessLog;
import dev.corral.edge.Catalogue;
import dev.corral.edge.ClientConnections;
import dev.corral.edge.ConnectionGuard;
import dev.corral.edge.Edge;
import dev.corral.edge.EdgeController;
import dev.corral.edge.Http1Pipeline;
import dev.corral.edge.Isolation;
import dev.corral.edge.Memory;
import dev.corral.edge.Responder;
import dev.corral.edge.Route;
import dev.corral.edge.Spans;
import dev.corral.edge.StrictHead;
import dev.corral.edge.Tracing;
import dev.corral.edge.Traffic;
import dev.corral.edge.Unmapped;
import dev.corral.edge.Variants;
import dev.corral.http.Ailing;
import dev.corral.http.CacheKey;
import dev.corral.http.Entry;
import dev.corral.http.EntryFormat;
import dev.corral.http.EntrySize;
import dev.corral.http.Failure;
import dev.corral.http.Forwarding;
import dev.corral.http.HitForMiss;
import dev.corral.http.Policy;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.http.Stored;
import dev.corral.http.Varies;
import dev.corral.ops.AsideAppender;
import dev.corral.ops.Board;
import dev.corral.ops.Breakers;
import dev.corral.ops.Control;
import dev.corral.ops.Dashboard;
import dev.corral.ops.EntryEndpoint;
import dev.corral.ops.FleetEndpoint;
import dev.corral.ops.FleetHealth;
import dev.corral.ops.FlightsEndpoint;
import dev.corral.ops.GracefulLanding;
import dev.corral.ops.Inventory;
import dev.corral.ops.KeptEvents;
import dev.corral.ops.Meters;
import dev.corral.ops.PurgeEndpoint;
import dev.corral.ops.Purger;
import dev.corral.ops.RedisHealth;
import dev.corral.ops.RoutesEndpoint;
import dev.corral.ops.Vitals;
import dev.corral.origin.Origin;
import dev.corral.origin.OriginNames;
import dev.corral.origin.Upstream;
import dev.corral.tier.Codec;
import dev.corral.tier.NearCache;
import dev.corral.tier.RedisConnections;
import dev.corral.tier.RedisFleet;
import dev.corral.tier.RedisGate;
import dev.corral.tier.RedisKeys;
import dev.corral.tier.RedisProbes;
import dev.corral.tier.RedisPurges;
import dev.corral.tier.RedisTier;
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

/** How the rooms are put together: the only place that sees all of them. */
@Configuration(proxyBeanMethods = false)
@EnableConfigurationProperties(Settings.class)
final class Wiring {

    /** For the renewals of leases, so that they are on time when all other threads are busy. */
    private static final Scheduler RENEWALS = Schedulers.newSingle("lease-renewal", true);

    /** How long flights may take to land after the web server has stopped: an origin's default time. */
    private static final Duration LANDING = Duration.ofSeconds(5);

    /** How long an entry in memory is used without asking Redis for its version. */
    private static final Duration RECENCY = Duration.ofSeconds(1);

    /**
     * The same for a fresh response that Redis has had unchanged for longer: purges are known by their position, and what may be
     * missed for so long is an earlier refresh by another replica. A hot key then costs a small command each half minute.
     */
    private static final Duration FRESH_RECENCY = Duration.ofSeconds(30);

    /** How long a marker or a pointer that was found in Redis is kept for the case that Redis goes away. */
    private static final Duration SIGNPOST = Duration.ofSeconds(10);

    @Bean
    static KnownNames knownNames() {
        return new KnownNames();
    }

    @Bean
    static ManagementPort managementPort(Environment environment) {
        return new ManagementPort(environment);
    }

    // ---- what operators see

    @Bean
    Meters meters(MeterRegistry registry) {
        return new Meters(registry);
    }

    @Bean
    RedisHealth redisHealthIndicator(RedisGate gate) {
        return new RedisHealth(() -> switch (gate.state()) {
            case RedisGate.State.Available(Instant since) -> new RedisHealth.Tier(true, since, "");
            case RedisGate.State.ReadOnly(Instant since, String reason) -> new RedisHealth.Tier(false, since,
                    "it does not write: " + reason);
            case RedisGate.State.Unavailable(Instant since, String reason) ->
                new RedisHealth.Tier(false, since, reason);
        });
    }

    @Bean
    FleetHealth fleetHealthIndicator(Board board, Identity identity) {
        return new FleetHealth(identity.replica(), board::duplicate);
    }

    @Bean
    GracefulLanding gracefulLanding(Coalescer<Key, Entry> coalescer, Routes routes) {
        return new GracefulLanding(coalescer, LANDING, routes::close);
    }

    // ---- Redis

    @Bean
    static ClientResourcesBuilderCustomizer redisResources() {
        return RedisConnections.resources();
    }

    @Bean
    static LettuceClientOptionsBuilderCustomizer redisOptions(RedisProperties properties) {
        return RedisConnections.options(properties);
    }

    @Bean
    static LettuceClientConfigurationBuilderCustomizer redisConfiguration(RedisProperties properties) {
        return RedisConnections.configuration(properties);
    }

    @Bean(destroyMethod = "")
    RedisConnections redisConnections(LettuceConnectionFactory factory, RedisConnectionDetails details,
            RedisProperties properties, Settings settings) {
        return new RedisConnections(factory, details, properties,
                RedisKeys.of(settings.redis().keyPrefix(), details));
    }

    @Bean
    RedisGate redisGate(RedisConnections connections) {
        return RedisGate.of(connections, Clock.systemUTC());
    }

    /** What this replica is called in the fleet. */
    record Identity(String replica) {}

    @Bean
    Identity identity(Settings settings) {
        return new Identity(settings.replicaId().isEmpty() ? UUID.randomUUID().toString() : settings.replicaId());
    }

    @Bean(destroyMethod = "")
    RedisPurges purges(RedisConnections connections, RedisGate gate, Identity identity) {
        return new RedisPurges(connections, gate, identity.replica(), Policy.DEFAULT.maxLife(), Schedulers.parallel(),
                Ticker.systemTicker(),
                Clock.systemUTC());
    }

    /** Entries as bytes. */
    @Bean
    Codec<Entry> entryCodec() {
        return new Codec<Entry>() {
            @Override
            public byte[] encode(Entry entry) {
                return EntryFormat.encode(entry);
            }

            @Override
            public byte[] encode(byte[] before, Entry entry) {
                return EntryFormat.encode(before, entry);
            }

            @Override
            public long size(Entry entry) {
                return EntrySize.of(entry);
            }

            @Override
            public Optional<Entry> decode(ByteBuffer bytes) {
                return EntryFormat.decode(bytes);
            }
        };
    }

    @Bean
    RedisTier<Entry> redisTier(RedisConnections connections, RedisGate gate, Codec<Entry> codec, RedisPurges purges,
            Timing timing, Identity identity) {
        return new RedisTier<>(connections, gate, codec, timing, purges::position, purges::sync, identity.replica(),
                new ByteBudget(MemoryShares.ofThisJvm().encoding()));
    }

    @Bean
    NearCache<Entry> tier(RedisTier<Entry> redis, RedisPurges purges, Settings settings) {
        long size = Optional.ofNullable(settings.near().size())
                .map(DataSize::toBytes)
                .orElse(MemoryShares.ofThisJvm().nearCache());
        return newNearCache(redis, purges, size);
    }

    /** @param size in bytes */
    static NearCache<Entry> newNearCache(RedisTier<Entry> redis, RedisPurges purges, long size) {
        Clock clock = purges.fleetClock();
        return new NearCache<>(redis, purges, size, EntrySize::of, entry -> left(entry, clock.instant()),
                RECENCY,
                entry -> longestRecency(entry, clock.instant()),
                Ticker.systemTicker());
    }

    private static Duration left(Entry entry, Instant now) {
        return switch (entry) {
            case Stored stored -> stored.left(now);
            case Ailing ailing -> ailing.stored().left(now);
            case Varies pointer -> SIGNPOST;
            case HitForMiss marker -> SIGNPOST;
            case Failure failure -> Duration.ZERO;
        };
    }

    private static Duration longestRecency(Entry entry, Instant now) {
        if (!(entry instanceof Stored stored)) {
            return RECENCY;
        }
        Duration fresh = stored.terms().ttl(now);
        return fresh.compareTo(FRESH_RECENCY) < 0 ? fresh : FRESH_RECENCY;
    }

    /** Made after everybody who listens. */
    @Bean
    FleetLink fleetLink(RedisConnections connections, RedisPurges purges, RedisGate gate, NearCache<Entry> tier) {
        return new FleetLink(connections, purges, new RedisProbes(connections, gate, Schedulers.parallel()), gate);
    }

    // ---- the fleet

    @Bean
    Timing timing(Settings settings) {
        return Timing.of(settings.lease().ttl(), settings.waiters().mostPerKey(), settings.waiters().mostPerReplica());
    }

    @Bean
    Coalescer<Key, Entry> coalescer(NearCache<Entry> tier, Timing timing, RedisPurges purges, Meters meters,
            RedisGate gate) {
        Coalescer<Key, Entry> coalescer = newCoalescer(tier, timing, purges, meters);
        meters.watch(coalescer::inFlight, coalescer::waiting,
                () -> !(gate.state() instanceof RedisGate.State.Unavailable),
                () -> gate.state() instanceof RedisGate.State.Available,
                purges::lag);
        return coalescer;
    }

    static Coalescer<Key, Entry> newCoalescer(NearCache<Entry> tier, Timing timing, RedisPurges purges, Meters meters) {
        return new Coalescer<>(tier, timing, purges::position, Schedulers.parallel(),
                RENEWALS, RandomGenerator.getDefault(), meters);
    }

    // ---- the operators' view

    @Bean
    RedisFleet fleet(RedisConnections connections, RedisGate gate, Identity identity) {
        return new RedisFleet(connections, gate, identity.replica());
    }

    @Bean
    ReplicaIdClaim replicaIdClaim(RedisFleet fleet, Identity identity) {
        return new ReplicaIdClaim(fleet, identity.replica());
    }

    @Bean
    Breakers breakers(Routes routes, CircuitBreakerRegistry breakers, BulkheadRegistry bulkheads) {
        List<String> ids = routes.list().stream().map(Route::id).toList();
        return new Breakers(ids.stream().map(breakers::circuitBreaker).toList(),
                ids.stream().map(bulkheads::bulkhead).toList());
    }

    @Bean
    Board board(RedisFleet fleet, RedisPurges purges, RedisGate gate, Coalescer<Key, Entry> coalescer, Meters meters,
            Breakers breakers, Identity identity, Optional<BuildProperties> build, ObjectMapper json) {
        String version = build.map(BuildProperties::getVersion).orElse("unknown");
        Instant started = Instant.now();
        Supplier<Vitals> vitals = () -> vitals(version, started, purges, gate, coalescer, meters, breakers);
        return new Board(identity.replica(), vitals, new FleetRecord(fleet), () -> recent(purges),
                purges.fleetClock()::instant, Schedulers.parallel(), json);
    }

    private static Vitals vitals(String version, Instant started, RedisPurges purges, RedisGate gate,
            Coalescer<Key, Entry> coalescer, Meters meters, Breakers breakers) {
        String redis = switch (gate.state()) {
            case RedisGate.State.Available available -> "UP";
            case RedisGate.State.ReadOnly readOnly -> "DEGRADED";
            case RedisGate.State.Unavailable unavailable -> "DEGRADED";
        };
        return meters.vitals(version, started, redis, purges.complete(), purges.lag(), purges.clockOffset(),
                flying(coalescer), coalescer.inFlight(), coalescer.waiting(), breakers.states());
    }

    private static List<Vitals.Flying> flying(Coalescer<Key, Entry> coalescer) {
        return coalescer.flights()
                .stream()
                .map(flight -> new Vitals.Flying(flight.key().text(), flight.name(),
                        flight.role().name().toLowerCase(Locale.ROOT), flight.waiters(), flight.age().toMillis()))
                .toList();
    }

    private static List<Board.Purged> recent(RedisPurges purges) {
        return purges.recent()
                .stream()
                .map(one -> new Board.Purged(one.position(), one.time(), one.soft(), one.told(), one.by()))
                .toList();
    }

    @Bean
    Inventory inventory(Edge edge, Routes routes, NearCache<Entry> tier, Settings settings) {
        return new RoutedInventory(new Catalogue(edge, routes.list(), tier::values), settings);
    }

    @Bean
    Purger purger(RedisPurges purges, RedisFleet fleet, Meters meters, Settings settings) {
        Mono<List<Purger.Standing>> standings = fleet.standings()
                .map(members -> members.stream()
                        .map(member -> new Purger.Standing(member.id(), member.live(), member.position()))
                        .toList());
        return new Purger(purges, standings, settings.purge().timeout(), settings.purge().maxIsolation(),
                Schedulers.parallel(), meters);
    }

    @Bean
    PurgeEndpoint purgeEndpoint(RedisPurges purges) {
        return new PurgeEndpoint(purges::complete, () -> recent(purges));
    }

    @Bean
    FleetEndpoint fleetEndpoint(Board board) {
        return new FleetEndpoint(board);
    }

    @Bean
    FlightsEndpoint flightsEndpoint(Coalescer<Key, Entry> coalescer) {
        return new FlightsEndpoint(() -> flying(coalescer), id -> coalescer.abandon(Key.parse(id)));
    }

    @Bean
    EntryEndpoint entryEndpoint(Inventory inventory) {
        return new EntryEndpoint(inventory);
    }

    @Bean
    RoutesEndpoint routesEndpoint(Inventory inventory, Breakers breakers) {
        return new RoutesEndpoint(inventory, breakers);
    }

    @Bean
    Control control(Purger purger, Inventory inventory, Breakers breakers, ObjectMapper json) {
        return new Control(purger, inventory, breakers, json);
    }

    @Bean
    Dashboard dashboard(Board board) {
        // More than look at one replica; each costs it some kilobytes a second.
        return new Dashboard(board, 50, Schedulers.parallel());
    }

    // ---- routes

    @Bean
    EventConsumerRegistry<CircuitBreakerEvent> breakerEvents() {
        return new KeptEvents<>(event -> event.getEventType() == CircuitBreakerEvent.Type.STATE_TRANSITION);
    }

    @Bean
    EventConsumerRegistry<BulkheadEvent> bulkheadEvents() {
        return new KeptEvents<>(event -> false);
    }

    @Bean
    OriginNames originNames() {
        return new OriginNames();
    }

    @Bean
    Routes routes(Settings settings, CircuitBreakerRegistry registry, CircuitBreakerProperties chosen,
            BulkheadRegistry bulkheads, OriginNames names, RedisPurges purges, SslBundles bundles) {
        var originTls = new OriginTls(bundles);
        var breakers = new RouteBreakers(registry, chosen);
        return new Routes(settings.routes()
                .stream()
                .map(route -> route(settings, route, breakers, bulkheads, names, purges, originTls))
                .toList());
    }

    /** The routes in their order; closes their connections at the end. */
    record Routes(List<Route> list) implements AutoCloseable {

        @Override
        public void close() {
            list.forEach(route -> route.origin().close());
        }
    }

    static Route route(Settings settings, Settings.Route route, RouteBreakers breakers,
            BulkheadRegistry bulkheads, OriginNames names, RedisPurges purges, OriginTls originTls) {
        var upstream = new Upstream(route.id(), route.origin(), route.timeout(), route.maxBody(), route.concurrency(),
                route.connectionMaxLife(), originTls.bundle(route));
        var limit = BulkheadConfig.custom()
                .maxConcurrentCalls(route.concurrency())
                .maxWaitDuration(Duration.ZERO)
                .build();
        var origin = new Origin(upstream, commonPath(route.path()), breakers.of(route.id()),
                bulkheads.bulkhead(route.id(), limit), names, purges.fleetClock(), settings.server().writeTimeout());
        originTls.keep(route, origin);
        var host = Route.HostRule.of(route.host());
        boolean keyed = host instanceof Route.HostRule.OfClient;
        var rules = new Forwarding.Rules("corral", route.forward().trust(), keyed, headers(route));
        var query = new CacheKey.QueryRule(List.copyOf(route.query().include()), List.copyOf(route.query().exclude()),
                route.query().sort());
        Policy policy = route.cache().policy(route.hitForMiss());
        // A leader may die at the end of its time, and the next one may need all of its own.
        Duration patience = route.timeout().multipliedBy(2).plus(settings.lease().ttl());
        return new Route(route.id(), PathPatternParser.defaultInstance.parse(route.path()), upstream, origin, host,
                rules, query,
                route.key().fields(), policy, route.allowMethods(), patience);
    }

    /** The part of a pattern that all its paths begin with, up to a slash: {@code /shop/} of {@code /shop/**}. */
    private static String commonPath(String pattern) {
        int end = 0;
        while (end < pattern.length() && "*?{".indexOf(pattern.charAt(end)) < 0) {
            end++;
        }
        return pattern.substring(0, pattern.lastIndexOf('/', end - 1) + 1);
    }

    private static RequestHeaderPolicy headers(Settings.Route route) {
        return new RequestHeaderPolicy(route.requestHeaders().mode(), Set.copyOf(route.key().fields()),
                route.forward().keep(), route.forward().drop());
    }

    // ---- in and out

    @Bean
    AwaitedInvalidation invalidation(RedisPurges purges, RedisFleet fleet, Settings settings) {
        // Whoever joins later than that has read the log at its start.
        Mono<Set<String>> live = fleet.standings()
                .map(standings -> standings.stream()
                        .filter(RedisFleet.Standing::live)
                        .map(RedisFleet.Standing::id)
                        .collect(Collectors.toSet()))
                .cache(ids -> Duration.ofSeconds(1), away -> Duration.ZERO, () -> Duration.ZERO);
        return new AwaitedInvalidation(purges, live, settings.purge().invalidationWait(), Schedulers.parallel());
    }

    @Bean
    Memory memory() {
        return newMemory();
    }

    /** Of the size of this JVM. */
    static Memory newMemory() {
        MemoryShares shares = MemoryShares.ofThisJvm();
        return new Memory(new ByteBudget(shares.collecting()), new ByteBudget(shares.unread()),
                new ByteBudget(shares.buffers()));
    }

    @Bean
    Edge edge(Coalescer<Key, Entry> coalescer, NearCache<Entry> tier, RedisPurges purges, Meters meters,
            AwaitedInvalidation invalidation, Settings settings, Memory memory) {
        return newEdge(coalescer, tier, purges, meters, invalidation, settings, memory);
    }

    static Edge newEdge(Coalescer<Key, Entry> coalescer, NearCache<Entry> tier, RedisPurges purges, Meters meters,
            AwaitedInvalidation invalidation, Settings settings, Memory memory) {
        var isolation = new Isolation(settings.purge().maxIsolation(), purges::lag);
        return new Edge(coalescer, tier::peek, purges, isolation, invalidation, purges.fleetClock(), new Traffic() {
            @Override
            public void answered(String route, Outcome outcome, Duration time) {
                meters.answered(route, outcome.tag(), time);
            }

            @Override
            public void fetched(String route, String result, Duration time) {
                meters.fetched(route, result, time);
            }
        }, new Variants(Ticker.systemTicker()), memory, settings.coalesce());
    }

    @Bean
    EdgeController edgeController(Edge edge, Routes routes, RedisPurges purges, ObjectMapper json, Tracing tracing,
            AccessLog accesses) {
        return new EdgeController(edge, routes.list(), new Responder(purges.fleetClock(), json, edge.memory()), tracing,
                accesses);
    }

    /** Off unless management.tracing.enabled: then there is no propagator. */
    @Bean
    Tracing tracing(Tracer tracer, ObjectProvider<Propagator> propagator) {
        return Optional.ofNullable(propagator.getIfAvailable())
                .<Tracing>map(found -> new Spans(tracer, found))
                .orElse(Tracing.OFF);
    }

    @Bean
    AccessLog accessLog(Settings settings) {
        if (!settings.accessLog()) {
            return AccessLog.OFF;
        }
        AsideAppender.putBefore(AccessLines.NAME);
        return new AccessLines();
    }

    @Bean
    ClientConnections clientConnections() {
        return new ClientConnections();
    }

    @Bean
    NettyServerCustomizer guardsConnections(ClientConnections connections, Settings settings) {
        return server -> server.doOnChannelInit(
                (observer, channel, peer) -> Http1Pipeline.whenReady(channel, ready -> {
                    ConnectionGuard.guard(ready, settings.server().limits());
                    StrictHead.guard(ready);
                    connections.add(ready);
                }));
    }

    @Bean
    ShutdownDrain shutdownDrain(ApplicationContext context, ClientConnections connections, Settings settings) {
        return new ShutdownDrain(context, connections, settings.shutdown().drain());
    }

    @Bean
    WarmUp warmUp(Settings settings, EdgeController controller, ApplicationContext context,
            ObjectProvider<ServerProperties> server, RedisTier<Entry> redis, RedisPurges purges,
            AwaitedInvalidation invalidation, OriginNames names, Timing timing, ObjectMapper json, SslBundles bundles) {
        return new WarmUp(settings.warmUp(), controller, context, Optional.ofNullable(server.getIfAvailable()),
                (prefix, origin) -> new WarmUpPipeline(prefix, origin, settings, redis, purges, invalidation, names,
                        timing, json, bundles));
    }

    @Bean
    Unmapped unmapped(EdgeController controller, ApplicationContext clients) {
        return new Unmapped(controller, clients);
    }
}
