package dev.corral.tier;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class PurgeTableTest {

    private final PurgeTable table = new PurgeTable();

    @Test
    void theLastPositionOfANameCounts() {
        table.put("hats", 20);
        table.put("hats", 10);
        table.put("shoes", 30);

        assertThat(table.position("hats")).isEqualTo(20);
        assertThat(table.position("shoes")).isEqualTo(30);
        assertThat(table.position("socks")).isZero();
    }

    @Test
    void fiveHundredThousandNamesLeaveNearlyAllOthersAlone() {
        for (int i = 1; i <= 500_000; i++) {
            table.put("k:" + i, i);
        }

        int hit = 0;
        for (int i = 0; i < 10_000; i++) {
            hit += table.position("never " + i) == 0 ? 0 : 1;
        }
        // One in 250: these are the same names in each run.
        assertThat(hit).isLessThan(100);
    }

    @Test
    void overfullItPurgesTooMuchAndNeverTooLittle() {
        for (int i = 1; i <= 2_000_000; i++) {
            table.put("k:" + i, i);
        }

        for (int i = 1; i <= 2_000_000; i++) {
            assertThat(table.position("k:" + i)).isGreaterThanOrEqualTo(i);
        }
        assertThat(table.position("never")).isLessThan(1_900_000);
    }
}
