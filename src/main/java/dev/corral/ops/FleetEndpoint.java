package dev.corral.ops;

import java.util.List;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;

/** The whole fleet as this replica last heard of it, at most a second ago: {@code GET /actuator/fleet}. */
@Endpoint(id = "fleet")
public final class FleetEndpoint {

    private final Board board;

    /** Tells what is on this board. */
    public FleetEndpoint(Board board) {
        this.board = board;
    }

    /** The last sample; 503-like emptiness before the first beat: no replicas. */
    @ReadOperation(produces = "application/json")
    public String fleet() {
        List<String> history = board.history();
        return history.isEmpty() ? "{\"replicas\":[]}" : history.getLast();
    }
}
