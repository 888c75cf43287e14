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
 * Three replicas are restarted one after the other, as in an upgrade, with the default settings of the shutdown, while clients send
 * requests at a steady rate. No request fails.
 */
@ExtendWith(SharedFleetExtension.class)
@Timeout(600)
class RollingRestartIT {

    private static final int CLIENTS = 12;
    private static final Duration REQUEST_INTERVAL = Duration.ofMillis(50);
    private static final Duration STOP_TIMEOUT = Duration.ofSeconds(60);

    private final ProcessFleet fleet;

    RollingRestartIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    @Test
    @Tag("faults")
    void rollingRestartFailsNoKeepAliveRequest() {
        List<JarReplica> replicas = replicas("direct");
        List<Integer> ports = replicas.stream().map(JarReplica::port).toList();
        try (SteadyLoad load = SteadyLoad.start(CLIENTS, ports, REQUEST_INTERVAL, RollingRestartIT::target)) {
            awaitRequests(load, 100);
            for (int i = 0; i < replicas.size(); i++) {
                restart(replicas, i);
                awaitRequests(load, 100);
            }
            load.stop();

            assertThat(load.failures()).isEmpty();
            // Each client got at least one response with Connection: close.
            assertThat(load.closes()).isGreaterThanOrEqualTo(CLIENTS);
        }
    }

    @Test
    @Tag("faults")
    void rollingRestartFailsNoRequestBehindHaproxy() {
        Optional<Path> program = HaproxyProcess.installed();
        if (program.isEmpty()) {
            abort("haproxy is not installed: the rolling restart behind it was not tried");
        }
        List<JarReplica> replicas = replicas("balanced");
        try (HaproxyProcess haproxy = HaproxyProcess.start(program.orElseThrow(), replicas);
                SteadyLoad load = SteadyLoad.start(CLIENTS, List.of(haproxy.port()), REQUEST_INTERVAL,
                        RollingRestartIT::target)) {
            awaitRequests(load, 100);
            for (int i = 0; i < replicas.size(); i++) {
                restart(replicas, i);
                ProcessFleet.await("the load balancer has found it again", HeldOriginPath.TIMEOUT,
                        () -> haproxy.readyServers() == 3);
                awaitRequests(load, 100);
            }
            load.stop();

            assertThat(load.failures()).isEmpty();
        }
    }

    private List<JarReplica> replicas(String name) {
        return new ArrayList<>(
                IntStream.rangeClosed(1, 3)
                        .mapToObj(i -> fleet.startReplica(name + "-" + i, Map.of("corral.warm-up.enabled", "true")))
                        .toList());
    }

    private void restart(List<JarReplica> replicas, int index) {
        JarReplica old = replicas.get(index);
        old.stop();
        ProcessFleet.await("readiness is off, and said so", HeldOriginPath.TIMEOUT,
                () -> old.getActuator("health/readiness").filter(response -> response.statusCode() == 503).isPresent());
        ProcessFleet.await("it has ended", STOP_TIMEOUT, () -> !old.process().isAlive());
        replicas.set(index, fleet.restart(old));
    }

    private static void awaitRequests(SteadyLoad load, int more) {
        long before = load.requests();
        ProcessFleet.await(more + " requests more", HeldOriginPath.TIMEOUT, () -> load.requests() >= before + more);
    }

    /** Mostly hits, some misses, and a few private responses. */
    private static String target(long number) {
        return number % 20 == 0 ? "/private/steady" : "/products/steady-" + number % 300;
    }
}
