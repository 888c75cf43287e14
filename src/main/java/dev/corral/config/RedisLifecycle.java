package dev.corral.config;

import dev.corral.redis.RedisCircuitBreaker;
import dev.corral.redis.RedisConnections;
import dev.corral.redis.RedisHealthProbe;
import dev.corral.redis.purge.RedisPurgeRegistry;
import java.time.Duration;
import org.springframework.context.SmartLifecycle;
import reactor.core.publisher.Flux;

/**
 * This replica's link to the fleet. Comes up before the web server takes its first request, so that nothing is served before it
 * is known what has been purged; goes down after the last flight has landed, and before Spring closes its own connections.
 */
public final class RedisLifecycle implements SmartLifecycle {

    /** How long a start waits for Redis before this replica serves without it. */
    private static final Duration STARTUP_SYNC_TIMEOUT = Duration.ofSeconds(3);

    private final RedisConnections connections;
    private final RedisPurgeRegistry purgeRegistry;
    private final RedisHealthProbe healthProbe;
    private final RedisCircuitBreaker circuitBreaker;
    private volatile boolean running;

    RedisLifecycle(RedisConnections connections, RedisPurgeRegistry purges, RedisHealthProbe probes,
            RedisCircuitBreaker gate) {
        this.connections = connections;
        this.purgeRegistry = purges;
        this.healthProbe = probes;
        this.circuitBreaker = gate;
    }

    @Override
    public void start() {
        healthProbe.start();
        connections.start();
        purgeRegistry.start();
        Flux.interval(Duration.ofMillis(10))
                .onBackpressureDrop()
                .takeUntil(tick -> purgeRegistry.isUpToDate() && circuitBreaker.isAvailable())
                .take(STARTUP_SYNC_TIMEOUT)
                .blockLast();
        running = true;
    }

    @Override
    public void stop() {
        running = false;
        healthProbe.close();
        purgeRegistry.close();
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
