package dev.corral.fleet;

import dev.corral.dev.Answer;
import dev.corral.dev.Asked;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Who may have an answer that another's request has fetched. */
@ExtendWith(SharedFleet.class)
@Timeout(60)
class SharingIT {

    private final Fleet fleet;
    private final Clients clients = new Clients();

    SharingIT(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void twoVariantsAreTwoFetches() {
        Held page = fleet.hold("/variants", asked -> Answer.of(200, "in " + language(asked),
                "Vary", "Accept-Language", "Cache-Control", "max-age=60"));

        Crowd crowd = clients.askEach(fleet.all(), 120, "/variants", SharingIT::eitherLanguage);
        fleet.awaitWaiting(120);
        fleet.awaitFollowers(2);
        page.open();

        assertThat(crowd.all()).extracting(Reply::status).containsOnly(200);
        assertThat(crowd.all()).extracting(Reply::body)
                .isEqualTo(IntStream.range(0, 120).mapToObj(i -> "in " + eitherLanguage(i)[1]).toList());
        assertThat(page.count()).isEqualTo(2);
        assertThat(page.asked()).extracting(SharingIT::language).containsExactlyInAnyOrder("de", "fr");

        assertThat(clients.askEach(fleet.all(), 12, "/variants", SharingIT::eitherLanguage).all())
                .allMatch(Reply::hit);
        Reply third = clients.ask(fleet.replica(0), "/variants", "Accept-Language", "it").join();
        assertThat(third.body()).isEqualTo("in it");
        assertThat(third.cacheStatus()).startsWith("Corral; fwd=vary-miss");
        assertThat(page.count()).isEqualTo(3);
    }

    /** Public behaviour 14. */
    @Test
    void aKnownVariantWaitsOnlyForItsOwn() {
        Held page = fleet.hold("/known-variants", asked -> Answer.of(200, "in " + language(asked),
                "Vary", "Accept-Language", "Cache-Control", "max-age=60"));
        clients.ask(fleet.all(), 3, "/known-variants", "Accept-Language", "it");
        page.awaitCount(1);
        page.letGo(1);
        fleet.awaitWhole();

        // That it varies is known: one flight for each, side by side.
        Crowd crowd = clients.askEach(fleet.all(), 60, "/known-variants", SharingIT::eitherLanguage);
        fleet.awaitWaiting(60);
        page.awaitCount(3);
        page.open();

        assertThat(crowd.all()).extracting(Reply::body)
                .isEqualTo(IntStream.range(0, 60).mapToObj(i -> "in " + eitherLanguage(i)[1]).toList());
        assertThat(page.count()).isEqualTo(3);
    }

    @Test
    void whatIsSaidToSomebodyKnownIsForHimAlone() {
        Held page = fleet.hold("/account", asked -> Answer.of(200, "for " + credentials(asked),
                "Cache-Control", "max-age=60"));

        Crowd known = clients.askEach(fleet.all(), 30, "/account",
                client -> new String[]{"Authorization", "Bearer " + client});
        Crowd unknown = clients.ask(fleet.all(), 30, "/account");
        fleet.awaitWaiting(60);
        page.open();

        assertThat(known.all()).extracting(Reply::body)
                .isEqualTo(IntStream.range(0, 30).mapToObj(client -> "for Bearer " + client).toList());
        assertThat(unknown.all()).extracting(Reply::body).containsOnly("for nobody");
        assertThat(page.asked()).filteredOn(asked -> credentials(asked).equals("nobody")).hasSize(1);
        assertThat(page.count()).isEqualTo(31);
    }

    @ParameterizedTest
    @ValueSource(strings = {"public, max-age=60", "s-maxage=60"})
    void whatIsSaidToSomebodyKnownIsForAllIfTheOriginSaysSo(String cacheControl) {
        String path = "/open-" + cacheControl.charAt(0);
        Held page = fleet.hold(path, asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", cacheControl));

        Crowd known = clients.askEach(fleet.all(), 30, path,
                client -> new String[]{"Authorization", "Bearer " + client});
        fleet.awaitWaiting(30);
        fleet.awaitFollowers(2);
        page.open();

        assertThat(known.all()).extracting(Reply::body).containsOnly("page 1");
        fleet.awaitWhole();
        assertThat(clients.ask(fleet.all(), 9, path).all()).allMatch(Reply::hit)
                .extracting(Reply::body)
                .containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
    }

    /** Public behaviour 15. */
    @ParameterizedTest
    @ValueSource(strings = {"max-age=0", "no-cache"})
    void whatIsNeverFreshServesThoseWhoWaitedAndNobodyLater(String cacheControl) {
        String path = "/never-fresh-" + cacheControl.charAt(0);
        Held page = fleet.hold(path, asked -> Answer.of(200, "page " + asked.number(),
                "Cache-Control", cacheControl));

        Crowd waited = clients.ask(fleet.all(), 90, path);
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        page.letGo(1);
        List<Reply> served = waited.all();
        fleet.awaitWhole();

        assertThat(served).extracting(Reply::body).containsOnly("page 1");
        assertThat(page.count()).isEqualTo(1);
        Crowd later = clients.ask(fleet.all(), 90, path);
        fleet.awaitWaiting(90);
        fleet.awaitFollowers(2);
        assertThat(later.waiting()).isEqualTo(90);
        page.letGo(2);
        assertThat(later.all()).extracting(Reply::body).containsOnly("page 2");
        assertThat(page.count()).isEqualTo(2);
    }

    private static String[] eitherLanguage(int client) {
        // By threes, for there are three replicas: each has clients of both.
        return new String[]{"Accept-Language", client / 3 % 2 == 0 ? "de" : "fr"};
    }

    private static String language(Asked asked) {
        return asked.fields().first("Accept-Language").orElse("none");
    }

    private static String credentials(Asked asked) {
        return asked.fields().first("Authorization").orElse("nobody");
    }
}
