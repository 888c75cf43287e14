package dev.corral.fleet;

import dev.corral.dev.Answer;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** Over a limit is a 503 that says when to come back, at once: before anything that was held is let go. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class LimitsIT {

    private final Fleet fleet;
    private final Clients clients = new Clients();

    LimitsIT(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void moreWaitersOfOneKeyThanAllowedAreTurnedAway() {
        Held page = fleet.hold("/crowded", asked -> Answer.of(200, "page", "Cache-Control", "max-age=60"));
        List<Replica> one = List.of(fleet.replica(0));

        Crowd inside = clients.ask(one, Fleet.WAITERS_PER_KEY, "/crowded");
        fleet.awaitWaiting(Fleet.WAITERS_PER_KEY);
        List<Reply> outside = clients.ask(one, 10, "/crowded").all();

        assertThat(outside).allSatisfy(reply -> assertRefused(reply, "too-many-waiters"));
        assertThat(inside.waiting()).isEqualTo(Fleet.WAITERS_PER_KEY);
        page.open();
        assertThat(inside.all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(1);
    }

    @Test
    void moreWaitersOfAllKeysThanAllowedAreTurnedAway() {
        Held page = fleet.hold("/full-house", asked -> Answer.of(200, "page",
                "Cache-Control", "max-age=60"));
        List<Replica> one = List.of(fleet.replica(1));

        Crowd inside = clients.ask(one, Fleet.WAITERS_PER_REPLICA / 3, "/full-house?key=1")
                .and(clients.ask(one, Fleet.WAITERS_PER_REPLICA / 3, "/full-house?key=2"))
                .and(clients.ask(one, Fleet.WAITERS_PER_REPLICA / 3, "/full-house?key=3"));
        fleet.awaitWaiting(Fleet.WAITERS_PER_REPLICA);
        List<Reply> outside = clients.ask(one, 10, "/full-house?key=4").all();

        assertThat(outside).allSatisfy(reply -> assertRefused(reply, "too-many-waiters"));
        assertThat(inside.waiting()).isEqualTo(Fleet.WAITERS_PER_REPLICA);
        page.awaitCount(3);
        page.open();
        assertThat(inside.all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(3);
    }

    /** Public behaviour 16. */
    @Test
    void moreRequestsToTheOriginThanAllowedAreTurnedAway() {
        Held page = fleet.hold("/narrow/page", asked -> Answer.of(200, "page",
                "Cache-Control", "max-age=60"));
        List<Replica> one = List.of(fleet.replica(2));

        Crowd inside = clients.ask(one, 1, "/narrow/page?key=1").and(clients.ask(one, 1, "/narrow/page?key=2"));
        page.awaitCount(Fleet.NARROW);
        List<Reply> outside = clients.ask(one, 10, "/narrow/page?key=3").all();

        assertThat(outside).allSatisfy(reply -> assertRefused(reply, "origin-concurrency"));
        assertThat(inside.waiting()).isEqualTo(Fleet.NARROW);
        // Who waits for what is under way asks for no place of his own.
        Crowd waiting = clients.ask(one, 10, "/narrow/page?key=1");
        fleet.awaitWaiting(Fleet.NARROW + 10);
        page.open();
        assertThat(inside.and(waiting).all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(Fleet.NARROW);
    }

    @Test
    void whatIsForOneClientIsBoundedToo() {
        Held page = fleet.hold("/narrow/private", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "private"));
        List<Replica> one = List.of(fleet.replica(2));

        Crowd crowd = clients.ask(one, 20, "/narrow/private");
        fleet.awaitWaiting(20);
        page.letGo(1);
        page.awaitCount(2);
        // All are released and at most two are at the origin: the others know by now that there is no place.
        Fleet.await("the others are told", Held.PATIENCE, () -> crowd.waiting() <= Fleet.NARROW);
        page.open();

        // The first one's place is free when he has read his answer, soon enough for one of the others or not.
        assertThat(page.count()).isBetween(Fleet.NARROW, 1 + Fleet.NARROW);
        assertThat(crowd.all()).filteredOn(reply -> reply.status() == 200)
                .hasSize(page.count())
                .extracting(Reply::body)
                .doesNotHaveDuplicates();
        assertThat(crowd.all()).filteredOn(reply -> reply.status() != 200)
                .allSatisfy(reply -> assertRefused(reply, "origin-concurrency"));
    }

    private static void assertRefused(Reply reply, String reason) {
        assertThat(reply.status()).isEqualTo(503);
        assertThat(reply.fields().first("Retry-After")).hasValueSatisfying(seconds -> assertThat(seconds)
                .matches("[1-9][0-9]*"));
        assertThat(reply.fields().first("Content-Type")).contains("application/problem+json");
        assertThat(reply.body()).contains("\"reason\":\"" + reason + "\"");
        assertThat(reply.cacheStatus()).contains("detail=" + reason);
    }
}
