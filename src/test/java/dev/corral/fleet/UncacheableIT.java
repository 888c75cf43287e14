package dev.corral.fleet;

import dev.corral.dev.Answer;
import dev.corral.dev.Asked;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** What is for one client reaches that client; nobody waits in line for his own. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class UncacheableIT {

    private static final int CLIENTS = 60;

    private final Fleet fleet;
    private final Clients clients = new Clients();

    UncacheableIT(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviours 12 and 18. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            private    | Cache-Control | private, max-age=60
            no-store   | Cache-Control | no-store
            set-cookie | Set-Cookie    | session=1
            """)
    void whatIsForOneClientIsFetchedByEachAndByAllAtOnce(String reason, String name, String value) {
        String path = "/uncacheable-" + reason;
        Held page = fleet.hold(path, asked -> forOne(asked).with(name, value));

        Crowd first = clients.askEach(fleet.all(), CLIENTS, path, UncacheableIT::identity);
        fleet.awaitWaiting(CLIENTS);
        fleet.awaitFollowers(2);
        assertThat(page.count()).isEqualTo(1);
        page.letGo(1);
        // None of these is answered before all of them have come: they are there at the same time.
        page.awaitCount(CLIENTS);
        assertThat(first.waiting()).isEqualTo(CLIENTS - 1);
        page.open();
        assertEachItsOwn(first);
        assertThat(page.count()).isEqualTo(CLIENTS);

        // From the marker on nobody waits for a first one, on any replica.
        Held again = fleet.hold(path, asked -> forOne(asked).with(name, value));
        Crowd second = clients.askEach(fleet.all(), CLIENTS, path, UncacheableIT::identity);
        again.awaitCount(CLIENTS);
        assertThat(second.waiting()).isEqualTo(CLIENTS);
        again.open();
        assertEachItsOwn(second);
        assertThat(second.all()).extracting(Reply::cacheStatus)
                .containsOnly("Corral; fwd=bypass; fwd-status=200; detail=" + reason);
        assertThat(again.count()).isEqualTo(CLIENTS);
    }

    /** Public behaviour 12. */
    @Test
    void aMarkerGoesWhenTheResourceBecomesCacheable() {
        Held page = fleet.hold("/becomes-public", asked -> forOne(asked)
                .with("Cache-Control", "private"));
        page.open();
        clients.ask(fleet.all(), 9, "/becomes-public").all();
        fleet.awaitWhole();

        page.answerBy(asked -> Answer.of(200, "for everybody", "Cache-Control", "max-age=60"));
        List<Reply> changed = clients.ask(fleet.all(), 3, "/becomes-public").all();

        assertThat(changed).extracting(Reply::body).containsOnly("for everybody");
        assertThat(changed).filteredOn(reply -> reply.cacheStatus().contains("; stored")).isNotEmpty();
        // A replica's memory may have the marker for a second more; from its first hit on it asks no more.
        fleet.all()
                .forEach(replica -> Fleet.await("a hit on " + replica.name(), Duration.ofSeconds(10),
                        () -> clients.ask(replica, "/becomes-public").join().hit()));
        int until = page.count();
        assertThat(clients.ask(fleet.all(), 90, "/becomes-public").all()).allMatch(Reply::hit);
        assertThat(page.count()).isEqualTo(until);
    }

    private static String[] identity(int client) {
        return new String[]{"X-Client", "client-" + client};
    }

    private static Answer forOne(Asked asked) {
        return Answer.of(200, "for " + asked.fields().first("X-Client").orElse("nobody"));
    }

    private static void assertEachItsOwn(Crowd crowd) {
        List<Reply> replies = crowd.all();
        assertThat(replies).extracting(Reply::status).containsOnly(200);
        assertThat(replies).extracting(Reply::body)
                .isEqualTo(IntStream.range(0, CLIENTS).mapToObj(client -> "for client-" + client).toList());
    }
}
