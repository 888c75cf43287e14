package dev.corral.redis;

import io.lettuce.core.RedisChannelHandler;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisConnectionException;
import io.lettuce.core.RedisConnectionStateListener;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.sentinel.api.StatefulRedisSentinelConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;

/**
 * Compares the server to which this replica is connected with the server to which it should be connected: the one that the host
 * name resolves to, or that the Sentinels name as master. Lettuce keeps a live connection whatever server it leads to, so after
 * a failover or a DNS change it would continue with a server that the rest of the fleet has left. Not used for a Cluster, whose
 * servers redirect commands themselves. Confined to the thread that creates and checks the connections, except for the
 * connection listener.
 */
final class FailoverDetector implements AutoCloseable {

    // A Sentinel responds at once or is skipped: the next check is half a second later.
    private static final Duration SENTINEL_TIMEOUT = Duration.ofSeconds(1);

    private final RedisClient client;
    private final RedisConnectionDetails details;
    private final Map<Object, SocketAddress> remoteAddresses = Collections.synchronizedMap(new WeakHashMap<>());
    private final RedisConnectionStateListener connectionListener = new RedisConnectionStateListener() {
        @Override
        public void onRedisConnected(RedisChannelHandler<?, ?> connection, SocketAddress remote) {
            remoteAddresses.put(connection, remote);
        }
    };
    private List<StatefulRedisConnection<?, ?>> watchedConnections = List.of();
    private @Nullable InetSocketAddress expectedServer;
    private @Nullable StatefulRedisSentinelConnection<String, String> sentinelConnection;

    /** Must be created before the connections, whose addresses it records. */
    FailoverDetector(RedisClient client, RedisConnectionDetails details) {
        this.client = client;
        this.details = details;
        client.addListener(connectionListener);
    }

    /**
     * Watches these connections, and returns the server that all of them lead to.
     *
     * @throws RedisConnectionException when they lead to different servers
     */
    InetSocketAddress watch(List<StatefulRedisConnection<?, ?>> connections) {
        watchedConnections = List.copyOf(connections);
        Set<SocketAddress> remotes = currentRemotes();
        if (remotes.size() != 1 || !(remotes.iterator().next() instanceof InetSocketAddress server)) {
            throw new RedisConnectionException("the connections lead to different servers: " + remotes);
        }
        expectedServer = server;
        return server;
    }

    /**
     * Why the connections must be replaced; empty when they lead to the right server, or when the right server cannot be
     * determined now.
     */
    Optional<String> reconnectReason() {
        Set<SocketAddress> remotes = currentRemotes();
        if (remotes.size() > 1 || (remotes.size() == 1 && !remotes.contains(expectedServer))) {
            return Optional.of("the connections led to different servers, " + remotes + " and " + expectedServer);
        }
        return details.getSentinel() != null ? masterChange() : addressChange();
    }

    private Optional<String> masterChange() {
        String name = details.getSentinel().getMaster();
        try {
            if (sentinelConnection == null) {
                sentinelConnection = client.connectSentinel();
                sentinelConnection.setTimeout(SENTINEL_TIMEOUT);
            }
            SocketAddress master = sentinelConnection.sync().getMasterAddrByName(name);
            if (!(master instanceof InetSocketAddress current) || isExpectedServer(current)) {
                return Optional.empty();
            }
            return Optional.of("the master " + name + " is now " + current + ", no longer " + expectedServer);
        } catch (RuntimeException e) {
            // The next check asks another Sentinel.
            closeSentinel();
            return Optional.empty();
        }
    }

    private boolean isExpectedServer(InetSocketAddress other) {
        InetSocketAddress known = expectedServer;
        if (known == null) {
            return true;
        }
        InetSocketAddress resolved = other.isUnresolved()
                ? new InetSocketAddress(other.getHostString(), other.getPort())
                : other;
        return resolved.getPort() == known.getPort()
                && (resolved.getAddress() == null || resolved.getAddress().equals(known.getAddress()));
    }

    private Optional<String> addressChange() {
        String host = details.getStandalone().getHost();
        InetSocketAddress known = expectedServer;
        try {
            List<InetAddress> current = Arrays.asList(InetAddress.getAllByName(host));
            return known == null || current.contains(known.getAddress())
                    ? Optional.empty()
                    : Optional.of(
                            "the name " + host + " now resolves to " + current + ", no longer " + known.getAddress());
        } catch (UnknownHostException e) {
            // While the name server is unavailable, the address counts as unchanged.
            return Optional.empty();
        }
    }

    private Set<SocketAddress> currentRemotes() {
        return watchedConnections.stream()
                .filter(StatefulRedisConnection::isOpen)
                .map(remoteAddresses::get)
                .filter(remote -> remote != null)
                .collect(Collectors.toSet());
    }

    private void closeSentinel() {
        if (sentinelConnection != null) {
            sentinelConnection.close();
            sentinelConnection = null;
        }
    }

    @Override
    public void close() {
        closeSentinel();
        client.removeListener(connectionListener);
    }
}
