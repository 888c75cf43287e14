package dev.corral.tier;

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
 * Spring's own connection factory, Redisson's by {@link LockClient}. Thread-safe.
 *
 * <p>They are made together and lead to one server: Redisson is given the address that Lettuce has connected to, and follows no
 * topology of its own (but in a Cluster, where the servers themselves redirect). Twice a second {@link RedisView} compares where
 * they lead with where they should; on a difference all are made again. A Redis that is away at the start is tried until it is
 * there.
 */
public final class RedisConnections implements AutoCloseable {

    /** All of them. They are made together or not at all. */
    private record Links(RedisClusterAsyncCommands<String, byte[]> control,
            RedisClusterAsyncCommands<String, byte[]> bodies, Probed probed, RedissonClient redisson,
            Optional<RedisView> view,
            Deque<Runnable> closing) {}

    /** Where the probes go. */
    private sealed interface Probed {

        /** The one server. */
        record Single(StatefulRedisConnection<String, byte[]> connection) implements Probed {}

        /** Every master of a Cluster. */
        record Cluster(StatefulRedisClusterConnection<String, byte[]> connection) implements Probed {}
    }

    /**
     * A server to probe.
     *
     * @param connection for probes only; fails when it cannot be made
     * @param connected  whether that connection is there
     * @param address    as the Cluster's topology has it; empty where there is one server only
     * @param key        a key that this server has, to read
     * @param writeKey   another one, to write
     */
    record Target(CompletableFuture<StatefulRedisConnection<String, byte[]>> connection, boolean connected,
            Optional<InetSocketAddress> address, String key, String writeKey) {

        boolean isAt(SocketAddress remote) {
            return address.isEmpty() || (remote instanceof InetSocketAddress at
                    && at.getPort() == address.get().getPort()
                    && (at.getHostString().equals(address.get().getHostString())
                            || (at.getAddress() != null
                                    && at.getAddress().getHostAddress().equals(address.get().getHostString()))));
        }
    }

    private static final Logger log = LoggerFactory.getLogger(RedisConnections.class);

    // TCP only. Longer than a SYN that is lost once.
    private static final Duration CONNECTING = Duration.ofSeconds(2);
    // TLS, login and the other commands of a new connection, in a JVM that has just started on a machine without CPU to spare.
    private static final Duration HANDSHAKE = Duration.ofSeconds(5);
    // How often the connections are compared and, when there are none, made.
    private static final Duration CHECK = Duration.ofMillis(500);
    // Between two attempts to lead the connections elsewhere; doubled while it does not help.
    private static final Duration FIRST_PAUSE = Duration.ofSeconds(1);
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(15);
    // How often this replica sends itself a message, and how many of them may be missing.
    private static final Duration ECHO = Duration.ofSeconds(2);
    private static final int LOST_ECHOES = 3;

    private static final int IO_THREADS = 8;
    private static final String SILENT = "there was no response on them";

    private static final RedisCodec<String, byte[]> CODEC = RedisCodec.of(StringCodec.UTF8, ByteArrayCodec.INSTANCE);

    private static final Duration COMPARING = Duration.ofSeconds(1);

