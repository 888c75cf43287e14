package dev.corral.proxy;

import dev.corral.http.RequestTarget;
import java.util.List;
import java.util.Optional;
import org.springframework.http.server.PathContainer;

/**
 * The routes in their order: the first that matches wins. Immutable.
 *
 * @param routes all of them
 */
public record RouteTable(List<Route> routes) {

    /** Copies the routes. */
    public RouteTable {
        routes = List.copyOf(routes);
    }

    /** Which route a request takes. */
    public sealed interface RouteMatch {

        /** This one. */
        record MatchedRoute(Route route) implements RouteMatch {}

        /** None has such a path. */
        record NoRoute() implements RouteMatch {}

        /** The origin could take the path for another one, which has another route or leads out of its base path. */
        record AmbiguousPath() implements RouteMatch {}
    }

    private static final RouteMatch NO_ROUTE = new RouteMatch.NoRoute();
    private static final RouteMatch AMBIGUOUS_PATH = new RouteMatch.AmbiguousPath();

    /** The route of this target, whichever of its readings the origin chooses. */
    public RouteMatch match(RequestTarget target) {
        if (target.isAmbiguous()) {
            return AMBIGUOUS_PATH;
        }
        List<String> readings = target.interpretations();
        Optional<Route> route = findRoute(readings.getFirst());
        for (String other : readings.subList(1, readings.size())) {
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
