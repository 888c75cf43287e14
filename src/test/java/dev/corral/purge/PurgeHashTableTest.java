package dev.corral.purge;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class PurgeHashTableTest {

    private final PurgeHashTable table = new PurgeHashTable();

    @Test
    void latestPositionOfANameCounts() {
        table.put("hats", 20);
        table.put("hats", 10);
        table.put("shoes", 30);

        assertThat(table.positionOf("hats")).isEqualTo(20);
        assertThat(table.positionOf("shoes")).isEqualTo(30);
        assertThat(table.positionOf("socks")).isZero();
    }

    @Test
    void halfAMillionNamesAffectFewOthers() {
        for (int i = 1; i <= 500_000; i++) {
            table.put("k:" + i, i);
        }

        int hit = 0;
        for (int i = 0; i < 10_000; i++) {
            hit += table.positionOf("never " + i) == 0 ? 0 : 1;
        }
        // One in 250: these are the same names in each run.
        assertThat(hit).isLessThan(100);
    }

    @Test
    void overfullTableNeverMissesAPurge() {
        for (int i = 1; i <= 2_000_000; i++) {
            table.put("k:" + i, i);
        }

        for (int i = 1; i <= 2_000_000; i++) {
            assertThat(table.positionOf("k:" + i)).isGreaterThanOrEqualTo(i);
        }
        assertThat(table.positionOf("never")).isLessThan(1_900_000);
    }
}
