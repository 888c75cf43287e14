package dev.corral.fleet;

import dev.corral.dev.StubResponse;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** A key that nobody has is fetched once, whoever asks for it, and by itself. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class ColdKeyIT {

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    ColdKeyIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Public behavior 1. */
    @Test
    void coldKeyIsFetchedOnceByTheFleet() {
        HeldOriginPath page = fleet.holdPath("/cold", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));

        PendingResponses crowd = clients.request(fleet.replicas(), 300, "/cold");
        fleet.awaitWaiting(300);
        fleet.awaitFollowers(2);
        page.releaseAll();

        assertThat(crowd.awaitAll()).hasSize(300).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 1");
            assertThat(reply.cacheStatus()).startsWith("Corral; fwd=uri-miss; fwd-status=200; stored");
        });
        assertThat(crowd.awaitAll()).filteredOn(reply -> !reply.cacheStatus().contains("collapsed")).hasSize(1);
        assertThat(page.count()).isEqualTo(1);
        assertThat(clients.request(fleet.replicas(), 30, "/cold").awaitAll()).allMatch(FleetResponse::isHit);
        assertThat(page.count()).isEqualTo(1);
    }

    @Test
    void simultaneousColdKeysCostOneFetchEach() {
        HeldOriginPath page = fleet.holdPath("/many", received -> StubResponse.of(200, "page of " + received.target(),
                "Cache-Control", "max-age=60"));
        List<String> targets = IntStream.range(0, 50).mapToObj(i -> "/many?key=" + i).toList();

        PendingResponses crowd = targets.stream()
                .map(target -> clients.request(fleet.replicas(), 6, target))
                .reduce(new PendingResponses(List.of()), PendingResponses::plus);
        fleet.awaitWaiting(300);
        page.awaitCount(50);
        page.releaseAll();

        List<String> bodies = crowd.awaitAll().stream().map(FleetResponse::body).toList();
        assertThat(bodies).isEqualTo(targets.stream()
                .flatMap(target -> Stream.generate(() -> "page of " + target)
                        .limit(6))
                .toList());
        assertThat(crowd.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(50);
    }

    @Test
    void slowKeyDoesNotDelayOtherKeys() {
        HeldOriginPath slow = fleet.holdPath("/slow-a",
                received -> StubResponse.of(200, "a", "Cache-Control", "max-age=60"));
        HeldOriginPath quick = fleet.holdPath("/quick-b",
                received -> StubResponse.of(200, "b", "Cache-Control", "max-age=60"));
        quick.releaseAll();

        PendingResponses waiting = clients.request(fleet.replicas(), 90, "/slow-a");
        fleet.awaitWaiting(90);
        List<FleetResponse> served = clients.request(fleet.replicas(), 90, "/quick-b").awaitAll();

        assertThat(served).extracting(FleetResponse::body).containsOnly("b");
        assertThat(waiting.pendingCount()).isEqualTo(90);
        slow.releaseAll();
        assertThat(waiting.awaitAll()).extracting(FleetResponse::body).containsOnly("a");
        assertThat(slow.count()).isEqualTo(1);
        assertThat(quick.count()).isEqualTo(1);
    }

    @Test
    void requestAfterResponseFindsPublishedEntry() {
        HeldOriginPath page = fleet.holdPath("/gap", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));

        PendingResponses waiting = clients.request(fleet.replicas(), 30, "/gap");
        fleet.awaitWaiting(30);
        // Each comes back as soon as it is answered: some find the flight landed and its write under way.
        PendingResponses again = new PendingResponses(waiting.futures()
                .stream()
                .map(first -> first
                        .thenCompose(reply -> clients.request(fleet.replica(0), "/gap"))
                        .thenCompose(reply -> clients.request(fleet.replica(1), "/gap"))
                        .thenCompose(reply -> clients.request(fleet.replica(2), "/gap")))
                .toList());
        page.releaseAll();

        assertThat(again.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }
}
