package dev.corral.redis;

import io.lettuce.core.resource.EpollProvider;
import io.netty.resolver.AddressResolver;
import io.netty.resolver.AddressResolverGroup;
import io.netty.resolver.InetNameResolver;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Promise;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executors;
import org.redisson.Redisson;
import org.redisson.api.RedissonClient;
import org.redisson.client.codec.StringCodec;
import org.redisson.config.BaseConfig;
import org.redisson.config.BaseMasterSlaveServersConfig;
import org.redisson.config.ClusterServersConfig;
import org.redisson.config.Config;
import org.redisson.config.EqualJitterDelay;
import org.redisson.config.ReadMode;
import org.redisson.config.SubscriptionMode;
import org.redisson.config.TransportMode;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails.Cluster;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails.Node;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails.Sentinel;
import org.springframework.boot.autoconfigure.data.redis.RedisProperties;
import org.springframework.boot.ssl.SslBundle;

/** Creates Redisson clients from Spring's settings, with few threads and connections: they are used for lock attempts only. */
final class RedissonClients {

    /** The time without a TCP acknowledgement of sent data after which the connection is closed. */
    static final Duration TCP_USER_TIMEOUT = Duration.ofSeconds(3);

    // A lock attempt uses a connection for one round trip: with a round trip of 1 ms the pool allows 24,000 attempts per
    // second. 300 replicas have 8,400 connections together, below Redis's default limit of 10,000.
    private static final int POOL_SIZE = 24;
    // Established at the start, so that the first burst does not wait for handshakes.
    private static final int MIN_IDLE_CONNECTIONS = 4;
    // Longer than the maximum wait of any flight: a slow attempt is not a failure, and an attempt that waits for a free
    // connection must not time out.
    private static final Duration REPLY_TIMEOUT = Duration.ofSeconds(30);

    private final RedisConnectionDetails details;
    private final RedisProperties properties;
    private final Duration connectTimeout;

    RedissonClients(RedisConnectionDetails details, RedisProperties properties, Duration connectTimeout) {
        this.details = details;
        this.properties = properties;
        this.connectTimeout = connectTimeout;
    }

    /** Connects to a Cluster. Blocks until connected; throws Redisson's exception when it cannot connect. */
    RedissonClient connect() {
        Config config = baseConfig();
        configureCluster(config, details.getCluster());
        return Redisson.create(config);
    }

    /**
     * Connects to this server only, even if the name resolves to another server later, or the Sentinels name another master:
     * locks and entries must be on one server. Blocks until connected; throws Redisson's exception when it cannot connect.
     */
    RedissonClient connect(InetSocketAddress server) {
        Config config = baseConfig();
        Optional<Sentinel> sentinel = Optional.ofNullable(details.getSentinel());
        Optional<SslBundle> ssl = Optional.ofNullable(sentinel.isPresent()
                ? sentinel.get().getSslBundle()
                : details.getStandalone().getSslBundle());
        int database = sentinel.isPresent() ? sentinel.get().getDatabase() : details.getStandalone().getDatabase();
        // The host name is kept for TLS, but never resolved again.
        config.setAddressResolverGroupFactory((udp, tcp, dns) -> new PinnedAddressResolverGroup(server));
        configureLimits(config.useSingleServer()
                .setAddress(toRedisUrl(config, ssl, new Node(server.getHostString(), server.getPort())))
                .setDnsMonitoringInterval(-1)
                .setDatabase(database)
                .setConnectionPoolSize(POOL_SIZE)
                .setConnectionMinimumIdleSize(MIN_IDLE_CONNECTIONS)
                .setSubscriptionConnectionPoolSize(1)
                .setSubscriptionConnectionMinimumIdleSize(0));
        return Redisson.create(config);
    }

    /** Resolves every name to one address. */
    private static final class PinnedAddressResolverGroup extends AddressResolverGroup<InetSocketAddress> {

        private final InetSocketAddress server;

        PinnedAddressResolverGroup(InetSocketAddress server) {
            this.server = server;
        }

