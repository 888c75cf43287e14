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

/** The routes' circuit breakers and limits, to be seen and changed. Thread-safe. */
public final class RouteBreakerControl {

    private static final Logger audit = LoggerFactory.getLogger("corral.audit");

    /** What is to become of a breaker. */
    public enum BreakerCommand {
        /** Open until somebody closes it: the origin is left alone. */
        OPEN,
        /** Closed, with nothing counted; it may open by itself. */
        CLOSED,
        /** Closed for good: it counts and never opens. */
        DISABLED;

        /** The wish of that name; empty when there is none. */
        public static Optional<BreakerCommand> parse(String name) {
            return Stream.of(values()).filter(wish -> wish.token().equals(name)).findFirst();
        }

        /** All names, for people. */
        public static String tokenList() {
            return Stream.of(values()).map(BreakerCommand::token).collect(Collectors.joining(", "));
        }

        private String token() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * One route's gate.
     *
     * @param breaker     state
     * @param failureRate in percent; -1 while too few requests were made to tell
     * @param underWay    requests to the origin now
     * @param limit       of those
     */
    public record OriginLimits(String breaker, float failureRate, int underWay, int limit) {}

    private final Map<String, CircuitBreaker> breakers = new LinkedHashMap<>();
    private final Map<String, Bulkhead> bulkheads = new LinkedHashMap<>();

    /** The breakers and limits of routes, each by its route's id. */
    public RouteBreakerControl(List<CircuitBreaker> breakers, List<Bulkhead> bulkheads) {
        breakers.forEach(breaker -> this.breakers.put(breaker.getName(), breaker));
        bulkheads.forEach(bulkhead -> this.bulkheads.put(bulkhead.getName(), bulkhead));
    }

    /** State by route. */
    public Map<String, String> breakerStates() {
        var states = new LinkedHashMap<String, String>();
        breakers.forEach((route, breaker) -> states.put(route, breaker.getState().name()));
        return states;
    }

    /** All about one route's gate. */
    public OriginLimits originLimits(String route) {
        CircuitBreaker breaker = requireRoute(breakers, route);
        Bulkhead.Metrics bulkhead = requireRoute(bulkheads, route).getMetrics();
        int limit = bulkhead.getMaxAllowedConcurrentCalls();
        return new OriginLimits(breaker.getState().name(), breaker.getMetrics().getFailureRate(),
                limit - bulkhead.getAvailableConcurrentCalls(), limit);
    }

    /** Changes one route's breaker, in this replica, and gives its new state. */
    public String changeBreaker(String route, BreakerCommand wish, String by) {
        CircuitBreaker breaker = requireRoute(breakers, route);
        switch (wish) {
            case OPEN -> breaker.transitionToForcedOpenState();
            case CLOSED -> {
                // From forced open there is no way back but through a reset.
                breaker.reset();
                breaker.transitionToClosedState();
            }
            case DISABLED -> breaker.transitionToDisabledState();
        }
        audit.info("breaker route={} wish={} by={}", route, wish.token(), by);
        return breaker.getState().name();
    }

    /** That there is no such route, and which there are. */
    public String unknownRouteMessage(String route) {
        return "There is no route " + route + "; there are " + String.join(", ", breakers.keySet()) + ".";
    }

    private static <T> T requireRoute(Map<String, T> all, String route) {
        return Optional.ofNullable(all.get(route))
                .orElseThrow(() -> new IllegalArgumentException("there is no route " + route));
    }
}
