package dev.corral.fleet;

import dev.corral.dev.Answer;
import java.net.http.HttpResponse;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** A purge and replicas that are not quite there. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class PurgeIT {

    private final Fleet fleet;
    private final Clients clients = new Clients();

    PurgeIT(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void eachReplicaSaysThatItKnows() {
        HttpResponse<String> purged = fleet.replica(0).purge("{\"tags\": [\"sale\"]}");

        assertThat(purged.statusCode()).as(purged.body()).isEqualTo(200);
        assertThat(purged.body()).contains("\"complete\":true");
        assertThat(fleet.all()).allSatisfy(
                replica -> assertThat(purged.body())
                        .contains("{\"id\":\"" + replica.name() + "\",\"acknowledged\":true"));
    }

    /** Safety rule 1, for a leader that slept through the purge: what it fetched before is not for those who come after. */
    @Test
    void aLeaderThatSleepsThroughAPurgeRevivesNothing() {
        Held page = fleet.hold("/slept", asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", "max-age=60"));
        Replica sleeper = fleet.replica(0);
        List<Replica> others = fleet.allBut(sleeper);
        Crowd own = clients.ask(List.of(sleeper), 10, "/slept");
        page.awaitCount(1);
        fleet.awaitWaiting(10);

        sleeper.process().pause();
        HttpResponse<String> purged;
        try {
            purged = others.getFirst().purge("{\"urls\": [\"/slept\"]}");
            // The older answer is there when it wakes: it will publish at once.
            page.letGo(1);
        } finally {
            sleeper.process().resume();
        }
        page.open();
        List<Reply> woken = own.all();

        assertThat(purged.statusCode()).as(purged.body()).isEqualTo(207);
        assertThat(purged.body()).contains("\"complete\":false")
                .contains("{\"id\":\"" + sleeper.name() + "\",\"acknowledged\":false");
        // They asked before: they may have either.
        assertThat(woken).extracting(Reply::body).isSubsetOf("page 1", "page 2");
        fleet.awaitWhole();
        assertThat(clients.ask(fleet.all(), 9, "/slept").all()).extracting(Reply::body).containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }
}
