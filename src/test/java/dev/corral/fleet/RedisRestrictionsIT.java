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

/** Redis that delivers no messages, or that is full. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(60)
class RedisRestrictionsIT {

    /** A follower without notifications polls once a second plus up to a tenth of it. */
    private static final Duration MAX_POLL_INTERVAL = Duration.ofMillis(1_100);

    /** Allowance for the machine: three replicas, Redis, the origin and the test share two cores. */
    private static final Duration MACHINE_TOLERANCE = Duration.ofSeconds(3);

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();

    RedisRestrictionsIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    /** Restores Redis after a test. */
    @AfterEach
    void endTheTrouble() {
        fleet.redis().execute("ACL SETUSER default +publish", "ACL LOG RESET", "CONFIG SET maxmemory 0");
    }

    /** Public behavior 4. */
    @Test
    void lostNotificationsDelayFollowersByOnePoll() {
        HeldOriginPath page = fleet.holdPath("/unheard", received -> StubResponse.of(200, "page " + received.number(),
                "Cache-Control", "max-age=60"));
        // Applies within scripts too: replicas may subscribe but receive nothing.
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
        // One rejection for each of the two notifications: nothing could have woken the followers.
        assertThat(fleet.redis().execute("ACL LOG")).containsSubsequence("count", "2", "reason", "command", "context",
                "lua", "object", "publish");
    }

    @Test
    void lostNotificationsReleaseFollowersOfPrivateResponseAtNextPoll() {
        HeldOriginPath page = fleet.holdPath("/unheard-private",
                received -> StubResponse.of(200, "page " + received.number(),
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
        HeldOriginPath page = fleet.holdPath("/no-room", received -> StubResponse.of(200, "page " + received.number(),
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
        // No request gets a response before all have arrived: they run in parallel.
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
                received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"));
        fleet.redis().execute("CONFIG SET maxmemory 1");

        PendingResponses crowd = clients.request(fleet.replicas(), 90, "/full");
        fleet.awaitWaiting(90);
        page.awaitCount(3);
        page.releaseAll();

        assertThat(crowd.awaitAll()).extracting(FleetResponse::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(3);
        assertThat(fleet.replicas()).allSatisfy(replica -> assertThat(replica.metric("corral_redis_up")).isEqualTo(1));

        fleet.redis().execute("CONFIG SET maxmemory 0");
        HeldOriginPath again = fleet.holdPath("/room-again",
                received -> StubResponse.of(200, "page " + received.number(),
                        "Cache-Control", "max-age=60"));
        PendingResponses next = clients.request(fleet.replicas(), 30, "/room-again");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        again.releaseAll();
        assertThat(next.awaitAll()).extracting(FleetResponse::body).containsOnly("page 1");
        assertThat(again.count()).isEqualTo(1);
    }
}
