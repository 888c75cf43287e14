package dev.corral.redis;

import io.lettuce.core.AbstractRedisClient;
import io.lettuce.core.ClientOptions.DisconnectedBehavior;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisConnectionException;
import io.lettuce.core.SetArgs;
import io.lettuce.core.SocketOptions;
import io.lettuce.core.SocketOptions.KeepAliveOptions;
import io.lettuce.core.SocketOptions.TcpUserTimeoutOptions;
import io.lettuce.core.TimeoutOptions;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.ClusterTopologyRefreshOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.SlotHash;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.lettuce.core.cluster.api.async.RedisClusterAsyncCommands;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.codec.RedisCodec;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.event.Event;
import io.lettuce.core.protocol.RedisCommand;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import io.lettuce.core.resource.Delay;
import io.lettuce.core.resource.EpollProvider;
import io.netty.resolver.DefaultAddressResolverGroup;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.redisson.api.RedissonClient;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.autoconfigure.data.redis.ClientResourcesBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.LettuceClientConfigurationBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.LettuceClientOptionsBuilderCustomizer;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;
import org.springframework.boot.autoconfigure.data.redis.RedisProperties;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import reactor.core.publisher.Flux;

/**
 * This replica's connections to Redis. Lettuce has two connections for commands (so that a large body does not delay small
 * commands), one for messages, and one for probes and lease renewals; Redisson has a pool for locks. All use Spring's settings:
 * Lettuce by the client of Spring's connection factory, Redisson by {@link RedissonClients}. Thread-safe.
 *
 * <p>The connections are created together and lead to one server: Redisson gets the address that Lettuce has connected to, and
 * does not follow the topology by itself (except in a Cluster, whose servers redirect commands). A thread of this class, {@code
 * redis-connections}, checks twice a second with {@link FailoverDetector} whether they lead to the right server; if not, all of
 * them are replaced together. If Redis is unavailable at the start, the thread tries to connect until it succeeds.
 */
public final class RedisConnections implements AutoCloseable {

    /** All connections. They are created together or not at all. */
    private record ConnectionSet(RedisClusterAsyncCommands<String, byte[]> controlCommands,
            RedisClusterAsyncCommands<String, byte[]> bodyCommands, ProbeConnection probeConnection,
            RedissonClient redisson,
            Optional<FailoverDetector> failoverDetector,
            Deque<Runnable> closeActions) {}

    /** The connection for probes and lease renewals. */
    private sealed interface ProbeConnection {

        /** A connection to the only server. */
        record Standalone(StatefulRedisConnection<String, byte[]> connection) implements ProbeConnection {}

        /** Connections to every master of a Cluster. */
        record Cluster(StatefulRedisClusterConnection<String, byte[]> connection) implements ProbeConnection {}
    }

    /**
     * A server to probe.
     *
     * @param connection  the connection for probes; fails when it cannot be established
     * @param isConnected whether that connection is open
     * @param address     the address in the Cluster's topology; empty when Redis is not a Cluster
     * @param readKey     a key of this server for read probes
     * @param writeKey    another key of this server, for write probes
     */
    record ProbeTarget(CompletableFuture<StatefulRedisConnection<String, byte[]>> connection, boolean isConnected,
            Optional<InetSocketAddress> address, String readKey, String writeKey) {

        boolean hasAddress(SocketAddress remote) {
            return address.isEmpty() || (remote instanceof InetSocketAddress other
                    && other.getPort() == address.get().getPort()
                    && (other.getHostString().equals(address.get().getHostString())
                            || (other.getAddress() != null
                                    && other.getAddress().getHostAddress().equals(address.get().getHostString()))));
        }
    }

    private static final Logger log = LoggerFactory.getLogger(RedisConnections.class);

