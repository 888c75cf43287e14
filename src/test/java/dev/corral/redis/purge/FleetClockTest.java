package dev.corral.redis.purge;

import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class FleetClockTest {

    private static final Instant NOON = Instant.parse("2026-11-23T12:00:00Z");

    private final FleetClock clock = new FleetClock(() -> NOON);

    @Test
    void clockIsLocalUntilComparedWithRedis() {
        assertThat(clock.instant()).isEqualTo(NOON);

        clock.addSample(NOON, NOON.plusSeconds(7), NOON);

        assertThat(clock.instant()).isEqualTo(NOON.plusSeconds(7));
        assertThat(clock.offset()).isEqualTo(Duration.ofSeconds(7));
    }

    @Test
    void comparisonWithTheShortestRoundTripCounts() {
        compare(Duration.ofMillis(2), Duration.ofMillis(5));
        compare(Duration.ofMillis(400), Duration.ofMillis(150));

        assertThat(clock.offset()).isEqualTo(Duration.ofMillis(5));
    }

    @Test
    void oldComparisonIsForgotten() {
        compare(Duration.ZERO, Duration.ofSeconds(-3));

        for (int i = 0; i < 8; i++) {
            compare(Duration.ofMillis(2), Duration.ofMillis(5));
        }

        assertThat(clock.offset()).isEqualTo(Duration.ofMillis(5));
    }

    /** Redis' answer is taken for the middle of the round trip. */
    private void compare(Duration roundTrip, Duration offset) {
        clock.addSample(NOON, NOON.plus(roundTrip.dividedBy(2)).plus(offset), NOON.plus(roundTrip));
    }
}
