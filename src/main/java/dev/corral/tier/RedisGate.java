package dev.corral.tier;

import dev.corral.coalesce.TierUnavailable;
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
 * the server is <em>known</em> not to serve. That is judged by {@link RedisProbes} on connections of their own, for each server of
 * a Cluster by itself. Then, and only then, every command to that server fails with {@link TierUnavailable}, those in flight at
 * once.
 *
 * <p>A server that is back serves again when the log of purges has been read to its end ({@link #recovered()}): no entry is trusted
 * before it is known what has been purged. In a Cluster this holds for the server of the purge log; the others are not judged by
 * it once the log has been read.
 *
 * <p>A server that refuses to write is {@link State.ReadOnly}. Commands are still sent to it: it refuses at once, and the first
 * write that succeeds ends the state.
 */
public final class RedisGate {

    /** Whether Redis serves, and since when. Of the servers of a Cluster the one in the worst state counts. */
    public sealed interface State {

        /** When it became so. */
        Instant since();

        /** Redis serves. */
        record Available(Instant since) implements State {}

        /** Redis reads but does not write: nothing is stored, and each replica coalesces by itself. */
        record ReadOnly(Instant since, String reason) implements State {}

        /** Redis does not serve: each replica coalesces by itself. */
        record Unavailable(Instant since, String reason) implements State {}
    }

    /**
     * What is known of one server.
     *
     * @param serves   whether its probes are answered
     * @param reason   why not; empty when it serves
     * @param readOnly why it refuses writes; empty when it takes them
     */
    private record Server(boolean serves, String reason, Optional<String> readOnly) {

        static final Server UNKNOWN = new Server(false, "not connected yet", Optional.empty());
    }

    /** A command in flight. */
    private record Waiting(String server, MonoSink<?> sink) {}

    private static final Logger log = LoggerFactory.getLogger(RedisGate.class);

    /** The only server where Redis is not a Cluster. */
    static final String SINGLE = "";

    // From well below a reconnection (20 ms at least) to a pause that 30 flights a second may take without being felt by Redis.
    private static final Duration FIRST_PAUSE = Duration.ofMillis(20);
    private static final Duration LONGEST_PAUSE = Duration.ofMillis(200);

    // One try while Redis is not known to serve; the next look is the retry.
    private static final Duration PROBE_LIMIT = Duration.ofSeconds(2);

    // Longer than a Redis that is about to be known not to serve, and shorter than a caller of the management port waits.
    private static final Duration RECORDS_LIMIT = Duration.ofSeconds(5);

    // The last resort for a command whose caller has no bound of its own: longer than any flight's patience.
    private static final Duration LAST_RESORT = Duration.ofMinutes(2);

    // A reason that changes while Redis stays unavailable is worth a line, but not one a second.
    private static final Duration A_LINE = Duration.ofMinutes(1);

    private static final String READING = "its purges are being read";

    // Reactor's name for the receiver of an error that comes when nobody waits any more: that of a command which was given up.
    private static final Context LATE = Context.of("reactor.onErrorDropped.local", (Consumer<Throwable>) late -> {});

    private final UnaryOperator<String> serverOf;
    private final String purgeKey;
    private final Clock clock;
    private final Map<String, Server> servers = new ConcurrentHashMap<>();
    private final Set<Waiting> waiting = ConcurrentHashMap.newKeySet();
    private final Set<String> doubted = ConcurrentHashMap.newKeySet();
    private final AtomicLong lastRefusal = new AtomicLong();
    private volatile boolean inStep;
    private volatile boolean everInStep;
    private volatile State state; // written under this
    private Instant lastLine = Instant.EPOCH; // guarded by this

    /**
     * @param serverOf the id of the server that has a key; {@link #SINGLE} where Redis is not a Cluster
     * @param purgeKey a key in the slot of the purge log
     */
    public RedisGate(UnaryOperator<String> serverOf, String purgeKey, Clock clock) {
        this.serverOf = serverOf;
        this.purgeKey = purgeKey;
        this.clock = clock;
        this.state = new State.Unavailable(clock.instant(), Server.UNKNOWN.reason());
    }

    /** The gate of these connections, which are not started yet. */
    public static RedisGate of(RedisConnections connections, Clock clock) {
        var gate = new RedisGate(connections::server, connections.keys().purgePosition(), clock);
        connections.onFailure(reason -> gate.doesNotServe(SINGLE, reason));
        return gate;
    }

    /** For health and metrics. */
    public State state() {
        return state;
    }

    /** A command about this key. It waits for a slow Redis, and errors with {@link TierUnavailable} as soon as Redis is known not to serve. */
    <T> Mono<T> guard(String key, Mono<T> command) {
        return Mono.defer(() -> once(key, command))
                .retryWhen(Retry.withThrowable(errors -> errors
                        .index((tries, error) -> pauseBefore(tries, error))
                        .concatMap(pause -> pause)))
                .timeout(LAST_RESORT, Mono.error(() -> new TierUnavailable("Redis did not respond")))
                .onErrorMap(RedisErrors::unavailable);
    }

    /** A command of the fleet's own records, to the server of the purge log, within five seconds. */
    <T> Mono<T> guard(Mono<T> command) {
        return guard(purgeKey, command)
                .timeout(RECORDS_LIMIT, Mono.error(() -> new TierUnavailable("Redis did not respond within 5 s")));
    }

    /** One try within two seconds, sent whatever is known of Redis. */
    <T> Mono<T> probe(Mono<T> command) {
        return command.timeout(PROBE_LIMIT).contextWrite(LATE).onErrorMap(RedisErrors::unavailable);
    }

    /** Whether commands about the purge log pass. */
    public boolean open() {
        return serves(serverOf.apply(purgeKey));
    }

    /** Whether commands about this key pass. */
    boolean open(String key) {
        return serves(serverOf.apply(key));
    }

    /** This replica has read the purge log to its end. */
    void recovered() {
        if (!inStep) {
            inStep = true;
            everInStep = true;
            judge();
        }
    }

    /** The server has responded to a probe. */
    void responds(String server) {
        Server known = servers.getOrDefault(server, Server.UNKNOWN);
        if (!known.serves()) {
            servers.put(server, new Server(true, "", known.readOnly()));
            judge();
        }
    }

    /** The server is known not to serve. What waits for it fails at once. */
    void doesNotServe(String server, String reason) {
        Server known = servers.getOrDefault(server, Server.UNKNOWN);
        servers.put(server, new Server(false, reason, known.readOnly()));
        if (server.equals(serverOf.apply(purgeKey))) {
            inStep = false;
        }
        judge();
        for (Waiting one : waiting) {
            if (one.server().equals(server)) {
                one.sink().error(unavailable(server));
            }
        }
    }

    /** Whether the server should be asked for a write: one was refused, and none has succeeded since. */
    boolean doubtsWrites(String server) {
        return doubted.contains(server) || servers.getOrDefault(server, Server.UNKNOWN).readOnly().isPresent();
    }

    /** The server takes writes. */
    void writes(String server) {
        doubted.remove(server);
        Server known = servers.getOrDefault(server, Server.UNKNOWN);
        if (known.readOnly().isPresent()) {
            servers.put(server, new Server(known.serves(), known.reason(), Optional.empty()));
            judge();
        }
    }

    /** The server has refused to write what it was asked to for a test. */
    void refusesWrites(String server, String reason) {
        Server known = servers.getOrDefault(server, Server.UNKNOWN);
        if (known.readOnly().isEmpty()) {
            servers.put(server, new Server(known.serves(), known.reason(), Optional.of(reason)));
            judge();
        }
    }

    /** Forgets the servers that are no longer part of the Cluster. */
    void keep(Set<String> current) {
        if (servers.keySet().retainAll(current)) {
            judge();
        }
    }

    private <T> Mono<T> once(String key, Mono<T> command) {
        String server = serverOf.apply(key);
        if (!serves(server)) {
            return Mono.error(unavailable(server));
        }
        return Mono.<T>create(sink -> {
            var one = new Waiting(server, sink);
            waiting.add(one);
            Disposable running = command.subscribe(sink::success, sink::error, sink::success,
                    Context.of(sink.contextView()).putAll(LATE.readOnly()));
            sink.onDispose(() -> {
                waiting.remove(one);
                running.dispose();
            });
            // It may have been lost after it was looked at and before this command was registered.
            if (!serves(server)) {
                sink.error(unavailable(server));
            }
        }).doOnError(error -> noticed(server, error));
    }

    /** What an error reply says of its server. */
    private void noticed(String server, Throwable error) {
        if (error instanceof TierUnavailable) {
            return;
        }
        switch (RedisErrors.meaning(error)) {
            case NOT_SERVING -> doesNotServe(server, RedisErrors.reason(error));
            case READ_ONLY -> doubted.add(server);
            case REFUSED -> refused(error);
            case TRY_AGAIN -> {
                // About the command, not about the server.
            }
        }
    }

    /** A command that Redis will never run: a bug, or rights that are missing. Not more than a line a minute. */
    private void refused(Throwable error) {
        long now = clock.millis();
        long last = lastRefusal.get();
        if (now - last >= A_LINE.toMillis() && lastRefusal.compareAndSet(last, now)) {
            log.warn("Redis refused a command ({}): the request goes on without it", RedisErrors.reason(error));
        }
    }

    /** The pause before the next try; an error when another try would be in vain. */
    private static Mono<Long> pauseBefore(long tries, Throwable error) {
        if (error instanceof TierUnavailable || RedisErrors.meaning(error) != RedisErrors.Meaning.TRY_AGAIN) {
            return Mono.error(error);
        }
        long most = Math.min(LONGEST_PAUSE.toNanos(), FIRST_PAUSE.toNanos() << Math.min(tries, 10));
        return Mono.delay(Duration.ofNanos(ThreadLocalRandom.current().nextLong(most / 2, most)));
    }

    private boolean serves(String server) {
        Server known = servers.getOrDefault(server, Server.UNKNOWN);
        return known.serves() && (inStep || (everInStep && !server.equals(serverOf.apply(purgeKey))));
    }

    private TierUnavailable unavailable(String server) {
        Server known = servers.getOrDefault(server, Server.UNKNOWN);
        return new TierUnavailable("Redis is unavailable: " + (known.serves() ? READING : known.reason()));
    }

    /** The state of all servers together; one line in the log for each change. */
    private synchronized void judge() {
        Optional<String> lost = servers.values()
                .stream()
                .filter(server -> !server.serves())
                .map(Server::reason)
                .min(Comparator.naturalOrder());
        Optional<String> readOnly = servers.values()
                .stream()
                .flatMap(server -> server.readOnly().stream())
                .min(Comparator.naturalOrder());
        State before = state;
        Instant now = clock.instant();
        if (lost.isPresent() || servers.isEmpty()) {
            String reason = lost.orElse(Server.UNKNOWN.reason());
            boolean known = before instanceof State.Unavailable;
            state = new State.Unavailable(known ? before.since() : now, reason);
            boolean another = before instanceof State.Unavailable(Instant since, String last) && !last.equals(reason);
            if (!known || (another && lastLine.plus(A_LINE).isBefore(now))) {
                lastLine = now;
                log.warn("Redis is unavailable ({}): this replica coalesces by itself until it is back", reason);
            }
        } else if (!inStep) {
            // The log of purges is read first; until then the last reason stands.
            return;
        } else if (readOnly.isPresent()) {
            if (!(before instanceof State.ReadOnly)) {
                state = new State.ReadOnly(now, readOnly.get());
                log.warn("Redis does not write ({}): nothing is stored, and this replica coalesces by itself",
                        readOnly.get());
            }
        } else if (!(before instanceof State.Available)) {
            state = new State.Available(now);
            log.info("Redis serves after {} ms", Duration.between(before.since(), now).toMillis());
        }
    }
}
