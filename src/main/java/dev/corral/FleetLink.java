package dev.corral;

import dev.corral.tier.RedisConnections;
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
    private volatile boolean running;

    FleetLink(RedisConnections connections, RedisPurges purges) {
        this.connections = connections;
        this.purges = purges;
    }

    @Override
    public void start() {
        connections.start();
        purges.start();
        Flux.interval(Duration.ofMillis(10))
                .onBackpressureDrop()
                .takeUntil(tick -> purges.current())
                .take(FIRST_SYNC)
                .blockLast();
        running = true;
    }

    @Override
    public void stop() {
        running = false;
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
