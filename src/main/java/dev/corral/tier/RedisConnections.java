package dev.corral.tier;

import io.lettuce.core.AbstractRedisClient;
import io.lettuce.core.ClientOptions.DisconnectedBehavior;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisConnectionException;
import io.lettuce.core.SocketOptions;
import io.lettuce.core.SocketOptions.KeepAliveOptions;
import io.lettuce.core.SocketOptions.TcpUserTimeoutOptions;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.ClusterTopologyRefreshOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.lettuce.core.cluster.api.async.RedisClusterAsyncCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.codec.RedisCodec;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import io.lettuce.core.resource.Delay;
import io.lettuce.core.resource.EpollProvider;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
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

/**
 * This replica's connections: two of Lettuce's for commands (so that a large body never delays the renewal of a lease), one
 * for messages, and Redisson's few for locks. All are made from Spring's settings: Lettuce's by the client of Spring's own
 * connection factory, Redisson's by {@link LockClient}. Thread-safe.
 *
 * <p>A Redis that is away at the start is tried again until it is there; later, both clients reconnect by themselves.
 */
public final class RedisConnections implements AutoCloseable {

    /** All of them; they come together or not at all. */
    private record Links(RedisClusterAsyncCommands<String, byte[]> control,
            RedisClusterAsyncCommands<String, byte[]> bodies, RedissonClient redisson, Deque<Runnable> closing) {}

    private static final Logger log = LoggerFactory.getLogger(RedisConnections.class);

    // Through one network and TLS handshake; a command's own limit would be too short for it on a cold JVM.
    private static final Duration CONNECTING = Duration.ofSeconds(1);
    private static final Duration RETRY = Duration.ofMillis(500);

    private final LettuceConnectionFactory factory;
    private final LockClient locks;
    private final RedisKeys keys;
    private final Map<String, Consumer<String>> ears = new ConcurrentHashMap<>();
    private final Thread retries = Thread.ofPlatform().name("redis-connect").daemon().unstarted(this::retry);
    private volatile Optional<Links> links = Optional.empty();
    private boolean started; // guarded by this
    private boolean closed; // guarded by this

    /**
     * Connects nothing yet. The factory must be made with the customizers below.
     *
     * @param keys the names of the fleet's keys and channels, with the database that the details name
     */
    public RedisConnections(LettuceConnectionFactory factory, RedisConnectionDetails details,
            RedisProperties properties, RedisKeys keys) {
        this.factory = factory;
        this.keys = keys;
        this.locks = new LockClient(details, properties, connecting(properties), timeout(properties));
    }

    /** The time limit of a command: {@code spring.data.redis.timeout}, or 100 ms. It must do for the largest body. */
    public static Duration timeout(RedisProperties properties) {
        return Optional.ofNullable(properties.getTimeout()).orElse(Duration.ofMillis(100));
    }

    /** Reconnects soon: the default waits up to 30 s, and so long would this replica be without the others. */
    public static ClientResourcesBuilderCustomizer resources() {
        return builder -> builder
                .reconnectDelay(
                        Delay.equalJitter(Duration.ofMillis(20), Duration.ofMillis(500), 20, TimeUnit.MILLISECONDS));
    }

    /** What is written while Redis is away is refused, and nothing is sent twice or after its caller has given up. */
    public static LettuceClientOptionsBuilderCustomizer options(RedisProperties properties) {
        return builder -> {
            builder.disconnectedBehavior(DisconnectedBehavior.REJECT_COMMANDS)
                    .replayFilter(command -> true)
                    // Several times what a busy replica has in flight; beyond it, Redis is stuck.
                    .requestQueueSize(10_000)
                    .socketOptions(socket(properties));
            if (builder instanceof ClusterClientOptions.Builder cluster) {
                cluster.topologyRefreshOptions(topology(properties.getLettuce().getCluster().getRefresh()));
            }
        };
    }

    /** Lettuce's own limit is for connecting; the gate has a shorter one for commands. */
    public static LettuceClientConfigurationBuilderCustomizer configuration(RedisProperties properties) {
        Duration timeout = timeout(properties);
        return builder -> builder.commandTimeout(timeout.compareTo(CONNECTING) > 0 ? timeout : CONNECTING);
    }

