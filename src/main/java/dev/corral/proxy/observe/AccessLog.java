package dev.corral.proxy.observe;

import java.time.Duration;
import org.springframework.web.server.ServerWebExchange;

/** A line for each request. Called on event loops: never blocks, never throws. */
public interface AccessLog {

    /** Writes nothing and costs nothing. */
    AccessLog OFF = new AccessLog() {
    };

    /** A request has come; what is returned is to be answered in its place. */
    default ServerWebExchange requestStarted(ServerWebExchange exchange) {
        return exchange;
    }

    /**
     * Its answer has ended.
     *
     * @param exchange as {@link #requestStarted} returned it
     * @param route    the route's id, {@code none} where no route matched
     * @param time     from the request's arrival to the end of the answer
     */
    default void requestCompleted(ServerWebExchange exchange, String route, ProxyMetrics.RequestOutcome outcome,
            Duration time) {}
}
