package dev.corral.management.endpoint;

import dev.corral.management.fleet.ReplicaStatus.FlightStatus;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import org.springframework.boot.actuate.endpoint.annotation.DeleteOperation;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.boot.actuate.endpoint.annotation.Selector;
import org.springframework.http.HttpStatus;
import org.springframework.web.server.ResponseStatusException;
import reactor.core.publisher.Mono;

/** The current flights of this replica: {@code GET /actuator/flights}, {@code DELETE /actuator/flights/{id}}. */
@Endpoint(id = "flights")
public final class FlightsEndpoint {

    private final Supplier<List<FlightStatus>> flights;
    private final Function<String, Mono<Boolean>> abandon;

    /** @param abandon abandons the flight with an id; false when there is no such flight */
    public FlightsEndpoint(Supplier<List<FlightStatus>> flights, Function<String, Mono<Boolean>> abandon) {
        this.flights = flights;
        this.abandon = abandon;
    }

    /** All flights, those with the most waiters first. */
    @ReadOperation
    public Map<String, Object> flights() {
        List<FlightStatus> all = flights.get();
        return Map.of("count", all.size(), "waiters", all.stream().mapToInt(FlightStatus::waiters).sum(), "flights",
                all);
    }

    /**
     * Abandons a flight: its current waiters still get its response, which is not stored; later requests start a new flight. 404 when
     * this replica has no such flight.
     */
    @DeleteOperation
    public Mono<Void> abandon(@Selector String id) {
        return abandon.apply(id)
                .filter(abandoned -> abandoned)
                .switchIfEmpty(Mono.error(() -> new ResponseStatusException(HttpStatus.NOT_FOUND,
                        "There is no flight " + id + " in this replica.")))
                .then();
    }
}
