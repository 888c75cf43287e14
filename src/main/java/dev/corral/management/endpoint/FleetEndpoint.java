package dev.corral.management.endpoint;

import dev.corral.management.fleet.FleetMonitor;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import reactor.core.publisher.Mono;

/** The state of the whole fleet from Redis, at most half a second old: {@code GET /actuator/fleet}. */
@Endpoint(id = "fleet")
public final class FleetEndpoint {

    private final FleetMonitor fleetMonitor;

    /** @param fleetMonitor reads the state of the fleet */
    public FleetEndpoint(FleetMonitor fleetMonitor) {
        this.fleetMonitor = fleetMonitor;
    }

    /** One sample as JSON. While Redis is unavailable: this replica, and the last known state of the others. */
    @ReadOperation(produces = "application/json")
    public Mono<String> fleet() {
        return fleetMonitor.currentSample();
    }
}
