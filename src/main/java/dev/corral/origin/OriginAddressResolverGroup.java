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
 * The addresses of the origins' names, for all routes. First the hosts file, then DNS with the servers, the search domains and
 * ndots of {@code /etc/resolv.conf}. Never blocks an event loop, which the JDK's resolver does. Thread-safe.
 *
 * <p>
 * What is cached: an answer of DNS for its TTL, a minute at most; that a name does not exist, a second; the hosts file, a second.
 * While the servers of DNS do not reply, the last addresses serve for {@link #MAX_STALE_AGE}.
 */
public final class OriginAddressResolverGroup extends AddressResolverGroup<InetSocketAddress> {

    /** A name with a TTL of hours is followed all the same when it moves. */
    private static final Duration MAX_TTL = Duration.ofMinutes(1);

    /** One lookup a second of a name that does not exist, and found within a second once it does. */
    private static final Duration NEGATIVE_TTL = Duration.ofSeconds(1);

    /** For one query, and again over TCP: together well within an origin's default timeout of 5 s. */
    private static final Duration QUERY_TIMEOUT = Duration.ofSeconds(1);

    /** Longer than any healthy server takes: after that, addresses that are known serve. */
    private static final Duration STALE_FALLBACK_DELAY = Duration.ofMillis(500);

    /** How long addresses serve while DNS does not. As long as stale responses, while an origin cannot be reached. */
    private static final Duration MAX_STALE_AGE = Duration.ofMinutes(10);

    private record ResolvedAddresses(List<InetSocketAddress> addresses, long resolvedNanos) {}

    private final HostsFile hostsFile;
    private final DnsAddressResolverGroup dnsResolverGroup;
    private final Map<String, ResolvedAddresses> lastAnswers = new ConcurrentHashMap<>();

    /** With this machine's hosts file and DNS servers. */
    public OriginAddressResolverGroup() {
        this(HostsFile.of(Schedulers.boundedElastic()), Optional.empty());
    }

    /** @param servers of DNS, instead of the system's */
    OriginAddressResolverGroup(HostsFile hosts, Optional<DnsServerAddressStreamProvider> servers) {
        this.hostsFile = hosts;
        this.dnsResolverGroup = NameResolverProvider.builder()
                .cacheMinTimeToLive(Duration.ZERO)
                .cacheMaxTimeToLive(MAX_TTL)
                .cacheNegativeTimeToLive(NEGATIVE_TTL)
                .queryTimeout(QUERY_TIMEOUT)
                // A single lost packet is not the end, where there is a single server.
                .retryTcpOnTimeout(true)
                // All addresses, IPv4 and IPv6: a dead one is passed over.
                .completeOncePreferredResolved(false)
                // Ours is read while it changes, Netty's once.
                .hostsFileEntriesResolver((host, types) -> null)
                .dnsAddressResolverGroupProvider(builder -> new DnsAddressResolverGroup(
                        servers.map(builder::nameServerProvider).orElse(builder)))
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

        HostsFirstResolver(EventExecutor executor, AddressResolver<InetSocketAddress> server) {
            super(executor, InetSocketAddress.class);
            this.dnsResolver = server;
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
            if (!lookup.isDone() && lastAnswers.containsKey(name)) {
                var impatient = executor().schedule(
                        () -> staleAddresses(name).ifPresent(promise::trySuccess), STALE_FALLBACK_DELAY.toMillis(),
                        TimeUnit.MILLISECONDS);
                promise.addListener(done -> impatient.cancel(false));
            }
            lookup.addListener((Future<List<InetSocketAddress>> done) -> {
                if (done.isSuccess()) {
                    lastAnswers.put(name, new ResolvedAddresses(done.getNow(), System.nanoTime()));
                    promise.trySuccess(done.getNow());
                } else {
                    staleAddresses(name).filter(addresses -> isServerFailure(done.cause()))
                            .ifPresentOrElse(promise::trySuccess, () -> promise.tryFailure(done.cause()));
                }
            });
        }

        private Optional<List<InetSocketAddress>> staleAddresses(String name) {
            return Optional.ofNullable(lastAnswers.get(name))
                    .filter(last -> System.nanoTime() - last.resolvedNanos() < MAX_STALE_AGE.toNanos())
                    .map(ResolvedAddresses::addresses);
        }

        /** Whether the servers said nothing about the name: unlike that it does not exist. */
        private boolean isServerFailure(Throwable failure) {
            return DnsNameResolver.isTransportOrTimeoutError(failure)
                    || (failure.getCause() instanceof DnsErrorCauseException refused
                            && !DnsResponseCode.NXDOMAIN.equals(refused.getCode()));
        }

        @Override
        public void close() {
            dnsResolver.close();
        }
    }
}
