package dev.corral.fleet;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

/**
 * Three replicas are restarted one after the other, as an upgrade does it, with the default settings of the shutdown, while
 * clients send requests at a steady pace. No request fails.
 */
@ExtendWith(SharedFleet.class)
@Timeout(600)
class RollingRestartIT {

    private static final int CLIENTS = 12;
    private static final Duration PACE = Duration.ofMillis(50);
    private static final Duration STOP = Duration.ofSeconds(60);

    private final Fleet fleet;

    RollingRestartIT(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    @Tag("faults")
    void noRequestOnAKeptAliveConnectionFails() {
        List<Replica> replicas = replicas("direct");
        List<Integer> ports = replicas.stream().map(Replica::port).toList();
        try (SteadyLoad load = SteadyLoad.start(CLIENTS, ports, PACE, RollingRestartIT::target)) {
            awaitRequests(load, 100);
            for (int i = 0; i < replicas.size(); i++) {
                restart(replicas, i);
                awaitRequests(load, 100);
            }
            load.stop();

            assertThat(load.failures()).isEmpty();
            // Each client was moved on at least once by a response that said so.
            assertThat(load.closes()).isGreaterThanOrEqualTo(CLIENTS);
        }
    }

    @Test
    @Tag("faults")
    void noRequestBehindTheShippedLoadBalancerFails() {
        Optional<Path> program = Haproxy.installed();
        if (program.isEmpty()) {
            abort("haproxy is not installed: the rolling restart behind it was not tried");
        }
        List<Replica> replicas = replicas("balanced");
        try (Haproxy haproxy = Haproxy.start(program.orElseThrow(), replicas);
                SteadyLoad load = SteadyLoad.start(CLIENTS, List.of(haproxy.port()), PACE, RollingRestartIT::target)) {
            awaitRequests(load, 100);
            for (int i = 0; i < replicas.size(); i++) {
                restart(replicas, i);
                Fleet.await("the load balancer has found it again", Held.PATIENCE, () -> haproxy.up() == 3);
                awaitRequests(load, 100);
            }
            load.stop();

            assertThat(load.failures()).isEmpty();
        }
    }

    private List<Replica> replicas(String name) {
        return new ArrayList<>(
                IntStream.rangeClosed(1, 3)
                        .mapToObj(i -> fleet.guest(name + "-" + i, Map.of("corral.warm-up.enabled", "true")))
                        .toList());
    }

    private void restart(List<Replica> replicas, int index) {
        Replica old = replicas.get(index);
        old.stop();
        Fleet.await("readiness is off, and said so", Held.PATIENCE,
                () -> old.ask("health/readiness").filter(response -> response.statusCode() == 503).isPresent());
        Fleet.await("it has ended", STOP, () -> !old.process().alive());
        replicas.set(index, fleet.restart(old));
    }

    private static void awaitRequests(SteadyLoad load, int more) {
        long before = load.requests();
        Fleet.await(more + " requests more", Held.PATIENCE, () -> load.requests() >= before + more);
    }

    /** Mostly hits, some misses, and a few that are for one client. */
    private static String target(long number) {
        return number % 20 == 0 ? "/private/steady" : "/products/steady-" + number % 300;
    }
}
