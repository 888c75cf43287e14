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
 * Where this replica's connections lead, and where they should: to one server, the one that the host's name or the Sentinels mean
 * now. Lettuce keeps a living connection wherever it leads, so that after a failover or a moved name it would go on with a server
 * that the rest of the fleet has left. Not for a Cluster: its servers themselves redirect what is meant for another. Confined to the thread that makes and checks the connections, but for the listener.
 */
final class FailoverDetector implements AutoCloseable {

    // The Sentinels respond at once or are not asked: the next check is half a second later.
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

    /** To be made before the connections. */
    FailoverDetector(RedisClient client, RedisConnectionDetails details) {
        this.client = client;
        this.details = details;
        client.addListener(connectionListener);
    }

    /**
     * The server that all of these lead to.
     *
     * @throws RedisConnectionException when they lead to several
     */
    InetSocketAddress watch(List<StatefulRedisConnection<?, ?>> connections) {
        watchedConnections = List.copyOf(connections);
        Set<SocketAddress> remotes = currentRemotes();
        if (remotes.size() != 1 || !(remotes.iterator().next() instanceof InetSocketAddress one)) {
            throw new RedisConnectionException("the name of Redis has moved while connecting: " + remotes);
        }
        expectedServer = one;
        return one;
    }

    /** Why the connections must be made again; empty when they lead where they should, or when that cannot be found out now. */
    Optional<String> reconnectReason() {
        Set<SocketAddress> remotes = currentRemotes();
        if (remotes.size() > 1 || (remotes.size() == 1 && !remotes.contains(expectedServer))) {
            return Optional.of("they led to different servers, " + remotes + " and " + expectedServer);
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
            if (!(master instanceof InetSocketAddress now) || isExpectedServer(now)) {
                return Optional.empty();
            }
            return Optional.of("the master " + name + " is now " + now + " and no longer " + expectedServer);
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
            List<InetAddress> now = Arrays.asList(InetAddress.getAllByName(host));
            return known == null || now.contains(known.getAddress())
                    ? Optional.empty()
                    : Optional.of("the name " + host + " now means " + now + " and no longer " + known.getAddress());
        } catch (UnknownHostException e) {
            // A name server that is away moves nothing.
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
