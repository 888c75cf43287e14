package dev.corral.fleet;

import dev.corral.dev.StubResponse;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Over a limit is a 503 that says when to come back, at once: before anything that was held is let go. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class LimitsIT {

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    LimitsIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void waitersOverKeyLimitAreRejected() {
        HeldOriginPath page = fleet.holdPath("/crowded",
                received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"));
        List<JarReplica> one = List.of(fleet.replica(0));

        PendingResponses inside = clients.request(one, ProcessFleet.MAX_WAITERS_PER_KEY, "/crowded");
        fleet.awaitWaiting(ProcessFleet.MAX_WAITERS_PER_KEY);
        List<FleetResponse> outside = clients.request(one, 10, "/crowded").awaitAll();

        assertThat(outside).allSatisfy(reply -> assertRejected(reply, "too-many-waiters"));
        assertThat(inside.pendingCount()).isEqualTo(ProcessFleet.MAX_WAITERS_PER_KEY);
        page.releaseAll();
        assertThat(inside.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(1);
    }

    @Test
    void waitersOverReplicaLimitAreRejected() {
        HeldOriginPath page = fleet.holdPath("/full-house", received -> StubResponse.of(200, "page",
                "Cache-Control", "max-age=60"));
        List<JarReplica> one = List.of(fleet.replica(1));

        PendingResponses inside = clients.request(one, ProcessFleet.MAX_WAITERS_PER_REPLICA / 3, "/full-house?key=1")
                .plus(clients.request(one, ProcessFleet.MAX_WAITERS_PER_REPLICA / 3, "/full-house?key=2"))
                .plus(clients.request(one, ProcessFleet.MAX_WAITERS_PER_REPLICA / 3, "/full-house?key=3"));
        fleet.awaitWaiting(ProcessFleet.MAX_WAITERS_PER_REPLICA);
        List<FleetResponse> outside = clients.request(one, 10, "/full-house?key=4").awaitAll();

        assertThat(outside).allSatisfy(reply -> assertRejected(reply, "too-many-waiters"));
        assertThat(inside.pendingCount()).isEqualTo(ProcessFleet.MAX_WAITERS_PER_REPLICA);
        page.awaitCount(3);
        page.releaseAll();
        assertThat(inside.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(3);
    }

    /** Public behavior 16. */
    @Test
    void originRequestsOverConcurrencyLimitAreRejected() {
        HeldOriginPath page = fleet.holdPath("/narrow/page", received -> StubResponse.of(200, "page",
                "Cache-Control", "max-age=60"));
        List<JarReplica> one = List.of(fleet.replica(2));

        PendingResponses inside = clients.request(one, 1, "/narrow/page?key=1")
                .plus(clients.request(one, 1, "/narrow/page?key=2"));
        page.awaitCount(ProcessFleet.NARROW_ROUTE_CONCURRENCY);
        List<FleetResponse> outside = clients.request(one, 10, "/narrow/page?key=3").awaitAll();

        assertThat(outside).allSatisfy(reply -> assertRejected(reply, "origin-concurrency"));
        assertThat(inside.pendingCount()).isEqualTo(ProcessFleet.NARROW_ROUTE_CONCURRENCY);
        // Who waits for what is under way asks for no place of his own.
        PendingResponses waiting = clients.request(one, 10, "/narrow/page?key=1");
        fleet.awaitWaiting(ProcessFleet.NARROW_ROUTE_CONCURRENCY + 10);
        page.releaseAll();
        assertThat(inside.plus(waiting).awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(ProcessFleet.NARROW_ROUTE_CONCURRENCY);
    }

    @Test
    void uncacheableFetchesRespectConcurrencyLimit() {
        HeldOriginPath page = fleet.holdPath("/narrow/private",
                received -> StubResponse.of(200, "page " + received.number(),
                        "Cache-Control", "private"));
        List<JarReplica> one = List.of(fleet.replica(2));

        PendingResponses crowd = clients.request(one, 20, "/narrow/private");
        fleet.awaitWaiting(20);
        page.release(1);
        page.awaitCount(2);
        // All are released and at most two are at the origin: the others know by now that there is no place.
        ProcessFleet.await("the others are told", HeldOriginPath.TIMEOUT,
                () -> crowd.pendingCount() <= ProcessFleet.NARROW_ROUTE_CONCURRENCY);
        page.releaseAll();

        // The first one's place is free when he has read his answer, soon enough for one of the others or not.
        assertThat(page.count()).isBetween(ProcessFleet.NARROW_ROUTE_CONCURRENCY,
                1 + ProcessFleet.NARROW_ROUTE_CONCURRENCY);
        assertThat(crowd.awaitAll()).filteredOn(reply -> reply.status() == 200)
                .hasSize(page.count())
                .extracting(FleetResponse::body)
                .doesNotHaveDuplicates();
        assertThat(crowd.awaitAll()).filteredOn(reply -> reply.status() != 200)
                .allSatisfy(reply -> assertRejected(reply, "origin-concurrency"));
    }

    private static void assertRejected(FleetResponse reply, String reason) {
        assertThat(reply.status()).isEqualTo(503);
        assertThat(reply.fields().firstValue("Retry-After")).hasValueSatisfying(seconds -> assertThat(seconds)
                .matches("[1-9][0-9]*"));
        assertThat(reply.fields().firstValue("Content-Type")).contains("application/problem+json");
        assertThat(reply.body()).contains("\"reason\":\"" + reason + "\"");
        assertThat(reply.cacheStatus()).contains("detail=" + reason);
    }
}
