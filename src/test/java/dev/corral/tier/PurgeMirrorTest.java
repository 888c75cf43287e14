package dev.corral.tier;

import dev.corral.coalesce.Purges;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class PurgeMirrorTest {

    private static final long HOUR = Duration.ofHours(1).toNanos() / 1_000;

    private final PurgeMirror mirror = new PurgeMirror(Duration.ofHours(25), 100);

    @Test
    void aPurgeHitsWhatWasFilledBeforeItAndNamesIt() {
        mirror.purge(List.of("shoes", "hats"), 10);

        assertThat(mirror.purged(List.of("socks", "hats"), 9)).isTrue();
        assertThat(mirror.purged(List.of("hats"), 10)).isFalse();
        assertThat(mirror.purged(List.of("socks"), 9)).isFalse();
    }

    @Test
    void theLastPurgeOfANameCounts() {
        mirror.purge(List.of("hats"), 20);
        mirror.purge(List.of("hats"), 10);

        assertThat(mirror.purged(List.of("hats"), 15)).isTrue();
        assertThat(mirror.position()).isEqualTo(20);
    }

    @Test
    void everythingIsImplied() {
        mirror.purge(List.of(Purges.EVERYTHING), 10);

        assertThat(mirror.purged(List.of(), 9)).isTrue();
        assertThat(mirror.purged(List.of("hats"), 10)).isFalse();
    }

    @Test
    void itKnowsWhatWasPurgedAfterAPosition() {
        mirror.purge(List.of("hats"), 10);
        mirror.purge(List.of("shoes"), 20);
        mirror.purge(List.of(Purges.EVERYTHING), 30);

        assertThat(mirror.between(10, Long.MAX_VALUE)).containsExactlyInAnyOrder("shoes", Purges.EVERYTHING);
        assertThat(mirror.between(30, Long.MAX_VALUE)).isEmpty();
    }

    @Test
    void purgesNoEntryCanBeAsOldAsAreForgotten() {
        mirror.purge(List.of("hats"), HOUR);
        mirror.purge(List.of("shoes"), 25 * HOUR);
        assertThat(mirror.size()).isEqualTo(2);

        mirror.purge(List.of("shoes"), 27 * HOUR);

        assertThat(mirror.size()).isEqualTo(1);
        assertThat(mirror.purged(List.of("shoes"), 26 * HOUR)).isTrue();
    }

    @Test
    void beyondItsLimitItPurgesTooMuchAndNeverTooLittle() {
        for (int i = 1; i <= 1_000; i++) {
            mirror.purge(List.of("name " + i), i);
        }

        assertThat(mirror.size()).isEqualTo(100);
        for (int i = 1; i <= 1_000; i++) {
            assertThat(mirror.purged(List.of("name " + i), i - 1)).isTrue();
        }
        assertThat(mirror.purged(List.of("never purged"), 900)).isFalse();
        assertThat(mirror.purged(List.of("never purged"), 899)).isTrue();
    }
}
