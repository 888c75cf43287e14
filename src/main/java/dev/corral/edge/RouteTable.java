package dev.corral.edge;

import dev.corral.http.RequestTarget;
import java.util.List;
import java.util.Optional;
import org.springframework.http.server.PathContainer;

/**
 * The routes in their order: the first that matches wins. Immutable.
 *
 * @param routes all of them
 */
record RouteTable(List<Route> routes) {

    /** Copies the routes. */
    RouteTable {
        routes = List.copyOf(routes);
    }

    /** Which route a request takes. */
    sealed interface Match {

        /** This one. */
        record Found(Route route) implements Match {}

        /** None has such a path. */
        record None() implements Match {}

        /** The origin could take the path for another one, which has another route or leads out of its base path. */
        record Ambiguous() implements Match {}
    }

    private static final Match NONE = new Match.None();
    private static final Match AMBIGUOUS = new Match.Ambiguous();

    /** The route of this target, whichever of its readings the origin chooses. */
    Match match(RequestTarget target) {
        if (target.isAmbiguous()) {
            return AMBIGUOUS;
        }
        List<String> readings = target.readings();
        Optional<Route> route = find(readings.getFirst());
        for (String other : readings.subList(1, readings.size())) {
            if (!find(other).equals(route)) {
                return AMBIGUOUS;
            }
        }
        return route.<Match>map(Match.Found::new).orElse(NONE);
    }

    private Optional<Route> find(String path) {
        PathContainer parsed = PathContainer.parsePath(path);
        for (Route route : routes) {
            if (route.pattern().matches(parsed)) {
                return Optional.of(route);
            }
        }
        return Optional.empty();
    }
}
