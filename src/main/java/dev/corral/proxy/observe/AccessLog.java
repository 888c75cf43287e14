package dev.corral.proxy.observe;

import java.time.Duration;
import org.springframework.web.server.ServerWebExchange;

/** Writes one line per request. Called on event loops: never blocks, never throws. */
public interface AccessLog {

    /** Writes nothing and has no cost. */
    AccessLog OFF = new AccessLog() {
    };

    /** Called when a request arrives. Returns the exchange to use in place of this one. */
    default ServerWebExchange requestStarted(ServerWebExchange exchange) {
        return exchange;
    }

    /**
     * Called when the response has ended.
     *
     * @param exchange as {@link #requestStarted} returned it
     * @param route    the route's id; {@code none} if no route matched
     * @param time     from the arrival of the request to the end of the response
     */
    default void requestCompleted(ServerWebExchange exchange, String route, ProxyMetrics.RequestOutcome outcome,
            Duration time) {}
}
