package dev.corral.config;

import dev.corral.redis.RedisCircuitBreaker;
import dev.corral.redis.RedisConnections;
import dev.corral.redis.RedisHealthProbe;
import dev.corral.redis.purge.RedisPurgeRegistry;
import java.time.Duration;
import org.springframework.context.SmartLifecycle;
import reactor.core.publisher.Flux;

/**
 * Starts and stops this replica's connections to Redis. Starts before the web server accepts requests, so that no entry is served
 * before the purges are known. Stops after the last flight has completed, and before Spring closes its connections.
 */
public final class RedisLifecycle implements SmartLifecycle {

    /** How long the start waits for Redis. After that the replica serves without it. */
    private static final Duration STARTUP_SYNC_TIMEOUT = Duration.ofSeconds(3);

    private final RedisConnections connections;
    private final RedisPurgeRegistry purgeRegistry;
    private final RedisHealthProbe healthProbe;
    private final RedisCircuitBreaker circuitBreaker;
    private volatile boolean running;

    RedisLifecycle(RedisConnections connections, RedisPurgeRegistry purgeRegistry, RedisHealthProbe healthProbe,
            RedisCircuitBreaker circuitBreaker) {
        this.connections = connections;
        this.purgeRegistry = purgeRegistry;
        this.healthProbe = healthProbe;
        this.circuitBreaker = circuitBreaker;
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

    /** After Spring's connection factory (0), before the web server and the beans that need the fleet. */
    @Override
    public int getPhase() {
        return 1_000;
    }
}
