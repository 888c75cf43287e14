package dev.corral.http;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Replicas of different releases read each other's entries. */
class EntryFormatTest {

    private static final String TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    static Stream<Entry> entries() {
        Stored stored = Given.stored("Cache-Control: max-age=60, stale-while-revalidate=5")
                .inPlaceOf(List.of("origin"));
        var words = new Failure.Answer(new Head(503, Fields.of("Retry-After", "5")), Fields.of("accept", "*/*"),
                Body.of(new byte[]{1, 2, 3}));
        var failure = new Failure(Given.KEY, "origin-failed", 503, Optional.of(words),
                Optional.of(Duration.ofMillis(1_500)), 9);
        Instant now = Instant.parse("2026-12-01T10:00:00.000000007Z");
        return Stream.<Entry>of(stored, Ailing.after(stored, 3, failure, true, now),
                new Varies(Given.KEY, List.of("a", "b"), -3), new HitForMiss(Given.KEY, "private", 4), failure,
                new Failure(Given.KEY, "origin-unreachable", 502, Optional.empty(), Optional.empty(), 5))
                .map(entry -> entry.traced(TRACE));
    }

    @ParameterizedTest
    @MethodSource("entries")
    void fieldsOfANewerReleaseAreSkipped(Entry entry) {
        assertThat(EntryFormat.decode(OtherRelease.newer(EntryFormat.encode(entry)))).contains(entry);
    }

    @ParameterizedTest
    @MethodSource("entries")
    void fieldsThatAnOlderReleaseDoesNotWriteHaveTheirDefaults(Entry entry) {
        Optional<Entry> read = EntryFormat.decode(OtherRelease.older(EntryFormat.encode(entry)));

        assertThat(read).isPresent();
        assertThat(read.get().trace()).isEmpty();
        assertThat(read.get().key()).isEqualTo(entry.key());
        assertThat(read.get().position()).isEqualTo(entry.position());
        if (read.get() instanceof Stored stored) {
            assertThat(stored.earlierVary()).isEmpty();
            assertThat(stored.inPlaceOf(List.of("origin")).traced(TRACE)).isEqualTo(entry);
        }
        if (read.get() instanceof Failure failure) {
            assertThat(failure.retryAfter()).isEmpty();
        }
    }

    @Test
    void withoutItsKeyKindStatusOrFreshnessAResponseIsAbsent() {
        byte[] bytes = EntryFormat.encode(Given.stored("Cache-Control: max-age=60"));

        for (int needed : List.of(EntryWriter.KEY, EntryWriter.KIND, EntryWriter.STATUS, EntryWriter.TERMS)) {
            assertThat(EntryFormat.decode(OtherRelease.without(bytes, Set.of(needed)))).as("field " + needed).isEmpty();
        }
    }

    @Test
    void withoutItsPurgePositionAnEntryIsOlderThanAnyPurge() {
        byte[] bytes = EntryFormat.encode(new HitForMiss("k", "private", 7));

        assertThat(EntryFormat.decode(OtherRelease.without(bytes, Set.of(EntryWriter.POSITION))))
                .contains(new HitForMiss("k", "private", 0));
    }

    @Test
    void theBytesOfAnEntryAreKept() {
        // Changing these bytes breaks the replicas of earlier releases.
        assertThat(HexFormat.of().formatHex(EntryFormat.encode(new Varies("k", List.of("a"), -3))))
                .startsWith("04" + "12016b" + "1805" + "0802" + "5a0161")
                .hasSize(2 * (1 + 3 + 2 + 2 + 3 + 4));
        byte[] another = EntryFormat.encode(new HitForMiss("k", "private", 1));
        another[0]++;
        assertThat(EntryFormat.decode(another)).isEmpty();
        assertThat(EntryFormat.decode(new byte[0])).isEmpty();
    }

    /** docs/entry.proto is what an engineer reads, or gives to protoc. */
    @Test
    void theDescriptionNamesTheFieldsWithTheirNumbers() throws Exception {
        var described = new TreeMap<String, Integer>();
        Pattern.compile("^ +(?:repeated |optional )?(?:\\w+ )?(\\w+) = (\\d+);", Pattern.MULTILINE)
                .matcher(Files.readString(Path.of("docs/entry.proto")))
                .results()
                .forEach(line -> described.put(line.group(1).toUpperCase(Locale.ROOT),
                        Integer.parseInt(line.group(2))));
        described.remove("UNKNOWN");

        var written = new TreeMap<String, Integer>();
        for (var constant : EntryWriter.class.getDeclaredFields()) {
            if (constant.getType() == int.class) {
                constant.setAccessible(true);
                written.put(constant.getName(), constant.getInt(null));
            }
        }
        written.remove("CHECKSUM");
        assertThat(described).isEqualTo(written);
    }
}
