package dev.corral.fleet;

import dev.corral.dev.Answer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Clients and replicas leave in good order in the middle of a flight; nobody else notices. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class LeavingIT {

    /** So long that a lease which is free earlier has been given back. */
    private static final Map<String, String> LONG_LEASE = Map.of("corral.lease.ttl", "60s", "corral.shutdown.drain",
            "1s");

    private final Fleet fleet;
    private final Clients clients = new Clients();

    LeavingIT(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviours 16 and 19. */
    @Test
    void aFlightGoesOnWithoutTheClientWhoBeganIt() {
        Held page = fleet.hold("/left", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Replica one = fleet.replica(0);
        double left = left(one);

        Crowd first = clients.ask(List.of(one), 1, "/left");
        page.awaitCount(1);
        Crowd others = clients.ask(fleet.allBut(one), 10, "/left");
        fleet.awaitWaiting(11);
        fleet.awaitFollowers(2);
        first.leave();
        Fleet.await("the replica has noticed", Held.PATIENCE, () -> left(one) == left + 1);
        page.open();

        assertThat(others.all()).extracting(Reply::body).containsOnly("page 1");
        assertThat(clients.ask(fleet.all(), 9, "/left").all()).extracting(Reply::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }

    /** Public behaviour 19. */
    @Test
    void anAnswerIsStoredThoughEverybodyHasLeft() {
        Held page = fleet.hold("/all-left", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        double left = fleet.all().stream().mapToDouble(LeavingIT::left).sum();

        Crowd crowd = clients.ask(fleet.all(), 9, "/all-left");
        fleet.awaitWaiting(9);
        page.awaitCount(1);
        crowd.leave();
        Fleet.await("the replicas have noticed", Held.PATIENCE,
                () -> fleet.all().stream().mapToDouble(LeavingIT::left).sum() == left + 9);
        page.open();
        fleet.awaitWhole();

        assertThat(clients.ask(fleet.all(), 9, "/all-left").all()).allMatch(Reply::hit)
                .extracting(Reply::body)
                .containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }

    @Test
    void aReplicaThatStopsAnswersItsClientsFirst() {
        Held page = fleet.hold("/stops", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Replica leader = fleet.guest("leaver", LONG_LEASE);
        Crowd own = clients.ask(List.of(leader), 10, "/stops");
        page.awaitCount(1);
        Crowd others = clients.ask(fleet.all(), 30, "/stops");
        fleet.awaitWaiting(40);
        fleet.awaitFollowers(3);

        leader.stop();
        Fleet.await("it takes no more clients", Held.PATIENCE, leader::refuses);
        assertThat(own.waiting()).isEqualTo(10);
        page.open();

        assertThat(own.and(others).all()).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 1");
        });
        assertThat(own.all()).allSatisfy(reply -> assertThat(reply.fields().joined("Connection")).hasValue("close"));
        assertThat(page.count()).isEqualTo(1);
        assertThat(fleet.leases()).isEmpty();
        Fleet.await("it has ended", Duration.ofSeconds(30), () -> !leader.process().alive());
    }

    @Test
    void aReplicaThatStopsGivesBackTheLeaseOfAFlightThatDoesNotLand() {
        Held page = fleet.hold("/does-not-land", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Replica leader = fleet.guest("resigner", LONG_LEASE);
        // Nobody waits in the leader, so that its web server has nothing to wait for.
        Crowd own = clients.ask(List.of(leader), 1, "/does-not-land");
        page.awaitCount(1);
        Crowd others = clients.ask(fleet.all(), 30, "/does-not-land");
        fleet.awaitWaiting(31);
        fleet.awaitFollowers(3);
        own.leave();
        Fleet.await("the leader has noticed", Held.PATIENCE, () -> left(leader) == 1);

        leader.stop();
        // After the 5 s that a flight has to land: far from the minute of its lease.
        Fleet.await("another has taken over", Duration.ofSeconds(20), () -> page.count() == 2);
        page.letGo(2);

        assertThat(others.all()).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 2");
        });
        Fleet.await("it has ended", Duration.ofSeconds(30), () -> !leader.process().alive());
        assertThat(fleet.leases()).isEmpty();
        assertThat(page.count()).isEqualTo(2);
    }

    private static double left(Replica replica) {
        return replica.metric("corral_requests_seconds_count", "outcome=\"left\"");
    }
}
