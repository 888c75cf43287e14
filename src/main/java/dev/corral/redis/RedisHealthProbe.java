package dev.corral.redis;

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
 * Determines whether Redis is available: five times a second it reads a small key from each server, on a separate connection,
 * and reports the result to the {@link RedisCircuitBreaker}. The probes are sent by a scheduler, and their replies arrive on
 * the event loop of the connection. Thread-safe.
 *
 * <p>A server is unavailable when its connection was lost and cannot be established again, when it responds with an error that
 * says so, or when it has not responded for a second, as measured by {@link SilenceDetector}. A server that has refused a write
 * also gets write probes.
 */
public final class RedisHealthProbe implements AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(RedisHealthProbe.class);

    private static final Duration PROBE_INTERVAL = Duration.ofMillis(200);

    // The maximum number of probes sent to a silent server: three seconds of probes.
    private static final int MAX_UNANSWERED_PROBES = 15;

    // The key of a write probe expires by itself.
    private static final Duration WRITE_PROBE_TTL = Duration.ofSeconds(1);

    private static final RedisCodec<String, byte[]> CODEC = RedisCodec.of(StringCodec.UTF8, ByteArrayCodec.INSTANCE);

    private final RedisConnections connections;
    private final RedisCircuitBreaker circuitBreaker;
    private final Scheduler scheduler;
    private final Map<String, ServerProbe> serverProbes = new ConcurrentHashMap<>();
    private final Disposable.Composite subscriptions = Disposables.composite();

    /** Does not probe yet. */
    public RedisHealthProbe(RedisConnections connections, RedisCircuitBreaker circuitBreaker, Scheduler scheduler) {
        this.connections = connections;
        this.circuitBreaker = circuitBreaker;
        this.scheduler = scheduler;
    }

    /** Starts the probes. Must be called before the connections are started. */
    public void start() {
        subscriptions.add(Flux.interval(Duration.ZERO, PROBE_INTERVAL, scheduler)
                .onBackpressureDrop()
                .subscribe(tick -> probeServers(), e -> log.error("Redis health probes stopped", e)));
        subscriptions.add(connections.clientEvents()
                .ofType(ReconnectFailedEvent.class)
                .subscribe(this::onReconnectFailed,
                        e -> log.error("Redis reconnect monitoring stopped", e)));
    }

    @Override
    public void close() {
        subscriptions.dispose();
    }

    private void probeServers() {
        try {
            Map<String, RedisConnections.ProbeTarget> targets = connections.probeTargets();
            serverProbes.keySet().retainAll(targets.keySet());
            if (!targets.isEmpty()) {
                circuitBreaker.retainServers(targets.keySet());
            }
            targets.forEach((id, target) -> serverProbes.computeIfAbsent(id, ServerProbe::new).probe(target));
        } catch (RuntimeException e) {
            // The next tick tries again; the probes must not stop.
            log.debug("Cannot send a Redis health probe", e);
        }
    }

    /** Detects a failed reconnection at once, without waiting for a second of silence. */
    private void onReconnectFailed(ReconnectFailedEvent event) {
        String reason = RedisErrors.describe(event.getCause());
        connections.probeTargets().forEach((id, target) -> {
            if (!target.isConnected() && target.hasAddress(event.remoteAddress())) {
                circuitBreaker.onServerUnavailable(id, reason);
            }
        });
    }

    /**
     * The probes of one server. Its detector is used by the connection's event loop, and by the scheduler while there is no
     * connection.
     */
    private final class ServerProbe {

        private final String serverId;
        private final SilenceDetector silenceDetector = new SilenceDetector(); // guarded by this

        ServerProbe(String serverId) {
            this.serverId = serverId;
        }

        void probe(RedisConnections.ProbeTarget target) {
            // The connection is shared by all ticks: cancelling a subscription does not close it.
            Mono.fromCompletionStage(target.connection())
                    .subscribe(connection -> sendProbe(connection, target),
                            failed -> onNotConnected(Optional.of(failed)));
        }

        private void sendProbe(StatefulRedisConnection<String, byte[]> connection,
                RedisConnections.ProbeTarget target) {
            if (!connection.isOpen()) {
                onNotConnected(Optional.empty());
                return;
            }
            synchronized (this) {
                if (silenceDetector.unansweredProbes() >= MAX_UNANSWERED_PROBES) {
                    return;
                }
            }
            var read = new ProbeCommand(target.readKey());
            connection.dispatch(read);
            Mono.fromCompletionStage(read).subscribe(value -> {}, this::onProbeFailed, this::onReply);
            if (circuitBreaker.isWriteProbeNeeded(serverId)) {
                Mono.fromCompletionStage(connection.async()
                        .set(target.writeKey(), new byte[0], SetArgs.Builder.px(WRITE_PROBE_TTL.toMillis())))
                        .subscribe(done -> circuitBreaker.onWriteSucceeded(serverId), this::onWriteFailed);
            }
        }

        private void onWriteFailed(Throwable error) {
            if (RedisErrors.kindOf(error) == RedisErrors.ErrorKind.READ_ONLY) {
                circuitBreaker.onWriteRefused(serverId, RedisErrors.describe(error));
                connections.onWriteRefused(error);
            }
        }

        private void onProbeWritten() {
            boolean silent;
            synchronized (this) {
                silenceDetector.onProbeWritten(System.nanoTime());
                silent = silenceDetector.isSilent();
            }
            if (silent) {
                reportSilence();
                connections.onServerSilent(serverId);
            }
        }

        private void onReply() {
            synchronized (this) {
                silenceDetector.onReply();
            }
            circuitBreaker.onServerAvailable(serverId);
        }

        private void onProbeFailed(Throwable error) {
            Throwable cause = error instanceof CompletionException && error.getCause() != null
                    ? error.getCause()
                    : error;
            if (!(cause instanceof RedisCommandExecutionException)) {
                synchronized (this) {
                    silenceDetector.onDisconnect();
                }
            } else if (RedisErrors.kindOf(cause) == RedisErrors.ErrorKind.RETRYABLE) {
                // A busy server has responded.
                onReply();
            } else {
                synchronized (this) {
                    silenceDetector.onReply();
                }
                circuitBreaker.onServerUnavailable(serverId, RedisErrors.describe(cause));
            }
        }

        private void onNotConnected(Optional<Throwable> cause) {
            boolean silent;
            synchronized (this) {
                silenceDetector.onNotConnected(System.nanoTime());
                silent = silenceDetector.isSilent();
            }
            if (cause.isPresent()) {
                circuitBreaker.onServerUnavailable(serverId, RedisErrors.describe(cause.get()));
            } else if (silent) {
                reportSilence();
            }
        }

        private void reportSilence() {
            circuitBreaker.onServerUnavailable(serverId, "no response for a second");
        }

        /** Records when the probe is written to the socket: the time in the queues of this process does not count. */
        private final class ProbeCommand extends AsyncCommand<String, byte[], byte[]> {

            ProbeCommand(String key) {
                super(new Command<>(CommandType.GET, new ValueOutput<>(CODEC), new CommandArgs<>(CODEC).addKey(key)));
            }

            @Override
            public void encode(ByteBuf buffer) {
                onProbeWritten();
                super.encode(buffer);
            }
        }
    }
}
