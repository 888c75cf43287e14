package dev.corral.management.endpoint;

import dev.corral.management.RouteBreakerControl;
import dev.corral.management.purge.CacheCatalog;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.boot.actuate.endpoint.annotation.Selector;
import org.springframework.http.HttpStatus;
import org.springframework.web.server.ResponseStatusException;

/**
 * The routes' settings, circuit breakers and concurrency limits in this replica: {@code GET /actuator/routes}, and
 * {@code /actuator/routes/{id}} for one route.
 */
@Endpoint(id = "routes")
public final class RoutesEndpoint {

    private final CacheCatalog cacheCatalog;
    private final RouteBreakerControl breakerControl;

    /**
     * @param cacheCatalog   reads the settings
     * @param breakerControl reads the breakers and limits
     */
    public RoutesEndpoint(CacheCatalog cacheCatalog, RouteBreakerControl breakerControl) {
        this.cacheCatalog = cacheCatalog;
        this.breakerControl = breakerControl;
    }

    /** All routes, in matching order. */
    @ReadOperation
    public Map<String, Object> routes() {
        var routes = new ArrayList<Map<String, Object>>();
        cacheCatalog.routeSettings().forEach((id, settings) -> routes.add(routeReport(id, settings)));
        return Map.of("routes", routes);
    }

    /** One route; 404 when there is no route with that id. */
    @ReadOperation
    public Map<String, Object> route(@Selector String id) {
        return Optional.ofNullable(cacheCatalog.routeSettings().get(id))
                .map(settings -> routeReport(id, settings))
                .orElseThrow(() -> new ResponseStatusException(HttpStatus.NOT_FOUND,
                        breakerControl.unknownRouteMessage(id)));
    }

    private Map<String, Object> routeReport(String id, Object settings) {
        var route = new LinkedHashMap<String, Object>();
        route.put("id", id);
        route.put("gate", breakerControl.originLimits(id));
        route.put("settings", settings);
        return route;
    }
}
