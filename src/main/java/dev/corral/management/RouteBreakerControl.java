package dev.corral.management;

import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Shows the routes' circuit breakers and concurrency limits, and changes the breakers. Thread-safe. */
public final class RouteBreakerControl {

    private static final Logger audit = LoggerFactory.getLogger("corral.audit");

    /** The state an operator sets a breaker to. */
    public enum BreakerCommand {
        /** Open until an operator closes it: no request is sent to the origin. */
        OPEN,
        /** Closed, with its counts reset; it may open again by itself. */
        CLOSED,
        /** Closed permanently: every call passes, and the breaker never opens. */
        DISABLED;

        /** The command with that token; empty when there is none. */
        public static Optional<BreakerCommand> parse(String token) {
            return Stream.of(values()).filter(command -> command.token().equals(token)).findFirst();
        }

        /** All tokens, separated by commas, for messages. */
        public static String tokenList() {
            return Stream.of(values()).map(BreakerCommand::token).collect(Collectors.joining(", "));
        }

        private String token() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * The state of one route's breaker and concurrency limit.
     *
     * @param breaker     the breaker's state
     * @param failureRate in percent; -1 while too few requests were made
     * @param underWay    the current number of requests to the origin
     * @param limit       the maximum number of concurrent requests to the origin
     */
    public record OriginLimits(String breaker, float failureRate, int underWay, int limit) {}

    private final Map<String, CircuitBreaker> breakers = new LinkedHashMap<>();
    private final Map<String, Bulkhead> bulkheads = new LinkedHashMap<>();

    /** The breakers and bulkheads of all routes, each named by its route's id. */
    public RouteBreakerControl(List<CircuitBreaker> breakers, List<Bulkhead> bulkheads) {
        breakers.forEach(breaker -> this.breakers.put(breaker.getName(), breaker));
        bulkheads.forEach(bulkhead -> this.bulkheads.put(bulkhead.getName(), bulkhead));
    }

    /** The breakers' states, by route id. */
    public Map<String, String> breakerStates() {
        var states = new LinkedHashMap<String, String>();
        breakers.forEach((route, breaker) -> states.put(route, breaker.getState().name()));
        return states;
    }

    /**
     * The breaker and the concurrency limit of one route.
     *
     * @throws IllegalArgumentException when there is no such route
     */
    public OriginLimits originLimits(String route) {
        CircuitBreaker breaker = requireRoute(breakers, route);
        Bulkhead.Metrics bulkhead = requireRoute(bulkheads, route).getMetrics();
        int limit = bulkhead.getMaxAllowedConcurrentCalls();
        return new OriginLimits(breaker.getState().name(), breaker.getMetrics().getFailureRate(),
                limit - bulkhead.getAvailableConcurrentCalls(), limit);
    }

    /**
     * Changes one route's breaker in this replica, and writes an audit line.
     *
     * @param by the operator, for the audit log
     * @return the new state
     * @throws IllegalArgumentException when there is no such route
     */
    public String changeBreaker(String route, BreakerCommand command, String by) {
        CircuitBreaker breaker = requireRoute(breakers, route);
        switch (command) {
            case OPEN -> breaker.transitionToForcedOpenState();
            case CLOSED -> {
                // A breaker that was forced open can only be closed by a reset.
                breaker.reset();
                breaker.transitionToClosedState();
            }
            case DISABLED -> breaker.transitionToDisabledState();
        }
        audit.info("breaker route={} wish={} by={}", route, command.token(), by);
        return breaker.getState().name();
    }

    /** A message that the route does not exist, with the existing ones. */
    public String unknownRouteMessage(String route) {
        return "There is no route " + route + ". Routes: " + String.join(", ", breakers.keySet()) + ".";
    }

    private static <T> T requireRoute(Map<String, T> byRoute, String route) {
        return Optional.ofNullable(byRoute.get(route))
                .orElseThrow(() -> new IllegalArgumentException("there is no route " + route));
    }
}
