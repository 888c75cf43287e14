package dev.corral.origin;

import dev.corral.http.ResponseHead;
import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.netty.channel.Channel;
import io.netty.channel.ChannelOption;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.resolver.AddressResolverGroup;
import java.net.InetSocketAddress;
import java.time.Clock;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongPredicate;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslOptions;
import org.springframework.http.client.reactive.ReactorClientHttpConnector;
import org.springframework.web.reactive.function.client.ExchangeStrategies;
import org.springframework.web.reactive.function.client.WebClient;
import reactor.core.publisher.Mono;
import reactor.netty.Connection;
import reactor.netty.NettyPipeline;
import reactor.netty.http.HttpProtocol;
import reactor.netty.http.client.HttpClient;
import reactor.netty.resources.ConnectionProvider;
import reactor.netty.resources.ConnectionProvider.ConnectionMetadata;
import reactor.netty.tcp.DefaultSslContextSpec;
import reactor.netty.tcp.SslProvider.GenericSslContextSpec;

import static io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowSynchronizationStrategy.LOCK_FREE;

/**
 * The HTTP client of one origin, with its own connection pool. Requests are sent unchanged: the client follows no redirect, keeps no
 * cookie, adds no header field but Host and decodes no content. It does not judge the response: any final status is a response.
 *
 * <p>
 * Each subscription to {@link #fetch} acquires a permit from {@link OriginAdmission} and runs one {@link OriginExchange} on an event
 * loop of Reactor Netty. Pooled connections are used first; a second attempt always opens a new connection. When the keys or the
 * trusted certificates change, the pool is replaced, and connections of the old pool end with their exchanges. Thread-safe.
 */
public final class OriginClient implements AutoCloseable {

    private static final Duration MAX_CONNECT_TIMEOUT = Duration.ofSeconds(2);

    /** Shorter than the 5 s after which Node.js and Apache close an idle connection; otherwise the pool would hand out dead ones. */
    private static final Duration MAX_IDLE_TIME = Duration.ofSeconds(4);

    /** As long as nginx waits for a client that reads nothing (send_timeout). */
    private static final Duration READER_STALL_TIMEOUT = Duration.ofSeconds(60);

    /** A pool and its clients. All their connections use the keys and the trusted certificates of one SSL bundle. */
    private record HttpClients(ConnectionProvider pool, WebClient pooledClient, WebClient newConnectionClient) {}

    private volatile boolean isClosed;
    private final OriginConfig config;
    private final Duration readerStallTimeout;
    private final Clock clock;
    private final OriginAdmission admission;
    private final AddressResolverGroup<InetSocketAddress> addressResolverGroup;
    private final OriginAddressSelector addressSelector;
    private volatile HttpClients clients;
    private Optional<ConnectionProvider> retiredPool = Optional.empty(); // guarded by this

    /**
     * A client without a connection yet.
     *
     * @param breaker counts only an unreachable origin as a failure. A breaker of the same configuration for each first path segment
     *        counts incomplete or missing responses of that endpoint. No breaker counts a status
     * @param routePrefix the common prefix of the route's paths, such as {@code /shop/}; {@code /} when there is none
     * @param addressResolverGroup resolves the origin's name; not closed by {@link #close}
     * @throws IllegalArgumentException when the breaker or the bulkhead could block an event loop, or the bulkhead admits too many
     */
    public OriginClient(OriginConfig config, String routePrefix, CircuitBreaker breaker, Bulkhead bulkhead,
            AddressResolverGroup<InetSocketAddress> addressResolverGroup, Clock clock) {
        this(config, routePrefix, breaker, bulkhead, addressResolverGroup, clock, READER_STALL_TIMEOUT);
    }

    /**
     * A client without a connection yet, with a limit for slow readers; the other parameters are those of the shorter constructor.
     *
     * @param readerStallTimeout how long the reader of a streamed body may request nothing; its exchange holds a slot meanwhile
     */
    public OriginClient(OriginConfig config, String routePrefix, CircuitBreaker breaker, Bulkhead bulkhead,
            AddressResolverGroup<InetSocketAddress> addressResolverGroup,
            Clock clock, Duration readerStallTimeout) {
        require(bulkhead.getBulkheadConfig().getMaxWaitDuration().isZero(), config, "its bulkhead must not wait");
        require(bulkhead.getBulkheadConfig().getMaxConcurrentCalls() <= config.maxConcurrentRequests(), config,
                "its bulkhead admits more than concurrency (" + config.maxConcurrentRequests() + ")");
        require(breaker.getCircuitBreakerConfig().getSlidingWindowSynchronizationStrategy() == LOCK_FREE, config,
                "its breaker must count without a lock (slidingWindowSynchronizationStrategy LOCK_FREE)");
        this.config = config;
        this.readerStallTimeout = readerStallTimeout;
        this.clock = clock;
        this.admission = new OriginAdmission(config.id(), routePrefix, breaker, bulkhead, clock);
        this.addressResolverGroup = addressResolverGroup;
        this.addressSelector = new OriginAddressSelector(shorter(MAX_CONNECT_TIMEOUT, config.timeout()),
                System::nanoTime);
        this.clients = createClients(config.sslBundle());
    }

