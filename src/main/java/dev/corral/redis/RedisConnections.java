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
 * This replica's connections to Redis: two of Lettuce's for commands (so that a large body delays no small one), one for messages,
 * one for probes and the renewal of leases, and Redisson's for locks. All are made from Spring's settings: Lettuce's by the client of
 * Spring's own connection factory, Redisson's by {@link RedissonClients}. Thread-safe.
 *
 * <p>They are made together and lead to one server: Redisson is given the address that Lettuce has connected to, and follows no
 * topology of its own (but in a Cluster, where the servers themselves redirect). Twice a second {@link FailoverDetector} compares where
 * they lead with where they should; on a difference all are made again. A Redis that is away at the start is tried until it is
 * there.
 */
public final class RedisConnections implements AutoCloseable {

    /** All of them. They are made together or not at all. */
    private record ConnectionSet(RedisClusterAsyncCommands<String, byte[]> controlCommands,
            RedisClusterAsyncCommands<String, byte[]> bodyCommands, ProbeConnection probeConnection,
            RedissonClient redisson,
            Optional<FailoverDetector> failoverDetector,
            Deque<Runnable> closeActions) {}

    /** Where the probes go. */
    private sealed interface ProbeConnection {

        /** The one server. */
        record Standalone(StatefulRedisConnection<String, byte[]> connection) implements ProbeConnection {}

        /** Every master of a Cluster. */
        record Cluster(StatefulRedisClusterConnection<String, byte[]> connection) implements ProbeConnection {}
    }

    /**
     * A server to probe.
     *
     * @param connection  for probes only; fails when it cannot be made
     * @param isConnected whether that connection is there
     * @param address     as the Cluster's topology has it; empty where there is one server only
     * @param readKey     a key that this server has, to read
     * @param writeKey    another one, to write
     */
    record ProbeTarget(CompletableFuture<StatefulRedisConnection<String, byte[]>> connection, boolean isConnected,
            Optional<InetSocketAddress> address, String readKey, String writeKey) {

        boolean hasAddress(SocketAddress remote) {
            return address.isEmpty() || (remote instanceof InetSocketAddress at
                    && at.getPort() == address.get().getPort()
                    && (at.getHostString().equals(address.get().getHostString())
                            || (at.getAddress() != null
                                    && at.getAddress().getHostAddress().equals(address.get().getHostString()))));
        }
    }

    private static final Logger log = LoggerFactory.getLogger(RedisConnections.class);

    // TCP only. Longer than a SYN that is lost once.
    private static final Duration DEFAULT_CONNECT_TIMEOUT = Duration.ofSeconds(2);
    // TLS, login and the other commands of a new connection, in a JVM that has just started on a machine without CPU to spare.
    private static final Duration MIN_HANDSHAKE_TIMEOUT = Duration.ofSeconds(5);
    // How often the connections are compared and, when there are none, made.
    private static final Duration CHECK_INTERVAL = Duration.ofMillis(500);
    // Between two attempts to lead the connections elsewhere; doubled while it does not help.
    private static final Duration INITIAL_RECONNECT_DELAY = Duration.ofSeconds(1);
    private static final Duration MAX_RECONNECT_DELAY = Duration.ofSeconds(15);
    // How often this replica sends itself a message, and how many of them may be missing.
    private static final Duration ECHO_INTERVAL = Duration.ofSeconds(2);
    private static final int MAX_LOST_ECHOES = 3;

    private static final int IO_THREAD_COUNT = 8;
    private static final String SILENCE_REASON = "there was no response on them";

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
     * Connects nothing yet. The factory must be made with the customizers below.
     *
     * @param keys the names of the fleet's keys and channels, with the database that the details name
     */
    public RedisConnections(LettuceConnectionFactory factory, RedisConnectionDetails details,
            RedisProperties properties, RedisKeys keys) {
        this.factory = factory;
        this.details = details;
        this.keys = keys;
        this.echoChannel = keys.echoChannel(UUID.randomUUID().toString());
        this.redissonClients = new RedissonClients(details, properties, connectTimeout(properties));
    }