    private final LettuceConnectionFactory factory;
    private final RedisConnectionDetails details;
    private final LockClient locks;
    private final RedisKeys keys;
    private final Map<String, Consumer<String>> ears = new ConcurrentHashMap<>();
    private final String echoChannel;
    private final AtomicInteger lostEchoes = new AtomicInteger();
    private final Map<String, String> probeKeys = new ConcurrentHashMap<>();
    private final Thread upkeep = Thread.ofPlatform().name("redis-connections").daemon().unstarted(this::upkeep);
    private volatile Optional<Links> links = Optional.empty();
    private volatile Optional<String> doubt = Optional.empty();
    private volatile Consumer<String> onFailure = reason -> {};
    private volatile boolean closed;
    private boolean started; // guarded by this

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
        this.locks = new LockClient(details, properties, connecting(properties));
    }

    /** Reconnects soon: the default waits up to 30 s, and so long would this replica be without the others. */
    public static ClientResourcesBuilderCustomizer resources() {
        return builder -> builder
                // A thread for each connection, most of them idle: a probe or the renewal of a lease never waits behind a large body,
                // nor behind what is done when one has come. A power of two makes the choice of a thread cheap.
                .ioThreadPoolSize(IO_THREADS)
                .reconnectDelay(
                        Delay.equalJitter(Duration.ofMillis(20), Duration.ofMillis(500), 20, TimeUnit.MILLISECONDS))
                // The JDK's resolver, whose cache is bounded: one reading of a name for both clients and for the view.
                .addressResolverGroup(DefaultAddressResolverGroup.INSTANCE);
    }

    /** What is written while Redis is away is refused, and nothing is sent twice or after its caller has given up. */
    public static LettuceClientOptionsBuilderCustomizer options(RedisProperties properties) {
        return builder -> {
            builder.disconnectedBehavior(DisconnectedBehavior.REJECT_COMMANDS)
                    .replayFilter(RedisConnections::fail)
                    // Several times what a busy replica has in flight; beyond it, Redis is stuck.
                    .requestQueueSize(10_000)
                    // No timer per command: a late one is no failure, and the gate bounds the wait.
                    .timeoutOptions(TimeoutOptions.builder().timeoutCommands(false).build())
                    .socketOptions(socket(properties));
            if (builder instanceof ClusterClientOptions.Builder cluster) {
                cluster.topologyRefreshOptions(topology(properties.getLettuce().getCluster().getRefresh()));
            }
        };
    }

    /**
     * No command is replayed. Lettuce drops those that its filter names without a word to their callers, who would wait for a reply
     * that never comes: so they fail here.
     */
    private static boolean fail(RedisCommand<?, ?, ?> command) {
        command.completeExceptionally(
                new RedisConnectionException("the connection was lost before the command was written"));
        return true;
    }

    /** {@code spring.data.redis.timeout} bounds the making of a connection; 5 s by default. */
    public static LettuceClientConfigurationBuilderCustomizer configuration(RedisProperties properties) {
        Duration timeout = handshake(properties);
        return builder -> builder.commandTimeout(timeout);
    }

    /** Hears what is published on the channel, on an event loop: the ear must be quick. To be called before the start. */
    synchronized void listen(String channel, Consumer<String> ear) {
        if (started) {
            throw new IllegalStateException("already started; nobody would subscribe to " + channel);
        }
        ears.put(channel, ear);
    }

    /** Runs this with the reason each time Redis cannot be connected to for the first time. To be called before the start. */
    void onFailure(Consumer<String> action) {
        onFailure = action;
    }

    /** Connects, or goes on trying in the background when Redis is away. Blocks for a few seconds at most. */
    public synchronized void start() {
        started = true;
        ears.put(echoChannel, echo -> lostEchoes.set(0));
        connectFirst();
        upkeep.start();
    }

    @Override
    public void close() {
        closed = true;
        upkeep.interrupt();
        synchronized (this) {
            links.ifPresent(open -> close(open.closing()));
            links = Optional.empty();
        }
    }

    /** The names of the fleet's keys and channels. */
    RedisKeys keys() {
        return keys;
    }

    /** For small commands. */
    RedisClusterAsyncCommands<String, byte[]> control() {
        return links().control();
    }

    /** For the renewal of leases: little is sent here, so that nothing is in its way when the others are busy. */
    RedisClusterAsyncCommands<String, byte[]> leases() {
        return switch (links().probed()) {
            case Probed.Single(StatefulRedisConnection<String, byte[]> single) -> single.async();
            case Probed.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) -> cluster.async();
        };
    }

    /** For commands that carry an entry. */
    RedisClusterAsyncCommands<String, byte[]> bodies() {
        return links().bodies();
    }

    /** For locks. */
    RedissonClient redisson() {
        return links().redisson();
    }

    /** What Lettuce says of its connections. */
    Flux<Event> events() {
        return factory.getRequiredNativeClient().getResources().eventBus().get();
    }

    /** The id of the server that has the key; that of the only one where Redis is not a Cluster, or not known yet. */
    String server(String key) {
        return links.map(open -> switch (open.probed()) {
            case Probed.Single single -> RedisGate.SINGLE;
            case Probed.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) -> {
                RedisClusterNode master = cluster.getPartitions().getMasterBySlot(SlotHash.getSlot(key));
                yield master == null ? RedisGate.SINGLE : master.getNodeId();
            }
        }).orElse(RedisGate.SINGLE);
    }

    /** The servers to probe, by their ids; none while not connected. */
    Map<String, Target> targets() {
        return links.map(open -> switch (open.probed()) {
            case Probed.Single(StatefulRedisConnection<String, byte[]> single) -> Map.of(RedisGate.SINGLE,
                    new Target(CompletableFuture.completedFuture(single), single.isOpen(), Optional.empty(),
                            keys.probe(),
                            keys.probe() + ":write"));
            case Probed.Cluster(StatefulRedisClusterConnection<String, byte[]> cluster) -> masters(cluster);
        }).orElse(Map.of());
    }

    private Map<String, Target> masters(StatefulRedisClusterConnection<String, byte[]> cluster) {
        var targets = new HashMap<String, Target>();
        for (RedisClusterNode node : cluster.getPartitions()) {
            if (node.is(RedisClusterNode.NodeFlag.UPSTREAM) && !node.hasNoSlots()) {
                CompletableFuture<StatefulRedisConnection<String, byte[]>> connection = cluster
                        .getConnectionAsync(node.getNodeId());
                boolean connected = connection.isDone() && !connection.isCompletedExceptionally()
                        && connection.join().isOpen();
                String key = probeKey(node);
                targets.put(node.getNodeId(), new Target(connection, connected,
                        Optional.of(
                                InetSocketAddress.createUnresolved(node.getUri().getHost(), node.getUri().getPort())),
                        key, key + ":write"));
            }
        }
        return targets;
    }

    /** A key in one of the node's slots; about as many tries as there are nodes. */
    private String probeKey(RedisClusterNode node) {
        return probeKeys.compute(node.getNodeId(), (id, known) -> {
            if (known != null && node.hasSlot(SlotHash.getSlot(known))) {
                return known;
            }
            int i = 0;
            String key = keys.probe();
            while (!node.hasSlot(SlotHash.getSlot(key)) && i < 1_000_000) {
                key = keys.probe(i++);
            }
            return key;
        });
    }

    /** A write was refused. A replica in the place of its master means that the connections lead to the wrong server. */
    void writeRefused(Throwable error) {
        String reason = RedisErrors.reason(error);
        if (reason.startsWith("READONLY")) {
            doubt(reason);
        }
    }

    /**
     * The one server has been silent for too long: perhaps only these connections are, as when the other side has vanished and
     * something in between keeps them. In a Cluster a server that hangs must not cost the others their connections.
     */
    void silent(String server) {
        if (server.equals(RedisGate.SINGLE)) {
            doubt(SILENT);
        }
    }

    /** Somebody has seen that the connections do not lead to one server: they are compared and made again. */
    void doubt(String reason) {
        doubt = Optional.of(reason);
    }

    private Links links() {
        return links.orElseThrow(() -> new RedisConnectionException("not connected yet"));
    }

    private synchronized boolean connectFirst() {
        if (closed) {
            return true;
        }
        try {
            links = Optional.of(connect());
            return true;
        } catch (RuntimeException e) {
            log.debug("Redis cannot be connected to", e);
            onFailure.accept(RedisErrors.reason(e));
            return false;
        }
    }

    private void upkeep() {
        long pause = FIRST_PAUSE.toNanos();
        long next = System.nanoTime();
        long echo = next;
        Optional<String> last = Optional.empty();
        while (!closed) {
            try {
                Thread.sleep(CHECK);
                long now = System.nanoTime();
                if (links.isEmpty()) {
                    connectFirst();
                    continue;
                }
                if (now - echo >= ECHO.toNanos()) {
                    echo = now;
                    sendEcho();
                }
                Optional<String> difference = difference();
                if (difference.isEmpty()) {
                    pause = FIRST_PAUSE.toNanos();
                    last = Optional.empty();
                } else if (now - next >= 0) {
                    boolean again = last.equals(difference);
                    if (reconnect(difference.get(), again)) {
                        pause = again ? Math.min(pause * 2, LONGEST_PAUSE.toNanos()) : FIRST_PAUSE.toNanos();
                        last = difference;
                    } else {
                        // Nothing was broken by trying, and Redis' return is not to be missed for long.
                        pause = FIRST_PAUSE.toNanos();
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
    private Optional<String> difference() {
        if (lostEchoes.get() > LOST_ECHOES) {
            return Optional.of("the messages of this replica do not reach itself");
        }
        Optional<String> doubted = doubt;
        doubt = Optional.empty();
        return links.flatMap(Links::view)
                .flatMap(RedisView::difference)
                .or(() -> doubted
                        .filter(reason -> reason.startsWith("READONLY") || reason.equals(SILENT) || differ(reason)));
    }

    /**
     * Whether what one connection writes is not what the others read: behind one address may be several servers. Of a doubt that
     * comes from a lock which has just lapsed nothing follows.
     */
    private boolean differ(String reason) {
        Links open = links();
        String token = UUID.randomUUID().toString();
        // Of its own: other replicas may compare at the same time.
        String name = keys.probe() + ":token:" + token;
        try {
            open.control()
                    .set(name, Script.bytes(token), SetArgs.Builder.px(COMPARING.toMillis() * 5))
                    .get(COMPARING.toMillis(), TimeUnit.MILLISECONDS);
            byte[] read = open.bodies().get(name).get(COMPARING.toMillis(), TimeUnit.MILLISECONDS);
            Object locks = open.redisson()
                    .getBucket(name, org.redisson.client.codec.StringCodec.INSTANCE)
                    .getAsync()
                    .get(COMPARING.toMillis(), TimeUnit.MILLISECONDS);
            boolean same = read != null && token.equals(Script.text(read)) && token.equals(locks);
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
        links().control().publish(echoChannel, new byte[]{'e'}).whenComplete((receivers, failed) -> {
            if (failed != null) {
                lostEchoes.updateAndGet(lost -> Math.max(0, lost - 1));
            }
        });
    }

    /** False when Redis cannot be connected to: the connections stay what they are. */
    private boolean reconnect(String reason, boolean again) {
        Links fresh;
        try {
            fresh = connect();
        } catch (RuntimeException e) {
            log.debug("Redis cannot be connected to again", e);
            return false;
        }
        Optional<Links> old;
        synchronized (this) {
            if (closed) {
                close(fresh.closing());
                return true;
            }
            old = links;
            links = Optional.of(fresh);
        }
        lostEchoes.set(0);
        old.ifPresent(open -> close(open.closing()));
        if (!again) {
            log.warn("The connections to Redis were made again: {}", reason);
        }
        return true;
    }

    private Links connect() {
        var closing = new ArrayDeque<Runnable>();
        try {
            return switch (factory.getRequiredNativeClient()) {
                case RedisClusterClient cluster -> connect(cluster, closing);
                case RedisClient single -> connect(single, closing);
                case AbstractRedisClient other -> throw new IllegalStateException("unknown client " + other.getClass());
            };
        } catch (RuntimeException e) {
            close(closing);
            throw e;
        }
    }

    private Links connect(RedisClient client, Deque<Runnable> closing) {
        var view = new RedisView(client, details);
        closing.push(view::close);
        var control = opened(client.connect(CODEC), closing);
        var bodies = opened(client.connect(CODEC), closing);
        var probes = opened(client.connect(CODEC), closing);
        var messages = opened(client.connectPubSub(StringCodec.UTF8), closing);
        subscribe(messages);
        InetSocketAddress server = view.follow(List.of(control, bodies, probes, messages));
        RedissonClient redisson = locks.connect(server);
        closing.push(() -> redisson.shutdown(0, 2, TimeUnit.SECONDS));
        return new Links(control.async(), bodies.async(), new Probed.Single(probes), redisson, Optional.of(view),
                closing);
    }

    private Links connect(RedisClusterClient client, Deque<Runnable> closing) {
        StatefulRedisClusterConnection<String, byte[]> control = client.connect(CODEC);
        closing.push(control::close);
        StatefulRedisClusterConnection<String, byte[]> bodies = client.connect(CODEC);
        closing.push(bodies::close);
        StatefulRedisClusterConnection<String, byte[]> probes = client.connect(CODEC);
        closing.push(probes::close);
        subscribe(opened(client.connectPubSub(StringCodec.UTF8), closing));
        RedissonClient redisson = locks.connect();
        closing.push(() -> redisson.shutdown(0, 2, TimeUnit.SECONDS));
        return new Links(control.async(), bodies.async(), new Probed.Cluster(probes), redisson, Optional.empty(),
                closing);
    }

    private static <C extends StatefulRedisConnection<?, ?>> C opened(C connection, Deque<Runnable> closing) {
        closing.push(connection::close);
        return connection;
    }

    /** Lettuce subscribes again by itself after each reconnection; that it has is checked by messages to this replica itself. */
    private void subscribe(StatefulRedisPubSubConnection<String, String> connection) {
        connection.addListener(new RedisPubSubAdapter<>() {
            @Override
            public void message(String channel, String message) {
                ears.getOrDefault(channel, unheard -> {}).accept(message);
            }
        });
        connection.sync().subscribe(ears.keySet().toArray(String[]::new));
    }

    private static void close(Deque<Runnable> closing) {
        for (Runnable one : closing) {
            try {
                one.run();
            } catch (RuntimeException e) {
                log.debug("A connection to Redis was not closed in order", e);
            }
        }
        closing.clear();
    }

    private static Duration connecting(RedisProperties properties) {
        return Optional.ofNullable(properties.getConnectTimeout()).orElse(CONNECTING);
    }

    private static Duration handshake(RedisProperties properties) {
        return Optional.ofNullable(properties.getTimeout())
                .filter(timeout -> timeout.compareTo(HANDSHAKE) > 0)
                .orElse(HANDSHAKE);
    }

    /** A peer that has vanished without a word is noticed within seconds. */
    private static SocketOptions socket(RedisProperties properties) {
        SocketOptions.Builder socket = SocketOptions.builder().connectTimeout(connecting(properties));
        if (EpollProvider.isAvailable()) {
            socket.keepAlive(KeepAliveOptions.builder()
                    .enable()
                    .idle(Duration.ofSeconds(5))
                    .interval(Duration.ofSeconds(1))
                    .count(3)
                    .build());
            socket.tcpUserTimeout(TcpUserTimeoutOptions.builder().enable().tcpUserTimeout(LockClient.SILENCE).build());
        }
        return socket.build();
    }

    private static ClusterTopologyRefreshOptions topology(RedisProperties.Lettuce.Cluster.Refresh refresh) {
        return ClusterTopologyRefreshOptions.builder()
                .dynamicRefreshSources(refresh.isDynamicRefreshSources())
                .enablePeriodicRefresh(Optional.ofNullable(refresh.getPeriod()).orElse(Duration.ofSeconds(15)))
                .enableAllAdaptiveRefreshTriggers()
                .adaptiveRefreshTriggersTimeout(Duration.ofSeconds(1))
                .build();
    }
}
