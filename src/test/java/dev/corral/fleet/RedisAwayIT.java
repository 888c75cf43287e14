package dev.corral.fleet;

import dev.corral.dev.StubResponse;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Without Redis each replica continues on its own, with at most one fetch per key and replica. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class RedisAwayIT {

    /** A silent Redis delays a request only until it is detected; the rest is an allowance for the machine. */
    private static final Duration MAX_RESPONSE_TIME = ProcessFleet.REDIS_TIMEOUT.plusSeconds(3);

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    RedisAwayIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Restores Redis after a test. */
    @AfterEach
    void restoreRedis() {
        fleet.restoreRedis();
    }

    @Test
    void withoutRedisEachReplicaFetchesKeyOnce() {
        HeldOriginPath page = fleet.holdPath("/alone",
                received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"));
        fleet.stopRedis();

        PendingResponses crowd = clients.request(fleet.replicas(), 90, "/alone?key=1")
                .plus(clients.request(fleet.replicas(), 90, "/alone?key=2"));
        fleet.awaitWaiting(180);
        page.awaitCount(6);
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(6);
        // The response is kept in memory.
        assertThat(clients.request(fleet.replicas(), 30, "/alone?key=1").awaitAll()).extracting(FleetResponse::body)
                .containsOnly("page");
        assertThat(page.count()).isEqualTo(6);
    }

    @Test
    void withoutRedisHealthIsDegradedButLiveAndReady() {
        fleet.stopRedis();

        for (JarReplica replica : fleet.replicas()) {
            ProcessFleet.await(replica.name() + " says that it is degraded", HeldOriginPath.TIMEOUT,
                    () -> health(replica, "health").contains("\"redis\":{\"status\":\"DEGRADED\""));
            assertThat(replica.getActuator("health").map(HttpResponse::statusCode)).contains(200);
            assertThat(health(replica, "health/liveness")).contains("\"status\":\"UP\"");
            assertThat(health(replica, "health/readiness")).contains("\"status\":\"UP\"");
        }
    }

    @Test
    void recoveredRedisIsUsedWithoutRestart() {
        HeldOriginPath page = fleet.holdPath("/back", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        fleet.stopRedis();
        fleet.awaitDegraded();

        fleet.restoreRedis();
        fleet.awaitIdleAndConnected();
        PendingResponses crowd = clients.request(fleet.replicas(), 90, "/back");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
        assertThat(fleet.replicas()).allSatisfy(replica -> assertThat(health(replica, "health"))
                .contains("\"redis\":{\"status\":\"UP\""));
    }

    @Test
    void flightSurvivesLossOfRedis() {
        HeldOriginPath page = fleet.holdPath("/mid-air",
                received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"));
        PendingResponses crowd = clients.request(fleet.replicas(), 90, "/mid-air");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        assertThat(page.count()).isEqualTo(1);

        fleet.stopRedis();
        // Followers find out at their next poll.
        page.awaitCount(3);
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(3);
    }

    @Test
    void silentRedisDelaysRequestsOnlyUntilDetected() {
        HeldOriginPath page = fleet.holdPath("/silent",
                received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"));
        page.releaseAll();
        clients.request(fleet.replicas(), 9, "/silent?key=warm").awaitAll();
        int before = page.count();

        fleet.pauseRedis();
        List<FleetResponse> first = requestKeys(20, "first").awaitAll();
        fleet.awaitDegraded();
        double degraded = degradedFlights();
        List<FleetResponse> second = requestKeys(20, "second").awaitAll();

        assertThat(first).allSatisfy(reply -> assertThat(reply.status()).isEqualTo(200))
                .allSatisfy(reply -> assertThat(reply.elapsed()).isLessThan(MAX_RESPONSE_TIME));
        assertThat(second).allSatisfy(reply -> assertThat(reply.status()).isEqualTo(200))
                .allSatisfy(reply -> assertThat(reply.elapsed()).isLessThan(MAX_RESPONSE_TIME));
        // The second round did not wait for Redis, because each replica had detected the outage.
        assertThat(degradedFlights()).isGreaterThanOrEqualTo(degraded + 3 * 20);
        assertThat(page.count() - before).isEqualTo(2 * 3 * 20);

        fleet.restoreRedis();
        fleet.awaitIdleAndConnected();
        HeldOriginPath again = fleet.holdPath("/speaks-again",
                received -> StubResponse.of(200, "page " + received.number(),
                        "Cache-Control", "max-age=60"));
        PendingResponses crowd = clients.request(fleet.replicas(), 30, "/speaks-again");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        again.releaseAll();
        assertThat(crowd.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(again.count()).isEqualTo(1);
    }

    @Test
    void replicaStartsWithoutRedisAndJoinsLater() {
        HeldOriginPath page = fleet.holdPath("/early", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        page.releaseAll();
        fleet.stopRedis();

        JarReplica early = fleet.startReplicaWithoutWarmUp("early", Map.of());
        List<FleetResponse> served = clients.request(List.of(early), 30, "/early?without").awaitAll();

        assertThat(served).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(1);
        assertThat(health(early, "health")).contains("\"redis\":{\"status\":\"DEGRADED\"");

        fleet.restoreRedis();
        fleet.awaitIdleAndConnected();
        ProcessFleet.await("it has joined", HeldOriginPath.TIMEOUT, () -> early.metric("corral_redis_up") == 1);
        HeldOriginPath shared = fleet.holdPath("/joined", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        PendingResponses others = clients.request(fleet.replicas(), 30, "/joined");
        shared.awaitCount(1);
        PendingResponses its = clients.request(List.of(early), 10, "/joined");
        fleet.awaitWaiting(40);
        fleet.awaitFollowers(3);
        shared.releaseAll();
        assertThat(others.plus(its).awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(shared.count()).isEqualTo(1);
    }

    /** Requests this many keys, each with two clients per replica. */
    private PendingResponses requestKeys(int keys, String name) {
        return IntStream.range(0, keys)
                .mapToObj(key -> clients.request(fleet.replicas(), 6, "/silent?" + name + "=" + key))
                .reduce(new PendingResponses(List.of()), PendingResponses::plus);
    }

    private double degradedFlights() {
        return fleet.replicas().stream().mapToDouble(replica -> replica.metric("corral_flights_degraded_total")).sum();
    }

    private static String health(JarReplica replica, String page) {
        return replica.getActuator(page).map(HttpResponse::body).orElse("");
    }
}
