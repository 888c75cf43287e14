package dev.corral.tier;

import io.lettuce.core.resource.EpollProvider;
import java.time.Duration;
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
import org.redisson.config.SentinelServersConfig;
import org.redisson.config.SubscriptionMode;
import org.redisson.config.TransportMode;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails.Cluster;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails.Node;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails.Sentinel;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails.Standalone;
import org.springframework.boot.autoconfigure.data.redis.RedisProperties;
import org.springframework.boot.ssl.SslBundle;

/** Redisson from Spring's settings, made small: it does nothing here but try locks. */
final class LockClient {

    /** After so long without an acknowledgement of what was sent, the connection is given up. */
    static final Duration SILENCE = Duration.ofSeconds(3);

    // An attempt holds a connection for one round trip.
    private static final int POOL = 8;
    private static final int IDLE = 2;

    private final RedisConnectionDetails details;
    private final RedisProperties properties;
    private final Duration connecting;
    private final Duration timeout;

    LockClient(RedisConnectionDetails details, RedisProperties properties, Duration connecting, Duration timeout) {
        this.details = details;
        this.properties = properties;
        this.connecting = connecting;
        this.timeout = timeout;
    }

    /** Blocks until connected; throws when that cannot be. */
    RedissonClient connect() {
        Config config = common();
        // The same order as Spring's.
        if (details.getSentinel() != null) {
            sentinel(config, details.getSentinel());
        } else if (details.getCluster() != null) {
            cluster(config, details.getCluster());
        } else {
            standalone(config, details.getStandalone());
        }
        return Redisson.create(config);
    }

    private Config common() {
        var config = new Config();
        config.setCodec(StringCodec.INSTANCE)
                // For the little it does off its event loops; nothing to shut down.
                .setExecutor(Executors.newVirtualThreadPerTaskExecutor())
                .setNettyThreads(2)
                .setTransportMode(EpollProvider.isAvailable() ? TransportMode.EPOLL : TransportMode.NIO)
                .setTcpKeepAlive(true)
                .setTcpUserTimeout((int) SILENCE.toMillis())
                // With replicas Redisson waits for them after each lock. Safety does not rest on the lock: briefly is enough.
                .setCheckLockSyncedSlaves(false)
                .setSlavesSyncTimeout(10);
        // A URL without a name has an empty one.
        Optional.ofNullable(details.getUsername()).filter(name -> !name.isEmpty()).ifPresent(config::setUsername);
        Optional.ofNullable(details.getPassword()).ifPresent(config::setPassword);
        return config;
    }

    private void standalone(Config config, Standalone server) {
        Optional<SslBundle> ssl = Optional.ofNullable(server.getSslBundle());
        bounds(config.useSingleServer()
                .setAddress(address(config, ssl, new Node(server.getHost(), server.getPort())))
                .setDatabase(server.getDatabase())
                .setConnectionPoolSize(POOL)
                .setConnectionMinimumIdleSize(IDLE)
                .setSubscriptionConnectionPoolSize(1)
                .setSubscriptionConnectionMinimumIdleSize(0));
    }

    private void sentinel(Config config, Sentinel sentinel) {
        SentinelServersConfig servers = config.useSentinelServers()
                .setMasterName(sentinel.getMaster())
                .setDatabase(sentinel.getDatabase())
                // One Sentinel that answers is enough to start; the others are found through it.
                .setCheckSentinelsList(false);
        Optional.ofNullable(sentinel.getUsername()).ifPresent(servers::setSentinelUsername);
        Optional.ofNullable(sentinel.getPassword()).ifPresent(servers::setSentinelPassword);
        Optional<SslBundle> ssl = Optional.ofNullable(sentinel.getSslBundle());
        sentinel.getNodes().forEach(node -> servers.addSentinelAddress(address(config, ssl, node)));
        masters(servers);
    }

    private void cluster(Config config, Cluster cluster) {
        ClusterServersConfig servers = config.useClusterServers()
                .setScanInterval(2_000)
                // A cluster that serves a part of its slots serves a part of the keys.
                .setCheckSlotsCoverage(false);
        Optional<SslBundle> ssl = Optional.ofNullable(cluster.getSslBundle());
        cluster.getNodes().forEach(node -> servers.addNodeAddress(address(config, ssl, node)));
        masters(servers);
    }

    private void masters(BaseMasterSlaveServersConfig<?> servers) {
        bounds(servers.setReadMode(ReadMode.MASTER)
                .setSubscriptionMode(SubscriptionMode.MASTER)
                .setMasterConnectionPoolSize(POOL)
                .setMasterConnectionMinimumIdleSize(IDLE)
                .setSubscriptionConnectionPoolSize(1)
                .setSubscriptionConnectionMinimumIdleSize(0));
    }

    private void bounds(BaseConfig<?> servers) {
        servers.setRetryAttempts(0)
                // The gate gives up earlier; this frees the connection.
                .setTimeout((int) Math.max(250, timeout.toMillis()))
                .setConnectTimeout((int) connecting.toMillis())
                .setReconnectionDelay(new EqualJitterDelay(Duration.ofMillis(50), Duration.ofMillis(500)));
        Optional.ofNullable(properties.getClientName()).ifPresent(servers::setClientName);
    }

    private String address(Config config, Optional<SslBundle> ssl, Node node) {
        ssl.ifPresent(bundle -> secure(config, bundle));
        // A rediss:// URL needs no bundle: then the JVM's own trust applies.
        boolean tls = ssl.isPresent() || String.valueOf(properties.getUrl()).startsWith("rediss://");
        String host = node.host().contains(":") && !node.host().startsWith("[") ? "[" + node.host() + "]" : node.host();
        return (tls ? "rediss://" : "redis://") + host + ":" + node.port();
    }

    private static void secure(Config config, SslBundle bundle) {
        config.setSslKeyManagerFactory(bundle.getManagers().getKeyManagerFactory());
        config.setSslTrustManagerFactory(bundle.getManagers().getTrustManagerFactory());
        Optional.ofNullable(bundle.getOptions().getCiphers()).ifPresent(config::setSslCiphers);
        Optional.ofNullable(bundle.getOptions().getEnabledProtocols()).ifPresent(config::setSslProtocols);
    }
}
