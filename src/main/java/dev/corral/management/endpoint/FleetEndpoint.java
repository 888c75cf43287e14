package dev.corral.management.endpoint;

import dev.corral.management.fleet.FleetMonitor;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import reactor.core.publisher.Mono;

/** The whole fleet as recorded in Redis, read at most half a second ago: {@code GET /actuator/fleet}. */
@Endpoint(id = "fleet")
public final class FleetEndpoint {

    private final FleetMonitor fleetMonitor;

    /** Reads this board. */
    public FleetEndpoint(FleetMonitor board) {
        this.fleetMonitor = board;
    }

    /** One sample; without Redis this replica, and the others as they were last read. */
    @ReadOperation(produces = "application/json")
    public Mono<String> fleet() {
        return fleetMonitor.currentSample();
    }
}
