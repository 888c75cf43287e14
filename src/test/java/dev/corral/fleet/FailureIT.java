package dev.corral.fleet;

import dev.corral.dev.DemoShop;
import dev.corral.dev.StubResponse;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;

/** A failed fetch is told to everybody who waited for it, once, and to nobody later. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class FailureIT {

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    FailureIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Public behavior 13. */
    @Test
    void failureIsSharedButNotCached() {
        HeldOriginPath page = fleet.holdPath("/error", received -> received.number() == 1
                ? StubResponse.of(500, "what went wrong")
                : StubResponse.of(200, "page " + received.number(), "Cache-Control", "max-age=60"));

        PendingResponses crowd = clients.request(fleet.replicas(), 90, "/error");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        page.releaseAll();
        List<FleetResponse> failed = crowd.awaitAll();
        int fetchesOfTheFailure = page.count();
        List<FleetResponse> next = clients.request(fleet.replicas(), 9, "/error").awaitAll();

        assertThat(failed).extracting(FleetResponse::status).containsOnly(500);
        assertThat(failed).extracting(FleetResponse::cacheStatus)
                .allMatch(status -> status.startsWith("Corral; fwd=uri-miss; fwd-status=500"))
                .filteredOn(status -> !status.contains("collapsed"))
                .hasSize(1);
        assertThat(failed).extracting(FleetResponse::body).containsOnly("what went wrong");
        assertThat(fetchesOfTheFailure).isEqualTo(1);
        assertThat(next).extracting(FleetResponse::status).containsOnly(200);
        assertThat(next).extracting(FleetResponse::body).containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    @Test
    void publicErrorIsSharedWithOriginBody() {
        HeldOriginPath page = fleet.holdPath("/public-error", received -> received.number() == 1
                ? StubResponse.of(503, "back at noon", "Cache-Control", "public, max-age=0", "Retry-After", "7")
                : StubResponse.of(200, "page " + received.number(), "Cache-Control", "max-age=60"));

        PendingResponses crowd = clients.request(fleet.replicas(), 30, "/public-error");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        page.releaseAll();

        assertThat(crowd.awaitAll()).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(503);
            assertThat(reply.body()).isEqualTo("back at noon");
            assertThat(reply.fields().firstValue("Retry-After")).contains("7");
        });
        assertThat(clients.request(fleet.replicas(), 9, "/public-error").awaitAll()).extracting(FleetResponse::body)
                .containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    /** Public behavior 13. */
    @Test
    void unreachableOriginFailsCurrentWaitersOnly() {
        List<FleetResponse> refused = clients.request(fleet.replicas(), 30, "/dark/page").awaitAll();

        assertThat(refused).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(502);
            assertThat(reply.body()).contains("\"reason\":\"origin-unreachable\"").doesNotContain("127.0.0.1");
            assertThat(reply.fields().firstValue("Content-Type")).contains("application/problem+json");
        });
        try (DemoShop dark = DemoShop.start(fleet.unusedPort(), Duration.ZERO)) {
            HeldOriginPath page = HeldOriginPath.holdAtWithFailures(dark, "/dark/page",
                    received -> received.number() == 1
                            ? Mono.error(new IllegalStateException("cut"))
                            : Mono.just(
                                    StubResponse.of(200, "page " + received.number(), "Cache-Control", "max-age=60")));

            PendingResponses crowd = clients.request(fleet.replicas(), 90, "/dark/page");
            fleet.awaitWaiting(90);
            fleet.awaitFollowers(2);
            page.releaseAll();
            List<FleetResponse> cut = crowd.awaitAll();
            int fetchesOfTheFailure = page.count();

            assertThat(cut).allSatisfy(reply -> {
                assertThat(reply.status()).isEqualTo(502);
                assertThat(reply.body()).contains("\"reason\":\"origin-unreachable\"");
            });
            // A connection that had never served: nothing that would be tried a second time.
            assertThat(fetchesOfTheFailure).isEqualTo(1);
            assertThat(clients.request(fleet.replicas(), 9, "/dark/page").awaitAll()).extracting(FleetResponse::body)
                    .containsOnly("page 2");
            assertThat(page.count()).isEqualTo(2);
        }
    }
}
