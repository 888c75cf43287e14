package dev.corral;

import dev.corral.http.EntrySize;
import dev.corral.http.HitForMiss;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** The sum of what is promised is less than there is, whatever the heap. */
class MemorySharesTest {

    private static final long MEGA = 1024 * 1024;

    @ParameterizedTest
    @ValueSource(longs = {64, 192, 384, 1024, 8192, 65536})
    void thePromisesLeaveThreeTenthsOfTheHeap(long megabytes) {
        long heap = megabytes * MEGA;
        var shares = MemoryShares.of(heap, heap);

        long promised = shares.nearCache() + shares.collecting() + shares.encoding() + shares.unread()
                + (long) shares.waiters() * MemoryShares.WAITER;
        assertThat(promised).isLessThanOrEqualTo(heap * 7 / 10);
        assertThat(shares.buffers()).isLessThanOrEqualTo(heap / 4);
    }

    @Test
    void theChartsHeapIsEnoughForAUsualDay() {
        var shares = MemoryShares.of(384 * MEGA, 384 * MEGA);

        assertThat(shares.collecting() / (2 * MEGA)).as("largest bodies at once").isGreaterThanOrEqualTo(48);
        assertThat(shares.waiters()).isBetween(3_000, 5_000);
        assertThat(MemoryShares.of(8192 * MEGA, 0).waiters()).isEqualTo(20_000);
    }

    /** A key of 8 KB is no small thing; a marker is not only its object. */
    @Test
    void anEntryIsWeighedWithAllItsTexts() {
        assertThat(EntrySize.of(new HitForMiss("k".repeat(8_000), "private", 1))).isBetween(8_500, 9_500);
    }
}
