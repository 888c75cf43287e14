package dev.corral.cache;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.WireFormat;
import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32C;

/** Reads the bytes of an {@link EntryWriter} of this or another release. Unknown fields are skipped. One instance reads one entry. */
final class EntryReader {

    private int kind;
    private Optional<String> key = Optional.empty();
    private long purgePosition;
    private String traceparent = "";
    private int status;
    private final List<String> headerFields = new ArrayList<>();
    private final List<String> selectingFields = new ArrayList<>();
    private Optional<Freshness> freshness = Optional.empty();
    private final List<String> tags = new ArrayList<>();
    private final List<String> earlierVary = new ArrayList<>();
    private final List<String> varyNames = new ArrayList<>();
    private String reason = "";
    private int failureStatus;
    private Optional<Duration> retryAfter = Optional.empty();
    private Body body = Body.EMPTY;
    private Instant retryAt = Instant.EPOCH;
    private int failures;
    private boolean originResponded;

    private EntryReader() {}

    static Optional<Entry> read(ByteBuffer bytes) {
        int end = bytes.remaining() - EntryWriter.CHECKSUM;
        if (end < 1 || bytes.get(bytes.position()) != EntryWriter.VERSION) {
            return Optional.empty();
        }
        ByteBuffer checked = bytes.slice(bytes.position(), end);
        var checksum = new CRC32C();
        checksum.update(checked.duplicate());
        if (bytes.slice(bytes.position() + end, EntryWriter.CHECKSUM).getInt() != (int) checksum.getValue()) {
            return Optional.empty();
        }
        try {
            var reader = new EntryReader();
            reader.readMessage(CodedInputStream.newInstance(checked.position(1)));
            return reader.toEntry();
        } catch (IOException | IllegalArgumentException | DateTimeException | ArithmeticException ignored) {
            return Optional.empty();
        }
    }

