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

/** Redisson from Spring's settings, made small: it does nothing here but try locks. */
final class RedissonClients {

    /** After so long without an acknowledgement of what was sent, the connection is given up. */
    static final Duration TCP_USER_TIMEOUT = Duration.ofSeconds(3);

    // An attempt holds a connection for one round trip: these are 24,000 attempts a second where that takes 1 ms. With 300 replicas
    // 8,400 connections in all, below the 10,000 that Redis takes by default.
    private static final int POOL_SIZE = 24;
    // Made at the start, so that the first burst does not wait for handshakes.
    private static final int MIN_IDLE_CONNECTIONS = 4;
    // Longer than any flight waits: an attempt that is late is not a failure, and one that waits for a connection is not late.
    private static final Duration REPLY_TIMEOUT = Duration.ofSeconds(30);

    private final RedisConnectionDetails details;
    private final RedisProperties properties;
    private final Duration connectTimeout;

    RedissonClients(RedisConnectionDetails details, RedisProperties properties, Duration connecting) {
        this.details = details;
        this.properties = properties;
        this.connectTimeout = connecting;
    }

    /** Connects to a Cluster. Blocks until connected; throws when that cannot be. */
    RedissonClient connect() {
        Config config = baseConfig();
        configureCluster(config, details.getCluster());
        return Redisson.create(config);
    }

    /**
     * Connects to this server and no other, whatever its name or the Sentinels come to mean: locks must be where the entries are.
     * Blocks until connected; throws when that cannot be.
     */
    RedissonClient connect(InetSocketAddress server) {
        Config config = baseConfig();
        Optional<Sentinel> sentinel = Optional.ofNullable(details.getSentinel());
        Optional<SslBundle> ssl = Optional.ofNullable(sentinel.isPresent()
                ? sentinel.get().getSslBundle()
                : details.getStandalone().getSslBundle());
        int database = sentinel.isPresent() ? sentinel.get().getDatabase() : details.getStandalone().getDatabase();
        // The name is kept for TLS; it is not resolved again.
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
                // For the little it does off its event loops; nothing to shut down.
                .setExecutor(Executors.newVirtualThreadPerTaskExecutor())
                .setNettyThreads(2)
                .setTransportMode(EpollProvider.isAvailable() ? TransportMode.EPOLL : TransportMode.NIO)
                .setTcpKeepAlive(true)
                .setTcpUserTimeout((int) TCP_USER_TIMEOUT.toMillis())
                // With replicas Redisson waits for them after each lock. Safety does not rest on the lock: briefly is enough.
                .setCheckLockSyncedSlaves(false)
                .setSlavesSyncTimeout(10);
        // A URL without a name has an empty one.
        Optional.ofNullable(details.getUsername()).filter(name -> !name.isEmpty()).ifPresent(config::setUsername);
        Optional.ofNullable(details.getPassword()).ifPresent(config::setPassword);
        return config;
    }

    private void configureCluster(Config config, Cluster cluster) {
        ClusterServersConfig servers = config.useClusterServers()
                .setScanInterval(2_000)
                // A cluster that serves a part of its slots serves a part of the keys.
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
        // A rediss:// URL needs no bundle: then the JVM's own trust applies.
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
