package dev.corral.tier;

import dev.corral.coalesce.Purges;
import dev.corral.coalesce.Purges.Verdict;
import java.time.Duration;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.Chars;
import net.jqwik.api.constraints.Size;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class PurgeMirrorTest {

    private static final long HOUR = Duration.ofHours(1).toNanos() / 1_000;

    private final PurgeMirror mirror = new PurgeMirror(Duration.ofHours(25), 100);

    private void purge(long at, String... names) {
        mirror.purge(PurgedName.of(List.of(names), false), at);
    }

    private void soften(long at, String... names) {
        mirror.purge(PurgedName.of(List.of(names), true), at);
    }

    private Verdict verdict(long since, String... labels) {
        return mirror.verdict(List.of(labels), since);
    }

    private boolean gone(long since, String... labels) {
        return verdict(since, labels) instanceof Verdict.Gone;
    }

    @Test
    void aPurgeHitsWhatWasFilledBeforeItAndNamesIt() {
        purge(10, "shoes", "hats");

        assertThat(gone(9, "socks", "hats")).isTrue();
        assertThat(gone(10, "hats")).isFalse();
        assertThat(gone(9, "socks")).isFalse();
    }

    @Test
    void theLastPurgeOfANameCounts() {
        purge(20, "hats");
        purge(10, "hats");

        assertThat(gone(15, "hats")).isTrue();
        assertThat(mirror.position()).isEqualTo(20);
    }

    @Test
    void everythingIsImplied() {
        purge(10, Purges.EVERYTHING);

        assertThat(gone(9)).isTrue();
        assertThat(gone(10, "hats")).isFalse();
    }

    @Test
    void itKnowsWhatWasPurgedAfterAPosition() {
        purge(10, "hats");
        purge(20, "shoes");
        purge(30, Purges.EVERYTHING);

        assertThat(mirror.between(10, Long.MAX_VALUE)).containsExactlyInAnyOrder(new PurgedName("shoes", false),
                new PurgedName(Purges.EVERYTHING, false));
        assertThat(mirror.between(30, Long.MAX_VALUE)).isEmpty();
    }

    @Test
    void aNameIsRememberedOnceHoweverOftenItIsPurged() {
        for (int i = 1; i <= 1_000; i++) {
            purge(i, "hats", "p:/hats");
            soften(i, "shoes");
        }

        assertThat(mirror.size()).isEqualTo(3);
        assertThat(mirror.between(999, 1_000)).containsExactlyInAnyOrder(new PurgedName("hats", false),
                new PurgedName("p:/hats", false), new PurgedName("shoes", true));
    }

    @Test
    void aSoftPurgeIsNotRememberedBesideALaterHardOne() {
        soften(10, "hats");
        purge(20, "hats");

        assertThat(mirror.between(5, 15)).isEmpty();
        assertThat(mirror.between(5, 25)).containsExactly(new PurgedName("hats", false));
    }

    @Test
    void purgesNoEntryCanBeAsOldAsAreForgotten() {
        purge(HOUR, "hats");
        purge(25 * HOUR, "shoes");
        assertThat(mirror.size()).isEqualTo(2);

        purge(27 * HOUR, "shoes");

        assertThat(mirror.size()).isEqualTo(1);
        assertThat(gone(26 * HOUR, "shoes")).isTrue();
    }

    @Test
    void beyondItsLimitItStillPurgesWhatIsNamedAndNothingElse() {
        for (int i = 1; i <= 1_000; i++) {
            purge(i, "name " + i);
        }
        soften(1_001, "name 1", "name 2");
        for (int i = 1; i <= 100; i++) {
            purge(1_001 + i, "later " + i);
        }

        assertThat(mirror.size()).isEqualTo(100);
        for (int i = 1; i <= 1_000; i++) {
            assertThat(gone(i - 1, "name " + i)).isTrue();
        }
        assertThat(verdict(1, "name 1")).isEqualTo(new Verdict.Stale(1_001));
        assertThat(gone(1, "name 2")).isTrue();
        assertThat(verdict(0, "never purged")).isEqualTo(Verdict.VALID);
    }

    /** The names of a URL and of its route, as an entry has them. */
    @Test
    void aFloodOfNamesLeavesAnEntryAloneThatIsNotNamed() {
        var flooded = new PurgeMirror(Duration.ofHours(25), 100_000);
        for (int i = 1; i <= 300_000; i++) {
            flooded.purge(List.of(new PurgedName("k:" + i, false)), i);
        }

        assertThat(flooded.size()).isEqualTo(100_000);
        for (int i = 0; i < 1_000; i++) {
            assertThat(flooded.verdict(List.of("k:never " + i, "r:shop", "p:*/never/" + i, "t:tag " + i), 0))
                    .isEqualTo(Verdict.VALID);
        }
        for (int i = 1; i <= 300_000; i++) {
            assertThat(flooded.verdict(List.of("k:" + i), i - 1)).isEqualTo(new Verdict.Gone());
        }
    }

    @Test
    void beyondItsLimitAPrefixIsItsDirectory() {
        for (int i = 1; i <= 101; i++) {
            purge(i, "p:*/a/" + i);
        }

        assertThat(gone(0, "p:*/a/1")).isTrue();
        assertThat(gone(0, "p:*/a/x")).isTrue();
        assertThat(verdict(0, "p:*/b/x")).isEqualTo(Verdict.VALID);
        for (int i = 1; i <= 200; i++) {
            purge(200 + i, "p:http://host" + i + "/");
        }
        assertThat(mirror.size()).isLessThanOrEqualTo(100);
        assertThat(gone(0, "p:*/b/x")).isTrue();
        assertThat(gone(400, "p:*/b/x")).isFalse();
    }

    @Test
    void longNamesAreFewer() {
        for (int i = 1; i <= 50; i++) {
            purge(i, "t:" + "x".repeat(1_000) + i);
        }

        assertThat(mirror.size()).isLessThan(10);
        for (int i = 1; i <= 50; i++) {
            assertThat(gone(i - 1, "t:" + "x".repeat(1_000) + i)).isTrue();
        }
    }

    @Test
    void aSoftPurgeMakesStaleAndAHardOneWins() {
        soften(10, "hats");
        soften(20, "hats", "shoes");

        assertThat(verdict(5, "hats")).isEqualTo(new Verdict.Stale(20));
        assertThat(verdict(20, "hats")).isEqualTo(Verdict.VALID);
        purge(15, "hats");
        assertThat(verdict(14, "hats")).isEqualTo(new Verdict.Gone());
        assertThat(verdict(15, "hats")).isEqualTo(new Verdict.Stale(20));
        soften(30, Purges.EVERYTHING);
        assertThat(verdict(20, "socks")).isEqualTo(new Verdict.Stale(30));
        assertThat(verdict(14, "hats", "socks")).isEqualTo(new Verdict.Gone());
    }

    @Test
    void aPrefixHitsAllThatBeginsSoAndNothingElse() {
        purge(10, "p:/a/", "p:/abc", "p:/b", "p:/ab/c/d");
        soften(20, "p:/a");

        assertThat(gone(9, "p:/a/1")).isTrue();
        assertThat(gone(9, "p:/abcd")).isTrue();
        assertThat(gone(9, "p:/ab/c/d")).isTrue();
        assertThat(gone(9, "p:/b")).isTrue();
        assertThat(verdict(9, "p:/ab/c")).isEqualTo(new Verdict.Stale(20));
        assertThat(verdict(9, "p:/ab")).isEqualTo(new Verdict.Stale(20));
        assertThat(verdict(9, "p:/")).isEqualTo(Verdict.VALID);
        assertThat(verdict(9, "p:/c/a/")).isEqualTo(Verdict.VALID);
        assertThat(verdict(9, "/a/1")).isEqualTo(Verdict.VALID);
    }

    @Property(tries = 2_000)
    void theSearchForPrefixesFindsWhatAComparisonWithEachFinds(
            @ForAll @Size(max = 30) List<@StringLength(max = 6) @Chars({'a', 'b', '/'}) String> purged,
            @ForAll @Chars({'a', 'b', '/'}) @StringLength(max = 8) String label) {
        var given = new PurgeMirror(Duration.ofHours(25), 1_000);
        purged.forEach(prefix -> given.purge(PurgedName.of(List.of("p:" + prefix), false), 10));

        boolean found = given.verdict(List.of("p:" + label), 9) instanceof Verdict.Gone;

        assertThat(found).isEqualTo(purged.stream().anyMatch(label::startsWith));
    }
}
