package dev.corral.fleet;

import dev.corral.dev.Answer;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** The replica that fetches for the fleet dies, or falls silent for longer than its lease. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class LostLeaderIT {

    /** A takeover costs the rest of the lease, a round trip and the origin; half a second is for all but the lease. */
    private static final Duration TAKEOVER = Fleet.LEASE.plusMillis(500);

    /** For the machine: three replicas, Redis, the origin and the test share two cores, perhaps with others. */
    private static final Duration SLACK = Duration.ofSeconds(3);

    private final Fleet fleet;
    private final Clients clients = new Clients();

    LostLeaderIT(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviour 17. */
    @Test
    void aKilledLeaderIsReplacedWithinItsLease() {
        Held page = fleet.hold("/killed", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Replica leader = fleet.guest("doomed", Map.of());
        Crowd lost = clients.ask(List.of(leader), 10, "/killed");
        page.awaitCount(1);
        Crowd waiting = clients.ask(fleet.all(), 90, "/killed");
        fleet.awaitWaiting(100);
        fleet.awaitFollowers(3);

        Instant killed = Instant.now();
        leader.process().kill();
        page.awaitCount(2);
        page.open();
        List<Reply> served = waiting.all();
        Duration took = Duration.between(killed, Instant.now());

        assertThat(served).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 2");
        });
        assertThat(took).isLessThan(TAKEOVER.plus(SLACK));
        assertThat(page.count()).isEqualTo(2);
        assertThat(lost.replies()).allMatch(reply -> reply.isCompletedExceptionally());
        fleet.awaitWhole();
        assertThat(clients.ask(fleet.all(), 9, "/killed").all()).allMatch(Reply::hit)
                .extracting(Reply::body)
                .containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    /** Public behaviours 3 and 18. */
    @Test
    void aLeaderThatWakesAfterItsLeaseIsFencedOut() {
        Held page = fleet.hold("/paused", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Replica sleeper = fleet.replica(0);
        List<Replica> others = fleet.allBut(sleeper);
        double fenced = sleeper.metric("corral_fenced_total");
        double takeovers = fleet.sum("corral_takeovers_total");
        Crowd own = clients.ask(List.of(sleeper), 10, "/paused");
        page.awaitCount(1);
        Crowd waiting = clients.ask(others, 20, "/paused");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);

        Instant paused = Instant.now();
        sleeper.process().pause();
        List<Reply> served;
        Duration took;
        try {
            page.awaitCount(2);
            page.letGo(2);
            served = waiting.all();
            took = Duration.between(paused, Instant.now());
            // The older answer is there when it wakes: it will publish at once.
            page.letGo(1);
        } finally {
            sleeper.process().resume();
        }
        List<Reply> woken = own.all();

        assertThat(served).extracting(Reply::body).containsOnly("page 2");
        assertThat(took).isLessThan(TAKEOVER.plus(SLACK));
        assertThat(woken).extracting(Reply::body).containsOnly("page 1");
        Fleet.await("its publish is refused", Held.PATIENCE,
                () -> sleeper.metric("corral_fenced_total") == fenced + 1);
        assertThat(fleet.sum("corral_takeovers_total")).isEqualTo(takeovers + 1);
        fleet.awaitWhole();
        assertThat(clients.ask(fleet.all(), 9, "/paused").all()).allMatch(Reply::hit)
                .extracting(Reply::body)
                .containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }
}
