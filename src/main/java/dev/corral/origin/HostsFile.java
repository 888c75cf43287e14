package dev.corral.origin;

import io.netty.resolver.HostsFileEntriesProvider;
import io.netty.util.NetUtil;
import java.io.File;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicReference;
import reactor.core.scheduler.Scheduler;

/**
 * The hosts file, followed while it changes: Docker, Kubernetes ({@code hostAliases}) and operators write names into it. It is
 * the one that {@code jdk.net.hosts.file} names, which then stands for all name resolution, as in the JDK; else the system's.
 * Thread-safe; reads the file on the scheduler.
 */
final class HostsFile {

    /** What was read is not read again for that long. */
    private static final Duration MAX_READ_AGE = Duration.ofSeconds(1);

    private record HostsFileRead(CompletableFuture<HostsFileEntriesProvider> entries, long startNanos) {}

    private final Optional<File> configuredFile;
    private final Scheduler scheduler;
    private final AtomicReference<HostsFileRead> latestRead = new AtomicReference<>(
            new HostsFileRead(new CompletableFuture<>(), System.nanoTime() - MAX_READ_AGE.toNanos()));

    /** @param named instead of the system's; then there is no name outside of it */
    HostsFile(Optional<File> named, Scheduler scheduler) {
        this.configuredFile = named;
        this.scheduler = scheduler;
    }

    /** The file that {@code jdk.net.hosts.file} names, or the system's. */
    static HostsFile of(Scheduler scheduler) {
        return new HostsFile(Optional.ofNullable(System.getProperty("jdk.net.hosts.file")).map(File::new), scheduler);
    }

    /** Whether names that are not in the file do not exist. */
    boolean isExclusive() {
        return configuredFile.isPresent();
    }

    /** The addresses of a name, at most a second old; empty when it is not there. Never fails. */
    CompletableFuture<List<InetAddress>> addresses(String host) {
        return currentEntries().thenApply(entries -> addressesOf(entries, host.toLowerCase(Locale.ROOT)))
                .exceptionally(unread -> List.of());
    }

    private static List<InetAddress> addressesOf(HostsFileEntriesProvider entries, String host) {
        var addresses = new ArrayList<>(entries.ipv4Entries().getOrDefault(host, List.of()));
        if (!NetUtil.isIpV4StackPreferred()) {
            List<InetAddress> ipv6 = entries.ipv6Entries().getOrDefault(host, List.of());
            addresses.addAll(NetUtil.isIpV6AddressesPreferred() ? 0 : addresses.size(), ipv6);
        }
        return addresses;
    }

    private CompletableFuture<HostsFileEntriesProvider> currentEntries() {
        HostsFileRead known = Objects.requireNonNull(latestRead.get());
        long now = System.nanoTime();
        if (now - known.startNanos() < MAX_READ_AGE.toNanos()) {
            return known.entries();
        }
        var next = new HostsFileRead(new CompletableFuture<>(), now);
        if (!latestRead.compareAndSet(known, next)) {
            return currentEntries();
        }
        try {
            scheduler.schedule(() -> next.entries().complete(readFile()));
        } catch (RejectedExecutionException busy) {
            next.entries().completeExceptionally(busy);
        }
        return next.entries();
    }

    private HostsFileEntriesProvider readFile() {
        return configuredFile.map(file -> HostsFileEntriesProvider.parser().parseSilently(file, StandardCharsets.UTF_8))
                .orElseGet(() -> HostsFileEntriesProvider.parser().parseSilently(StandardCharsets.UTF_8));
    }
}