        @Override
        protected AddressResolver<InetSocketAddress> newResolver(EventExecutor executor) {
            return new InetNameResolver(executor) {
                @Override
                protected void doResolve(String name, Promise<InetAddress> promise) {
                    promise.setSuccess(server.getAddress());
                }

                @Override
                protected void doResolveAll(String name, Promise<List<InetAddress>> promise) {
                    promise.setSuccess(List.of(server.getAddress()));
                }
            }.asAddressResolver();
        }
    }

    private Config baseConfig() {
        var config = new Config();
        config.setCodec(StringCodec.INSTANCE)
                // For Redisson's few tasks outside its event loops; needs no shutdown.
                .setExecutor(Executors.newVirtualThreadPerTaskExecutor())
                .setNettyThreads(2)
                .setTransportMode(EpollProvider.isAvailable() ? TransportMode.EPOLL : TransportMode.NIO)
                .setTcpKeepAlive(true)
                .setTcpUserTimeout((int) TCP_USER_TIMEOUT.toMillis())
                // Redisson waits for the Redis replicas after each lock. Safety does not depend on the lock, so a short wait is
                // enough.
                .setCheckLockSyncedSlaves(false)
                .setSlavesSyncTimeout(10);
        // A URL without a user name has an empty one.
        Optional.ofNullable(details.getUsername()).filter(name -> !name.isEmpty()).ifPresent(config::setUsername);
        Optional.ofNullable(details.getPassword()).ifPresent(config::setPassword);
        return config;
    }

    private void configureCluster(Config config, Cluster cluster) {
        ClusterServersConfig servers = config.useClusterServers()
                .setScanInterval(2_000)
                // A Cluster with some of its slots down is still used for the keys of the other slots.
                .setCheckSlotsCoverage(false);
        Optional<SslBundle> ssl = Optional.ofNullable(cluster.getSslBundle());
        cluster.getNodes().forEach(node -> servers.addNodeAddress(toRedisUrl(config, ssl, node)));
        configureMasters(servers);
    }

    private void configureMasters(BaseMasterSlaveServersConfig<?> servers) {
        configureLimits(servers.setReadMode(ReadMode.MASTER)
                .setSubscriptionMode(SubscriptionMode.MASTER)
                .setMasterConnectionPoolSize(POOL_SIZE)
                .setMasterConnectionMinimumIdleSize(MIN_IDLE_CONNECTIONS)
                .setSubscriptionConnectionPoolSize(1)
                .setSubscriptionConnectionMinimumIdleSize(0));
    }

    private void configureLimits(BaseConfig<?> servers) {
        servers.setRetryAttempts(0)
                .setTimeout((int) REPLY_TIMEOUT.toMillis())
                .setConnectTimeout((int) connectTimeout.toMillis())
                .setReconnectionDelay(new EqualJitterDelay(Duration.ofMillis(50), Duration.ofMillis(500)));
        Optional.ofNullable(properties.getClientName()).ifPresent(servers::setClientName);
    }

    private String toRedisUrl(Config config, Optional<SslBundle> ssl, Node node) {
        ssl.ifPresent(bundle -> configureTls(config, bundle));
        // A rediss:// URL needs no bundle: then the JVM's trust store applies.
        boolean tls = ssl.isPresent() || String.valueOf(properties.getUrl()).startsWith("rediss://");
        String host = node.host().contains(":") && !node.host().startsWith("[") ? "[" + node.host() + "]" : node.host();
        return (tls ? "rediss://" : "redis://") + host + ":" + node.port();
    }

    private static void configureTls(Config config, SslBundle bundle) {
        config.setSslKeyManagerFactory(bundle.getManagers().getKeyManagerFactory());
        config.setSslTrustManagerFactory(bundle.getManagers().getTrustManagerFactory());
        Optional.ofNullable(bundle.getOptions().getCiphers()).ifPresent(config::setSslCiphers);
        Optional.ofNullable(bundle.getOptions().getEnabledProtocols()).ifPresent(config::setSslProtocols);
    }
}
