package dev.corral.management;

import dev.corral.coalesce.Coalescer;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.web.context.WebServerGracefulShutdownLifecycle;
import org.springframework.context.SmartLifecycle;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * Waits for the current flights when the process stops. The web server waits only for requests, but a flight may have none: its
 * client has disconnected, or it is a background revalidation. A flight that does not complete in time releases its lease, so that
 * another replica takes over within one round trip instead of after the lease's expiry.
 */
public final class FlightDrain implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(FlightDrain.class);

    private final Coalescer<?, ?> coalescer;
    private final Duration timeout;
    private final Runnable afterDrain;
    private final AtomicBoolean running = new AtomicBoolean();

    /**
     * @param timeout    how long to wait for flights; with the default origin timeout they complete within 5 s
     * @param afterDrain closes the resources that only flights use
     */
    public FlightDrain(Coalescer<?, ?> coalescer, Duration timeout, Runnable afterDrain) {
        this.coalescer = coalescer;
        this.timeout = timeout;
        this.afterDrain = afterDrain;
    }

    @Override
    public void start() {
        running.set(true);
    }

    @Override
    public void stop() {
        running.set(false);
    }

    @Override
    public void stop(Runnable done) {
        awaitFlights().timeout(timeout, Mono.defer(this::releaseLeases)).doFinally(signal -> {
            running.set(false);
            afterDrain.run();
            done.run();
        })
                .subscribe(ignored -> {},
                        cause -> log.warn("Could not release all leases; they expire by themselves", cause));
    }

    private Mono<Void> awaitFlights() {
        return Flux.interval(Duration.ZERO, Duration.ofMillis(10))
                .onBackpressureDrop()
                .takeUntil(tick -> coalescer.flightCount() == 0)
                .then();
    }

    private Mono<Void> releaseLeases() {
        log.info("{} flights did not complete in time; other replicas take over", coalescer.flightCount());
        return coalescer.releaseAllLeases();
    }

    @Override
    public boolean isRunning() {
        return running.get();
    }

    /** Stops after the web server's graceful shutdown and before the connections to Redis are closed. */
    @Override
    public int getPhase() {
        return WebServerGracefulShutdownLifecycle.SMART_LIFECYCLE_PHASE - 2048;
    }
}
