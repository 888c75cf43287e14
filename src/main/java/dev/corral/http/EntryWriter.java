package dev.corral.http;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
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
 * Writes an entry: the version of the format (one byte), a Protocol Buffers message, and a CRC-32C of both (four bytes).
 *
 * <p>The message is described by {@code docs/entry.proto}. Its rules: a field's number is never used for something else; a new field
 * is optional, and a reader that does not know it skips it; a reader gives a missing field its default. A change that an older reader
 * must not ignore is a new {@link #STORED kind}, which is absent to it. So replicas of different releases share one cache.
 */
final class EntryWriter {

    static final byte VERSION = 4;

    // Kinds.
    static final int STORED = 1;
    static final int VARIES = 2;
    static final int HIT_FOR_MISS = 3;
    static final int FAILURE = 4;
    static final int AILING = 5;

    // Fields of an entry. Up to 15 a field's number takes one byte.
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
    static final int NAME = 11;
    static final int REASON = 12;
    static final int FAILURE_STATUS = 13;
    static final int RETRY_AFTER = 14;
    static final int BODY = 15;
    static final int RETRY_AT = 16;
    static final int FAILURES = 17;
    static final int ANSWERED = 18;

    // Fields of the terms.
    static final int AT = 1;
    static final int INITIAL_AGE = 2;
    static final int LIFETIME = 3;
    static final int NO_CACHE = 4;
    static final int MUST_REVALIDATE = 5;
    static final int OPEN = 6;
    static final int IMMUTABLE = 7;
    static final int STALE_WHILE_REVALIDATE = 8;
    static final int STALE_IF_ERROR = 9;
    static final int STALE_IF_UNREACHABLE = 10;
    static final int TOOK = 11;
    static final int LIFE = 12;

    // Fields of a time, which is a duration or a moment since 1970.
    static final int SECONDS = 1;
    static final int NANOS = 2;

    /** Stands before a text of 16 bits a character, little-endian. All other texts are ISO 8859-1, as header fields are. */
    static final byte[] WIDE = {(byte) 0xff, (byte) 0xfe};

    static final int CHECKSUM = 4;

    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(1024);
    private final CodedOutputStream out = CodedOutputStream.newInstance(bytes, 1024);

    /** @param before bytes that stand before the entry, and are no part of it */
    byte[] write(byte[] before, Entry entry) {
        try {
            Body body = message(entry);
            out.flush();
            int end = Math.addExact(before.length + 1 + bytes.size(), body.length());
            byte[] all = new byte[Math.addExact(end, CHECKSUM)];
            // The body is the last field: it is copied once.
            ByteBuffer.wrap(all).put(before).put(VERSION).put(bytes.toByteArray()).put(body.bytes());
            var checksum = new CRC32C();
            checksum.update(all, before.length, end - before.length);
            ByteBuffer.wrap(all).putInt(end, (int) checksum.getValue());
            return all;
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory does not fail", e);
        }
    }

    /** Writes all but the body's bytes, which are to follow. */
    private Body message(Entry entry) throws IOException {
        text(KEY, entry.key());
        out.writeSInt64(POSITION, entry.position());
        optional(TRACE, entry.trace());
        return switch (entry) {
            case Stored stored -> {
                out.writeUInt32(KIND, STORED);
                yield stored(stored);
            }
            case Ailing ailing -> {
                out.writeUInt32(KIND, AILING);
                time(RETRY_AT, ailing.until());
                out.writeUInt32(FAILURES, ailing.failures());
                text(REASON, ailing.reason());
                out.writeUInt32(FAILURE_STATUS, ailing.status());
                flag(ANSWERED, ailing.answered());
                yield stored(ailing.stored());
            }
            case Varies varies -> {
                out.writeUInt32(KIND, VARIES);
                texts(NAME, varies.names());
                yield Body.EMPTY;
            }
            case HitForMiss marker -> {
                out.writeUInt32(KIND, HIT_FOR_MISS);
                text(REASON, marker.reason());
                yield Body.EMPTY;
            }
            case Failure failure -> {
                out.writeUInt32(KIND, FAILURE);
                text(REASON, failure.reason());
                out.writeUInt32(FAILURE_STATUS, failure.status());
                if (failure.retryAfter().isPresent()) {
                    time(RETRY_AFTER, failure.retryAfter().get());
                }
                yield failure.answer().isPresent() ? answer(failure.answer().get()) : Body.EMPTY;
            }
        };
    }

    private Body stored(Stored stored) throws IOException {
        response(stored.head(), stored.selecting());
        terms(stored.terms());
        texts(TAG, stored.tags());
        texts(EARLIER_VARY, stored.earlierVary());
        return body(stored.body());
    }

    private Body answer(Failure.Answer answer) throws IOException {
        response(answer.head(), answer.selecting());
        return body(answer.body());
    }

    private void response(Head head, Fields selecting) throws IOException {
        out.writeUInt32(STATUS, head.status());
        fields(HEADER, head.fields());
        fields(SELECTING, selecting);
    }

    /** Name, value, name, value: each a text of its own. */
    private void fields(int number, Fields fields) throws IOException {
        for (Fields.Field field : fields) {
            text(number, field.name());
            text(number, field.value());
        }
    }

    private void terms(Terms terms) throws IOException {
        var nested = new EntryWriter();
        nested.time(AT, terms.at());
        nested.time(INITIAL_AGE, terms.initialAge());
        nested.time(LIFETIME, terms.lifetime());
        nested.flag(NO_CACHE, terms.noCache());
        nested.flag(MUST_REVALIDATE, terms.mustRevalidate());
        nested.flag(OPEN, terms.open());
        nested.flag(IMMUTABLE, terms.immutable());
        nested.time(STALE_WHILE_REVALIDATE, terms.staleWhileRevalidate());
        nested.time(STALE_IF_ERROR, terms.staleIfError());
        nested.time(STALE_IF_UNREACHABLE, terms.staleIfUnreachable());
        nested.time(TOOK, terms.took());
        nested.time(LIFE, terms.life());
        nested.out.flush();
        out.writeByteArray(TERMS, nested.bytes.toByteArray());
    }

    private Body body(Body body) throws IOException {
        out.writeTag(BODY, WireFormat.WIRETYPE_LENGTH_DELIMITED);
        out.writeUInt32NoTag(body.length());
        return body;
    }

    private void texts(int number, List<String> texts) throws IOException {
        for (String text : texts) {
            text(number, text);
        }
    }

    private void optional(int number, String text) throws IOException {
        if (!text.isEmpty()) {
            text(number, text);
        }
    }

    private void text(int number, String text) throws IOException {
        out.writeByteArray(number, characters(text));
    }

    private static byte[] characters(String text) {
        byte[] narrow = text.getBytes(StandardCharsets.ISO_8859_1);
        boolean marked = narrow.length >= WIDE.length && narrow[0] == WIDE[0] && narrow[1] == WIDE[1];
        if (!marked && text.chars().allMatch(c -> c <= 0xff)) {
            return narrow;
        }
        byte[] wide = new byte[WIDE.length + 2 * text.length()];
        wide[0] = WIDE[0];
        wide[1] = WIDE[1];
        // A charset would replace a lone surrogate; here every text comes back as it was.
        for (int i = 0; i < text.length(); i++) {
            wide[2 + 2 * i] = (byte) text.charAt(i);
            wide[3 + 2 * i] = (byte) (text.charAt(i) >> 8);
        }
        return wide;
    }

    private void time(int number, Instant moment) throws IOException {
        time(number, moment.getEpochSecond(), moment.getNano());
    }

    /** Zero is the default, and takes no room. */
    private void time(int number, Duration duration) throws IOException {
        if (!duration.isZero() || number == RETRY_AFTER) {
            time(number, duration.getSeconds(), duration.getNano());
        }
    }

    private void time(int number, long seconds, int nanos) throws IOException {
        out.writeTag(number, WireFormat.WIRETYPE_LENGTH_DELIMITED);
        int size = CodedOutputStream.computeSInt64Size(SECONDS, seconds)
                + (nanos == 0 ? 0 : CodedOutputStream.computeUInt32Size(NANOS, nanos));
        out.writeUInt32NoTag(size);
        out.writeSInt64(SECONDS, seconds);
        if (nanos != 0) {
            out.writeUInt32(NANOS, nanos);
        }
    }

    private void flag(int number, boolean flag) throws IOException {
        if (flag) {
            out.writeBool(number, true);
        }
    }
}
