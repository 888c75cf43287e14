package dev.corral.fleet;

import dev.corral.dev.Answer;
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

/** Without Redis each replica goes on by itself: the worst that happens is one fetch per key and replica. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class RedisAwayIT {

    /** One command's time limit is all that a Redis without an answer costs a request; the rest is for the machine. */
    private static final Duration BOUND = Fleet.REDIS_TIMEOUT.plusSeconds(3);

    private final Fleet fleet;
    private final Clients clients = new Clients();

    RedisAwayIT(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Whatever a test has left: not the next one's concern. */
    @AfterEach
    void bringRedisBack() {
        fleet.restoreRedis();
    }

    @Test
    void withoutRedisAReplicaFetchesAKeyOnce() {
        Held page = fleet.hold("/alone", asked -> Answer.of(200, "page", "Cache-Control", "max-age=60"));
        fleet.stopRedis();

        Crowd crowd = clients.ask(fleet.all(), 90, "/alone?key=1").and(clients.ask(fleet.all(), 90, "/alone?key=2"));
        fleet.awaitWaiting(180);
        page.awaitCount(6);
        page.open();

        assertThat(crowd.all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(6);
        // And remembers it.
        assertThat(clients.ask(fleet.all(), 30, "/alone?key=1").all()).extracting(Reply::body).containsOnly("page");
        assertThat(page.count()).isEqualTo(6);
    }

    @Test
    void withoutRedisAReplicaIsDegradedAndNeitherDeadNorUnready() {
        fleet.stopRedis();

        for (Replica replica : fleet.all()) {
            Fleet.await(replica.name() + " says that it is degraded", Held.PATIENCE,
                    () -> health(replica, "health").contains("\"redis\":{\"status\":\"DEGRADED\""));
            assertThat(replica.ask("health").map(HttpResponse::statusCode)).contains(200);
            assertThat(health(replica, "health/liveness")).contains("\"status\":\"UP\"");
            assertThat(health(replica, "health/readiness")).contains("\"status\":\"UP\"");
        }
    }

    @Test
    void aRedisThatComesBackIsUsedAgainWithoutARestart() {
        Held page = fleet.hold("/back", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        fleet.stopRedis();
        fleet.awaitDegraded();

        fleet.restoreRedis();
        fleet.awaitWhole();
        Crowd crowd = clients.ask(fleet.all(), 90, "/back");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        page.open();

        assertThat(crowd.all()).extracting(Reply::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
        assertThat(fleet.all()).allSatisfy(replica -> assertThat(health(replica, "health"))
                .contains("\"redis\":{\"status\":\"UP\""));
    }

    @Test
    void aFlightIsNotLostWithRedis() {
        Held page = fleet.hold("/mid-air", asked -> Answer.of(200, "page", "Cache-Control", "max-age=60"));
        Crowd crowd = clients.ask(fleet.all(), 90, "/mid-air");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        assertThat(page.count()).isEqualTo(1);

        fleet.stopRedis();
        // Those who followed look at their next poll, and then know.
        page.awaitCount(3);
        page.open();

        assertThat(crowd.all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(3);
    }

    @Test
    void aRedisThatAnswersNothingCostsOneTimeLimitAndThenNone() {
        Held page = fleet.hold("/silent", asked -> Answer.of(200, "page", "Cache-Control", "max-age=60"));
        page.open();
        clients.ask(fleet.all(), 9, "/silent?key=warm").all();
        int before = page.count();

        fleet.pauseRedis();
        List<Reply> first = askFor(20, "first").all();
        fleet.awaitDegraded();
        double degraded = degraded();
        List<Reply> second = askFor(20, "second").all();

        assertThat(first).allSatisfy(reply -> assertThat(reply.status()).isEqualTo(200))
                .allSatisfy(reply -> assertThat(reply.time()).isLessThan(BOUND));
        assertThat(second).allSatisfy(reply -> assertThat(reply.status()).isEqualTo(200))
                .allSatisfy(reply -> assertThat(reply.time()).isLessThan(BOUND));
        // The second round did not wait for Redis: each replica knew.
        assertThat(degraded()).isGreaterThanOrEqualTo(degraded + 3 * 20);
        assertThat(page.count() - before).isEqualTo(2 * 3 * 20);

        fleet.restoreRedis();
        fleet.awaitWhole();
        Held again = fleet.hold("/speaks-again", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Crowd crowd = clients.ask(fleet.all(), 30, "/speaks-again");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        again.open();
        assertThat(crowd.all()).extracting(Reply::body).containsOnly("page 1");
        assertThat(again.count()).isEqualTo(1);
    }

    @Test
    void aReplicaStartsWithoutRedisAndJoinsTheFleetWhenItComes() {
        Held page = fleet.hold("/early", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        page.open();
        fleet.stopRedis();

        Replica early = fleet.lonelyGuest("early", Map.of());
        List<Reply> served = clients.ask(List.of(early), 30, "/early?without").all();

        assertThat(served).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(1);
        assertThat(health(early, "health")).contains("\"redis\":{\"status\":\"DEGRADED\"");

        fleet.restoreRedis();
        fleet.awaitWhole();
        Fleet.await("it has joined", Held.PATIENCE, () -> early.metric("corral_redis_up") == 1);
        Held shared = fleet.hold("/joined", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Crowd others = clients.ask(fleet.all(), 30, "/joined");
        shared.awaitCount(1);
        Crowd its = clients.ask(List.of(early), 10, "/joined");
        fleet.awaitWaiting(40);
        fleet.awaitFollowers(3);
        shared.open();
        assertThat(others.and(its).all()).extracting(Reply::body).containsOnly("page 1");
        assertThat(shared.count()).isEqualTo(1);
    }

    /** That many keys, each asked for by two clients of every replica. */
    private Crowd askFor(int keys, String name) {
        return IntStream.range(0, keys)
                .mapToObj(key -> clients.ask(fleet.all(), 6, "/silent?" + name + "=" + key))
                .reduce(new Crowd(List.of()), Crowd::and);
    }

    private double degraded() {
        return fleet.all().stream().mapToDouble(replica -> replica.metric("corral_degraded_total")).sum();
    }

    private static String health(Replica replica, String page) {
        return replica.ask(page).map(HttpResponse::body).orElse("");
    }
}
