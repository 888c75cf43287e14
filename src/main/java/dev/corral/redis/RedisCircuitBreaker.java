package dev.corral.redis;

import dev.corral.coalesce.TierUnavailableException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.Disposable;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;
import reactor.util.context.Context;
import reactor.util.retry.Retry;

/**
 * Passes or refuses every command to Redis, by what is known about its servers. Thread-safe.
 *
 * <p>A slow command does not mean that Redis is unavailable: it waits, and a command that failed with a retryable error is sent
 * again after a delay, until the caller cancels or the server is <em>known</em> to be unavailable. {@link RedisHealthProbe}
 * determines that on a connection of its own, separately for each server of a Cluster. Then, and only then, every command to
 * that server fails with {@link TierUnavailableException}, including those in flight, at once.
 *
 * <p>After an outage, commands pass again when the purge log has been read to its end ({@link #onPurgesSynced()}): no entry is
 * used before the purges of the outage are known. In a Cluster this applies to the server of the purge log; commands to the
 * other servers no longer depend on it once the log has been read for the first time.
 *
 * <p>A server that refuses writes is {@link RedisState.ReadOnly}. Commands are still sent to it: it refuses them at once, and
 * the first successful write ends the state.
 */
public final class RedisCircuitBreaker {

    /** The state of Redis, and since when. In a Cluster it is the worst state of its servers. */
    public sealed interface RedisState {

        /** The time at which the state began. */
        Instant since();

        /** Redis is available. */
        record Available(Instant since) implements RedisState {}

        /** Redis accepts reads and refuses writes: nothing is stored, and each replica coalesces only its own requests. */
        record ReadOnly(Instant since, String reason) implements RedisState {}

        /** Redis is unavailable: each replica coalesces only its own requests. */
        record Unavailable(Instant since, String reason) implements RedisState {}
    }

    /**
     * What is known about one server.
     *
     * @param isAvailable    whether it responds to probes
     * @param reason         why it is unavailable; empty when it is available
     * @param readOnlyReason why it refuses writes; empty when it accepts them
     */
    private record ServerStatus(boolean isAvailable, String reason, Optional<String> readOnlyReason) {

        static final ServerStatus UNKNOWN = new ServerStatus(false, "not connected yet", Optional.empty());
    }

    /** A command in flight. */
    private record PendingCommand(String serverId, MonoSink<?> sink) {}

    private static final Logger log = LoggerFactory.getLogger(RedisCircuitBreaker.class);

    /** The id of the only server when Redis is not a Cluster. */
    static final String SINGLE_SERVER_ID = "";

    // From less than the time of a reconnection (at least 20 ms) up to a delay at which 30 flights per second may retry without
    // noticeable load on Redis.
    private static final Duration INITIAL_RETRY_DELAY = Duration.ofMillis(20);
    private static final Duration MAX_RETRY_DELAY = Duration.ofMillis(200);

    // For one attempt while Redis is not known to be available; the next read of the purge log is the retry.
    private static final Duration PROBE_TIMEOUT = Duration.ofSeconds(2);

    // Longer than it takes to detect that Redis is unavailable, and shorter than a client of the management port waits.
    private static final Duration FLEET_COMMAND_TIMEOUT = Duration.ofSeconds(5);

    // The last resort for a command whose caller has no time limit of its own: longer than the maximum wait of any flight.
    private static final Duration COMMAND_TIMEOUT = Duration.ofMinutes(2);

    // At most one line per minute for a reason that changes while Redis stays unavailable.
    private static final Duration LOG_INTERVAL = Duration.ofMinutes(1);

    private static final String PURGE_SYNC_REASON = "the purge log is being read";

    // Reactor's context key for the receiver of errors that arrive after cancellation. The errors of cancelled commands are
    // ignored.
    private static final Context LATE_ERRORS_IGNORED = Context.of("reactor.onErrorDropped.local",
            (Consumer<Throwable>) ignored -> {});

    private final UnaryOperator<String> serverIdByKey;
    private final String purgeLogKey;
    private final Clock clock;
    private final Map<String, ServerStatus> servers = new ConcurrentHashMap<>();
    private final Set<PendingCommand> pendingCommands = ConcurrentHashMap.newKeySet();
    private final Set<String> serversWithRefusedWrites = ConcurrentHashMap.newKeySet();
    private final AtomicLong lastRefusalLogMillis = new AtomicLong();
    private volatile boolean isPurgeLogSynced;
    private volatile boolean hasEverSynced;
    private volatile RedisState state; // written under this
    private Instant lastLogTime = Instant.EPOCH; // guarded by this

