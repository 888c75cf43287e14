package dev.corral.origin;

import io.netty.handler.codec.dns.DnsResponseCode;
import io.netty.resolver.AbstractAddressResolver;
import io.netty.resolver.AddressResolver;
import io.netty.resolver.AddressResolverGroup;
import io.netty.resolver.dns.DnsAddressResolverGroup;
import io.netty.resolver.dns.DnsErrorCauseException;
import io.netty.resolver.dns.DnsNameResolver;
import io.netty.resolver.dns.DnsServerAddressStreamProvider;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.Promise;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import reactor.core.scheduler.Schedulers;
import reactor.netty.http.HttpResources;
import reactor.netty.resources.LoopResources;
import reactor.netty.transport.NameResolverProvider;

/**
 * Resolves the origins' host names for all routes: first by the hosts file, then by DNS with the servers, search domains and
 * ndots of {@code /etc/resolv.conf}. Unlike the JDK's resolver it never blocks an event loop. Thread-safe.
 *
 * <p>
 * A DNS answer is cached for its TTL, but one minute at most; the absence of a name and the hosts file for one second. While the
 * DNS servers do not reply, the last known addresses are used for {@link #MAX_STALE_AGE}.
 */
public final class OriginAddressResolverGroup extends AddressResolverGroup<InetSocketAddress> {

    /** Bounds how long a name keeps its old addresses when its TTL is hours. */
    private static final Duration MAX_TTL = Duration.ofMinutes(1);

    /** A name that does not exist costs one lookup per second, and is found within a second once it exists. */
    private static final Duration NEGATIVE_TTL = Duration.ofSeconds(1);

    /** For one query, and once more for its retry over TCP. Both together fit into an origin's default timeout of 5 s. */
    private static final Duration QUERY_TIMEOUT = Duration.ofSeconds(1);

    /** After this time the last known addresses are used. Longer than a healthy DNS server takes. */
    private static final Duration STALE_FALLBACK_DELAY = Duration.ofMillis(500);

    /** How long the last known addresses are used while DNS fails. As long as stale responses while an origin cannot be reached. */
    private static final Duration MAX_STALE_AGE = Duration.ofMinutes(10);

    private record ResolvedAddresses(List<InetSocketAddress> addresses, long resolvedNanos) {}

    private final HostsFile hostsFile;
    private final DnsAddressResolverGroup dnsResolverGroup;
    private final Map<String, ResolvedAddresses> lastResolved = new ConcurrentHashMap<>();

    /** Uses this machine's hosts file and DNS servers. */
    public OriginAddressResolverGroup() {
        this(HostsFile.of(Schedulers.boundedElastic()), Optional.empty());
    }

    /** @param dnsServers used instead of the system's; empty for the system's */
    OriginAddressResolverGroup(HostsFile hostsFile, Optional<DnsServerAddressStreamProvider> dnsServers) {
        this.hostsFile = hostsFile;
        this.dnsResolverGroup = NameResolverProvider.builder()
                .cacheMinTimeToLive(Duration.ZERO)
                .cacheMaxTimeToLive(MAX_TTL)
                .cacheNegativeTimeToLive(NEGATIVE_TTL)
                .queryTimeout(QUERY_TIMEOUT)
                // With a single DNS server, a lost packet must not fail the lookup.
                .retryTcpOnTimeout(true)
                // All addresses, IPv4 and IPv6, so that an unreachable one can be skipped.
                .completeOncePreferredResolved(false)
                // Netty reads the hosts file only once; HostsFile follows its changes.
                .hostsFileEntriesResolver((host, types) -> null)
                .dnsAddressResolverGroupProvider(builder -> new DnsAddressResolverGroup(
                        dnsServers.map(builder::nameServerProvider).orElse(builder)))
                .build()
                .newNameResolverGroup(HttpResources.get(), LoopResources.DEFAULT_NATIVE);
    }

    @Override
    protected AddressResolver<InetSocketAddress> newResolver(EventExecutor executor) {
        return new HostsFirstResolver(executor, dnsResolverGroup.getResolver(executor));
    }

    @Override
    public void close() {
        super.close();
        dnsResolverGroup.close();
    }

    private final class HostsFirstResolver extends AbstractAddressResolver<InetSocketAddress> {

        private final AddressResolver<InetSocketAddress> dnsResolver;

        HostsFirstResolver(EventExecutor executor, AddressResolver<InetSocketAddress> dnsResolver) {
            super(executor, InetSocketAddress.class);
            this.dnsResolver = dnsResolver;
        }

        @Override
        protected boolean doIsResolved(InetSocketAddress address) {
            return !address.isUnresolved();
        }

        @Override
        protected void doResolve(InetSocketAddress address, Promise<InetSocketAddress> promise) {
            resolveAll(address).addListener((Future<List<InetSocketAddress>> all) -> {
                if (all.isSuccess()) {
                    promise.trySuccess(all.getNow().getFirst());
                } else {
                    promise.tryFailure(all.cause());
                }
            });
        }

        @Override
        protected void doResolveAll(InetSocketAddress address, Promise<List<InetSocketAddress>> promise) {
            var unused = hostsFile.addresses(address.getHostString()).thenAccept(found -> executor().execute(() -> {
                if (!found.isEmpty()) {
                    promise.trySuccess(withPort(found, address.getPort()));
                } else if (hostsFile.isExclusive()) {
                    promise.tryFailure(new UnknownHostException(address.getHostString() + " is not in the hosts file"));
                } else {
                    queryDns(address, promise);
                }
            }));
        }

        private static List<InetSocketAddress> withPort(List<InetAddress> addresses, int port) {
            return addresses.stream().map(address -> new InetSocketAddress(address, port)).toList();
        }

        private void queryDns(InetSocketAddress address, Promise<List<InetSocketAddress>> promise) {
            String name = address.getHostString().toLowerCase(Locale.ROOT) + ':' + address.getPort();
            Future<List<InetSocketAddress>> lookup = dnsResolver.resolveAll(address);
            if (!lookup.isDone() && lastResolved.containsKey(name)) {
                var fallback = executor().schedule(
                        () -> staleAddresses(name).ifPresent(promise::trySuccess), STALE_FALLBACK_DELAY.toMillis(),
                        TimeUnit.MILLISECONDS);
                promise.addListener(done -> fallback.cancel(false));
            }
            lookup.addListener((Future<List<InetSocketAddress>> done) -> {
                if (done.isSuccess()) {
                    lastResolved.put(name, new ResolvedAddresses(done.getNow(), System.nanoTime()));
                    promise.trySuccess(done.getNow());
                } else {
                    staleAddresses(name).filter(addresses -> isServerFailure(done.cause()))
                            .ifPresentOrElse(promise::trySuccess, () -> promise.tryFailure(done.cause()));
                }
            });
        }

        private Optional<List<InetSocketAddress>> staleAddresses(String name) {
            return Optional.ofNullable(lastResolved.get(name))
                    .filter(last -> System.nanoTime() - last.resolvedNanos() < MAX_STALE_AGE.toNanos())
                    .map(ResolvedAddresses::addresses);
        }

        /** Whether the DNS servers failed, as opposed to an answer that the name does not exist. */
        private boolean isServerFailure(Throwable failure) {
            return DnsNameResolver.isTransportOrTimeoutError(failure)
                    || (failure.getCause() instanceof DnsErrorCauseException dnsError
                            && !DnsResponseCode.NXDOMAIN.equals(dnsError.getCode()));
        }

        @Override
        public void close() {
            dnsResolver.close();
        }
    }
}
