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

/** The flights in the air in this replica: {@code GET /actuator/flights}, {@code DELETE /actuator/flights/{id}}. */
@Endpoint(id = "flights")
public final class FlightsEndpoint {

    private final Supplier<List<FlightStatus>> flights;
    private final Function<String, Mono<Boolean>> abandon;

    /** @param abandon false when there is no such flight */
    public FlightsEndpoint(Supplier<List<FlightStatus>> flights, Function<String, Mono<Boolean>> abandon) {
        this.flights = flights;
        this.abandon = abandon;
    }

    /** All of them, those with the most waiters first. */
    @ReadOperation
    public Map<String, Object> flights() {
        List<FlightStatus> all = flights.get();
        return Map.of("count", all.size(), "waiters", all.stream().mapToInt(FlightStatus::waiters).sum(), "flights",
                all);
    }

    /**
     * Gives up on one: whoever comes from now on starts afresh, those who wait for it get what it brings, and it is not stored. 404
     * when it is not in the air here.
     */
    @DeleteOperation
    public Mono<Void> abandon(@Selector String id) {
        return abandon.apply(id)
                .filter(given -> given)
                .switchIfEmpty(Mono.error(() -> new ResponseStatusException(HttpStatus.NOT_FOUND,
                        "There is no flight " + id + " in the air in this replica.")))
                .then();
    }
}