    // For TCP only. Longer than the retransmission of one lost SYN.
    private static final Duration DEFAULT_CONNECT_TIMEOUT = Duration.ofSeconds(2);
    // For TLS, login and the other commands of a new connection, in a JVM that has just started on a machine with little free
    // CPU.
    private static final Duration MIN_HANDSHAKE_TIMEOUT = Duration.ofSeconds(5);
    // How often the connections are checked or, while there are none, created.
    private static final Duration CHECK_INTERVAL = Duration.ofMillis(500);
    // The delay between two replacements of the connections; doubled while the reason remains the same.
    private static final Duration INITIAL_RECONNECT_DELAY = Duration.ofSeconds(1);
    private static final Duration MAX_RECONNECT_DELAY = Duration.ofSeconds(15);
    // How often this replica sends an echo message to itself, and how many consecutive ones may be lost.
    private static final Duration ECHO_INTERVAL = Duration.ofSeconds(2);
    private static final int MAX_LOST_ECHOES = 3;

    private static final int IO_THREAD_COUNT = 8;
    private static final String SILENCE_REASON = "the server did not respond on the old connections";

    private static final RedisCodec<String, byte[]> CODEC = RedisCodec.of(StringCodec.UTF8, ByteArrayCodec.INSTANCE);

    private static final Duration COMPARISON_TIMEOUT = Duration.ofSeconds(1);

    private final LettuceConnectionFactory factory;
    private final RedisConnectionDetails details;
    private final RedissonClients redissonClients;
    private final RedisKeys keys;
    private final Map<String, Consumer<String>> channelListeners = new ConcurrentHashMap<>();
    private final String echoChannel;
    private final AtomicInteger lostEchoes = new AtomicInteger();
    private final Map<String, String> probeKeys = new ConcurrentHashMap<>();
    private final Thread maintenanceThread = Thread.ofPlatform()
            .name("redis-connections")
            .daemon()
            .unstarted(this::maintain);
    private volatile Optional<ConnectionSet> connections = Optional.empty();
    private volatile Optional<String> suspicion = Optional.empty();
    private volatile Consumer<String> onConnectFailure = reason -> {};
    private volatile boolean isClosed;
    private boolean isStarted; // guarded by this

    /**
     * Does not connect yet. The factory must use the customizers of this class.
     *
     * @param keys the names of the fleet's keys and channels, for the database in {@code details}
     */
    public RedisConnections(LettuceConnectionFactory factory, RedisConnectionDetails details,
            RedisProperties properties, RedisKeys keys) {
        this.factory = factory;
        this.details = details;
        this.keys = keys;
        this.echoChannel = keys.echoChannel(UUID.randomUUID().toString());
        this.redissonClients = new RedissonClients(details, properties, connectTimeout(properties));
    }

    /**
     * Sets the reconnect delay and the number of threads. Lettuce's default delay is up to 30 s, for which this replica would
     * not share with the others.
     */
    public static ClientResourcesBuilderCustomizer clientResources() {
        return builder -> builder
                // At least one thread for each connection, most of them idle: a probe or a lease renewal never waits for the
                // transfer or the processing of a large body. A power of two makes the selection of a thread cheap.
                .ioThreadPoolSize(IO_THREAD_COUNT)
                .reconnectDelay(
                        Delay.equalJitter(Duration.ofMillis(20), Duration.ofMillis(500), 20, TimeUnit.MILLISECONDS))
                // The JDK's resolver, whose cache has a time limit: both clients and the failover detector resolve a name in
                // the same way.
                .addressResolverGroup(DefaultAddressResolverGroup.INSTANCE);
    }

    /** Rejects commands while disconnected, so that no command is sent twice, or after its caller has cancelled it. */
    public static LettuceClientOptionsBuilderCustomizer clientOptions(RedisProperties properties) {
        return builder -> {
            builder.disconnectedBehavior(DisconnectedBehavior.REJECT_COMMANDS)
                    .replayFilter(RedisConnections::failUnsentCommand)
                    // Several times the number of commands that a busy replica has in flight; with more, Redis is not
                    // responding.
                    .requestQueueSize(10_000)
                    // No timer per command: a slow command is not a failure, and RedisCircuitBreaker limits the wait.
                    .timeoutOptions(TimeoutOptions.builder().timeoutCommands(false).build())
                    .socketOptions(socketOptions(properties));
            if (builder instanceof ClusterClientOptions.Builder cluster) {
                cluster.topologyRefreshOptions(
                        topologyRefreshOptions(properties.getLettuce().getCluster().getRefresh()));
            }
        };
    }

