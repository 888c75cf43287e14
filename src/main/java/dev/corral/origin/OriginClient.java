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
 * Asks one origin, over connections of its own. Thread-safe. Takes requests as they are: it follows no redirect, keeps no cookie,
 * adds no field but Host, decodes no content. Says nothing about what the answer means: any final status is an answer.
 */
public final class OriginClient implements AutoCloseable {

    private static final Duration MAX_CONNECT_TIMEOUT = Duration.ofSeconds(2);

    /** Shorter than the 5 s after which Node.js and Apache close a connection that idles: else we would pick up dead ones. */
    private static final Duration MAX_IDLE_TIME = Duration.ofSeconds(4);

    /** As long as nginx waits for a client that reads nothing (send_timeout). */
    private static final Duration READER_STALL_TIMEOUT = Duration.ofSeconds(60);

    /** Connections of one make: keys and trust are those of when they were opened. */
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
     * An origin without a connection yet.
     *
     * @param breaker counts as a failure only that the origin cannot be reached. One like it for each first path segment counts that
     *        no whole response was had there, never a status
     * @param prefix the part of every path that the route has in common, such as {@code /shop/}; {@code /} when there is none
     * @param names finds the addresses of the origin's name; stays open when this is closed
     * @throws IllegalArgumentException when breaker or bulkhead could block an event loop, or the bulkhead admits too many
     */
    public OriginClient(OriginConfig upstream, String prefix, CircuitBreaker breaker, Bulkhead bulkhead,
            AddressResolverGroup<InetSocketAddress> names, Clock clock) {
        this(upstream, prefix, breaker, bulkhead, names, clock, READER_STALL_TIMEOUT);
    }

    /**
     * An origin without a connection yet, as above.
     *
     * @param patience how long the reader of a streamed body may ask for nothing; until then it holds one of the origin's places
     */
    public OriginClient(OriginConfig upstream, String prefix, CircuitBreaker breaker, Bulkhead bulkhead,
            AddressResolverGroup<InetSocketAddress> names,
            Clock clock, Duration patience) {
        require(bulkhead.getBulkheadConfig().getMaxWaitDuration().isZero(), upstream, "its bulkhead must not wait");
        require(bulkhead.getBulkheadConfig().getMaxConcurrentCalls() <= upstream.maxConcurrentRequests(), upstream,
                "its bulkhead admits more than concurrency (" + upstream.maxConcurrentRequests() + ")");
        require(breaker.getCircuitBreakerConfig().getSlidingWindowSynchronizationStrategy() == LOCK_FREE, upstream,
                "its breaker must count without a lock (slidingWindowSynchronizationStrategy LOCK_FREE)");
        this.config = upstream;
        this.readerStallTimeout = patience;
        this.clock = clock;
        this.admission = new OriginAdmission(upstream.id(), prefix, breaker, bulkhead, clock);
        this.addressResolverGroup = names;
        this.addressSelector = new OriginAddressSelector(shorter(MAX_CONNECT_TIMEOUT, upstream.timeout()),
                System::nanoTime);
        this.clients = createClients(upstream.sslBundle());
    }

    /**
     * The answer to one request; one subscription is one request. Nothing is sent before it.
     *
     * <p>
     * The timeout bounds all from the subscription to the response, but for a body that is alive; while a request has a body on its
     * way, from its last piece. A
     * request of which no byte left is sent once more, on a new connection, and so is a GET or HEAD without body that found its
     * pooled connection dead; nothing else ever is. Cancelling closes the connection. Signals come on an event loop: do not block.
     *
     * <p>
     * Errors: {@link OriginFailedException}; {@link OriginCircuitOpenException} and {@link OriginConcurrencyExceededException}, at once and without a request; the request body's own.
     *
     * @param intake decides from the head what becomes of the body; called on an event loop
     */
    public Mono<OriginResponse> fetch(OriginRequest request, Function<ResponseHead, BodyMode> intake) {
        return fetch(request, intake, interim -> {});
    }

    /**
     * As above.
     *
     * @param interims hears of each interim answer (RFC 9110 section 15.2) before the final one; called on an event loop, at the
     *                 second try again
     */
    public Mono<OriginResponse> fetch(OriginRequest request, Function<ResponseHead, BodyMode> intake,
            Consumer<ResponseHead> interims) {
        return fetch(request, intake, interims, bytes -> true);
    }

