package dev.corral.fleet;

import dev.corral.dev.Answer;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** A key that nobody has is fetched once, whoever asks for it, and by itself. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class ColdKeyIT {

    private final Fleet fleet;
    private final Clients clients = new Clients();

    ColdKeyIT(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviour 1. */
    @Test
    void aColdKeyIsFetchedOnceByTheWholeFleet() {
        Held page = fleet.hold("/cold", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));

        Crowd crowd = clients.ask(fleet.all(), 300, "/cold");
        fleet.awaitWaiting(300);
        fleet.awaitFollowers(2);
        page.open();

        assertThat(crowd.all()).hasSize(300).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(200);
            assertThat(reply.body()).isEqualTo("page 1");
            assertThat(reply.cacheStatus()).startsWith("Corral; fwd=uri-miss; fwd-status=200; stored");
        });
        assertThat(crowd.all()).filteredOn(reply -> !reply.cacheStatus().contains("collapsed")).hasSize(1);
        assertThat(page.count()).isEqualTo(1);
        assertThat(clients.ask(fleet.all(), 30, "/cold").all()).allMatch(Reply::hit);
        assertThat(page.count()).isEqualTo(1);
    }

    @Test
    void fiftyKeysAtOnceAreFiftyFetches() {
        Held page = fleet.hold("/many", asked -> Answer.of(200, "page of " + asked.target(),
                "Cache-Control", "max-age=60"));
        List<String> targets = IntStream.range(0, 50).mapToObj(i -> "/many?key=" + i).toList();

        Crowd crowd = targets.stream()
                .map(target -> clients.ask(fleet.all(), 6, target))
                .reduce(new Crowd(List.of()), Crowd::and);
        fleet.awaitWaiting(300);
        page.awaitCount(50);
        page.open();

        List<String> bodies = crowd.all().stream().map(Reply::body).toList();
        assertThat(bodies).isEqualTo(targets.stream()
                .flatMap(target -> Stream.generate(() -> "page of " + target)
                        .limit(6))
                .toList());
        assertThat(crowd.all()).extracting(Reply::status).containsOnly(200);
        assertThat(page.count()).isEqualTo(50);
    }

    @Test
    void aSlowKeyDelaysNoOther() {
        Held slow = fleet.hold("/slow-a", asked -> Answer.of(200, "a", "Cache-Control", "max-age=60"));
        Held quick = fleet.hold("/quick-b", asked -> Answer.of(200, "b", "Cache-Control", "max-age=60"));
        quick.open();

        Crowd waiting = clients.ask(fleet.all(), 90, "/slow-a");
        fleet.awaitWaiting(90);
        List<Reply> served = clients.ask(fleet.all(), 90, "/quick-b").all();

        assertThat(served).extracting(Reply::body).containsOnly("b");
        assertThat(waiting.waiting()).isEqualTo(90);
        slow.open();
        assertThat(waiting.all()).extracting(Reply::body).containsOnly("a");
        assertThat(slow.count()).isEqualTo(1);
        assertThat(quick.count()).isEqualTo(1);
    }

    @Test
    void thereIsNoGapBetweenFetchedAndVisible() {
        Held page = fleet.hold("/gap", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));

        Crowd waiting = clients.ask(fleet.all(), 30, "/gap");
        fleet.awaitWaiting(30);
        // Each comes back as soon as it is answered: some find the flight landed and its write under way.
        Crowd again = new Crowd(waiting.replies()
                .stream()
                .map(first -> first
                        .thenCompose(reply -> clients.ask(fleet.replica(0), "/gap"))
                        .thenCompose(reply -> clients.ask(fleet.replica(1), "/gap"))
                        .thenCompose(reply -> clients.ask(fleet.replica(2), "/gap")))
                .toList());
        page.open();

        assertThat(again.all()).extracting(Reply::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }
}
