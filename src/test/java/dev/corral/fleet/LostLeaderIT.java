package dev.corral.fleet;

import dev.corral.dev.StubResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** The replica that fetches for the fleet dies, or falls silent for longer than its lease. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class LostLeaderIT {

    /** A takeover costs the rest of the lease, a round trip and the origin; half a second is for all but the lease. */
    private static final Duration TAKEOVER_TIME = ProcessFleet.LEASE.plusMillis(500);

    /** Allowance for the machine: three replicas, Redis, the origin and the test share two cores. */
    private static final Duration MACHINE_TOLERANCE = Duration.ofSeconds(3);

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    LostLeaderIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Public behavior 17. */
    @Test
    void killedLeaderIsReplacedWithinLease() {
        HeldOriginPath page = fleet.holdPath("/killed", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        JarReplica leader = fleet.startReplica("doomed", Map.of());
        PendingResponses lost = clients.request(List.of(leader), 10, "/killed");
        page.awaitCount(1);
        PendingResponses waiting = clients.request(fleet.replicas(), 90, "/killed");
        fleet.awaitWaiting(100);
        fleet.awaitFollowers(3);

        Instant killed = Instant.now();
        leader.process().kill();
        page.awaitCount(2);
        page.releaseAll();
        List<FleetResponse> served = waiting.awaitAll();
        Duration took = Duration.between(killed, Instant.now());

        assertThat(served).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 2");
        });
        assertThat(took).isLessThan(TAKEOVER_TIME.plus(MACHINE_TOLERANCE));
        assertThat(page.count()).isEqualTo(2);
        assertThat(lost.futures()).allMatch(reply -> reply.isCompletedExceptionally());
        fleet.awaitIdleAndConnected();
        assertThat(clients.request(fleet.replicas(), 9, "/killed").awaitAll()).allMatch(FleetResponse::isHit)
                .extracting(FleetResponse::body)
                .containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    /** Public behaviors 3 and 18. */
    @Test
    void leaderPausedPastLeaseIsFenced() {
        HeldOriginPath page = fleet.holdPath("/paused", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        JarReplica sleeper = fleet.replica(0);
        List<JarReplica> others = fleet.replicasExcept(sleeper);
        double fenced = sleeper.metric("corral_publish_fenced_total");
        double takeovers = fleet.sum("corral_leader_takeovers_total");
        PendingResponses own = clients.request(List.of(sleeper), 10, "/paused");
        page.awaitCount(1);
        PendingResponses waiting = clients.request(others, 20, "/paused");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);

        Instant paused = Instant.now();
        sleeper.process().pause();
        List<FleetResponse> served;
        Duration took;
        try {
            page.awaitCount(2);
            page.release(2);
            served = waiting.awaitAll();
            took = Duration.between(paused, Instant.now());
            // The older response has arrived when the leader resumes, so it publishes at once.
            page.release(1);
        } finally {
            sleeper.process().resume();
        }
        List<FleetResponse> woken = own.awaitAll();

        assertThat(served).extracting(FleetResponse::body).containsOnly("page 2");
        assertThat(took).isLessThan(TAKEOVER_TIME.plus(MACHINE_TOLERANCE));
        assertThat(woken).extracting(FleetResponse::body).containsOnly("page 1");
        ProcessFleet.await("its publish is refused", HeldOriginPath.TIMEOUT,
                () -> sleeper.metric("corral_publish_fenced_total") == fenced + 1);
        assertThat(fleet.sum("corral_leader_takeovers_total")).isEqualTo(takeovers + 1);
        fleet.awaitIdleAndConnected();
        assertThat(clients.request(fleet.replicas(), 9, "/paused").awaitAll()).allMatch(FleetResponse::isHit)
                .extracting(FleetResponse::body)
                .containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }
}
