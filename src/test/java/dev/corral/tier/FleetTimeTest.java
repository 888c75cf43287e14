package dev.corral.tier;

import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class FleetTimeTest {

    private static final Instant NOON = Instant.parse("2026-11-23T12:00:00Z");

    private final FleetTime time = new FleetTime(() -> NOON);

    @Test
    void itIsThisMachinesUntilComparedAndThenRedis() {
        assertThat(time.instant()).isEqualTo(NOON);

        time.compare(NOON, NOON.plusSeconds(7), NOON);

        assertThat(time.instant()).isEqualTo(NOON.plusSeconds(7));
        assertThat(time.offset()).isEqualTo(Duration.ofSeconds(7));
    }

    @Test
    void theQuickestOfTheLastComparisonsCounts() {
        compare(Duration.ofMillis(2), Duration.ofMillis(5));
        compare(Duration.ofMillis(400), Duration.ofMillis(150));

        assertThat(time.offset()).isEqualTo(Duration.ofMillis(5));
    }

    @Test
    void anOldComparisonIsForgotten() {
        compare(Duration.ZERO, Duration.ofSeconds(-3));

        for (int i = 0; i < 8; i++) {
            compare(Duration.ofMillis(2), Duration.ofMillis(5));
        }

        assertThat(time.offset()).isEqualTo(Duration.ofMillis(5));
    }

    /** Redis' answer is taken for the middle of the round trip. */
    private void compare(Duration roundTrip, Duration offset) {
        time.compare(NOON, NOON.plus(roundTrip.dividedBy(2)).plus(offset), NOON.plus(roundTrip));
    }
}