    private void readMessage(CodedInputStream in) throws IOException {
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            switch (WireFormat.getTagFieldNumber(tag)) {
                case EntryWriter.KIND -> kind = in.readUInt32();
                case EntryWriter.KEY -> key = Optional.of(readText(in));
                case EntryWriter.POSITION -> purgePosition = in.readSInt64();
                case EntryWriter.TRACE -> traceparent = readText(in);
                case EntryWriter.STATUS -> status = in.readUInt32();
                case EntryWriter.HEADER -> headerFields.add(readText(in));
                case EntryWriter.SELECTING -> selectingFields.add(readText(in));
                case EntryWriter.TERMS -> freshness = Optional.of(readNested(in, EntryReader::readFreshness));
                case EntryWriter.TAG -> tags.add(readText(in));
                case EntryWriter.EARLIER_VARY -> earlierVary.add(readText(in));
                case EntryWriter.VARY_NAME -> varyNames.add(readText(in));
                case EntryWriter.REASON -> reason = readText(in);
                case EntryWriter.FAILURE_STATUS -> failureStatus = in.readUInt32();
                case EntryWriter.RETRY_AFTER -> retryAfter = Optional.of(readNested(in, EntryReader::readDuration));
                case EntryWriter.BODY -> body = Body.of(in.readByteArray());
                case EntryWriter.RETRY_AT -> retryAt = readNested(in, EntryReader::readInstant);
                case EntryWriter.FAILURES -> failures = in.readUInt32();
                case EntryWriter.ORIGIN_RESPONDED -> originResponded = in.readBool();
                default -> in.skipField(tag);
            }
        }
    }

    /** Empty if this release does not know the kind, or a required field of the kind is missing. */
    private Optional<Entry> toEntry() {
        return key.flatMap(cacheKey -> switch (kind) {
            case EntryWriter.STORED -> toStoredResponse(cacheKey).map(Entry.class::cast);
            case EntryWriter.STALE_ON_ERROR -> toStoredResponse(cacheKey)
                    .map(stale -> new StaleOnError(stale, retryAt, failures, reason, failureStatus, originResponded));
            case EntryWriter.VARY_MARKER ->
                Optional.of(new VaryMarker(cacheKey, varyNames, purgePosition, traceparent));
            case EntryWriter.HIT_FOR_MISS -> Optional.of(new HitForMiss(cacheKey, reason, purgePosition, traceparent));
            case EntryWriter.FAILED_FILL ->
                Optional.of(
                        new FailedFill(cacheKey, reason, failureStatus, toErrorResponse(), retryAfter, purgePosition,
                                traceparent));
            default -> Optional.empty();
        });
    }

    private Optional<StoredResponse> toStoredResponse(String cacheKey) {
        return freshness.filter(ignored -> status != 0)
                .map(terms -> new StoredResponse(cacheKey, new ResponseHead(status, toFields(headerFields)),
                        toFields(selectingFields),
                        terms, purgePosition,
                        tags, body, earlierVary, traceparent));
    }

    private Optional<FailedFill.OriginErrorResponse> toErrorResponse() {
        return status == 0
                ? Optional.empty()
                : Optional.of(new FailedFill.OriginErrorResponse(new ResponseHead(status, toFields(headerFields)),
                        toFields(selectingFields), body));
    }

    private static HeaderFields toFields(List<String> namesAndValues) {
        if (namesAndValues.size() % 2 != 0) {
            throw new IllegalArgumentException("a field name without a value");
        }
        var lines = new ArrayList<HeaderFields.FieldLine>(namesAndValues.size() / 2);
        for (int i = 0; i < namesAndValues.size(); i += 2) {
            lines.add(new HeaderFields.FieldLine(namesAndValues.get(i), namesAndValues.get(i + 1)));
        }
        return HeaderFields.of(lines);
    }

    private static Freshness readFreshness(CodedInputStream in) throws IOException {
        Optional<Instant> responseTime = Optional.empty();
        var durations = new Duration[EntryWriter.RETENTION + 1];
        Arrays.fill(durations, Duration.ZERO);
        var flags = new boolean[EntryWriter.RETENTION + 1];
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            int number = WireFormat.getTagFieldNumber(tag);
            switch (number) {
                case EntryWriter.RESPONSE_TIME -> responseTime = Optional.of(readNested(in, EntryReader::readInstant));
                case EntryWriter.NO_CACHE, EntryWriter.MUST_REVALIDATE, EntryWriter.EXPLICITLY_SHAREABLE,
                        EntryWriter.IMMUTABLE ->
                    flags[number] = in.readBool();
                case EntryWriter.INITIAL_AGE, EntryWriter.LIFETIME, EntryWriter.STALE_WHILE_REVALIDATE,
                        EntryWriter.STALE_IF_ERROR, EntryWriter.STALE_IF_UNREACHABLE, EntryWriter.RESPONSE_DELAY,
                        EntryWriter.RETENTION ->
                    durations[number] = readNested(in, EntryReader::readDuration);
                default -> in.skipField(tag);
            }
        }
        return new Freshness(
                responseTime.orElseThrow(() -> new IllegalArgumentException("the terms have no response time")),
                durations[EntryWriter.INITIAL_AGE], durations[EntryWriter.LIFETIME], flags[EntryWriter.NO_CACHE],
                flags[EntryWriter.MUST_REVALIDATE], flags[EntryWriter.EXPLICITLY_SHAREABLE],
                flags[EntryWriter.IMMUTABLE],
                durations[EntryWriter.STALE_WHILE_REVALIDATE], durations[EntryWriter.STALE_IF_ERROR],
                durations[EntryWriter.STALE_IF_UNREACHABLE], durations[EntryWriter.RESPONSE_DELAY],
                durations[EntryWriter.RETENTION]);
    }

    private static Instant readInstant(CodedInputStream in) throws IOException {
        Duration sinceEpoch = readDuration(in);
        return Instant.ofEpochSecond(sinceEpoch.getSeconds(), sinceEpoch.getNano());
    }

    private static Duration readDuration(CodedInputStream in) throws IOException {
        long seconds = 0;
        int nanos = 0;
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            switch (WireFormat.getTagFieldNumber(tag)) {
                case EntryWriter.SECONDS -> seconds = in.readSInt64();
                case EntryWriter.NANOS -> nanos = in.readUInt32();
                default -> in.skipField(tag);
            }
        }
        return Duration.ofSeconds(seconds, nanos);
    }

    /** Reads a nested message. */
    private interface Nested<T> {

        T read(CodedInputStream in) throws IOException;
    }

    private static <T> T readNested(CodedInputStream in, Nested<T> message) throws IOException {
        int outerLimit = in.pushLimit(in.readRawVarint32());
        T value = message.read(in);
        in.popLimit(outerLimit);
        return value;
    }

    private static String readText(CodedInputStream in) throws IOException {
        byte[] bytes = in.readByteArray();
        if (bytes.length < EntryWriter.WIDE.length || bytes[0] != EntryWriter.WIDE[0]
                || bytes[1] != EntryWriter.WIDE[1]) {
            return new String(bytes, StandardCharsets.ISO_8859_1);
        }
        var text = new StringBuilder(bytes.length / 2);
        for (int i = EntryWriter.WIDE.length; i + 1 < bytes.length; i += 2) {
            text.append((char) ((bytes[i] & 0xff) | (bytes[i + 1] << 8)));
        }
        return text.toString();
    }
}
