package dev.corral.fleet;

import dev.corral.dev.Answer;
import dev.corral.dev.DemoShop;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;

/** A failed fetch is told to everybody who waited for it, once, and to nobody later. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class FailureIT {

    private final Fleet fleet;
    private final Clients clients = new Clients();

    FailureIT(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviour 13. */
    @Test
    void anErrorOfTheOriginIsSharedButNotRemembered() {
        Held page = fleet.hold("/error", asked -> asked.number() == 1
                ? Answer.of(500, "what went wrong")
                : Answer.of(200, "page " + asked.number(), "Cache-Control", "max-age=60"));

        Crowd crowd = clients.ask(fleet.all(), 90, "/error");
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        page.open();
        List<Reply> failed = crowd.all();
        int fetchesOfTheFailure = page.count();
        List<Reply> next = clients.ask(fleet.all(), 9, "/error").all();

        assertThat(failed).extracting(Reply::status).containsOnly(500);
        assertThat(failed).extracting(Reply::cacheStatus)
                .allMatch(status -> status.startsWith("Corral; fwd=uri-miss; fwd-status=500"))
                .filteredOn(status -> !status.contains("collapsed"))
                .hasSize(1);
        assertThat(failed).extracting(Reply::body).containsOnly("what went wrong");
        assertThat(fetchesOfTheFailure).isEqualTo(1);
        assertThat(next).extracting(Reply::status).containsOnly(200);
        assertThat(next).extracting(Reply::body).containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    @Test
    void anErrorThatIsForEverybodyReachesThemInTheOriginsWords() {
        Held page = fleet.hold("/public-error", asked -> asked.number() == 1
                ? Answer.of(503, "back at noon", "Cache-Control", "public, max-age=0", "Retry-After", "7")
                : Answer.of(200, "page " + asked.number(), "Cache-Control", "max-age=60"));

        Crowd crowd = clients.ask(fleet.all(), 30, "/public-error");
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        page.open();

        assertThat(crowd.all()).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(503);
            assertThat(reply.body()).isEqualTo("back at noon");
            assertThat(reply.fields().first("Retry-After")).contains("7");
        });
        assertThat(clients.ask(fleet.all(), 9, "/public-error").all()).extracting(Reply::body).containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    /** Public behaviour 13. */
    @Test
    void anOriginThatCannotBeReachedFailsWhoWaitsAndNobodyLater() {
        List<Reply> refused = clients.ask(fleet.all(), 30, "/dark/page").all();

        assertThat(refused).allSatisfy(reply -> {
            assertThat(reply.status()).isEqualTo(502);
            assertThat(reply.body()).contains("\"reason\":\"origin-unreachable\"").doesNotContain("127.0.0.1");
            assertThat(reply.fields().first("Content-Type")).contains("application/problem+json");
        });
        try (DemoShop dark = DemoShop.start(fleet.darkPort(), Duration.ZERO)) {
            Held page = Held.failing(dark, "/dark/page", asked -> asked.number() == 1
                    ? Mono.error(new IllegalStateException("cut"))
                    : Mono.just(Answer.of(200, "page " + asked.number(), "Cache-Control", "max-age=60")));

            Crowd crowd = clients.ask(fleet.all(), 90, "/dark/page");
            fleet.awaitWaiting(90);
            fleet.awaitFollowers(2);
            page.open();
            List<Reply> cut = crowd.all();
            int fetchesOfTheFailure = page.count();

            assertThat(cut).allSatisfy(reply -> {
                assertThat(reply.status()).isEqualTo(502);
                assertThat(reply.body()).contains("\"reason\":\"origin-unreachable\"");
            });
            // A connection that had never served: nothing that would be tried a second time.
            assertThat(fetchesOfTheFailure).isEqualTo(1);
            assertThat(clients.ask(fleet.all(), 9, "/dark/page").all()).extracting(Reply::body).containsOnly("page 2");
            assertThat(page.count()).isEqualTo(2);
        }
    }
}
