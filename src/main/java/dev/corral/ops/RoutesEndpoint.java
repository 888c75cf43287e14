package dev.corral.ops;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.boot.actuate.endpoint.annotation.Selector;
import org.springframework.http.HttpStatus;
import org.springframework.web.server.ResponseStatusException;

/** The routes' settings and gates in this replica: {@code GET /actuator/routes}, and of one {@code /actuator/routes/{id}}. */
@Endpoint(id = "routes")
public final class RoutesEndpoint {

    private final Inventory inventory;
    private final Breakers breakers;

    /** Tells of these routes and breakers. */
    public RoutesEndpoint(Inventory inventory, Breakers breakers) {
        this.inventory = inventory;
        this.breakers = breakers;
    }

    /** All, in the order in which they are tried. */
    @ReadOperation
    public Map<String, Object> routes() {
        var routes = new ArrayList<Map<String, Object>>();
        inventory.routes().forEach((id, settings) -> routes.add(route(id, settings)));
        return Map.of("routes", routes);
    }

    /** One; 404 when there is none of that id. */
    @ReadOperation
    public Map<String, Object> route(@Selector String id) {
        return Optional.ofNullable(inventory.routes().get(id))
                .map(settings -> route(id, settings))
                .orElseThrow(() -> new ResponseStatusException(HttpStatus.NOT_FOUND, breakers.unknown(id)));
    }

    private Map<String, Object> route(String id, Object settings) {
        var route = new LinkedHashMap<String, Object>();
        route.put("id", id);
        route.put("gate", breakers.gate(id));
        route.put("settings", settings);
        return route;
    }
}