    /** Reconnects soon: the default waits up to 30 s, and so long would this replica be without the others. */
    public static ClientResourcesBuilderCustomizer clientResources() {
        return builder -> builder
                // A thread for each connection, most of them idle: a probe or the renewal of a lease never waits behind a large body,
                // nor behind what is done when one has come. A power of two makes the choice of a thread cheap.
                .ioThreadPoolSize(IO_THREAD_COUNT)
                .reconnectDelay(
                        Delay.equalJitter(Duration.ofMillis(20), Duration.ofMillis(500), 20, TimeUnit.MILLISECONDS))
                // The JDK's resolver, whose cache is bounded: one reading of a name for both clients and for the view.
                .addressResolverGroup(DefaultAddressResolverGroup.INSTANCE);
    }

    /** What is written while Redis is away is refused, and nothing is sent twice or after its caller has given up. */
    public static LettuceClientOptionsBuilderCustomizer clientOptions(RedisProperties properties) {
        return builder -> {
            builder.disconnectedBehavior(DisconnectedBehavior.REJECT_COMMANDS)
                    .replayFilter(RedisConnections::failUnsentCommand)
                    // Several times what a busy replica has in flight; beyond it, Redis is stuck.
                    .requestQueueSize(10_000)
                    // No timer per command: a late one is no failure, and the gate bounds the wait.
                    .timeoutOptions(TimeoutOptions.builder().timeoutCommands(false).build())
                    .socketOptions(socketOptions(properties));
            if (builder instanceof ClusterClientOptions.Builder cluster) {
                cluster.topologyRefreshOptions(
                        topologyRefreshOptions(properties.getLettuce().getCluster().getRefresh()));
            }
        };
    }

    /**
     * No command is replayed. Lettuce drops those that its filter names without a word to their callers, who would wait for a reply
     * that never comes: so they fail here.
     */
    private static boolean failUnsentCommand(RedisCommand<?, ?, ?> command) {
        command.completeExceptionally(
                new RedisConnectionException("the connection was lost before the command was written"));
        return true;
    }

    /** {@code spring.data.redis.timeout} bounds the making of a connection; 5 s by default. */
    public static LettuceClientConfigurationBuilderCustomizer clientConfiguration(RedisProperties properties) {
        Duration timeout = handshakeTimeout(properties);
        return builder -> builder.commandTimeout(timeout);
    }

    /** Hears what is published on the channel, on an event loop: the ear must be quick. To be called before the start. */
    public synchronized void subscribe(String channel, Consumer<String> ear) {
        if (isStarted) {
            throw new IllegalStateException("already started; nobody would subscribe to " + channel);
        }
        channelListeners.put(channel, ear);
    }

    /** Runs this with the reason each time Redis cannot be connected to for the first time. To be called before the start. */
    void onConnectFailure(Consumer<String> action) {
        onConnectFailure = action;
    }

    /** Connects, or goes on trying in the background when Redis is away. Blocks for a few seconds at most. */
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

    /** For small commands. */
    public RedisClusterAsyncCommands<String, byte[]> controlCommands() {
        return connections().controlCommands();
    }

