package dev.corral.http;

import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** What an entry is counted as in memory. */
class EntrySizeTest {

    @Test
    void namesThatSelectAVariantCount() {
        var few = new Varies("GET http://a/", List.of("accept"), 1);
        var many = new Varies("GET http://a/", Collections.nCopies(1_000, "accept-language"), 1);

        assertThat(EntrySize.of(many) - EntrySize.of(few)).isGreaterThan(999 * 60);
    }

    @Test
    void fieldsAndBodiesOfFailuresCount() {
        var head = new Head(500, Fields.of("X-Long", "v".repeat(10_000)));
        var said = new Failure.Answer(head, Fields.NONE, Body.of(new byte[50_000]));
        var failure = new Failure("GET http://a/", "origin-failed", 500, Optional.of(said), Optional.empty(), 1);

        assertThat(EntrySize.of(failure)).isBetween(60_500, 61_500);
    }
}
