package dev.corral.edge;

import java.time.Duration;
import org.springframework.web.server.ServerWebExchange;

/** A line for each request. Called on event loops: never blocks, never throws. */
public interface AccessLog {

    /** Writes nothing and costs nothing. */
    AccessLog OFF = new AccessLog() {
    };

    /** A request has come; what is returned is to be answered in its place. */
    default ServerWebExchange opened(ServerWebExchange exchange) {
        return exchange;
    }

    /**
     * Its answer has ended.
     *
     * @param exchange as {@link #opened} returned it
     * @param route    the route's id, {@code none} where no route matched
     * @param time     from the request's arrival to the end of the answer
     */
    default void closed(ServerWebExchange exchange, String route, Traffic.Outcome outcome, Duration time) {}
}