    /**
     * @param serverIdByKey the id of the server that has a key; {@link #SINGLE_SERVER_ID} when Redis is not a Cluster
     * @param purgeLogKey   a key in the slot of the purge log
     */
    public RedisCircuitBreaker(UnaryOperator<String> serverIdByKey, String purgeLogKey, Clock clock) {
        this.serverIdByKey = serverIdByKey;
        this.purgeLogKey = purgeLogKey;
        this.clock = clock;
        this.state = new RedisState.Unavailable(clock.instant(), ServerStatus.UNKNOWN.reason());
    }

    /** The circuit breaker of these connections, which must not have been started yet. */
    public static RedisCircuitBreaker of(RedisConnections connections, Clock clock) {
        var circuitBreaker = new RedisCircuitBreaker(connections::serverIdOf, connections.keys().purgePosition(),
                clock);
        connections.onConnectFailure(reason -> circuitBreaker.onServerUnavailable(SINGLE_SERVER_ID, reason));
        return circuitBreaker;
    }

    /** For health and metrics. */
    public RedisState state() {
        return state;
    }

    /**
     * Runs a command on this key. It waits for a slow Redis, and errors with {@link TierUnavailableException} as soon as the
     * key's server is known to be unavailable.
     */
    <T> Mono<T> guard(String key, Mono<T> command) {
        return Mono.defer(() -> executeOnce(key, command))
                .retryWhen(Retry.withThrowable(errors -> errors
                        .index((retries, error) -> retryDelay(retries, error))
                        .concatMap(delay -> delay)))
                .timeout(COMMAND_TIMEOUT, Mono.error(() -> new TierUnavailableException("Redis did not respond")))
                .onErrorMap(RedisErrors::toUnavailable);
    }

    /** Runs a command on the fleet's records, which are on the server of the purge log, within five seconds. */
    public <T> Mono<T> guard(Mono<T> command) {
        return guard(purgeLogKey, command)
                .timeout(FLEET_COMMAND_TIMEOUT,
                        Mono.error(() -> new TierUnavailableException("Redis did not respond within 5 s")));
    }

    /** Runs a command once, within two seconds, even if Redis is known to be unavailable. */
    public <T> Mono<T> executeUnguarded(Mono<T> command) {
        return command.timeout(PROBE_TIMEOUT).contextWrite(LATE_ERRORS_IGNORED).onErrorMap(RedisErrors::toUnavailable);
    }

    /** Whether commands on the purge log pass. */
    public boolean isAvailable() {
        return isServerAvailable(serverIdByKey.apply(purgeLogKey));
    }

    /** Whether commands on this key pass. */
    boolean isAvailable(String key) {
        return isServerAvailable(serverIdByKey.apply(key));
    }

    /** Called when this replica has read the purge log to its end. */
    public void onPurgesSynced() {
        if (!isPurgeLogSynced) {
            isPurgeLogSynced = true;
            hasEverSynced = true;
            updateState();
        }
    }

    /** Called when the server has responded to a probe. */
    void onServerAvailable(String server) {
        ServerStatus status = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        if (!status.isAvailable()) {
            servers.put(server, new ServerStatus(true, "", status.readOnlyReason()));
            updateState();
        }
    }

    /** Called when the server is known to be unavailable. Its pending commands fail at once. */
    void onServerUnavailable(String server, String reason) {
        ServerStatus status = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        servers.put(server, new ServerStatus(false, reason, status.readOnlyReason()));
        if (server.equals(serverIdByKey.apply(purgeLogKey))) {
            isPurgeLogSynced = false;
        }
        updateState();
        for (PendingCommand command : pendingCommands) {
            if (command.serverId().equals(server)) {
                command.sink().error(unavailableException(server));
            }
        }
    }

    /** Whether the server should get a write probe: a write was refused, and none has succeeded since. */
    boolean isWriteProbeNeeded(String server) {
        return serversWithRefusedWrites.contains(server)
                || servers.getOrDefault(server, ServerStatus.UNKNOWN).readOnlyReason().isPresent();
    }

    /** Called when a write probe has succeeded. */
    void onWriteSucceeded(String server) {
        serversWithRefusedWrites.remove(server);
        ServerStatus status = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        if (status.readOnlyReason().isPresent()) {
            servers.put(server, new ServerStatus(status.isAvailable(), status.reason(), Optional.empty()));
            updateState();
        }
    }

    /** Called when the server has refused a write probe. */
    void onWriteRefused(String server, String reason) {
        ServerStatus status = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        if (status.readOnlyReason().isEmpty()) {
            servers.put(server, new ServerStatus(status.isAvailable(), status.reason(), Optional.of(reason)));
            updateState();
        }
    }

    /** Removes the servers that are no longer part of the Cluster. */
    void retainServers(Set<String> serverIds) {
        if (servers.keySet().retainAll(serverIds)) {
            updateState();
        }
    }

