package dev.corral.tier;

import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.SetArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.codec.RedisCodec;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.event.connection.ReconnectFailedEvent;
import io.lettuce.core.output.ValueOutput;
import io.lettuce.core.protocol.AsyncCommand;
import io.lettuce.core.protocol.Command;
import io.lettuce.core.protocol.CommandArgs;
import io.lettuce.core.protocol.CommandType;
import io.netty.buffer.ByteBuf;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/**
 * Finds out whether Redis serves: five times a second it reads a small key from each server, on a connection of its own, and tells
 * the {@link RedisGate}. Thread-safe.
 *
 * <p>A server does not serve when its connection was lost and cannot be made again, when it responds with an error that says so,
 * or when it has been silent for a second by {@link ProbeJudge}. A server that has refused a write is asked to write as well.
 */
public final class RedisProbes implements AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(RedisProbes.class);

    private static final Duration INTERVAL = Duration.ofMillis(200);

    // A silent server is not sent more than this: three seconds of probes.
    private static final int MOST_UNANSWERED = 15;

    // What is written for a test lapses by itself.
    private static final Duration WRITE_LIFE = Duration.ofSeconds(1);

    private static final RedisCodec<String, byte[]> CODEC = RedisCodec.of(StringCodec.UTF8, ByteArrayCodec.INSTANCE);

    private final RedisConnections connections;
    private final RedisGate gate;
    private final Scheduler scheduler;
    private final Map<String, Probed> servers = new ConcurrentHashMap<>();
    private final Disposable.Composite running = Disposables.composite();

    /** Probes nothing yet. */
    public RedisProbes(RedisConnections connections, RedisGate gate, Scheduler scheduler) {
        this.connections = connections;
        this.gate = gate;
        this.scheduler = scheduler;
    }

    /** Probes from now on; to be called before the connections are started. */
    public void start() {
        running.add(Flux.interval(Duration.ZERO, INTERVAL, scheduler)
                .onBackpressureDrop()
                .subscribe(tick -> probe(), broken -> log.error("Redis is no longer probed", broken)));
        running.add(connections.events()
                .ofType(ReconnectFailedEvent.class)
                .subscribe(this::reconnectFailed,
                        broken -> log.error("Lost connections are no longer noticed", broken)));
    }

    @Override
    public void close() {
        running.dispose();
    }

    private void probe() {
        try {
            Map<String, RedisConnections.Target> targets = connections.targets();
            servers.keySet().retainAll(targets.keySet());
            if (!targets.isEmpty()) {
                gate.keep(targets.keySet());
            }
            targets.forEach((id, target) -> servers.computeIfAbsent(id, Probed::new).probe(target));
        } catch (RuntimeException e) {
            // The next tick tries again; the probes must not end.
            log.debug("A probe could not be sent", e);
        }
    }

    /** Known at once, without waiting for the silence of a second. */
    private void reconnectFailed(ReconnectFailedEvent event) {
        String reason = RedisErrors.reason(event.getCause());
        connections.targets().forEach((id, target) -> {
            if (!target.connected() && target.isAt(event.remoteAddress())) {
                gate.doesNotServe(id, reason);
            }
        });
    }

    /** One server. Its counts are touched by its connection's event loop, and by the scheduler while there is no connection. */
    private final class Probed {

        private final String id;
        private final ProbeJudge judge = new ProbeJudge(); // guarded by this

        Probed(String id) {
            this.id = id;
        }

        void probe(RedisConnections.Target target) {
            // Not cancelled with a subscription: the connection is shared by all ticks.
            Mono.fromCompletionStage(target.connection())
                    .subscribe(connection -> send(connection, target),
                            failed -> notConnected(Optional.of(failed)));
        }

        private void send(StatefulRedisConnection<String, byte[]> connection, RedisConnections.Target target) {
            if (!connection.isOpen()) {
                notConnected(Optional.empty());
                return;
            }
            synchronized (this) {
                if (judge.unanswered() >= MOST_UNANSWERED) {
                    return;
                }
            }
            var read = new Probe(target.key());
            connection.dispatch(read);
            Mono.fromCompletionStage(read).subscribe(value -> {}, this::failed, this::replied);
            if (gate.doubtsWrites(id)) {
                Mono.fromCompletionStage(connection.async()
                        .set(target.writeKey(), new byte[0], SetArgs.Builder.px(WRITE_LIFE.toMillis())))
                        .subscribe(done -> gate.writes(id), this::writeFailed);
            }
        }

        private void writeFailed(Throwable error) {
            if (RedisErrors.meaning(error) == RedisErrors.Meaning.READ_ONLY) {
                gate.refusesWrites(id, RedisErrors.reason(error));
                connections.writeRefused(error);
            }
        }

        private void written() {
            boolean silent;
            synchronized (this) {
                judge.written(System.nanoTime());
                silent = judge.silent();
            }
            if (silent) {
                silent();
                connections.silent(id);
            }
        }

        private void replied() {
            synchronized (this) {
                judge.replied();
            }
            gate.responds(id);
        }

        private void failed(Throwable error) {
            Throwable cause = error instanceof CompletionException && error.getCause() != null
                    ? error.getCause()
                    : error;
            if (!(cause instanceof RedisCommandExecutionException)) {
                synchronized (this) {
                    judge.disconnected();
                }
            } else if (RedisErrors.meaning(cause) == RedisErrors.Meaning.TRY_AGAIN) {
                // Busy is a response.
                replied();
            } else {
                synchronized (this) {
                    judge.replied();
                }
                gate.doesNotServe(id, RedisErrors.reason(cause));
            }
        }

        private void notConnected(Optional<Throwable> cause) {
            boolean silent;
            synchronized (this) {
                judge.notConnected(System.nanoTime());
                silent = judge.silent();
            }
            if (cause.isPresent()) {
                gate.doesNotServe(id, RedisErrors.reason(cause.get()));
            } else if (silent) {
                silent();
            }
        }

        private void silent() {
            gate.doesNotServe(id, "no response for a second");
        }

        /** Notes when it is written to the socket: the time in this process' queues does not count. */
        private final class Probe extends AsyncCommand<String, byte[], byte[]> {

            Probe(String key) {
                super(new Command<>(CommandType.GET, new ValueOutput<>(CODEC), new CommandArgs<>(CODEC).addKey(key)));
            }

            @Override
            public void encode(ByteBuf buffer) {
                written();
                super.encode(buffer);
            }
        }
    }
}
