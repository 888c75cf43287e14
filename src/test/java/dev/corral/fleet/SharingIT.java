package dev.corral.fleet;

import dev.corral.dev.StubRequest;
import dev.corral.dev.StubResponse;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Which requests may get a response that another request has fetched. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class SharingIT {

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    SharingIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void twoVariantsCostTwoFetches() {
        HeldOriginPath page = fleet.holdPath("/variants", asked -> StubResponse.of(200, "in " + language(asked),
                "Vary", "Accept-Language", "Cache-Control", "max-age=60"));

        PendingResponses crowd = clients.requestEach(fleet.replicas(), 120, "/variants", SharingIT::eitherLanguage);
        fleet.awaitWaiting(120);
        fleet.awaitFollowers(2);
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(crowd.awaitAll()).extracting(FleetResponse::body)
                .isEqualTo(IntStream.range(0, 120).mapToObj(i -> "in " + eitherLanguage(i)[1]).toList());
        assertThat(page.count()).isEqualTo(2);
        assertThat(page.requests()).extracting(SharingIT::language).containsExactlyInAnyOrder("de", "fr");

        assertThat(clients.requestEach(fleet.replicas(), 12, "/variants", SharingIT::eitherLanguage).awaitAll())
                .allMatch(FleetResponse::isHit);
        FleetResponse third = clients.request(fleet.replica(0), "/variants", "Accept-Language", "it").join();
        assertThat(third.body()).isEqualTo("in it");
        assertThat(third.cacheStatus()).startsWith("Corral; fwd=vary-miss");
        assertThat(page.count()).isEqualTo(3);
    }

    /** Public behavior 14. */
    @Test
    void knownVariantsAreFetchedInParallel() {
        HeldOriginPath page = fleet.holdPath("/known-variants", asked -> StubResponse.of(200, "in " + language(asked),
                "Vary", "Accept-Language", "Cache-Control", "max-age=60"));
        clients.request(fleet.replicas(), 3, "/known-variants", "Accept-Language", "it");
        page.awaitCount(1);
        page.release(1);
        fleet.awaitIdleAndConnected();

        // The variance is known: one flight per variant, in parallel.
        PendingResponses crowd = clients.requestEach(fleet.replicas(), 60, "/known-variants",
                SharingIT::eitherLanguage);
        fleet.awaitWaiting(60);
        page.awaitCount(3);
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::body)
                .isEqualTo(IntStream.range(0, 60).mapToObj(i -> "in " + eitherLanguage(i)[1]).toList());
        assertThat(page.count()).isEqualTo(3);
    }

    @Test
    void authorizationResponseIsNotShared() {
        HeldOriginPath page = fleet.holdPath("/account", asked -> StubResponse.of(200, "for " + credentials(asked),
                "Cache-Control", "max-age=60"));

        PendingResponses known = clients.requestEach(fleet.replicas(), 30, "/account",
                client -> new String[]{"Authorization", "Bearer " + client});
        PendingResponses unknown = clients.request(fleet.replicas(), 30, "/account");
        fleet.awaitWaiting(60);
        page.releaseAll();

        assertThat(known.awaitAll()).extracting(FleetResponse::body)
                .isEqualTo(IntStream.range(0, 30).mapToObj(client -> "for Bearer " + client).toList());
        assertThat(unknown.awaitAll()).extracting(FleetResponse::body).containsOnly("for nobody");
        assertThat(page.requests()).filteredOn(asked -> credentials(asked).equals("nobody")).hasSize(1);
        assertThat(page.count()).isEqualTo(31);
    }

    @ParameterizedTest
    @ValueSource(strings = {"public, max-age=60", "s-maxage=60"})
    void authorizationResponseIsSharedWhenPublic(String cacheControl) {
        String path = "/open-" + cacheControl.charAt(0);
        HeldOriginPath page = fleet.holdPath(path, asked -> StubResponse.of(200, "page " + asked.number(),
                "Cache-Control", cacheControl));

        PendingResponses known = clients.requestEach(fleet.replicas(), 30, path,
                client -> new String[]{"Authorization", "Bearer " + client});
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        page.releaseAll();

        assertThat(known.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        fleet.awaitIdleAndConnected();
        assertThat(clients.request(fleet.replicas(), 9, path).awaitAll()).allMatch(FleetResponse::isHit)
                .extracting(FleetResponse::body)
                .containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }

    /** Public behavior 15. */
    @ParameterizedTest
    @ValueSource(strings = {"max-age=0", "no-cache"})
    void neverFreshResponseServesCurrentWaitersOnly(String cacheControl) {
        String path = "/never-fresh-" + cacheControl.charAt(0);
        HeldOriginPath page = fleet.holdPath(path, asked -> StubResponse.of(200, "page " + asked.number(),
                "Cache-Control", cacheControl));

        PendingResponses waited = clients.request(fleet.replicas(), 90, path);
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        page.release(1);
        List<FleetResponse> served = waited.awaitAll();
        fleet.awaitIdleAndConnected();

        assertThat(served).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
        PendingResponses later = clients.request(fleet.replicas(), 90, path);
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        assertThat(later.pendingCount()).isEqualTo(90);
        page.release(2);
        assertThat(later.awaitAll()).extracting(FleetResponse::body).containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    private static String[] eitherLanguage(int client) {
        // In groups of three, because there are three replicas: each has clients of both variants.
        return new String[]{"Accept-Language", client / 3 % 2 == 0 ? "de" : "fr"};
    }

    private static String language(StubRequest asked) {
        return asked.fields().firstValue("Accept-Language").orElse("none");
    }

    private static String credentials(StubRequest asked) {
        return asked.fields().firstValue("Authorization").orElse("nobody");
    }
}