    private <T> Mono<T> executeOnce(String key, Mono<T> command) {
        String server = serverIdByKey.apply(key);
        if (!isServerAvailable(server)) {
            return Mono.error(unavailableException(server));
        }
        return Mono.<T>create(sink -> {
            var pending = new PendingCommand(server, sink);
            pendingCommands.add(pending);
            Disposable running = command.subscribe(sink::success, sink::error, sink::success,
                    Context.of(sink.contextView()).putAll(LATE_ERRORS_IGNORED.readOnly()));
            sink.onDispose(() -> {
                pendingCommands.remove(pending);
                running.dispose();
            });
            // The server may have become unavailable after the first check and before the command was registered.
            if (!isServerAvailable(server)) {
                sink.error(unavailableException(server));
            }
        }).doOnError(error -> onError(server, error));
    }

    /** Updates the state of the server by the error of a command. */
    private void onError(String server, Throwable error) {
        if (error instanceof TierUnavailableException) {
            return;
        }
        switch (RedisErrors.kindOf(error)) {
            case UNAVAILABLE -> onServerUnavailable(server, RedisErrors.describe(error));
            case READ_ONLY -> serversWithRefusedWrites.add(server);
            case COMMAND_REFUSED -> logRefusedCommand(error);
            case RETRYABLE -> {
                // The error concerns the command, not the server.
            }
        }
    }

    /** Logs a command that Redis will never run, because of a bug or missing permissions; at most one line per minute. */
    private void logRefusedCommand(Throwable error) {
        long now = clock.millis();
        long last = lastRefusalLogMillis.get();
        if (now - last >= LOG_INTERVAL.toMillis() && lastRefusalLogMillis.compareAndSet(last, now)) {
            log.warn("Redis refused a command ({}); the request continues without it", RedisErrors.describe(error));
        }
    }

    /** Emits after the delay before the next attempt; errors when the error is not retryable. */
    private static Mono<Long> retryDelay(long retries, Throwable error) {
        if (error instanceof TierUnavailableException || RedisErrors.kindOf(error) != RedisErrors.ErrorKind.RETRYABLE) {
            return Mono.error(error);
        }
        long maxNanos = Math.min(MAX_RETRY_DELAY.toNanos(), INITIAL_RETRY_DELAY.toNanos() << Math.min(retries, 10));
        return Mono.delay(Duration.ofNanos(ThreadLocalRandom.current().nextLong(maxNanos / 2, maxNanos)));
    }

    private boolean isServerAvailable(String server) {
        ServerStatus status = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        return status.isAvailable()
                && (isPurgeLogSynced || (hasEverSynced && !server.equals(serverIdByKey.apply(purgeLogKey))));
    }

    private TierUnavailableException unavailableException(String server) {
        ServerStatus status = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        return new TierUnavailableException(
                "Redis is unavailable: " + (status.isAvailable() ? PURGE_SYNC_REASON : status.reason()));
    }

    /** Computes the state of all servers together; one log line for each change. */
    private synchronized void updateState() {
        Optional<String> unavailable = servers.values()
                .stream()
                .filter(server -> !server.isAvailable())
                .map(ServerStatus::reason)
                .min(Comparator.naturalOrder());
        Optional<String> readOnly = servers.values()
                .stream()
                .flatMap(server -> server.readOnlyReason().stream())
                .min(Comparator.naturalOrder());
        RedisState before = state;
        Instant now = clock.instant();
        if (unavailable.isPresent() || servers.isEmpty()) {
            String reason = unavailable.orElse(ServerStatus.UNKNOWN.reason());
            boolean wasUnavailable = before instanceof RedisState.Unavailable;
            state = new RedisState.Unavailable(wasUnavailable ? before.since() : now, reason);
            boolean reasonChanged = before instanceof RedisState.Unavailable(Instant since, String last)
                    && !last.equals(reason);
            if (!wasUnavailable || (reasonChanged && lastLogTime.plus(LOG_INTERVAL).isBefore(now))) {
                lastLogTime = now;
                log.warn("Redis unavailable ({}); coalescing within this replica only until it recovers", reason);
            }
        } else if (!isPurgeLogSynced) {
            // The purge log is read first; until then the last reason remains.
            return;
        } else if (readOnly.isPresent()) {
            if (!(before instanceof RedisState.ReadOnly)) {
                state = new RedisState.ReadOnly(now, readOnly.get());
                log.warn(
                        "Redis refuses writes ({}); nothing is stored, coalescing within this replica only until it recovers",
                        readOnly.get());
            }
        } else if (!(before instanceof RedisState.Available)) {
            state = new RedisState.Available(now);
            log.info("Redis available again after {} ms", Duration.between(before.since(), now).toMillis());
        }
    }
}
