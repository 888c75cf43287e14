package dev.corral.purge;

import dev.corral.purge.PurgeRegistry.PurgeVerdict;
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

    private void softPurge(long at, String... names) {
        mirror.purge(PurgedName.of(List.of(names), true), at);
    }

    private PurgeVerdict verdict(long since, String... labels) {
        return mirror.verdict(List.of(labels), since);
    }

    private boolean isRemoved(long since, String... labels) {
        return verdict(since, labels) instanceof PurgeVerdict.Removed;
    }

    @Test
    void purgeRemovesEarlierFillsOfItsNames() {
        purge(10, "shoes", "hats");

        assertThat(isRemoved(9, "socks", "hats")).isTrue();
        assertThat(isRemoved(10, "hats")).isFalse();
        assertThat(isRemoved(9, "socks")).isFalse();
    }

    @Test
    void latestPurgeOfANameCounts() {
        purge(20, "hats");
        purge(10, "hats");

        assertThat(isRemoved(15, "hats")).isTrue();
        assertThat(mirror.latestPosition()).isEqualTo(20);
    }

    @Test
    void purgeOfEverythingMatchesEveryEntry() {
        purge(10, PurgeRegistry.ALL_ENTRIES_NAME);

        assertThat(isRemoved(9)).isTrue();
        assertThat(isRemoved(10, "hats")).isFalse();
    }

    @Test
    void purgesBetweenPositionsAreListed() {
        purge(10, "hats");
        purge(20, "shoes");
        purge(30, PurgeRegistry.ALL_ENTRIES_NAME);

        assertThat(mirror.purgedBetween(10, Long.MAX_VALUE)).containsExactlyInAnyOrder(new PurgedName("shoes", false),
                new PurgedName(PurgeRegistry.ALL_ENTRIES_NAME, false));
        assertThat(mirror.purgedBetween(30, Long.MAX_VALUE)).isEmpty();
    }

    @Test
    void repeatedlyPurgedNameIsStoredOnce() {
        for (int i = 1; i <= 1_000; i++) {
            purge(i, "hats", "p:/hats");
            softPurge(i, "shoes");
        }

        assertThat(mirror.nameCount()).isEqualTo(3);
        assertThat(mirror.purgedBetween(999, 1_000)).containsExactlyInAnyOrder(new PurgedName("hats", false),
                new PurgedName("p:/hats", false), new PurgedName("shoes", true));
    }

    @Test
    void hardPurgeSupersedesAnEarlierSoftOne() {
        softPurge(10, "hats");
        purge(20, "hats");

        assertThat(mirror.purgedBetween(5, 15)).isEmpty();
        assertThat(mirror.purgedBetween(5, 25)).containsExactly(new PurgedName("hats", false));
    }

    @Test
    void purgeOlderThanAnyEntryIsForgotten() {
        purge(HOUR, "hats");
        purge(25 * HOUR, "shoes");
        assertThat(mirror.nameCount()).isEqualTo(2);

        purge(27 * HOUR, "shoes");

        assertThat(mirror.nameCount()).isEqualTo(1);
        assertThat(isRemoved(26 * HOUR, "shoes")).isTrue();
    }

    @Test
    void mirrorBeyondItsLimitPurgesOnlyNamedEntries() {
        for (int i = 1; i <= 1_000; i++) {
            purge(i, "name " + i);
        }
        softPurge(1_001, "name 1", "name 2");
        for (int i = 1; i <= 100; i++) {
            purge(1_001 + i, "later " + i);
        }

        assertThat(mirror.nameCount()).isEqualTo(100);
        for (int i = 1; i <= 1_000; i++) {
            assertThat(isRemoved(i - 1, "name " + i)).isTrue();
        }
        assertThat(verdict(1, "name 1")).isEqualTo(new PurgeVerdict.Stale(1_001));
        assertThat(isRemoved(1, "name 2")).isTrue();
        assertThat(verdict(0, "never purged")).isEqualTo(PurgeVerdict.VALID);
    }

    /** The names of a URL and of its route, as an entry has them. */
    @Test
    void floodOfPurgesDoesNotAffectUnnamedEntries() {
        var flooded = new PurgeMirror(Duration.ofHours(25), 100_000);
        for (int i = 1; i <= 300_000; i++) {
            flooded.purge(List.of(new PurgedName("k:" + i, false)), i);
        }

        assertThat(flooded.nameCount()).isEqualTo(100_000);
        for (int i = 0; i < 1_000; i++) {
            assertThat(flooded.verdict(List.of("k:never " + i, "r:shop", "p:*/never/" + i, "t:tag " + i), 0))
                    .isEqualTo(PurgeVerdict.VALID);
        }
        for (int i = 1; i <= 300_000; i++) {
            assertThat(flooded.verdict(List.of("k:" + i), i - 1)).isEqualTo(new PurgeVerdict.Removed());
        }
    }

    @Test
    void prefixBeyondTheLimitIsWidenedToItsDirectory() {
        for (int i = 1; i <= 101; i++) {
            purge(i, "p:*/a/" + i);
        }

        assertThat(isRemoved(0, "p:*/a/1")).isTrue();
        assertThat(isRemoved(0, "p:*/a/x")).isTrue();
        assertThat(verdict(0, "p:*/b/x")).isEqualTo(PurgeVerdict.VALID);
        for (int i = 1; i <= 200; i++) {
            purge(200 + i, "p:http://host" + i + "/");
        }
        assertThat(mirror.nameCount()).isLessThanOrEqualTo(100);
        assertThat(isRemoved(0, "p:*/b/x")).isTrue();
        assertThat(isRemoved(400, "p:*/b/x")).isFalse();
    }

    @Test
    void longNamesLowerTheNumberOfNames() {
        for (int i = 1; i <= 50; i++) {
            purge(i, "t:" + "x".repeat(1_000) + i);
        }

        assertThat(mirror.nameCount()).isLessThan(10);
        for (int i = 1; i <= 50; i++) {
            assertThat(isRemoved(i - 1, "t:" + "x".repeat(1_000) + i)).isTrue();
        }
    }

    @Test
    void softPurgeMakesStaleAndHardPurgeWins() {
        softPurge(10, "hats");
        softPurge(20, "hats", "shoes");

        assertThat(verdict(5, "hats")).isEqualTo(new PurgeVerdict.Stale(20));
        assertThat(verdict(20, "hats")).isEqualTo(PurgeVerdict.VALID);
        purge(15, "hats");
        assertThat(verdict(14, "hats")).isEqualTo(new PurgeVerdict.Removed());
        assertThat(verdict(15, "hats")).isEqualTo(new PurgeVerdict.Stale(20));
        softPurge(30, PurgeRegistry.ALL_ENTRIES_NAME);
        assertThat(verdict(20, "socks")).isEqualTo(new PurgeVerdict.Stale(30));
        assertThat(verdict(14, "hats", "socks")).isEqualTo(new PurgeVerdict.Removed());
    }

    @Test
    void prefixPurgeMatchesOnlyItsPrefix() {
        purge(10, "p:/a/", "p:/abc", "p:/b", "p:/ab/c/d");
        softPurge(20, "p:/a");

        assertThat(isRemoved(9, "p:/a/1")).isTrue();
        assertThat(isRemoved(9, "p:/abcd")).isTrue();
        assertThat(isRemoved(9, "p:/ab/c/d")).isTrue();
        assertThat(isRemoved(9, "p:/b")).isTrue();
        assertThat(verdict(9, "p:/ab/c")).isEqualTo(new PurgeVerdict.Stale(20));
        assertThat(verdict(9, "p:/ab")).isEqualTo(new PurgeVerdict.Stale(20));
        assertThat(verdict(9, "p:/")).isEqualTo(PurgeVerdict.VALID);
        assertThat(verdict(9, "p:/c/a/")).isEqualTo(PurgeVerdict.VALID);
        assertThat(verdict(9, "/a/1")).isEqualTo(PurgeVerdict.VALID);
    }

    @Property(tries = 2_000)
    void prefixSearchAgreesWithLinearComparison(
            @ForAll @Size(max = 30) List<@StringLength(max = 6) @Chars({'a', 'b', '/'}) String> purged,
            @ForAll @Chars({'a', 'b', '/'}) @StringLength(max = 8) String label) {
        var given = new PurgeMirror(Duration.ofHours(25), 1_000);
        purged.forEach(prefix -> given.purge(PurgedName.of(List.of("p:" + prefix), false), 10));

        boolean found = given.verdict(List.of("p:" + label), 9) instanceof PurgeVerdict.Removed;

        assertThat(found).isEqualTo(purged.stream().anyMatch(label::startsWith));
    }
}
