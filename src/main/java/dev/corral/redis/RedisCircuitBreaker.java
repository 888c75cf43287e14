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
 * What is known of Redis, and the way of every command to it. Thread-safe.
 *
 * <p>A late command says nothing of Redis: it waits, and a broken one is sent again after a pause, until the caller gives up or
 * the server is <em>known</em> not to serve. That is judged by {@link RedisHealthProbe} on connections of their own, for each server of
 * a Cluster by itself. Then, and only then, every command to that server fails with {@link TierUnavailableException}, those in flight at
 * once.
 *
 * <p>A server that is back serves again when the log of purges has been read to its end ({@link #onPurgesSynced()}): no entry is trusted
 * before it is known what has been purged. In a Cluster this holds for the server of the purge log; the others are not judged by
 * it once the log has been read.
 *
 * <p>A server that refuses to write is {@link RedisState.ReadOnly}. Commands are still sent to it: it refuses at once, and the first
 * write that succeeds ends the state.
 */
public final class RedisCircuitBreaker {

    /** Whether Redis serves, and since when. Of the servers of a Cluster the one in the worst state counts. */
    public sealed interface RedisState {

        /** When it became so. */
        Instant since();

        /** Redis serves. */
        record Available(Instant since) implements RedisState {}

        /** Redis reads but does not write: nothing is stored, and each replica coalesces by itself. */
        record ReadOnly(Instant since, String reason) implements RedisState {}

        /** Redis does not serve: each replica coalesces by itself. */
        record Unavailable(Instant since, String reason) implements RedisState {}
    }

    /**
     * What is known of one server.
     *
     * @param isAvailable    whether its probes are answered
     * @param reason         why not; empty when it serves
     * @param readOnlyReason why it refuses writes; empty when it takes them
     */
    private record ServerStatus(boolean isAvailable, String reason, Optional<String> readOnlyReason) {

        static final ServerStatus UNKNOWN = new ServerStatus(false, "not connected yet", Optional.empty());
    }

    /** A command in flight. */
    private record PendingCommand(String serverId, MonoSink<?> sink) {}

    private static final Logger log = LoggerFactory.getLogger(RedisCircuitBreaker.class);

    /** The only server where Redis is not a Cluster. */
    static final String SINGLE_SERVER_ID = "";

    // From well below a reconnection (20 ms at least) to a pause that 30 flights a second may take without being felt by Redis.
    private static final Duration INITIAL_RETRY_DELAY = Duration.ofMillis(20);
    private static final Duration MAX_RETRY_DELAY = Duration.ofMillis(200);

    // One try while Redis is not known to serve; the next look is the retry.
    private static final Duration PROBE_TIMEOUT = Duration.ofSeconds(2);

    // Longer than a Redis that is about to be known not to serve, and shorter than a caller of the management port waits.
    private static final Duration FLEET_COMMAND_TIMEOUT = Duration.ofSeconds(5);

    // The last resort for a command whose caller has no bound of its own: longer than any flight's patience.
    private static final Duration COMMAND_TIMEOUT = Duration.ofMinutes(2);

    // A reason that changes while Redis stays unavailable is worth a line, but not one a second.
    private static final Duration LOG_INTERVAL = Duration.ofMinutes(1);

    private static final String PURGE_SYNC_REASON = "its purges are being read";

    // Reactor's name for the receiver of an error that comes when nobody waits any more: that of a command which was given up.
    private static final Context LATE_ERRORS_IGNORED = Context.of("reactor.onErrorDropped.local",
            (Consumer<Throwable>) late -> {});

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
     * @param serverOf the id of the server that has a key; {@link #SINGLE_SERVER_ID} where Redis is not a Cluster
     * @param purgeKey a key in the slot of the purge log
     */
    public RedisCircuitBreaker(UnaryOperator<String> serverOf, String purgeKey, Clock clock) {
        this.serverIdByKey = serverOf;
        this.purgeLogKey = purgeKey;
        this.clock = clock;
        this.state = new RedisState.Unavailable(clock.instant(), ServerStatus.UNKNOWN.reason());
    }

    /** The gate of these connections, which are not started yet. */
    public static RedisCircuitBreaker of(RedisConnections connections, Clock clock) {
        var gate = new RedisCircuitBreaker(connections::serverIdOf, connections.keys().purgePosition(), clock);
        connections.onConnectFailure(reason -> gate.onServerUnavailable(SINGLE_SERVER_ID, reason));
        return gate;
    }

    /** For health and metrics. */
    public RedisState state() {
        return state;
    }

    /** A command about this key. It waits for a slow Redis, and errors with {@link TierUnavailableException} as soon as Redis is known not to serve. */
    <T> Mono<T> guard(String key, Mono<T> command) {
        return Mono.defer(() -> executeOnce(key, command))
                .retryWhen(Retry.withThrowable(errors -> errors
                        .index((tries, error) -> retryDelay(tries, error))
                        .concatMap(pause -> pause)))
                .timeout(COMMAND_TIMEOUT, Mono.error(() -> new TierUnavailableException("Redis did not respond")))
                .onErrorMap(RedisErrors::toUnavailable);
    }

    /** A command of the fleet's own records, to the server of the purge log, within five seconds. */
    public <T> Mono<T> guard(Mono<T> command) {
        return guard(purgeLogKey, command)
                .timeout(FLEET_COMMAND_TIMEOUT,
                        Mono.error(() -> new TierUnavailableException("Redis did not respond within 5 s")));
    }

    /** One try within two seconds, sent whatever is known of Redis. */
    public <T> Mono<T> executeUnguarded(Mono<T> command) {
        return command.timeout(PROBE_TIMEOUT).contextWrite(LATE_ERRORS_IGNORED).onErrorMap(RedisErrors::toUnavailable);
    }

    /** Whether commands about the purge log pass. */
    public boolean isAvailable() {
        return isServerAvailable(serverIdByKey.apply(purgeLogKey));
    }

    /** Whether commands about this key pass. */
    boolean isAvailable(String key) {
        return isServerAvailable(serverIdByKey.apply(key));
    }

    /** This replica has read the purge log to its end. */
    public void onPurgesSynced() {
        if (!isPurgeLogSynced) {
            isPurgeLogSynced = true;
            hasEverSynced = true;
            updateState();
        }
    }

    /** The server has responded to a probe. */
    void onServerAvailable(String server) {
        ServerStatus known = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        if (!known.isAvailable()) {
            servers.put(server, new ServerStatus(true, "", known.readOnlyReason()));
            updateState();
        }
    }

    /** The server is known not to serve. What waits for it fails at once. */
    void onServerUnavailable(String server, String reason) {
        ServerStatus known = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        servers.put(server, new ServerStatus(false, reason, known.readOnlyReason()));
        if (server.equals(serverIdByKey.apply(purgeLogKey))) {
            isPurgeLogSynced = false;
        }
        updateState();
        for (PendingCommand one : pendingCommands) {
            if (one.serverId().equals(server)) {
                one.sink().error(unavailableException(server));
            }
        }
    }

    /** Whether the server should be asked for a write: one was refused, and none has succeeded since. */
    boolean isWriteProbeNeeded(String server) {
        return serversWithRefusedWrites.contains(server)
                || servers.getOrDefault(server, ServerStatus.UNKNOWN).readOnlyReason().isPresent();
    }

    /** The server takes writes. */
    void onWriteSucceeded(String server) {
        serversWithRefusedWrites.remove(server);
        ServerStatus known = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        if (known.readOnlyReason().isPresent()) {
            servers.put(server, new ServerStatus(known.isAvailable(), known.reason(), Optional.empty()));
            updateState();
        }
    }

    /** The server has refused to write what it was asked to for a test. */
    void onWriteRefused(String server, String reason) {
        ServerStatus known = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        if (known.readOnlyReason().isEmpty()) {
            servers.put(server, new ServerStatus(known.isAvailable(), known.reason(), Optional.of(reason)));
            updateState();
        }
    }

    /** Forgets the servers that are no longer part of the Cluster. */
    void retainServers(Set<String> current) {
        if (servers.keySet().retainAll(current)) {
            updateState();
        }
    }

    private <T> Mono<T> executeOnce(String key, Mono<T> command) {
        String server = serverIdByKey.apply(key);
        if (!isServerAvailable(server)) {
            return Mono.error(unavailableException(server));
        }
        return Mono.<T>create(sink -> {
            var one = new PendingCommand(server, sink);
            pendingCommands.add(one);
            Disposable running = command.subscribe(sink::success, sink::error, sink::success,
                    Context.of(sink.contextView()).putAll(LATE_ERRORS_IGNORED.readOnly()));
            sink.onDispose(() -> {
                pendingCommands.remove(one);
                running.dispose();
            });
            // It may have been lost after it was looked at and before this command was registered.
            if (!isServerAvailable(server)) {
                sink.error(unavailableException(server));
            }
        }).doOnError(error -> onError(server, error));
    }

    /** What an error reply says of its server. */
    private void onError(String server, Throwable error) {
        if (error instanceof TierUnavailableException) {
            return;
        }
        switch (RedisErrors.kindOf(error)) {
            case UNAVAILABLE -> onServerUnavailable(server, RedisErrors.describe(error));
            case READ_ONLY -> serversWithRefusedWrites.add(server);
            case COMMAND_REFUSED -> logRefusedCommand(error);
            case RETRYABLE -> {
                // About the command, not about the server.
            }
        }
    }

    /** A command that Redis will never run: a bug, or rights that are missing. Not more than a line a minute. */
    private void logRefusedCommand(Throwable error) {
        long now = clock.millis();
        long last = lastRefusalLogMillis.get();
        if (now - last >= LOG_INTERVAL.toMillis() && lastRefusalLogMillis.compareAndSet(last, now)) {
            log.warn("Redis refused a command ({}): the request goes on without it", RedisErrors.describe(error));
        }
    }

    /** The pause before the next try; an error when another try would be in vain. */
    private static Mono<Long> retryDelay(long tries, Throwable error) {
        if (error instanceof TierUnavailableException || RedisErrors.kindOf(error) != RedisErrors.ErrorKind.RETRYABLE) {
            return Mono.error(error);
        }
        long most = Math.min(MAX_RETRY_DELAY.toNanos(), INITIAL_RETRY_DELAY.toNanos() << Math.min(tries, 10));
        return Mono.delay(Duration.ofNanos(ThreadLocalRandom.current().nextLong(most / 2, most)));
    }

    private boolean isServerAvailable(String server) {
        ServerStatus known = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        return known.isAvailable()
                && (isPurgeLogSynced || (hasEverSynced && !server.equals(serverIdByKey.apply(purgeLogKey))));
    }

    private TierUnavailableException unavailableException(String server) {
        ServerStatus known = servers.getOrDefault(server, ServerStatus.UNKNOWN);
        return new TierUnavailableException(
                "Redis is unavailable: " + (known.isAvailable() ? PURGE_SYNC_REASON : known.reason()));
    }

    /** The state of all servers together; one line in the log for each change. */
    private synchronized void updateState() {
        Optional<String> lost = servers.values()
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
        if (lost.isPresent() || servers.isEmpty()) {
            String reason = lost.orElse(ServerStatus.UNKNOWN.reason());
            boolean known = before instanceof RedisState.Unavailable;
            state = new RedisState.Unavailable(known ? before.since() : now, reason);
            boolean another = before instanceof RedisState.Unavailable(Instant since, String last)
                    && !last.equals(reason);
            if (!known || (another && lastLogTime.plus(LOG_INTERVAL).isBefore(now))) {
                lastLogTime = now;
                log.warn("Redis is unavailable ({}): this replica coalesces by itself until it is back", reason);
            }
        } else if (!isPurgeLogSynced) {
            // The log of purges is read first; until then the last reason stands.
            return;
        } else if (readOnly.isPresent()) {
            if (!(before instanceof RedisState.ReadOnly)) {
                state = new RedisState.ReadOnly(now, readOnly.get());
                log.warn("Redis does not write ({}): nothing is stored, and this replica coalesces by itself",
                        readOnly.get());
            }
        } else if (!(before instanceof RedisState.Available)) {
            state = new RedisState.Available(now);
            log.info("Redis serves after {} ms", Duration.between(before.since(), now).toMillis());
        }
    }
}