    /**
     * The response to one request. Each subscription sends one request; nothing is sent before.
     *
     * <p>
     * The timeout runs from the subscription to the response, or from the last piece of a request body that is being sent; it does not
     * end a response body that is still arriving. A request is sent a second time, on a new connection, in two cases only: no byte
     * of it was sent, or it is a GET or HEAD without a body whose pooled connection was dead. Cancelling closes the connection.
     * Signals arrive on an event loop: the subscriber must not block.
     *
     * <p>
     * Errors: {@link OriginFailedException}; {@link OriginCircuitOpenException} and {@link OriginConcurrencyExceededException}, at
     * once and without a request; {@link BufferMemoryExhaustedException} when the memory budget has no memory left for a body that is to
     * be collected; the request body's own error, unchanged.
     *
     * @param bodyModeSelector decides by the response head how the body is read; called on an event loop
     * @param interimListener receives each interim response (RFC 9110 section 15.2) before the final one; called on an event loop,
     *        and again for the interim responses of a second attempt
     * @param memoryBudget reserves a number of bytes for the body; false when they are not available. Called on an event loop
     */
    public Mono<OriginResponse> fetch(OriginRequest request, Function<ResponseHead, BodyMode> bodyModeSelector,
            Consumer<ResponseHead> interimListener, LongPredicate memoryBudget) {
        return Mono.defer(
                () -> new OriginExchange(config, readerStallTimeout, request, bodyModeSelector, interimListener,
                        memoryBudget,
                        admission.acquire(request.target()),
                        clock)
                        .execute(clients.pooledClient(), clients.newConnectionClient(), () -> isClosed));
    }

    /** The failed calls of all endpoints within their sliding windows. */
    int endpointFailures() {
        return admission.endpointBreakers().failedCalls();
    }

    /** New connections use this bundle's keys and trusted certificates; older ones end after their exchange or when idle. */
    public synchronized void reloadSsl(SslBundle sslBundle) {
        if (isClosed) {
            return;
        }
        // The current pool stays open, because an exchange may be about to acquire from it; its idle connections are evicted.
        retiredPool.ifPresent(ConnectionProvider::dispose);
        retiredPool = Optional.of(clients.pool());
        clients = createClients(Optional.of(sslBundle));
    }

    /** Closes idle connections at once, and connections in use after their exchange. */
    @Override
    public synchronized void close() {
        isClosed = true;
        retiredPool.ifPresent(ConnectionProvider::dispose);
        clients.pool().dispose();
    }

    private HttpClients createClients(Optional<SslBundle> sslBundle) {
        ConnectionProvider pool = ConnectionProvider.builder(config.id())
                .maxConnections(config.maxConcurrentRequests())
                // Permits bound the exchanges; they queue only while old connections are still closing.
                .pendingAcquireMaxCount(config.maxConcurrentRequests())
                .pendingAcquireTimeout(config.timeout())
                .evictionPredicate((connection, age) -> isExpired(connection, age, config.connectionMaxLifetime()))
                .evictInBackground(shorter(MAX_IDLE_TIME, config.connectionMaxLifetime()))
                // The most recently used connection is the least likely to be dead; the others can be evicted as idle.
                .lifo()
                .build();
        return new HttpClients(pool, createClient(pool, sslBundle),
                createClient(ConnectionProvider.newConnection(), sslBundle));
    }

    /** Called before a connection is reused, when it is returned, and periodically while it is idle. */
    private static boolean isExpired(Connection connection, ConnectionMetadata age, Duration maxLifetime) {
        Channel channel = connection.channel();
        // Spread by up to a quarter, so that connections opened together are not all replaced together.
        long lifetimeMillis = maxLifetime.toMillis()
                - maxLifetime.toMillis() / 4 * Math.floorMod(channel.id().hashCode(), 100) / 100;
        return !channel.isActive() || !connection.isPersistent()
                || age.idleTime() >= MAX_IDLE_TIME.toMillis() || age.lifeTime() >= lifetimeMillis;
    }

    private WebClient createClient(ConnectionProvider connections, Optional<SslBundle> sslBundle) {
        HttpClient client = HttpClient.create(connections)
                .protocol(HttpProtocol.HTTP11)
                // OriginExchange retries instead: it also checks whether the request may be sent twice.
                .disableRetry(true)
                .resolver(addressResolverGroup)
                .resolvedAddressesSelector((config, resolved) -> addressSelector.order(resolved))
                .option(ChannelOption.SO_KEEPALIVE, true)
                .doOnChannelInit((observer, channel, address) -> {
                    var codec = new OriginHttpCodec();
                    channel.pipeline().replace(NettyPipeline.HttpCodec, NettyPipeline.HttpCodec, codec);
                    channel.pipeline().addFirst(new TransportMonitor(codec, addressSelector));
                });
        HttpClient secured = sslBundle.map(bundle -> client.secure(spec -> spec.sslContext(sslContextSpec(bundle))))
                .orElse(client);
        return WebClient.builder()
                .clientConnector(new ReactorClientHttpConnector(secured))
                // No codecs, because bodies are passed on as bytes.
                .exchangeStrategies(ExchangeStrategies.empty().build())
                .build();
    }

    private static GenericSslContextSpec<SslContextBuilder> sslContextSpec(SslBundle bundle) {
        SslOptions options = bundle.getOptions();
        return DefaultSslContextSpec.forClient()
                .configure(builder -> builder
                        .keyManager(bundle.getManagers().getKeyManagerFactory())
                        .trustManager(bundle.getManagers().getTrustManagerFactory())
                        .ciphers(SslOptions.asSet(options.getCiphers()))
                        .protocols(options.getEnabledProtocols()));
    }

    private static void require(boolean condition, OriginConfig config, String message) {
        if (!condition) {
            throw new IllegalArgumentException("origin " + config.id() + ": " + message);
        }
    }

    private static Duration shorter(Duration first, Duration second) {
        return first.compareTo(second) < 0 ? first : second;
    }
}