    /**
     * Fails a command instead of replaying it. Lettuce drops the commands that match its replay filter without completing them,
     * and their callers would wait for a reply that never comes.
     */
    private static boolean failUnsentCommand(RedisCommand<?, ?, ?> command) {
        command.completeExceptionally(
                new RedisConnectionException("the connection was lost before the command was written"));
        return true;
    }

    /** Sets the time limit for establishing a connection: {@code spring.data.redis.timeout}, at least 5 s. */
    public static LettuceClientConfigurationBuilderCustomizer clientConfiguration(RedisProperties properties) {
        Duration timeout = handshakeTimeout(properties);
        return builder -> builder.commandTimeout(timeout);
    }

    /**
     * Subscribes to a channel. The listener is called on an event loop and must not block. Must be called before the start.
     *
     * @throws IllegalStateException after the start
     */
    public synchronized void subscribe(String channel, Consumer<String> listener) {
        if (isStarted) {
            throw new IllegalStateException("already started, cannot subscribe to " + channel);
        }
        channelListeners.put(channel, listener);
    }

    /**
     * Sets the action to run, with the reason, each time the first connection to Redis fails. Must be called before the start.
     */
    void onConnectFailure(Consumer<String> action) {
        onConnectFailure = action;
    }

    /** Connects; if Redis is unavailable, continues in the background. Blocks for a few seconds at most. */
    public synchronized void start() {
        isStarted = true;
        channelListeners.put(echoChannel, echo -> lostEchoes.set(0));
        tryConnect();
        maintenanceThread.start();
    }

    @Override
    public void close() {
        isClosed = true;
        maintenanceThread.interrupt();
        synchronized (this) {
            connections.ifPresent(open -> closeAll(open.closeActions()));
            connections = Optional.empty();
        }
    }

    /** The names of the fleet's keys and channels. */
    public RedisKeys keys() {
        return keys;
    }

    /** The connection for small commands. Throws {@link RedisConnectionException} while not connected, as the other getters. */
    public RedisClusterAsyncCommands<String, byte[]> controlCommands() {
        return connections().controlCommands();
    }

