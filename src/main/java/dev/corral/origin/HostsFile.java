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
 * The names of the hosts file. The file is read again as it changes, because Docker, Kubernetes ({@code hostAliases}) and
 * operators edit it while Corral runs. A file named by {@code jdk.net.hosts.file} replaces all name resolution, as in the JDK;
 * without that property it is the system's file. Thread-safe. The file is read on the scheduler, never on the caller's thread.
 */
final class HostsFile {

    /** The time between two reads of the file, at least. */
    private static final Duration MAX_READ_AGE = Duration.ofSeconds(1);

    private record HostsFileRead(CompletableFuture<HostsFileEntriesProvider> entries, long startNanos) {}

    private final Optional<File> configuredFile;
    private final Scheduler scheduler;
    private final AtomicReference<HostsFileRead> latestRead = new AtomicReference<>(
            new HostsFileRead(new CompletableFuture<>(), System.nanoTime() - MAX_READ_AGE.toNanos()));

    /** @param configuredFile replaces the system's file and all other name resolution; empty for the system's file */
    HostsFile(Optional<File> configuredFile, Scheduler scheduler) {
        this.configuredFile = configuredFile;
        this.scheduler = scheduler;
    }

    /** The file named by {@code jdk.net.hosts.file}, or the system's file. */
    static HostsFile of(Scheduler scheduler) {
        return new HostsFile(Optional.ofNullable(System.getProperty("jdk.net.hosts.file")).map(File::new), scheduler);
    }

    /** Whether a name that is not in the file does not exist. */
    boolean isExclusive() {
        return configuredFile.isPresent();
    }

    /** The addresses of a name, from a read at most one second old; empty when the file does not have the name. Never fails. */
    CompletableFuture<List<InetAddress>> addresses(String host) {
        return currentEntries().thenApply(entries -> addressesOf(entries, host.toLowerCase(Locale.ROOT)))
                .exceptionally(ignored -> List.of());
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
        HostsFileRead latest = Objects.requireNonNull(latestRead.get());
        long now = System.nanoTime();
        if (now - latest.startNanos() < MAX_READ_AGE.toNanos()) {
            return latest.entries();
        }
        var next = new HostsFileRead(new CompletableFuture<>(), now);
        if (!latestRead.compareAndSet(latest, next)) {
            return currentEntries();
        }
        try {
            scheduler.schedule(() -> next.entries().complete(readFile()));
        } catch (RejectedExecutionException e) {
            next.entries().completeExceptionally(e);
        }
        return next.entries();
    }

    private HostsFileEntriesProvider readFile() {
        return configuredFile.map(file -> HostsFileEntriesProvider.parser().parseSilently(file, StandardCharsets.UTF_8))
                .orElseGet(() -> HostsFileEntriesProvider.parser().parseSilently(StandardCharsets.UTF_8));
    }
}
