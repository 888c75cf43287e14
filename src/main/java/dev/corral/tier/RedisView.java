package dev.corral.tier;

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
final class RedisView implements AutoCloseable {

    // The Sentinels respond at once or are not asked: the next check is half a second later.
    private static final Duration PATIENCE = Duration.ofSeconds(1);

    private final RedisClient client;
    private final RedisConnectionDetails details;
    private final Map<Object, SocketAddress> addresses = Collections.synchronizedMap(new WeakHashMap<>());
    private final RedisConnectionStateListener listener = new RedisConnectionStateListener() {
        @Override
        public void onRedisConnected(RedisChannelHandler<?, ?> connection, SocketAddress remote) {
            addresses.put(connection, remote);
        }
    };
    private List<StatefulRedisConnection<?, ?>> followed = List.of();
    private @Nullable InetSocketAddress server;
    private @Nullable StatefulRedisSentinelConnection<String, String> sentinel;

    /** To be made before the connections. */
    RedisView(RedisClient client, RedisConnectionDetails details) {
        this.client = client;
        this.details = details;
        client.addListener(listener);
    }

    /**
     * The server that all of these lead to.
     *
     * @throws RedisConnectionException when they lead to several
     */
    InetSocketAddress follow(List<StatefulRedisConnection<?, ?>> connections) {
        followed = List.copyOf(connections);
        Set<SocketAddress> remotes = remotes();
        if (remotes.size() != 1 || !(remotes.iterator().next() instanceof InetSocketAddress one)) {
            throw new RedisConnectionException("the name of Redis has moved while connecting: " + remotes);
        }
        server = one;
        return one;
    }

    /** Why the connections must be made again; empty when they lead where they should, or when that cannot be found out now. */
    Optional<String> difference() {
        Set<SocketAddress> remotes = remotes();
        if (remotes.size() > 1 || (remotes.size() == 1 && !remotes.contains(server))) {
            return Optional.of("they led to different servers, " + remotes + " and " + server);
        }
        return details.getSentinel() != null ? otherMaster() : otherAddress();
    }

    private Optional<String> otherMaster() {
        String name = details.getSentinel().getMaster();
        try {
            if (sentinel == null) {
                sentinel = client.connectSentinel();
                sentinel.setTimeout(PATIENCE);
            }
            SocketAddress master = sentinel.sync().getMasterAddrByName(name);
            if (!(master instanceof InetSocketAddress now) || sameServer(now)) {
                return Optional.empty();
            }
            return Optional.of("the master " + name + " is now " + now + " and no longer " + server);
        } catch (RuntimeException e) {
            // The next check asks another Sentinel.
            closeSentinel();
            return Optional.empty();
        }
    }

    private boolean sameServer(InetSocketAddress other) {
        InetSocketAddress known = server;
        if (known == null) {
            return true;
        }
        InetSocketAddress resolved = other.isUnresolved()
                ? new InetSocketAddress(other.getHostString(), other.getPort())
                : other;
        return resolved.getPort() == known.getPort()
                && (resolved.getAddress() == null || resolved.getAddress().equals(known.getAddress()));
    }

    private Optional<String> otherAddress() {
        String host = details.getStandalone().getHost();
        InetSocketAddress known = server;
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

    private Set<SocketAddress> remotes() {
        return followed.stream()
                .filter(StatefulRedisConnection::isOpen)
                .map(addresses::get)
                .filter(remote -> remote != null)
                .collect(Collectors.toSet());
    }

    private void closeSentinel() {
        if (sentinel != null) {
            sentinel.close();
            sentinel = null;
        }
    }

    @Override
    public void close() {
        closeSentinel();
        client.removeListener(listener);
    }
}
