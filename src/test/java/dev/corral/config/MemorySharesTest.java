package dev.corral.config;

import dev.corral.cache.EntrySize;
import dev.corral.cache.HitForMiss;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** The sum of all shares is less than the heap, whatever its size. */
class MemorySharesTest {

    private static final long MEGABYTE = 1024 * 1024;

    @ParameterizedTest
    @ValueSource(longs = {64, 192, 384, 1024, 8192, 65536})
    void sharesLeaveThirtyPercentOfTheHeap(long megabytes) {
        long heap = megabytes * MEGABYTE;
        var shares = MemoryShares.of(heap, heap);

        long promised = shares.nearCacheBytes() + shares.bufferedBodyBytes() + shares.encodingBytes()
                + shares.unreadBodyBytes()
                + (long) shares.maxWaiters() * MemoryShares.BYTES_PER_WAITER;
        assertThat(promised).isLessThanOrEqualTo(heap * 7 / 10);
        assertThat(shares.directBufferBytes()).isLessThanOrEqualTo(heap / 4);
    }

    @Test
    void chartHeapAllowsTypicalBodiesAndWaiters() {
        var shares = MemoryShares.of(384 * MEGABYTE, 384 * MEGABYTE);

        assertThat(shares.bufferedBodyBytes() / (2 * MEGABYTE)).as("largest bodies at once").isGreaterThanOrEqualTo(48);
        assertThat(shares.maxWaiters()).isBetween(3_000, 5_000);
        assertThat(MemoryShares.of(8192 * MEGABYTE, 0).maxWaiters()).isEqualTo(20_000);
    }

    /** Long keys and the reason of a marker count toward the size of an entry. */
    @Test
    void entrySizeIncludesKeyAndReason() {
        assertThat(EntrySize.of(new HitForMiss("k".repeat(8_000), "private", 1))).isBetween(8_500, 9_500);
    }
}
