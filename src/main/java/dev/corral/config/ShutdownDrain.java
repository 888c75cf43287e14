package dev.corral.config;

import dev.corral.proxy.netty.OpenConnections;
import java.time.Duration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.availability.AvailabilityChangeEvent;
import org.springframework.boot.availability.ReadinessState;
import org.springframework.context.ApplicationContext;
import org.springframework.context.ApplicationEvent;
import org.springframework.context.ApplicationListener;
import org.springframework.context.event.ContextClosedEvent;
import org.springframework.core.Ordered;

/**
 * Delays the shutdown of a replica that has been ready, while it goes on serving. Readiness is already off, so load balancers
 * stop sending requests, and each response closes its connection ({@link OpenConnections}).
 *
 * <p>A listener and not a lifecycle phase, because Spring closes the management context on this event: in a phase, the
 * readiness probe would find no server rather than 503. As the first listener it runs while everything is up.
 */
final class ShutdownDrain implements ApplicationListener<ApplicationEvent>, Ordered {

    private static final Logger log = LoggerFactory.getLogger(ShutdownDrain.class);

    /** How long a client that was idle may take to close its side: a round trip, with one lost packet sent again. */
    private static final Duration IDLE_CLOSE_TIMEOUT = Duration.ofSeconds(1);

    private final ApplicationContext context;
    private final OpenConnections connections;
    private final Duration drainDuration;
    private volatile boolean wasReady;

    /**
     * @param context the context of the clients' port: the management context's events arrive here too
     * @param time    how long to go on serving; zero: not at all
     */
    ShutdownDrain(ApplicationContext context, OpenConnections connections, Duration time) {
        this.context = context;
        this.connections = connections;
        this.drainDuration = time;
    }

    @Override
    public void onApplicationEvent(ApplicationEvent event) {
        if (event instanceof AvailabilityChangeEvent<?> change
                && change.getState() == ReadinessState.ACCEPTING_TRAFFIC) {
            wasReady = true;
        } else if (event instanceof ContextClosedEvent closed && closed.getApplicationContext().equals(context)) {
            connections.startDraining();
            // A replica that never was ready has no traffic to lose.
            if (wasReady && drainDuration.isPositive()) {
                drain();
            }
        }
    }

    private void drain() {
        log.info("Shutting down: not ready any more, serving on for {} ms with Connection: close",
                drainDuration.toMillis());
        try {
            Thread.sleep(drainDuration);
            connections.closeIdle(IDLE_CLOSE_TIMEOUT).block(IDLE_CLOSE_TIMEOUT.multipliedBy(2));
        } catch (InterruptedException impatient) {
            // Ends the drain and nothing else: with the flag set again, the phases after it would not wait for requests.
            log.info("The drain was interrupted");
        } catch (RuntimeException stuck) {
            log.warn("Idle connections were not closed in time; the server closes them as it stops", stuck);
        }
    }

    /** Before the listener that closes the management context. */
    @Override
    public int getOrder() {
        return HIGHEST_PRECEDENCE;
    }
}
