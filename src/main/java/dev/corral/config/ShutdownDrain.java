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
 * Delays the shutdown of a replica that has been ready, while it continues to serve. Readiness is already off, so load balancers
 * stop sending requests, and each response closes its connection ({@link OpenConnections}).
 *
 * <p>A listener and not a lifecycle phase, because Spring closes the management context on this event: in a phase, the
 * readiness probe would find no server rather than 503. As the first listener it runs while everything is up.
 */
final class ShutdownDrain implements ApplicationListener<ApplicationEvent>, Ordered {

    private static final Logger log = LoggerFactory.getLogger(ShutdownDrain.class);

    /** How long an idle client may take to close its side: one round trip, including one retransmission. */
    private static final Duration IDLE_CLOSE_TIMEOUT = Duration.ofSeconds(1);

    private final ApplicationContext context;
    private final OpenConnections connections;
    private final Duration drainDuration;
    private volatile boolean wasReady;

    /**
     * @param context       the context of the data port; events of the management context arrive here too
     * @param drainDuration how long to continue serving; zero stops at once
     */
    ShutdownDrain(ApplicationContext context, OpenConnections connections, Duration drainDuration) {
        this.context = context;
        this.connections = connections;
        this.drainDuration = drainDuration;
    }

    @Override
    public void onApplicationEvent(ApplicationEvent event) {
        if (event instanceof AvailabilityChangeEvent<?> change
                && change.getState() == ReadinessState.ACCEPTING_TRAFFIC) {
            wasReady = true;
        } else if (event instanceof ContextClosedEvent closed && closed.getApplicationContext().equals(context)) {
            connections.startDraining();
            // A replica that was never ready has no traffic.
            if (wasReady && drainDuration.isPositive()) {
                drain();
            }
        }
    }

    private void drain() {
        log.info("Shutting down: no longer ready, serving for another {} ms with Connection: close",
                drainDuration.toMillis());
        try {
            Thread.sleep(drainDuration);
            connections.closeIdle(IDLE_CLOSE_TIMEOUT).block(IDLE_CLOSE_TIMEOUT.multipliedBy(2));
        } catch (InterruptedException ignored) {
            // Ends the drain only. If the interrupt flag were set again, later phases would not wait for requests.
            log.info("The drain was interrupted");
        } catch (RuntimeException e) {
            log.warn("Idle connections were not closed in time; the server closes them when it stops", e);
        }
    }

    /** Before the listener that closes the management context. */
    @Override
    public int getOrder() {
        return HIGHEST_PRECEDENCE;
    }
}
