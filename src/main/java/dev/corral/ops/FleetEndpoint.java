package dev.corral.ops;

import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import reactor.core.publisher.Mono;

/** The whole fleet as recorded in Redis, read at most half a second ago: {@code GET /actuator/fleet}. */
@Endpoint(id = "fleet")
public final class FleetEndpoint {

    private final Board board;

    /** Reads this board. */
    public FleetEndpoint(Board board) {
        this.board = board;
    }

    /** One sample; without Redis this replica, and the others as they were last read. */
    @ReadOperation(produces = "application/json")
    public Mono<String> fleet() {
        return board.current();
    }
}
