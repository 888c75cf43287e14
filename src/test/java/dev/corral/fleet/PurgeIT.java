package dev.corral.fleet;

import dev.corral.dev.StubResponse;
import java.net.http.HttpResponse;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Purges while replicas are paused. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class PurgeIT {

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    PurgeIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void purgeIsAcknowledgedByEveryReplica() {
        HttpResponse<String> purged = fleet.replica(0).purge("{\"tags\": [\"sale\"]}");

        assertThat(purged.statusCode()).as(purged.body()).isEqualTo(200);
        assertThat(purged.body()).contains("\"complete\":true");
        assertThat(fleet.replicas()).allSatisfy(
                replica -> assertThat(purged.body())
                        .contains("{\"id\":\"" + replica.name() + "\",\"acknowledged\":true"));
    }

    /** Safety rule 1 (docs/SAFETY.md), for a leader that was paused during the purge: its earlier response is not served to later requests. */
    @Test
    void leaderPausedDuringPurgeDoesNotRestoreEntry() {
        HeldOriginPath page = fleet.holdPath("/slept", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        JarReplica sleeper = fleet.replica(0);
        List<JarReplica> others = fleet.replicasExcept(sleeper);
        PendingResponses own = clients.request(List.of(sleeper), 10, "/slept");
        page.awaitCount(1);
        fleet.awaitWaiting(10);

        sleeper.process().pause();
        HttpResponse<String> purged;
        try {
            purged = others.getFirst().purge("{\"urls\": [\"/slept\"]}");
            // The older response has arrived when the leader resumes, so it publishes at once.
            page.release(1);
        } finally {
            sleeper.process().resume();
        }
        page.releaseAll();
        List<FleetResponse> woken = own.awaitAll();

        assertThat(purged.statusCode()).as(purged.body()).isEqualTo(207);
        assertThat(purged.body()).contains("\"complete\":false")
                .contains("{\"id\":\"" + sleeper.name() + "\",\"acknowledged\":false");
        // These requests arrived before the purge, so they may get either response.
        assertThat(woken).extracting(FleetResponse::body).isSubsetOf("page 1", "page 2");
        fleet.awaitIdleAndConnected();
        assertThat(clients.request(fleet.replicas(), 9, "/slept").awaitAll()).extracting(FleetResponse::body)
                .containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }
}
