package dev.corral.fleet;

import dev.corral.dev.StubResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Clients and replicas leave in good order in the middle of a flight; nobody else notices. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class DisconnectAndShutdownIT {

    /** So long that a lease which is free earlier has been given back. */
    private static final Map<String, String> LONG_LEASE = Map.of("corral.lease.ttl", "60s", "corral.shutdown.drain",
            "1s");

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    DisconnectAndShutdownIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviors 16 and 19. */
    @Test
    void flightContinuesWhenItsFirstClientDisconnects() {
        HeldOriginPath page = fleet.holdPath("/left", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        JarReplica one = fleet.replica(0);
        double left = clientClosedCount(one);

        PendingResponses first = clients.request(List.of(one), 1, "/left");
        page.awaitCount(1);
        PendingResponses others = clients.request(fleet.replicasExcept(one), 10, "/left");
        fleet.awaitWaiting(11);
        fleet.awaitFollowers(2);
        first.disconnect();
        ProcessFleet.await("the replica has noticed", HeldOriginPath.TIMEOUT, () -> clientClosedCount(one) == left + 1);
        page.releaseAll();

        assertThat(others.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(clients.request(fleet.replicas(), 9, "/left").awaitAll()).extracting(FleetResponse::body)
                .containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }

    /** Public behavior 19. */
    @Test
    void responseIsStoredWhenAllClientsDisconnect() {
        HeldOriginPath page = fleet.holdPath("/all-left", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        double left = fleet.replicas().stream().mapToDouble(DisconnectAndShutdownIT::clientClosedCount).sum();

        PendingResponses crowd = clients.request(fleet.replicas(), 9, "/all-left");
        fleet.awaitWaiting(9);
        page.awaitCount(1);
        crowd.disconnect();
        ProcessFleet.await("the replicas have noticed", HeldOriginPath.TIMEOUT,
                () -> fleet.replicas().stream().mapToDouble(DisconnectAndShutdownIT::clientClosedCount).sum() == left
                        + 9);
        page.releaseAll();
        fleet.awaitIdleAndConnected();

        assertThat(clients.request(fleet.replicas(), 9, "/all-left").awaitAll()).allMatch(FleetResponse::isHit)
                .extracting(FleetResponse::body)
                .containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }

    @Test
    void stoppingReplicaServesWaitingClients() {
        HeldOriginPath page = fleet.holdPath("/stops", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        JarReplica leader = fleet.startReplica("leaver", LONG_LEASE);
        PendingResponses own = clients.request(List.of(leader), 10, "/stops");
        page.awaitCount(1);
        PendingResponses others = clients.request(fleet.replicas(), 30, "/stops");
        fleet.awaitWaiting(40);
        fleet.awaitFollowers(3);

        leader.stop();
        ProcessFleet.await("it takes no more clients", HeldOriginPath.TIMEOUT, leader::refusesConnections);
        assertThat(own.pendingCount()).isEqualTo(10);
        page.releaseAll();

        assertThat(own.plus(others).awaitAll()).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 1");
        });
        assertThat(own.awaitAll())
                .allSatisfy(reply -> assertThat(reply.fields().combinedValue("Connection")).hasValue("close"));
        assertThat(page.count()).isEqualTo(1);
        assertThat(fleet.leases()).isEmpty();
        ProcessFleet.await("it has ended", Duration.ofSeconds(30), () -> !leader.process().isAlive());
    }

    @Test
    void stoppingReplicaReleasesLeaseOfUnfinishedFlight() {
        HeldOriginPath page = fleet.holdPath("/does-not-land",
                received -> StubResponse.of(200, "page " + received.number(),
                        "Cache-Control", "max-age=60"));
        JarReplica leader = fleet.startReplica("resigner", LONG_LEASE);
        // Nobody waits in the leader, so that its web server has nothing to wait for.
        PendingResponses own = clients.request(List.of(leader), 1, "/does-not-land");
        page.awaitCount(1);
        PendingResponses others = clients.request(fleet.replicas(), 30, "/does-not-land");
        fleet.awaitWaiting(31);
        fleet.awaitFollowers(3);
        own.disconnect();
        ProcessFleet.await("the leader has noticed", HeldOriginPath.TIMEOUT, () -> clientClosedCount(leader) == 1);

        leader.stop();
        // After the 5 s that a flight has to land: far from the minute of its lease.
        ProcessFleet.await("another has taken over", Duration.ofSeconds(20), () -> page.count() == 2);
        page.release(2);

        assertThat(others.awaitAll()).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 2");
        });
        ProcessFleet.await("it has ended", Duration.ofSeconds(30), () -> !leader.process().isAlive());
        assertThat(fleet.leases()).isEmpty();
        assertThat(page.count()).isEqualTo(2);
    }

    private static double clientClosedCount(JarReplica replica) {
        return replica.metric("corral_requests_seconds_count", "outcome=\"client_closed\"");
    }
}
