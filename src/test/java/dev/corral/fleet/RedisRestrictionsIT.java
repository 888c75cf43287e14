package dev.corral.fleet;

import dev.corral.dev.StubResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Redis answers, but it tells nobody anything, or has no room. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class RedisRestrictionsIT {

    /** A follower that nobody rings looks once a second, and up to a tenth of it later. */
    private static final Duration MAX_POLL_INTERVAL = Duration.ofMillis(1_100);

    /** For the machine: three replicas, Redis, the origin and the test share two cores, perhaps with others. */
    private static final Duration MACHINE_TOLERANCE = Duration.ofSeconds(3);

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    RedisRestrictionsIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Whatever a test has left: not the next one's concern. */
    @AfterEach
    void endTheTrouble() {
        fleet.redis().execute("ACL SETUSER default +publish", "ACL LOG RESET", "CONFIG SET maxmemory 0");
    }

    /** Public behavior 4. */
    @Test
    void lostNotificationsDelayFollowersByOnePoll() {
        HeldOriginPath page = fleet.holdPath("/unheard", asked -> StubResponse.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        // Also from within a script: a replica may listen, and hears nothing.
        fleet.redis().execute("ACL LOG RESET", "ACL SETUSER default -publish");

        PendingResponses crowd = clients.request(fleet.replicas(), 90, "/unheard");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        Instant opened = Instant.now();
        page.releaseAll();
        List<FleetResponse> replies = crowd.awaitAll();
        Duration took = Duration.between(opened, Instant.now());

        assertThat(replies).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
        assertThat(took).isLessThan(MAX_POLL_INTERVAL.plus(MACHINE_TOLERANCE));
        // One refusal for each of the two that were to be rung: nothing was left that could have woken them.
        assertThat(fleet.redis().execute("ACL LOG")).containsSubsequence("count", "2", "reason", "command", "context",
                "lua", "object", "publish");
    }

    @Test
    void lostNotificationsReleaseFollowersOfPrivateResponseAtNextPoll() {
        HeldOriginPath page = fleet.holdPath("/unheard-private", asked -> StubResponse.of(200, "page " + asked.number(),
                "Cache-Control", "private"));
        fleet.redis().execute("ACL SETUSER default -publish");

        PendingResponses crowd = clients.request(fleet.replicas(), 30, "/unheard-private");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        Instant opened = Instant.now();
        page.release(1);
        page.awaitCount(30);
        Duration took = Duration.between(opened, Instant.now());
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(crowd.awaitAll()).extracting(FleetResponse::body).doesNotHaveDuplicates();
        assertThat(page.count()).isEqualTo(30);
        assertThat(took).isLessThan(MAX_POLL_INTERVAL.plus(MACHINE_TOLERANCE));
    }

    @Test
    void fullRedisAtPublishReleasesFollowersInParallel() {
        HeldOriginPath page = fleet.holdPath("/no-room", asked -> StubResponse.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        PendingResponses own = clients.request(List.of(fleet.replica(0)), 20, "/no-room");
        page.awaitCount(1);
        PendingResponses others = clients.request(fleet.replicasExcept(fleet.replica(0)), 40, "/no-room");
        fleet.awaitWaiting(60);
        fleet.awaitFollowers(2);

        fleet.redis().execute("CONFIG SET maxmemory 1");
        String stored = fleet.redis().execute("KEYS corral:{*}");
        page.release(1);
        assertThat(own.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        // None of these is answered before all of them have come: nobody waits in line.
        page.awaitCount(41);
        assertThat(others.pendingCount()).isEqualTo(40);
        page.releaseAll();

        assertThat(others.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(41);
        assertThat(stored.lines()).containsAll(fleet.redis().execute("KEYS corral:{*}").lines().toList());
    }

    @Test
    void withFullRedisEachReplicaFetchesKeyOnce() {
        HeldOriginPath page = fleet.holdPath("/full",
                asked -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"));
        fleet.redis().execute("CONFIG SET maxmemory 1");

        PendingResponses crowd = clients.request(fleet.replicas(), 90, "/full");
        fleet.awaitWaiting(90);
        page.awaitCount(3);
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(3);
        assertThat(fleet.replicas()).allSatisfy(replica -> assertThat(replica.metric("corral_redis_up")).isEqualTo(1));

        fleet.redis().execute("CONFIG SET maxmemory 0");
        HeldOriginPath again = fleet.holdPath("/room-again", asked -> StubResponse.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        PendingResponses next = clients.request(fleet.replicas(), 30, "/room-again");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        again.releaseAll();
        assertThat(next.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(again.count()).isEqualTo(1);
    }
}
