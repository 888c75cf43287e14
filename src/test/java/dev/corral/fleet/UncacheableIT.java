package dev.corral.fleet;

import dev.corral.dev.StubRequest;
import dev.corral.dev.StubResponse;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Private responses reach only their client, and clients fetch them in parallel. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class UncacheableIT {

    private static final int CLIENTS = 60;

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    UncacheableIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviors 12 and 18. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            private    | Cache-Control | private, max-age=60
            no-store   | Cache-Control | no-store
            set-cookie | Set-Cookie    | session=1
            """)
    void uncacheableResponseIsFetchedInParallelByEachClient(String reason, String name, String value) {
        String path = "/uncacheable-" + reason;
        HeldOriginPath page = fleet.holdPath(path, asked -> responseForOneClient(asked).withField(name, value));

        PendingResponses first = clients.requestEach(fleet.replicas(), CLIENTS, path, UncacheableIT::identity);
        fleet.awaitWaiting(CLIENTS);
        fleet.awaitFollowers(2);
        assertThat(page.count()).isEqualTo(1);
        page.release(1);
        // No request gets a response before all have arrived: they run in parallel.
        page.awaitCount(CLIENTS);
        assertThat(first.pendingCount()).isEqualTo(CLIENTS - 1);
        page.releaseAll();
        assertOwnResponses(first);
        assertThat(page.count()).isEqualTo(CLIENTS);

        // With the marker no request waits for another, on any replica.
        HeldOriginPath again = fleet.holdPath(path, asked -> responseForOneClient(asked).withField(name, value));
        PendingResponses second = clients.requestEach(fleet.replicas(), CLIENTS, path, UncacheableIT::identity);
        again.awaitCount(CLIENTS);
        assertThat(second.pendingCount()).isEqualTo(CLIENTS);
        again.releaseAll();
        assertOwnResponses(second);
        assertThat(second.awaitAll()).extracting(FleetResponse::cacheStatus)
                .containsOnly("Corral; fwd=bypass; fwd-status=200; detail=" + reason);
        assertThat(again.count()).isEqualTo(CLIENTS);
    }

    /** Public behavior 12. */
    @Test
    void hitForMissMarkerIsReplacedByCacheableResponse() {
        HeldOriginPath page = fleet.holdPath("/becomes-public", asked -> responseForOneClient(asked)
                .withField("Cache-Control", "private"));
        page.releaseAll();
        clients.request(fleet.replicas(), 9, "/becomes-public").awaitAll();
        fleet.awaitIdleAndConnected();

        page.respondWith(asked -> StubResponse.of(200, "for everybody", "Cache-Control", "max-age=60"));
        List<FleetResponse> changed = clients.request(fleet.replicas(), 3, "/becomes-public").awaitAll();

        assertThat(changed).extracting(FleetResponse::body).containsOnly("for everybody");
        assertThat(changed).filteredOn(reply -> reply.cacheStatus().contains("; stored")).isNotEmpty();
        // The near cache of a replica may keep the marker for a second longer; after its first hit it does not fetch again.
        fleet.replicas()
                .forEach(replica -> ProcessFleet.await("a hit on " + replica.name(), Duration.ofSeconds(10),
                        () -> clients.request(replica, "/becomes-public").join().isHit()));
        int until = page.count();
        assertThat(clients.request(fleet.replicas(), 90, "/becomes-public").awaitAll()).allMatch(FleetResponse::isHit);
        assertThat(page.count()).isEqualTo(until);
    }

    private static String[] identity(int client) {
        return new String[]{"X-Client", "client-" + client};
    }

    private static StubResponse responseForOneClient(StubRequest asked) {
        return StubResponse.of(200, "for " + asked.fields().firstValue("X-Client").orElse("nobody"));
    }

    private static void assertOwnResponses(PendingResponses crowd) {
        List<FleetResponse> replies = crowd.awaitAll();
        assertThat(replies).extracting(FleetResponse::status).containsOnly(200);
        assertThat(replies).extracting(FleetResponse::body)
                .isEqualTo(IntStream.range(0, CLIENTS).mapToObj(client -> "for client-" + client).toList());
    }
}
