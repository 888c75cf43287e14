package dev.corral.edge;

import dev.corral.coalesce.Key;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class VariantsTest {

    private static final Key PAGE = Key.of("page");

    private final AtomicLong nanos = new AtomicLong();
    private final Variants variants = new Variants(nanos::get);

    private boolean admits(Key resource, int variant) {
        return variants.admit(resource, resource.lane("v:" + variant), 3);
    }

    @Test
    void asManyAsMayBeAreAdmittedAgainAndAgain() {
        for (int round = 0; round < 2; round++) {
            for (int variant = 1; variant <= 3; variant++) {
                assertThat(admits(PAGE, variant)).isTrue();
            }
            assertThat(admits(PAGE, 4)).isFalse();
        }
        assertThat(admits(Key.of("another"), 4)).isTrue();
    }

    /** However many came later. */
    @Test
    void tenMinutesAfterTheFirstTheyAreCountedAnew() {
        admits(PAGE, 1);
        nanos.set(Variants.COUNTED.minusMinutes(1).toNanos());
        admits(PAGE, 2);
        admits(PAGE, 3);
        nanos.set(Variants.COUNTED.minusNanos(1).toNanos());
        assertThat(admits(PAGE, 4)).isFalse();

        nanos.set(Variants.COUNTED.toNanos());

        assertThat(admits(PAGE, 4)).isTrue();
    }

    /** Safety rule 7: of all resources together no more are remembered than there is room for. */
    @Test
    void whatIsRememberedIsBounded() {
        IntStream.range(0, 2 * Variants.REMEMBERED / 3).forEach(resource -> {
            for (int variant = 1; variant <= 3; variant++) {
                admits(Key.of("resource " + resource), variant);
            }
        });

        long forgotten = IntStream.range(0, 2 * Variants.REMEMBERED / 3)
                .filter(resource -> variants.remembers(Key.of("resource " + resource)) == 0)
                .count();
        assertThat(forgotten).isGreaterThanOrEqualTo(Variants.REMEMBERED / 3);
    }
}
