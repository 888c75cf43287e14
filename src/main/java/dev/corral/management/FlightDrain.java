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
 * Lets the flights land when the process ends. The web server waits for requests, but a flight may have none: its client has
 * left, or it refreshes in the background. What does not land in time gives its lease back, so that another replica takes over
 * in one round trip instead of a lease's length.
 */
public final class FlightDrain implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(FlightDrain.class);

    private final Coalescer<?, ?> coalescer;
    private final Duration timeout;
    private final Runnable afterDrain;
    private final AtomicBoolean running = new AtomicBoolean();

    /**
     * @param patience   how long to wait for flights to land; with the default limits of an origin they do within 5 s
     * @param afterwards closes what only flights need
     */
    public FlightDrain(Coalescer<?, ?> coalescer, Duration patience, Runnable afterwards) {
        this.coalescer = coalescer;
        this.timeout = patience;
        this.afterDrain = afterwards;
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
        awaitFlights().timeout(timeout, Mono.defer(this::releaseLeases)).doFinally(end -> {
            running.set(false);
            afterDrain.run();
            done.run();
        })
                .subscribe(nothing -> {},
                        cause -> log.warn("Could not give back every lease; they lapse by themselves", cause));
    }

    private Mono<Void> awaitFlights() {
        return Flux.interval(Duration.ZERO, Duration.ofMillis(10))
                .onBackpressureDrop()
                .takeUntil(tick -> coalescer.flightCount() == 0)
                .then();
    }

    private Mono<Void> releaseLeases() {
        log.info("{} flights have not landed; others take over", coalescer.flightCount());
        return coalescer.releaseAllLeases();
    }

    @Override
    public boolean isRunning() {
        return running.get();
    }

    /** After the web server has let its requests end, before the connections to Redis go. */
    @Override
    public int getPhase() {
        return WebServerGracefulShutdownLifecycle.SMART_LIFECYCLE_PHASE - 2048;
    }
}