    /**
     * The connection for lease renewals. It has little traffic, so a renewal is not delayed when the other connections are
     * busy.
     */
    RedisClusterAsyncCommands<String, byte[]> leaseCommands() {
        return switch (connections().probeConnection()) {
            case ProbeConnection.Standalone(StatefulRedisConnection<String, byte[]> single) -> single.async();
            case ProbeConnection.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) -> cluster.async();
        };
    }

    /** The connection for commands that contain an entry. */
    public RedisClusterAsyncCommands<String, byte[]> bodyCommands() {
        return connections().bodyCommands();
    }

    /** The client for locks. */
    public RedissonClient redisson() {
        return connections().redisson();
    }

    /** Lettuce's events about its connections. */
    Flux<Event> clientEvents() {
        return factory.getRequiredNativeClient().getResources().eventBus().get();
    }

    /**
     * The id of the server that has the key; {@link RedisCircuitBreaker#SINGLE_SERVER_ID} when Redis is not a Cluster, or the
     * server is not known yet.
     */
    String serverIdOf(String key) {
        return connections.map(open -> switch (open.probeConnection()) {
            case ProbeConnection.Standalone single -> RedisCircuitBreaker.SINGLE_SERVER_ID;
            case ProbeConnection.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) -> {
                RedisClusterNode master = cluster.getPartitions().getMasterBySlot(SlotHash.getSlot(key));
                yield master == null ? RedisCircuitBreaker.SINGLE_SERVER_ID : master.getNodeId();
            }
        }).orElse(RedisCircuitBreaker.SINGLE_SERVER_ID);
    }

    /** The servers to probe, by id; empty while not connected. */
    Map<String, ProbeTarget> probeTargets() {
        return connections.map(open -> switch (open.probeConnection()) {
            case ProbeConnection.Standalone(StatefulRedisConnection<String, byte[]> single) ->
                Map.of(RedisCircuitBreaker.SINGLE_SERVER_ID,
                        new ProbeTarget(CompletableFuture.completedFuture(single), single.isOpen(), Optional.empty(),
                                keys.probeKey(),
                                keys.probeKey() + ":write"));
            case ProbeConnection.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) ->
                masterProbeTargets(cluster);
        }).orElse(Map.of());
    }

    private Map<String, ProbeTarget> masterProbeTargets(StatefulRedisClusterConnection<String, byte[]> cluster) {
        var targets = new HashMap<String, ProbeTarget>();
        for (RedisClusterNode node : cluster.getPartitions()) {
            if (node.is(RedisClusterNode.NodeFlag.UPSTREAM) && !node.hasNoSlots()) {
                CompletableFuture<StatefulRedisConnection<String, byte[]>> connection = cluster
                        .getConnectionAsync(node.getNodeId());
                boolean connected = connection.isDone() && !connection.isCompletedExceptionally()
                        && connection.join().isOpen();
                String key = probeKeyOf(node);
                targets.put(node.getNodeId(), new ProbeTarget(connection, connected,
                        Optional.of(
                                InetSocketAddress.createUnresolved(node.getUri().getHost(), node.getUri().getPort())),
                        key, key + ":write"));
            }
        }
        return targets;
    }

    /** A key in one of the node's slots. The search takes about as many attempts as there are nodes. */
    private String probeKeyOf(RedisClusterNode node) {
        return probeKeys.compute(node.getNodeId(), (id, known) -> {
            if (known != null && node.hasSlot(SlotHash.getSlot(known))) {
                return known;
            }
            int i = 0;
            String key = keys.probeKey();
            while (!node.hasSlot(SlotHash.getSlot(key)) && i < 1_000_000) {
                key = keys.probeKey(i++);
            }
            return key;
        });
    }

    /** Called when a write was refused. If the server is a read-only replica, the connections lead to the wrong server. */
    void onWriteRefused(Throwable error) {
        String reason = RedisErrors.describe(error);
        if (reason.startsWith("READONLY")) {
            reportSuspicion(reason);
        }
    }

    /**
     * Called when a server has not responded for too long. Perhaps only these connections are dead, because the server has
     * vanished and a load balancer or NAT keeps them open. In a Cluster nothing is replaced: one server that hangs must not
     * cost the others their connections.
     */
    void onServerSilent(String server) {
        if (server.equals(RedisCircuitBreaker.SINGLE_SERVER_ID)) {
            reportSuspicion(SILENCE_REASON);
        }
    }

    /**
     * Reports a sign that the connections lead to different servers. The next check compares them and, if so, replaces them.
     */
    void reportSuspicion(String reason) {
        suspicion = Optional.of(reason);
    }

    private ConnectionSet connections() {
        return connections.orElseThrow(() -> new RedisConnectionException("not connected yet"));
    }

    private synchronized boolean tryConnect() {
        if (isClosed) {
            return true;
        }
        try {
            connections = Optional.of(connect());
            return true;
        } catch (RuntimeException e) {
            log.debug("Cannot connect to Redis", e);
            onConnectFailure.accept(RedisErrors.describe(e));
            return false;
        }
    }

    private void maintain() {
        long delay = INITIAL_RECONNECT_DELAY.toNanos();
        long nextReconnect = System.nanoTime();
        long lastEcho = nextReconnect;
        Optional<String> lastReason = Optional.empty();
        while (!isClosed) {
            try {
                Thread.sleep(CHECK_INTERVAL);
                long now = System.nanoTime();
                if (connections.isEmpty()) {
                    tryConnect();
                    continue;
                }
                if (now - lastEcho >= ECHO_INTERVAL.toNanos()) {
                    lastEcho = now;
                    sendEcho();
                }
                Optional<String> reason = reconnectReason();
                if (reason.isEmpty()) {
                    delay = INITIAL_RECONNECT_DELAY.toNanos();
                    lastReason = Optional.empty();
                } else if (now - nextReconnect >= 0) {
                    boolean isRepeated = lastReason.equals(reason);
                    if (reconnect(reason.get(), isRepeated)) {
                        delay = isRepeated
                                ? Math.min(delay * 2, MAX_RECONNECT_DELAY.toNanos())
                                : INITIAL_RECONNECT_DELAY.toNanos();
                        lastReason = reason;
                    } else {
                        // The failed attempt did no harm, and a recovery of Redis should be noticed soon.
                        delay = INITIAL_RECONNECT_DELAY.toNanos();
                    }
                    nextReconnect = System.nanoTime() + delay;
                }
            } catch (InterruptedException e) {
                log.debug("Redis connection checks stopped");
                return;
            } catch (RuntimeException e) {
                // The next check tries again.
                log.debug("Cannot check the connections to Redis", e);
            }
        }
    }

    /** Why the connections must be replaced; empty when they need not be. */
    private Optional<String> reconnectReason() {
        if (lostEchoes.get() > MAX_LOST_ECHOES) {
            return Optional.of("this replica does not receive its own messages");
        }
        Optional<String> currentSuspicion = suspicion;
        suspicion = Optional.empty();
        return connections.flatMap(ConnectionSet::failoverDetector)
                .flatMap(FailoverDetector::reconnectReason)
                .or(() -> currentSuspicion
                        .filter(reason -> reason.startsWith("READONLY") || reason.equals(SILENCE_REASON)
                                || isSplit(reason)));
    }

    /**
     * Whether the other connections do not read what one connection writes: there may be several servers behind one address. A
     * suspicion caused by a lock that has just expired has no consequence.
     */
    private boolean isSplit(String reason) {
        ConnectionSet open = connections();
        String token = UUID.randomUUID().toString();
        // A key of its own: other replicas may compare at the same time.
        String name = keys.probeKey() + ":token:" + token;
        try {
            open.controlCommands()
                    .set(name, LuaScript.utf8Bytes(token), SetArgs.Builder.px(COMPARISON_TIMEOUT.toMillis() * 5))
                    .get(COMPARISON_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            byte[] read = open.bodyCommands().get(name).get(COMPARISON_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            Object readByRedisson = open.redisson()
                    .getBucket(name, org.redisson.client.codec.StringCodec.INSTANCE)
                    .getAsync()
                    .get(COMPARISON_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            boolean isOneServer = read != null && token.equals(LuaScript.utf8Text(read))
                    && token.equals(readByRedisson);
            log.debug("{}: the connections lead to {}", reason, isOneServer ? "one server" : "several servers");
            return !isOneServer;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } catch (ExecutionException | TimeoutException e) {
            // The result is unknown; the next suspicion compares again.
            return false;
        }
    }

    /**
     * Sends an echo message to this replica itself. It is not counted when it cannot be sent, which says nothing about the
     * subscription.
     */
    private void sendEcho() {
        lostEchoes.incrementAndGet();
        connections().controlCommands().publish(echoChannel, new byte[]{'e'}).whenComplete((receivers, failed) -> {
            if (failed != null) {
                lostEchoes.updateAndGet(lost -> Math.max(0, lost - 1));
            }
        });
    }

    /** Replaces the connections. False when the new ones cannot be established: then the old ones stay. */
    private boolean reconnect(String reason, boolean isRepeated) {
        ConnectionSet replacement;
        try {
            replacement = connect();
        } catch (RuntimeException e) {
            log.debug("Cannot replace the connections to Redis", e);
            return false;
        }
        Optional<ConnectionSet> old;
        synchronized (this) {
            if (isClosed) {
                closeAll(replacement.closeActions());
                return true;
            }
            old = connections;
            connections = Optional.of(replacement);
        }
        lostEchoes.set(0);
        old.ifPresent(open -> closeAll(open.closeActions()));
        if (!isRepeated) {
            log.warn("Redis connections replaced: {}", reason);
        }
        return true;
    }

    private ConnectionSet connect() {
        var closeActions = new ArrayDeque<Runnable>();
        try {
            return switch (factory.getRequiredNativeClient()) {
                case RedisClusterClient cluster -> connect(cluster, closeActions);
                case RedisClient single -> connect(single, closeActions);
                case AbstractRedisClient other -> throw new IllegalStateException("unknown client " + other.getClass());
            };
        } catch (RuntimeException e) {
            closeAll(closeActions);
            throw e;
        }
    }

    private ConnectionSet connect(RedisClient client, Deque<Runnable> closeActions) {
        var failoverDetector = new FailoverDetector(client, details);
        closeActions.push(failoverDetector::close);
        var control = closeLater(client.connect(CODEC), closeActions);
        var bodies = closeLater(client.connect(CODEC), closeActions);
        var probes = closeLater(client.connect(CODEC), closeActions);
        var messages = closeLater(client.connectPubSub(StringCodec.UTF8), closeActions);
        subscribeChannels(messages);
        InetSocketAddress server = failoverDetector.watch(List.of(control, bodies, probes, messages));
        RedissonClient redisson = redissonClients.connect(server);
        closeActions.push(() -> redisson.shutdown(0, 2, TimeUnit.SECONDS));
        return new ConnectionSet(control.async(), bodies.async(), new ProbeConnection.Standalone(probes), redisson,
                Optional.of(failoverDetector),
                closeActions);
    }

    private ConnectionSet connect(RedisClusterClient client, Deque<Runnable> closeActions) {
        StatefulRedisClusterConnection<String, byte[]> control = client.connect(CODEC);
        closeActions.push(control::close);
        StatefulRedisClusterConnection<String, byte[]> bodies = client.connect(CODEC);
        closeActions.push(bodies::close);
        StatefulRedisClusterConnection<String, byte[]> probes = client.connect(CODEC);
        closeActions.push(probes::close);
        subscribeChannels(closeLater(client.connectPubSub(StringCodec.UTF8), closeActions));
        RedissonClient redisson = redissonClients.connect();
        closeActions.push(() -> redisson.shutdown(0, 2, TimeUnit.SECONDS));
        return new ConnectionSet(control.async(), bodies.async(), new ProbeConnection.Cluster(probes), redisson,
                Optional.empty(),
                closeActions);
    }

    private static <C extends StatefulRedisConnection<?, ?>> C closeLater(C connection, Deque<Runnable> closeActions) {
        closeActions.push(connection::close);
        return connection;
    }

    /**
     * Subscribes to the channels. Lettuce repeats the subscription after each reconnection; the echo messages check that it
     * has.
     */
    private void subscribeChannels(StatefulRedisPubSubConnection<String, String> connection) {
        connection.addListener(new RedisPubSubAdapter<>() {
            @Override
            public void message(String channel, String message) {
                channelListeners.getOrDefault(channel, ignored -> {}).accept(message);
            }
        });
        connection.sync().subscribe(channelListeners.keySet().toArray(String[]::new));
    }

    private static void closeAll(Deque<Runnable> closeActions) {
        for (Runnable action : closeActions) {
            try {
                action.run();
            } catch (RuntimeException e) {
                log.debug("Cannot close a connection to Redis", e);
            }
        }
        closeActions.clear();
    }

    private static Duration connectTimeout(RedisProperties properties) {
        return Optional.ofNullable(properties.getConnectTimeout()).orElse(DEFAULT_CONNECT_TIMEOUT);
    }

    private static Duration handshakeTimeout(RedisProperties properties) {
        return Optional.ofNullable(properties.getTimeout())
                .filter(timeout -> timeout.compareTo(MIN_HANDSHAKE_TIMEOUT) > 0)
                .orElse(MIN_HANDSHAKE_TIMEOUT);
    }

    /** Detects within seconds a server that has vanished without closing the connection. */
    private static SocketOptions socketOptions(RedisProperties properties) {
        SocketOptions.Builder socket = SocketOptions.builder().connectTimeout(connectTimeout(properties));
        if (EpollProvider.isAvailable()) {
            socket.keepAlive(KeepAliveOptions.builder()
                    .enable()
                    .idle(Duration.ofSeconds(5))
                    .interval(Duration.ofSeconds(1))
                    .count(3)
                    .build());
            socket.tcpUserTimeout(
                    TcpUserTimeoutOptions.builder().enable().tcpUserTimeout(RedissonClients.TCP_USER_TIMEOUT).build());
        }
        return socket.build();
    }

    private static ClusterTopologyRefreshOptions topologyRefreshOptions(
            RedisProperties.Lettuce.Cluster.Refresh refresh) {
        return ClusterTopologyRefreshOptions.builder()
                .dynamicRefreshSources(refresh.isDynamicRefreshSources())
                .enablePeriodicRefresh(Optional.ofNullable(refresh.getPeriod()).orElse(Duration.ofSeconds(15)))
                .enableAllAdaptiveRefreshTriggers()
                .adaptiveRefreshTriggersTimeout(Duration.ofSeconds(1))
                .build();
    }
}
