package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** The estimated memory of an entry. */
class EntrySizeTest {

    @Test
    void selectingFieldNamesCountTowardEntrySize() {
        var few = new VaryMarker("GET http://a/", List.of("accept"), 1);
        var many = new VaryMarker("GET http://a/", Collections.nCopies(1_000, "accept-language"), 1);

        assertThat(EntrySize.of(many) - EntrySize.of(few)).isGreaterThan(999 * 60);
    }

    @Test
    void failureFieldsAndBodyCountTowardEntrySize() {
        var head = new ResponseHead(500, HeaderFields.of("X-Long", "v".repeat(10_000)));
        var response = new FailedFill.OriginErrorResponse(head, HeaderFields.EMPTY, Body.of(new byte[50_000]));
        var failure = new FailedFill("GET http://a/", "origin-failed", 500, Optional.of(response), Optional.empty(), 1);

        assertThat(EntrySize.of(failure)).isBetween(60_500, 61_500);
    }
}