    /** For the renewal of leases: little is sent here, so that nothing is in its way when the others are busy. */
    RedisClusterAsyncCommands<String, byte[]> leaseCommands() {
        return switch (connections().probeConnection()) {
            case ProbeConnection.Standalone(StatefulRedisConnection<String, byte[]> single) -> single.async();
            case ProbeConnection.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) -> cluster.async();
        };
    }

    /** For commands that carry an entry. */
    public RedisClusterAsyncCommands<String, byte[]> bodyCommands() {
        return connections().bodyCommands();
    }

    /** For locks. */
    public RedissonClient redisson() {
        return connections().redisson();
    }

    /** What Lettuce says of its connections. */
    Flux<Event> clientEvents() {
        return factory.getRequiredNativeClient().getResources().eventBus().get();
    }

    /** The id of the server that has the key; that of the only one where Redis is not a Cluster, or not known yet. */
    String serverIdOf(String key) {
        return connections.map(open -> switch (open.probeConnection()) {
            case ProbeConnection.Standalone single -> RedisCircuitBreaker.SINGLE_SERVER_ID;
            case ProbeConnection.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) -> {
                RedisClusterNode master = cluster.getPartitions().getMasterBySlot(SlotHash.getSlot(key));
                yield master == null ? RedisCircuitBreaker.SINGLE_SERVER_ID : master.getNodeId();
            }
        }).orElse(RedisCircuitBreaker.SINGLE_SERVER_ID);
    }

    /** The servers to probe, by their ids; none while not connected. */
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

    /** A key in one of the node's slots; about as many tries as there are nodes. */
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

    /** A write was refused. A replica in the place of its master means that the connections lead to the wrong server. */
    void onWriteRefused(Throwable error) {
        String reason = RedisErrors.describe(error);
        if (reason.startsWith("READONLY")) {
            reportSuspicion(reason);
        }
    }

    /**
     * The one server has been silent for too long: perhaps only these connections are, as when the other side has vanished and
     * something in between keeps them. In a Cluster a server that hangs must not cost the others their connections.
     */
    void onServerSilent(String server) {
        if (server.equals(RedisCircuitBreaker.SINGLE_SERVER_ID)) {
            reportSuspicion(SILENCE_REASON);
        }
    }

    /** Somebody has seen that the connections do not lead to one server: they are compared and made again. */
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
            log.debug("Redis cannot be connected to", e);
            onConnectFailure.accept(RedisErrors.describe(e));
            return false;
        }
    }

    private void maintain() {
        long pause = INITIAL_RECONNECT_DELAY.toNanos();
        long next = System.nanoTime();
        long echo = next;
        Optional<String> last = Optional.empty();
        while (!isClosed) {
            try {
                Thread.sleep(CHECK_INTERVAL);
                long now = System.nanoTime();
                if (connections.isEmpty()) {
                    tryConnect();
                    continue;
                }
                if (now - echo >= ECHO_INTERVAL.toNanos()) {
                    echo = now;
                    sendEcho();
                }
                Optional<String> difference = reconnectReason();
                if (difference.isEmpty()) {
                    pause = INITIAL_RECONNECT_DELAY.toNanos();
                    last = Optional.empty();
                } else if (now - next >= 0) {
                    boolean again = last.equals(difference);
                    if (reconnect(difference.get(), again)) {
                        pause = again
                                ? Math.min(pause * 2, MAX_RECONNECT_DELAY.toNanos())
                                : INITIAL_RECONNECT_DELAY.toNanos();
                        last = difference;
                    } else {
                        // Nothing was broken by trying, and Redis' return is not to be missed for long.
                        pause = INITIAL_RECONNECT_DELAY.toNanos();
                    }
                    next = System.nanoTime() + pause;
                }
            } catch (InterruptedException closing) {
                log.debug("The connections to Redis are closed");
                return;
            } catch (RuntimeException e) {
                // The next check tries again.
                log.debug("The connections to Redis could not be checked", e);
            }
        }
    }

    /** Why the connections must be made again; empty when all is well. */
    private Optional<String> reconnectReason() {
        if (lostEchoes.get() > MAX_LOST_ECHOES) {
            return Optional.of("the messages of this replica do not reach itself");
        }
        Optional<String> doubted = suspicion;
        suspicion = Optional.empty();
        return connections.flatMap(ConnectionSet::failoverDetector)
                .flatMap(FailoverDetector::reconnectReason)
                .or(() -> doubted
                        .filter(reason -> reason.startsWith("READONLY") || reason.equals(SILENCE_REASON)
                                || isSplit(reason)));
    }

    /**
     * Whether what one connection writes is not what the others read: behind one address may be several servers. Of a doubt that
     * comes from a lock which has just lapsed nothing follows.
     */
    private boolean isSplit(String reason) {
        ConnectionSet open = connections();
        String token = UUID.randomUUID().toString();
        // Of its own: other replicas may compare at the same time.
        String name = keys.probeKey() + ":token:" + token;
        try {
            open.controlCommands()
                    .set(name, LuaScript.utf8Bytes(token), SetArgs.Builder.px(COMPARISON_TIMEOUT.toMillis() * 5))
                    .get(COMPARISON_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            byte[] read = open.bodyCommands().get(name).get(COMPARISON_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            Object locks = open.redisson()
                    .getBucket(name, org.redisson.client.codec.StringCodec.INSTANCE)
                    .getAsync()
                    .get(COMPARISON_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            boolean same = read != null && token.equals(LuaScript.utf8Text(read)) && token.equals(locks);
            log.debug("{}: the connections lead to {}", reason, same ? "one server" : "several servers");
            return !same;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } catch (ExecutionException | TimeoutException e) {
            // Not to be found out now; the next doubt asks again.
            return false;
        }
    }

    /** A message to this replica itself. Not counted when it cannot be sent: then nothing is known of the subscription. */
    private void sendEcho() {
        lostEchoes.incrementAndGet();
        connections().controlCommands().publish(echoChannel, new byte[]{'e'}).whenComplete((receivers, failed) -> {
            if (failed != null) {
                lostEchoes.updateAndGet(lost -> Math.max(0, lost - 1));
            }
        });
    }

    /** False when Redis cannot be connected to: the connections stay what they are. */
    private boolean reconnect(String reason, boolean again) {
        ConnectionSet fresh;
        try {
            fresh = connect();
        } catch (RuntimeException e) {
            log.debug("Redis cannot be connected to again", e);
            return false;
        }
        Optional<ConnectionSet> old;
        synchronized (this) {
            if (isClosed) {
                closeAll(fresh.closeActions());
                return true;
            }
            old = connections;
            connections = Optional.of(fresh);
        }
        lostEchoes.set(0);
        old.ifPresent(open -> closeAll(open.closeActions()));
        if (!again) {
            log.warn("The connections to Redis were made again: {}", reason);
        }
        return true;
    }

    private ConnectionSet connect() {
        var closing = new ArrayDeque<Runnable>();
        try {
            return switch (factory.getRequiredNativeClient()) {
                case RedisClusterClient cluster -> connect(cluster, closing);
                case RedisClient single -> connect(single, closing);
                case AbstractRedisClient other -> throw new IllegalStateException("unknown client " + other.getClass());
            };
        } catch (RuntimeException e) {
            closeAll(closing);
            throw e;
        }
    }

    private ConnectionSet connect(RedisClient client, Deque<Runnable> closing) {
        var view = new FailoverDetector(client, details);
        closing.push(view::close);
        var control = closeLater(client.connect(CODEC), closing);
        var bodies = closeLater(client.connect(CODEC), closing);
        var probes = closeLater(client.connect(CODEC), closing);
        var messages = closeLater(client.connectPubSub(StringCodec.UTF8), closing);
        subscribeChannels(messages);
        InetSocketAddress server = view.watch(List.of(control, bodies, probes, messages));
        RedissonClient redisson = redissonClients.connect(server);
        closing.push(() -> redisson.shutdown(0, 2, TimeUnit.SECONDS));
        return new ConnectionSet(control.async(), bodies.async(), new ProbeConnection.Standalone(probes), redisson,
                Optional.of(view),
                closing);
    }

    private ConnectionSet connect(RedisClusterClient client, Deque<Runnable> closing) {
        StatefulRedisClusterConnection<String, byte[]> control = client.connect(CODEC);
        closing.push(control::close);
        StatefulRedisClusterConnection<String, byte[]> bodies = client.connect(CODEC);
        closing.push(bodies::close);
        StatefulRedisClusterConnection<String, byte[]> probes = client.connect(CODEC);
        closing.push(probes::close);
        subscribeChannels(closeLater(client.connectPubSub(StringCodec.UTF8), closing));
        RedissonClient redisson = redissonClients.connect();
        closing.push(() -> redisson.shutdown(0, 2, TimeUnit.SECONDS));
        return new ConnectionSet(control.async(), bodies.async(), new ProbeConnection.Cluster(probes), redisson,
                Optional.empty(),
                closing);
    }

    private static <C extends StatefulRedisConnection<?, ?>> C closeLater(C connection, Deque<Runnable> closing) {
        closing.push(connection::close);
        return connection;
    }

    /** Lettuce subscribes again by itself after each reconnection; that it has is checked by messages to this replica itself. */
    private void subscribeChannels(StatefulRedisPubSubConnection<String, String> connection) {
        connection.addListener(new RedisPubSubAdapter<>() {
            @Override
            public void message(String channel, String message) {
                channelListeners.getOrDefault(channel, unheard -> {}).accept(message);
            }
        });
        connection.sync().subscribe(channelListeners.keySet().toArray(String[]::new));
    }

    private static void closeAll(Deque<Runnable> closing) {
        for (Runnable one : closing) {
            try {
                one.run();
            } catch (RuntimeException e) {
                log.debug("A connection to Redis was not closed in order", e);
            }
        }
        closing.clear();
    }

    private static Duration connectTimeout(RedisProperties properties) {
        return Optional.ofNullable(properties.getConnectTimeout()).orElse(DEFAULT_CONNECT_TIMEOUT);
    }

    private static Duration handshakeTimeout(RedisProperties properties) {
        return Optional.ofNullable(properties.getTimeout())
                .filter(timeout -> timeout.compareTo(MIN_HANDSHAKE_TIMEOUT) > 0)
                .orElse(MIN_HANDSHAKE_TIMEOUT);
    }

    /** A peer that has vanished without a word is noticed within seconds. */
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
