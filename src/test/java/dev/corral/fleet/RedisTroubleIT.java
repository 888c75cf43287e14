package dev.corral.fleet;

import dev.corral.dev.Answer;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Redis answers, but it tells nobody anything, or has no room. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class RedisTroubleIT {

    /** A follower that nobody rings looks once a second, and up to a tenth of it later. */
    private static final Duration POLL = Duration.ofMillis(1_100);

    /** For the machine: three replicas, Redis, the origin and the test share two cores, perhaps with others. */
    private static final Duration SLACK = Duration.ofSeconds(3);

    private final Fleet fleet;
    private final Clients clients = new Clients();

    RedisTroubleIT(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Whatever a test has left: not the next one's concern. */
    @AfterEach
    void endTheTrouble() {
        fleet.redis().ask("ACL SETUSER default +publish", "ACL LOG RESET", "CONFIG SET maxmemory 0");
    }

    /** Public behaviour 4. */
    @Test
    void withoutAnyMessageAKeyIsStillFetchedOnceAndSeenAtTheNextPoll() {
        Held page = fleet.hold("/unheard", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        // Also from within a script: a replica may listen, and hears nothing.
        fleet.redis().ask("ACL LOG RESET", "ACL SETUSER default -publish");

        Crowd crowd = clients.ask(fleet.all(), 90, "/unheard");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        Instant opened = Instant.now();
        page.open();
        List<Reply> replies = crowd.all();
        Duration took = Duration.between(opened, Instant.now());

        assertThat(replies).extracting(Reply::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
        assertThat(took).isLessThan(POLL.plus(SLACK));
        // One refusal for each of the two that were to be rung: nothing was left that could have woken them.
        assertThat(fleet.redis().ask("ACL LOG")).containsSubsequence("count", "2", "reason", "command", "context",
                "lua", "object", "publish");
    }

    @Test
    void withoutAnyMessageAnAnswerForOneReleasesAllAtTheNextPoll() {
        Held page = fleet.hold("/unheard-private", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "private"));
        fleet.redis().ask("ACL SETUSER default -publish");

        Crowd crowd = clients.ask(fleet.all(), 30, "/unheard-private");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        Instant opened = Instant.now();
        page.letGo(1);
        page.awaitCount(30);
        Duration took = Duration.between(opened, Instant.now());
        page.open();

        assertThat(crowd.all()).extracting(Reply::status).containsOnly(200);
        assertThat(crowd.all()).extracting(Reply::body).doesNotHaveDuplicates();
        assertThat(page.count()).isEqualTo(30);
        assertThat(took).isLessThan(POLL.plus(SLACK));
    }

    @Test
    void anAnswerThatRedisHasNoRoomForReleasesAllInParallel() {
        Held page = fleet.hold("/no-room", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Crowd own = clients.ask(List.of(fleet.replica(0)), 20, "/no-room");
        page.awaitCount(1);
        Crowd others = clients.ask(fleet.allBut(fleet.replica(0)), 40, "/no-room");
        fleet.awaitWaiting(60);
        fleet.awaitFollowers(2);

        fleet.redis().ask("CONFIG SET maxmemory 1");
        String stored = fleet.redis().ask("KEYS corral:{*}");
        page.letGo(1);
        assertThat(own.all()).extracting(Reply::body).containsOnly("page 1");
        // None of these is answered before all of them have come: nobody waits in line.
        page.awaitCount(41);
        assertThat(others.waiting()).isEqualTo(40);
        page.open();

        assertThat(others.all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(41);
        assertThat(stored.lines()).containsAll(fleet.redis().ask("KEYS corral:{*}").lines().toList());
    }

    @Test
    void withAFullRedisAReplicaFetchesAKeyOnce() {
        Held page = fleet.hold("/full", asked -> Answer.of(200, "page", "Cache-Control", "max-age=60"));
        fleet.redis().ask("CONFIG SET maxmemory 1");

        Crowd crowd = clients.ask(fleet.all(), 90, "/full");
        fleet.awaitWaiting(90);
        page.awaitCount(3);
        page.open();

        assertThat(crowd.all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(3);
        assertThat(fleet.all()).allSatisfy(replica -> assertThat(replica.metric("corral_redis_up")).isEqualTo(1));

        fleet.redis().ask("CONFIG SET maxmemory 0");
        Held again = fleet.hold("/room-again", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Crowd next = clients.ask(fleet.all(), 30, "/room-again");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        again.open();
        assertThat(next.all()).extracting(Reply::body).containsOnly("page 1");
        assertThat(again.count()).isEqualTo(1);
    }
}
