package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import java.nio.ByteBuffer;
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
class EntryCodecTest {

    private static final String TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    static Stream<Entry> entries() {
        StoredResponse stored = CacheFixtures.storedResponse("Cache-Control: max-age=60, stale-while-revalidate=5")
                .withEarlierVaryNames(List.of("origin"));
        var errorResponse = new FailedFill.OriginErrorResponse(
                new ResponseHead(503, HeaderFields.of("Retry-After", "5")),
                HeaderFields.of("accept", "*/*"),
                Body.of(new byte[]{1, 2, 3}));
        var failure = new FailedFill(CacheFixtures.KEY, "origin-failed", 503, Optional.of(errorResponse),
                Optional.of(Duration.ofMillis(1_500)), 9);
        Instant now = Instant.parse("2026-12-01T10:00:00.000000007Z");
        return Stream.<Entry>of(stored, StaleOnError.afterFailure(stored, 3, failure, true, now),
                new VaryMarker(CacheFixtures.KEY, List.of("a", "b"), -3),
                new HitForMiss(CacheFixtures.KEY, "private", 4), failure,
                new FailedFill(CacheFixtures.KEY, "origin-unreachable", 502, Optional.empty(), Optional.empty(), 5))
                .map(entry -> entry.withTraceparent(TRACE));
    }

    @ParameterizedTest
    @MethodSource("entries")
    void fieldsOfANewerReleaseAreSkipped(Entry entry) {
        assertThat(CacheFixtures.decode(OtherReleaseEncoding.asNewerRelease(EntryCodec.encode(entry)))).contains(entry);
    }

    @ParameterizedTest
    @MethodSource("entries")
    void fieldsMissingFromAnOlderReleaseHaveDefaults(Entry entry) {
        Optional<Entry> read = CacheFixtures.decode(OtherReleaseEncoding.asOlderRelease(EntryCodec.encode(entry)));

        assertThat(read).isPresent();
        assertThat(read.get().traceparent()).isEmpty();
        assertThat(read.get().cacheKey()).isEqualTo(entry.cacheKey());
        assertThat(read.get().purgePosition()).isEqualTo(entry.purgePosition());
        if (read.get() instanceof StoredResponse stored) {
            assertThat(stored.earlierVaryNames()).isEmpty();
            assertThat(stored.withEarlierVaryNames(List.of("origin")).withTraceparent(TRACE)).isEqualTo(entry);
        }
        if (read.get() instanceof FailedFill failure) {
            assertThat(failure.retryAfter()).isEmpty();
        }
    }

    @Test
    void responseWithoutARequiredFieldIsAbsent() {
        byte[] bytes = EntryCodec.encode(CacheFixtures.storedResponse("Cache-Control: max-age=60"));

        for (int required : List.of(EntryWriter.KEY, EntryWriter.KIND, EntryWriter.STATUS, EntryWriter.TERMS)) {
            assertThat(CacheFixtures.decode(OtherReleaseEncoding.withoutFields(bytes, Set.of(required))))
                    .as("without field " + required)
                    .isEmpty();
        }
    }

    @Test
    void entryWithoutPurgePositionIsOlderThanAnyPurge() {
        byte[] bytes = EntryCodec.encode(new HitForMiss("k", "private", 7));

        assertThat(CacheFixtures.decode(OtherReleaseEncoding.withoutFields(bytes, Set.of(EntryWriter.POSITION))))
                .contains(new HitForMiss("k", "private", 0));
    }

    @Test
    void entryIsDecodedFromAnOffsetOfABuffer() {
        byte[] bytes = EntryCodec.encode(CacheFixtures.storedResponse("Cache-Control: max-age=60"));
        var buffer = ByteBuffer.allocateDirect(bytes.length + 7).position(3).put(bytes).flip().position(3);

        assertThat(EntryCodec.decode(buffer)).contains(CacheFixtures.storedResponse("Cache-Control: max-age=60"));
        assertThat(buffer.position()).isEqualTo(3);
    }

    @Test
    void entryBytesAreStable() {
        // Changing these bytes breaks the replicas of earlier releases.
        assertThat(HexFormat.of().formatHex(EntryCodec.encode(new VaryMarker("k", List.of("a"), -3))))
                .startsWith("04" + "12016b" + "1805" + "0802" + "5a0161")
                .hasSize(2 * (1 + 3 + 2 + 2 + 3 + 4));
        byte[] otherVersion = EntryCodec.encode(new HitForMiss("k", "private", 1));
        otherVersion[0]++;
        assertThat(CacheFixtures.decode(otherVersion)).isEmpty();
        assertThat(CacheFixtures.decode(new byte[0])).isEmpty();
    }

    /** {@code docs/entry.proto} is the documentation of the format and the input for protoc. */
    @Test
    void protoDescriptionMatchesTheFieldNumbers() throws Exception {
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
