package dev.corral.proxy;

import dev.corral.coalesce.TierKey;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class VariantLimiterTest {

    private static final TierKey PAGE = TierKey.of("page");

    private final AtomicLong nanos = new AtomicLong();
    private final VariantLimiter variants = new VariantLimiter(nanos::get);

    private static TierKey key(TierKey resource, int variant) {
        return resource.withSubkey("v:" + variant);
    }

    /** What gives way to that variant, by its number; empty when there is room. */
    private Optional<TierKey> admit(TierKey resource, int variant) {
        return variants.admit(resource, key(resource, variant), 3);
    }

    private void use(int variant, int times) {
        IntStream.range(0, times).forEach(i -> variants.recordUse(PAGE, key(PAGE, variant)));
    }

    @Test
    void variantsUpToTheLimitAreAdmitted() {
        for (int round = 0; round < 2; round++) {
            for (int variant = 1; variant <= 3; variant++) {
                assertThat(admit(PAGE, variant)).isEmpty();
            }
        }
        assertThat(admit(TierKey.of("another"), 4)).isEmpty();
    }

    /** However many are invented, what is in use stays, and what is new gets in. */
    @Test
    void leastUsedVariantIsEvicted() {
        for (int variant = 1; variant <= 3; variant++) {
            admit(PAGE, variant);
        }
        use(1, 2);
        use(2, 1);

        assertThat(admit(PAGE, 4)).contains(key(PAGE, 3));
        for (int invented = 5; invented < 200; invented++) {
            assertThat(admit(PAGE, invented)).contains(key(PAGE, invented - 1));
        }
        use(199, 2);
        assertThat(admit(PAGE, 200)).contains(key(PAGE, 2));
        assertThat(variants.rememberedCount(PAGE)).isEqualTo(3);
    }

    /** Of those used alike, the one that was stored first. */
    @Test
    void oldestOfEquallyUsedVariantsIsEvicted() {
        for (int variant = 1; variant <= 3; variant++) {
            admit(PAGE, variant);
        }

        assertThat(admit(PAGE, 4)).contains(key(PAGE, 1));
        assertThat(admit(PAGE, 1)).contains(key(PAGE, 2));
    }

    @Test
    void useOfAnUnknownVariantIsNotCounted() {
        use(1, 5);

        assertThat(variants.rememberedCount(PAGE)).isZero();
    }

    /** However many came later. */
    @Test
    void countRestartsTenMinutesAfterTheFirstVariant() {
        admit(PAGE, 1);
        nanos.set(VariantLimiter.COUNTING_PERIOD.minusMinutes(1).toNanos());
        admit(PAGE, 2);
        admit(PAGE, 3);
        nanos.set(VariantLimiter.COUNTING_PERIOD.minusNanos(1).toNanos());
        assertThat(variants.rememberedCount(PAGE)).isEqualTo(3);

        nanos.set(VariantLimiter.COUNTING_PERIOD.toNanos());

        assertThat(variants.rememberedCount(PAGE)).isZero();
        assertThat(admit(PAGE, 4)).isEmpty();
    }

    /** Safety rule 7: of all resources together no more are remembered than there is room for. */
    @Test
    void rememberedVariantsAreBounded() {
        IntStream.range(0, 2 * VariantLimiter.MAX_REMEMBERED_VARIANTS / 3).forEach(resource -> {
            for (int variant = 1; variant <= 3; variant++) {
                admit(TierKey.of("resource " + resource), variant);
            }
        });

        long forgotten = IntStream.range(0, 2 * VariantLimiter.MAX_REMEMBERED_VARIANTS / 3)
                .filter(resource -> variants.rememberedCount(TierKey.of("resource " + resource)) == 0)
                .count();
        assertThat(forgotten).isGreaterThanOrEqualTo(VariantLimiter.MAX_REMEMBERED_VARIANTS / 3);
    }
}