    /**
     * As above. Fails with {@link BufferMemoryExhaustedException} when there is no memory for a body that is to be collected.
     *
     * @param memory takes that many bytes for the body, or says that there are none; called on an event loop
     */
    public Mono<OriginResponse> fetch(OriginRequest request, Function<ResponseHead, BodyMode> intake,
            Consumer<ResponseHead> interims,
            LongPredicate memory) {
        return Mono.defer(
                () -> new OriginExchange(config, readerStallTimeout, request, intake, interims, memory,
                        admission.acquire(request.target()),
                        clock)
                        .execute(clients.pooledClient(), clients.newConnectionClient(), () -> isClosed));
    }

    /** Failed calls of all endpoints within their windows. */
    int endpointFailures() {
        return admission.endpointBreakers().failedCalls();
    }

    /** From now on new connections are opened with these keys and this trust; older ones end with their exchanges, or idle. */
    public synchronized void reloadSsl(SslBundle ssl) {
        if (isClosed) {
            return;
        }
        // Not the pool of this moment: an exchange may be about to take a connection of it. Idle, it empties itself.
        retiredPool.ifPresent(ConnectionProvider::dispose);
        retiredPool = Optional.of(clients.pool());
        clients = createClients(Optional.of(ssl));
    }

    /** Closes idle connections; those in use when their exchange is over. */
    @Override
    public synchronized void close() {
        isClosed = true;
        retiredPool.ifPresent(ConnectionProvider::dispose);
        clients.pool().dispose();
    }

    private HttpClients createClients(Optional<SslBundle> ssl) {
        ConnectionProvider pool = ConnectionProvider.builder(config.id())
                .maxConnections(config.maxConcurrentRequests())
                // Permits bound the exchanges; a queue as long as that is for connections that are still closing.
                .pendingAcquireMaxCount(config.maxConcurrentRequests())
                .pendingAcquireTimeout(config.timeout())
                .evictionPredicate((connection, age) -> isExpired(connection, age, config.connectionMaxLifetime()))
                .evictInBackground(shorter(MAX_IDLE_TIME, config.connectionMaxLifetime()))
                // The one used last is the one least likely to be dead; the others may idle out.
                .lifo()
                .build();
        return new HttpClients(pool, createClient(pool, ssl),
                createClient(ConnectionProvider.newConnection(), ssl));
    }

    /** Asked before a connection is used again, when it has been used, and now and then while it idles. */
    private static boolean isExpired(Connection connection, ConnectionMetadata age, Duration maxLife) {
        Channel channel = connection.channel();
        // Each has a life of its own, or connections opened together would all be opened anew together.
        long life = maxLife.toMillis() - maxLife.toMillis() / 4 * Math.floorMod(channel.id().hashCode(), 100) / 100;
        return !channel.isActive() || !connection.isPersistent()
                || age.idleTime() >= MAX_IDLE_TIME.toMillis() || age.lifeTime() >= life;
    }

    private WebClient createClient(ConnectionProvider connections, Optional<SslBundle> ssl) {
        HttpClient client = HttpClient.create(connections)
                .protocol(HttpProtocol.HTTP11)
                // Its retry asks only whether anything was sent, ours also whether it may be sent twice: one is enough.
                .disableRetry(true)
                .resolver(addressResolverGroup)
                .resolvedAddressesSelector((config, resolved) -> addressSelector.order(resolved))
                .option(ChannelOption.SO_KEEPALIVE, true)
                .doOnChannelInit((observer, channel, address) -> {
                    var wire = new OriginHttpCodec();
                    channel.pipeline().replace(NettyPipeline.HttpCodec, NettyPipeline.HttpCodec, wire);
                    channel.pipeline().addFirst(new TransportMonitor(wire, addressSelector));
                });
        HttpClient secured = ssl.map(bundle -> client.secure(spec -> spec.sslContext(sslContextSpec(bundle))))
                .orElse(client);
        return WebClient.builder()
                .clientConnector(new ReactorClientHttpConnector(secured))
                // No codecs: bodies are bytes.
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

    private static void require(boolean condition, OriginConfig upstream, String otherwise) {
        if (!condition) {
            throw new IllegalArgumentException("origin " + upstream.id() + ": " + otherwise);
        }
    }

    private static Duration shorter(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }
}