    /** Hears what is published on the channel, on an event loop: the ear must be quick. To be called before the start. */
    synchronized void listen(String channel, Consumer<String> ear) {
        if (started) {
            throw new IllegalStateException("already started; nobody would subscribe to " + channel);
        }
        ears.put(channel, ear);
    }

    /** Connects, or says that Redis is away and goes on trying in the background. Blocks for a few seconds at most. */
    public synchronized void start() {
        started = true;
        try {
            links = Optional.of(connect());
        } catch (RuntimeException away) {
            log.warn("Redis is away at the start ({}): this replica starts without it", RedisGate.reason(root(away)));
            retries.start();
        }
    }

    @Override
    public synchronized void close() {
        closed = true;
        retries.interrupt();
        links.ifPresent(open -> close(open.closing()));
        links = Optional.empty();
    }

    /** The names of the fleet's keys and channels. */
    RedisKeys keys() {
        return keys;
    }

    /** For small commands. */
    RedisClusterAsyncCommands<String, byte[]> control() {
        return links().control();
    }

    /** For commands that carry an entry. */
    RedisClusterAsyncCommands<String, byte[]> bodies() {
        return links().bodies();
    }

    /** For locks. */
    RedissonClient redisson() {
        return links().redisson();
    }

    private Links links() {
        return links.orElseThrow(() -> new RedisConnectionException("not connected yet"));
    }

    private void retry() {
        try {
            do {
                Thread.sleep(RETRY);
            } while (!retried());
        } catch (InterruptedException closing) {
            log.debug("Closed before Redis was there");
        }
    }

    private synchronized boolean retried() {
        if (closed) {
            return true;
        }
        try {
            links = Optional.of(connect());
            return true;
        } catch (RuntimeException stillAway) {
            log.debug("Redis is still away", stillAway);
            return false;
        }
    }

    private Links connect() {
        var closing = new ArrayDeque<Runnable>();
        try {
            AbstractRedisClient client = factory.getRequiredNativeClient();
            RedisClusterAsyncCommands<String, byte[]> control = commands(client, closing);
            RedisClusterAsyncCommands<String, byte[]> bodies = commands(client, closing);
            subscribe(client, closing);
            RedissonClient redisson = locks.connect();
            closing.push(redisson::shutdown);
            return new Links(control, bodies, redisson, closing);
        } catch (RuntimeException e) {
            close(closing);
            throw e;
        }
    }

    private static RedisClusterAsyncCommands<String, byte[]> commands(AbstractRedisClient client,
            Deque<Runnable> closing) {
        RedisCodec<String, byte[]> codec = RedisCodec.of(StringCodec.UTF8, ByteArrayCodec.INSTANCE);
        return switch (client) {
            case RedisClusterClient cluster -> {
                StatefulRedisClusterConnection<String, byte[]> connection = cluster.connect(codec);
                closing.push(connection::close);
                yield connection.async();
            }
            case RedisClient single -> {
                StatefulRedisConnection<String, byte[]> connection = single.connect(codec);
                closing.push(connection::close);
                yield connection.async();
            }
            default -> throw new IllegalStateException("unknown client " + client.getClass());
        };
    }

    /** Lettuce subscribes again by itself after each reconnection. */
    private void subscribe(AbstractRedisClient client, Deque<Runnable> closing) {
        StatefulRedisPubSubConnection<String, String> connection = switch (client) {
            case RedisClusterClient cluster -> cluster.connectPubSub(StringCodec.UTF8);
            case RedisClient single -> single.connectPubSub(StringCodec.UTF8);
            default -> throw new IllegalStateException("unknown client " + client.getClass());
        };
        closing.push(connection::close);
        connection.addListener(new RedisPubSubAdapter<>() {
            @Override
            public void message(String channel, String message) {
                ears.getOrDefault(channel, unheard -> {}).accept(message);
            }
        });
        connection.sync().subscribe(ears.keySet().toArray(String[]::new));
    }

    private static void close(Deque<Runnable> closing) {
        closing.forEach(Runnable::run);
        closing.clear();
    }

    private static Duration connecting(RedisProperties properties) {
        return Optional.ofNullable(properties.getConnectTimeout()).orElse(CONNECTING);
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

    private static Throwable root(Throwable error) {
        Throwable root = error;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return root;
    }
}
