package dev.corral;

import dev.corral.tier.RedisConnections;
import dev.corral.tier.RedisGate;
import dev.corral.tier.RedisProbes;
import dev.corral.tier.RedisPurges;
import java.time.Duration;
import org.springframework.context.SmartLifecycle;
import reactor.core.publisher.Flux;

/**
 * This replica's link to the fleet. Comes up before the web server takes its first request, so that nothing is served before it
 * is known what has been purged; goes down after the last flight has landed, and before Spring closes its own connections.
 */
final class FleetLink implements SmartLifecycle {

    /** How long a start waits for Redis before this replica serves without it. */
    private static final Duration FIRST_SYNC = Duration.ofSeconds(3);

    private final RedisConnections connections;
    private final RedisPurges purges;
    private final RedisProbes probes;
    private final RedisGate gate;
    private volatile boolean running;

    FleetLink(RedisConnections connections, RedisPurges purges, RedisProbes probes, RedisGate gate) {
        this.connections = connections;
        this.purges = purges;
        this.probes = probes;
        this.gate = gate;
    }

    @Override
    public void start() {
        probes.start();
        connections.start();
        purges.start();
        Flux.interval(Duration.ofMillis(10))
                .onBackpressureDrop()
                .takeUntil(tick -> purges.current() && gate.open())
                .take(FIRST_SYNC)
                .blockLast();
        running = true;
    }

    @Override
    public void stop() {
        running = false;
        probes.close();
        purges.close();
        connections.close();
    }

    @Override
    public boolean isRunning() {
        return running;
    }

    /** After Spring's connection factory (0) and before the web server and whatever needs a fleet. */
    @Override
    public int getPhase() {
        return 1_000;
    }
}
