package dev.corral.cache;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * Writes an entry: the format version (one byte), a Protocol Buffers message, and the CRC-32C of both (four bytes, big-endian).
 *
 * <p>{@code docs/entry.proto} describes the message. Replicas of different releases share one cache, so its rules are:
 * <ul>
 * <li>a field number is never reused for another field;
 * <li>a new field is optional, and a reader that does not know it skips it;
 * <li>a reader replaces a missing field by its default;
 * <li>a change that older readers must not ignore is a new {@link #STORED kind}: to them such an entry is absent.
 * </ul>
 *
 * <p>One instance writes one message; not thread-safe.
 */
final class EntryWriter {

    static final byte VERSION = 4;

    // The kinds of entries.
    static final int STORED = 1;
    static final int VARY_MARKER = 2;
    static final int HIT_FOR_MISS = 3;
    static final int FAILED_FILL = 4;
    static final int STALE_ON_ERROR = 5;

    // Field numbers of Entry. Numbers up to 15 take one byte.
    static final int KIND = 1;
    static final int KEY = 2;
    static final int POSITION = 3;
    static final int TRACE = 4;
    static final int STATUS = 5;
    static final int HEADER = 6;
    static final int SELECTING = 7;
    static final int TERMS = 8;
    static final int TAG = 9;
    static final int EARLIER_VARY = 10;
    static final int VARY_NAME = 11;
    static final int REASON = 12;
    static final int FAILURE_STATUS = 13;
    static final int RETRY_AFTER = 14;
    static final int BODY = 15;
    static final int RETRY_AT = 16;
    static final int FAILURES = 17;
    static final int ORIGIN_RESPONDED = 18;

    // Field numbers of Terms.
    static final int RESPONSE_TIME = 1;
    static final int INITIAL_AGE = 2;
    static final int LIFETIME = 3;
    static final int NO_CACHE = 4;
    static final int MUST_REVALIDATE = 5;
    static final int EXPLICITLY_SHAREABLE = 6;
    static final int IMMUTABLE = 7;
    static final int STALE_WHILE_REVALIDATE = 8;
    static final int STALE_IF_ERROR = 9;
    static final int STALE_IF_UNREACHABLE = 10;
    static final int RESPONSE_DELAY = 11;
    static final int RETENTION = 12;

    // Field numbers of Time: a duration, or an instant as the duration since 1970.
    static final int SECONDS = 1;
    static final int NANOS = 2;

    /** Prefix of a text with 16 bits for each character, little-endian. All other texts are ISO 8859-1, like header fields. */
    static final byte[] WIDE = {(byte) 0xff, (byte) 0xfe};

    /** Length of the checksum in bytes. */
    static final int CHECKSUM = 4;

    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(1024);
    private final CodedOutputStream out = CodedOutputStream.newInstance(bytes, 1024);

    /** @param prefix bytes that precede the entry and are not part of its checksum */
    byte[] write(byte[] prefix, Entry entry) {
        try {
            Body body = writeMessage(entry);
            out.flush();
            int end = Math.addExact(prefix.length + 1 + bytes.size(), body.length());
            byte[] all = new byte[Math.addExact(end, CHECKSUM)];
            // The body is the last field, so that it is copied only once.
            ByteBuffer.wrap(all).put(prefix).put(VERSION).put(bytes.toByteArray()).put(body.bytes());
            var checksum = new CRC32C();
            checksum.update(all, prefix.length, end - prefix.length);
            ByteBuffer.wrap(all).putInt(end, (int) checksum.getValue());
            return all;
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory cannot fail", e);
        }
    }

    /** Writes the message except the bytes of the body, which the caller appends. */
    private Body writeMessage(Entry entry) throws IOException {
        writeText(KEY, entry.cacheKey());
        out.writeSInt64(POSITION, entry.purgePosition());
        writeTextUnlessEmpty(TRACE, entry.traceparent());
        return switch (entry) {
            case StoredResponse stored -> {
                out.writeUInt32(KIND, STORED);
                yield writeStoredResponse(stored);
            }
            case StaleOnError stale -> {
                out.writeUInt32(KIND, STALE_ON_ERROR);
                writeTime(RETRY_AT, stale.retryAt());
                out.writeUInt32(FAILURES, stale.failureCount());
                writeText(REASON, stale.reason());
                out.writeUInt32(FAILURE_STATUS, stale.status());
                writeFlag(ORIGIN_RESPONDED, stale.originResponded());
                yield writeStoredResponse(stale.staleResponse());
            }
            case VaryMarker marker -> {
                out.writeUInt32(KIND, VARY_MARKER);
                writeTexts(VARY_NAME, marker.fieldNames());
                yield Body.EMPTY;
            }
            case HitForMiss marker -> {
                out.writeUInt32(KIND, HIT_FOR_MISS);
                writeText(REASON, marker.reason());
                yield Body.EMPTY;
            }
            case FailedFill failure -> {
                out.writeUInt32(KIND, FAILED_FILL);
                writeText(REASON, failure.reason());
                out.writeUInt32(FAILURE_STATUS, failure.status());
                if (failure.retryAfter().isPresent()) {
                    writeTime(RETRY_AFTER, failure.retryAfter().get());
                }
                yield failure.errorResponse().isPresent()
                        ? writeErrorResponse(failure.errorResponse().get())
                        : Body.EMPTY;
            }
        };
    }

    private Body writeStoredResponse(StoredResponse stored) throws IOException {
        writeResponse(stored.head(), stored.selectingFields());
        writeFreshness(stored.freshness());
        writeTexts(TAG, stored.tags());
        writeTexts(EARLIER_VARY, stored.earlierVaryNames());
        return writeBodyLength(stored.body());
    }

    private Body writeErrorResponse(FailedFill.OriginErrorResponse response) throws IOException {
        writeResponse(response.head(), response.selectingFields());
        return writeBodyLength(response.body());
    }

    private void writeResponse(ResponseHead head, HeaderFields selecting) throws IOException {
        out.writeUInt32(STATUS, head.status());
        writeFields(HEADER, head.fields());
        writeFields(SELECTING, selecting);
    }

    /** Writes names and values alternately, each as one text. */
    private void writeFields(int number, HeaderFields fields) throws IOException {
        for (HeaderFields.FieldLine field : fields) {
            writeText(number, field.name());
            writeText(number, field.value());
        }
    }

    private void writeFreshness(Freshness freshness) throws IOException {
        var nested = new EntryWriter();
        nested.writeTime(RESPONSE_TIME, freshness.responseTime());
        nested.writeTime(INITIAL_AGE, freshness.initialAge());
        nested.writeTime(LIFETIME, freshness.lifetime());
        nested.writeFlag(NO_CACHE, freshness.noCache());
        nested.writeFlag(MUST_REVALIDATE, freshness.mustRevalidate());
        nested.writeFlag(EXPLICITLY_SHAREABLE, freshness.explicitlyShareable());
        nested.writeFlag(IMMUTABLE, freshness.immutable());
        nested.writeTime(STALE_WHILE_REVALIDATE, freshness.staleWhileRevalidate());
        nested.writeTime(STALE_IF_ERROR, freshness.staleIfError());
        nested.writeTime(STALE_IF_UNREACHABLE, freshness.staleIfUnreachable());
        nested.writeTime(RESPONSE_DELAY, freshness.responseDelay());
        nested.writeTime(RETENTION, freshness.retention());
        nested.out.flush();
        out.writeByteArray(TERMS, nested.bytes.toByteArray());
    }

    private Body writeBodyLength(Body body) throws IOException {
        out.writeTag(BODY, WireFormat.WIRETYPE_LENGTH_DELIMITED);
        out.writeUInt32NoTag(body.length());
        return body;
    }

    private void writeTexts(int number, List<String> texts) throws IOException {
        for (String text : texts) {
            writeText(number, text);
        }
    }

    private void writeTextUnlessEmpty(int number, String text) throws IOException {
        if (!text.isEmpty()) {
            writeText(number, text);
        }
    }

    private void writeText(int number, String text) throws IOException {
        out.writeByteArray(number, encodeText(text));
    }

    private static byte[] encodeText(String text) {
        byte[] narrow = text.getBytes(StandardCharsets.ISO_8859_1);
        boolean startsWithWideMark = narrow.length >= WIDE.length && narrow[0] == WIDE[0] && narrow[1] == WIDE[1];
        if (!startsWithWideMark && text.chars().allMatch(c -> c <= 0xff)) {
            return narrow;
        }
        byte[] wide = new byte[WIDE.length + 2 * text.length()];
        wide[0] = WIDE[0];
        wide[1] = WIDE[1];
        // A charset would replace lone surrogates. Written by hand, every text is restored exactly.
        for (int i = 0; i < text.length(); i++) {
            wide[2 + 2 * i] = (byte) text.charAt(i);
            wide[3 + 2 * i] = (byte) (text.charAt(i) >> 8);
        }
        return wide;
    }

    private void writeTime(int number, Instant instant) throws IOException {
        writeTime(number, instant.getEpochSecond(), instant.getNano());
    }

    /** Writes nothing for zero, the default; {@link #RETRY_AFTER} distinguishes zero from absent. */
    private void writeTime(int number, Duration duration) throws IOException {
        if (!duration.isZero() || number == RETRY_AFTER) {
            writeTime(number, duration.getSeconds(), duration.getNano());
        }
    }

    private void writeTime(int number, long seconds, int nanos) throws IOException {
        out.writeTag(number, WireFormat.WIRETYPE_LENGTH_DELIMITED);
        int size = CodedOutputStream.computeSInt64Size(SECONDS, seconds)
                + (nanos == 0 ? 0 : CodedOutputStream.computeUInt32Size(NANOS, nanos));
        out.writeUInt32NoTag(size);
        out.writeSInt64(SECONDS, seconds);
        if (nanos != 0) {
            out.writeUInt32(NANOS, nanos);
        }
    }

    private void writeFlag(int number, boolean flag) throws IOException {
        if (flag) {
            out.writeBool(number, true);
        }
    }
}
