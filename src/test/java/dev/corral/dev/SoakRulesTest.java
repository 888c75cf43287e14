package dev.corral.dev;

import java.time.Duration;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** The soak finds what it is there to find. Key 7 has tag 1. */
class SoakRulesTest {

    private static final long SECOND = Duration.ofSeconds(1).toNanos();

    private final SoakRules rules = new SoakRules(10, 3, 2, 10 * SECOND);
    private final long start = System.nanoTime();

    @Test
    void responseSentByOriginIsNoViolation() {
        int version = rules.fetched(7, start);

        rules.received(rules.sending(0, 7, start), 7, version, start);
        rules.received(rules.sending(1, 7, start), 7, version, start);

        assertThat(rules.reported()).isEmpty();
        assertThat(rules.countOf("shared responses")).isEqualTo(2);
    }

    @Test
    void responseForAnotherKeyIsViolation() {
        int version = rules.fetched(6, start);

        rules.received(rules.sending(0, 7, start), 6, version, start);
        rules.received(rules.sending(0, 7, start), 7, 3, start);

        assertThat(rules.reported()).containsExactly("a response for key 6 to a request for key 7",
                "version 3 of key 7, which the origin has never sent");
    }

    @Test
    void olderVersionIsViolationUnlessRedisWasTroubled() {
        int first = rules.fetched(7, start);
        int second = rules.fetched(7, start + 20 * SECOND);
        SoakRules.ExpectedVersion early = rules.sending(0, 7, start);
        rules.received(early, 7, second, start);
        // It was sent before the newer one came.
        rules.received(early, 7, first, start);
        assertThat(rules.violations()).isZero();

        rules.received(rules.sending(0, 7, start), 7, first, start);
        assertThat(rules.reported()).containsExactly("version 1 of key 7 from replica 0 after version 2");

        rules.troubled(start + SECOND);
        rules.received(rules.sending(0, 7, start), 7, first, start);
        assertThat(rules.violations()).isEqualTo(1);
    }

    @Test
    void responseFetchedBeforeAcknowledgedPurgeIsViolation() {
        int version = rules.fetched(7, start);
        SoakRules.ExpectedVersion before = rules.sending(0, 7, start);
        rules.purged(7, start + SECOND);

        rules.received(before, 7, version, start);
        assertThat(rules.violations()).isZero();

        rules.received(rules.sending(0, 7, start + 3 * SECOND), 7, version, start);
        rules.received(rules.sending(1, 7, start + 3 * SECOND), 7, rules.fetched(7, start + 2 * SECOND), start);
        assertThat(rules.reported()).containsExactly(
                "version 1 of key 7 from replica 0 2000 ms after the purge was asked for");
    }

    @Test
    void tagPurgeAppliesToItsKeysOnly() {
        int version = rules.fetched(7, start);
        rules.purgedTag(2, start + SECOND);
        rules.received(rules.sending(0, 7, start + SECOND), 7, version, start);
        assertThat(rules.violations()).isZero();

        rules.purgedTag(1, start + SECOND);
        rules.received(rules.sending(0, 7, start + SECOND), 7, version, start);
        assertThat(rules.violations()).isEqualTo(1);
    }

    @Test
    void isolatedReplicaIsExcusedFromPurges() {
        int version = rules.fetched(7, start);
        rules.purged(7, start + SECOND);
        rules.isolated(1, start + 4 * SECOND);

        rules.received(rules.sending(1, 7, start + 3 * SECOND), 7, version, start);
        assertThat(rules.violations()).isZero();
        rules.received(rules.sending(1, 7, start + 5 * SECOND), 7, version, start);
        assertThat(rules.violations()).isEqualTo(1);
    }

    @Test
    void unexplainedFetchOfFreshKeyIsCounted() {
        rules.fetched(7, start);
        rules.fetched(7, start + 9 * SECOND);
        assertThat(rules.countOf("fetches of a fresh key")).isZero();

        rules.fetched(7, start + 12 * SECOND);
        assertThat(rules.countOf("fetches of a fresh key")).isEqualTo(1);

        rules.troubled(start + 13 * SECOND);
        rules.fetched(7, start + 14 * SECOND);
        assertThat(rules.countOf("fetches of a fresh key")).isEqualTo(1);
    }
}
