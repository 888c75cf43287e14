package dev.corral.proxy;

import dev.corral.http.RequestTarget;
import java.util.List;
import java.util.Optional;
import org.springframework.http.server.PathContainer;

/**
 * The routes in order of precedence: the first match wins. Immutable.
 *
 * @param routes all routes
 */
public record RouteTable(List<Route> routes) {

    /** Copies the routes. */
    public RouteTable {
        routes = List.copyOf(routes);
    }

    /** The result of matching a request target. */
    public sealed interface RouteMatch {

        /** The target matches this route. */
        record MatchedRoute(Route route) implements RouteMatch {}

        /** No route matches the path. */
        record NoRoute() implements RouteMatch {}

        /** The origin could interpret the path as another one that matches another route or leaves its base path. */
        record AmbiguousPath() implements RouteMatch {}
    }

    private static final RouteMatch NO_ROUTE = new RouteMatch.NoRoute();
    private static final RouteMatch AMBIGUOUS_PATH = new RouteMatch.AmbiguousPath();

    /** Finds the route of this target. All interpretations that an origin could choose must match the same route. */
    public RouteMatch match(RequestTarget target) {
        if (target.isAmbiguous()) {
            return AMBIGUOUS_PATH;
        }
        List<String> interpretations = target.interpretations();
        Optional<Route> route = findRoute(interpretations.getFirst());
        for (String other : interpretations.subList(1, interpretations.size())) {
            if (!findRoute(other).equals(route)) {
                return AMBIGUOUS_PATH;
            }
        }
        return route.<RouteMatch>map(RouteMatch.MatchedRoute::new).orElse(NO_ROUTE);
    }

    private Optional<Route> findRoute(String path) {
        PathContainer parsed = PathContainer.parsePath(path);
        for (Route route : routes) {
            if (route.pathPattern().matches(parsed)) {
                return Optional.of(route);
            }
        }
        return Optional.empty();
    }
}
