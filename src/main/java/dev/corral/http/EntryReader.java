package dev.corral.http;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32C;

/** Reads what {@link EntryWriter} wrote. */
final class EntryReader {

    private static final int CHECKSUM = 4;

    /** Replicas of a version that writes this may still be there: a rolling upgrade does not empty the cache. */
    private static final byte OLDEST = 2;

    private final ByteBuffer bytes;
    private final byte version;

    private EntryReader(ByteBuffer bytes, byte version) {
        this.bytes = bytes;
        this.version = version;
    }

    static Optional<Entry> read(ByteBuffer bytes) {
        int end = bytes.limit() - CHECKSUM;
        if (bytes.remaining() < CHECKSUM + 2) {
            return Optional.empty();
        }
        byte version = bytes.get(bytes.position());
        if (version < OLDEST || version > EntryWriter.VERSION) {
            return Optional.empty();
        }
        var checksum = new CRC32C();
        ByteBuffer checked = bytes.slice(bytes.position(), end - bytes.position());
        checksum.update(checked.duplicate());
        int sum = 0;
        for (int i = 0; i < CHECKSUM; i++) {
            sum = (sum << 8) | (bytes.get(end + i) & 0xff);
        }
        if (sum != (int) checksum.getValue()) {
            return Optional.empty();
        }
        try {
            var reader = new EntryReader(checked, version);
            reader.octet();
            Entry entry = reader.entry();
            return checked.hasRemaining() ? Optional.empty() : Optional.of(entry);
        } catch (BufferUnderflowException | IllegalArgumentException | DateTimeException
                | ArithmeticException damaged) {
            return Optional.empty();
        }
    }

    private Entry entry() {
        byte kind = octet();
        String key = text();
        long position = signed();
        String trace = text();
        return switch (kind) {
            case EntryWriter.STORED -> stored(key, position, trace);
            case EntryWriter.AILING -> {
                Instant until = moment();
                int failures = count();
                String reason = text();
                int status = count();
                boolean answered = flag();
                yield new Ailing(stored(key, position, trace), until, failures, reason, status, answered);
            }
            case EntryWriter.VARIES -> new Varies(key, texts(), position, trace);
            case EntryWriter.HIT_FOR_MISS -> new HitForMiss(key, text(), position, trace);
            case EntryWriter.FAILURE -> new Failure(key, text(), count(), answer(),
                    version > 2 && flag() ? Optional.of(duration()) : Optional.empty(), position, trace);
            default -> throw new IllegalArgumentException("unknown kind " + kind);
        };
    }

    private Stored stored(String key, long position, String trace) {
        Head head = head();
        Fields selecting = fields();
        Terms terms = terms();
        return new Stored(key, head, selecting, terms, position, texts(), body(), version > 2 ? texts() : List.of(),
                trace);
    }

    private Optional<Failure.Answer> answer() {
        return flag() ? Optional.of(new Failure.Answer(head(), fields(), body())) : Optional.empty();
    }

    private Head head() {
        return new Head(count(), fields());
    }

    private Fields fields() {
        int count = elements(2);
        var lines = new ArrayList<Fields.Field>(count);
        for (int i = 0; i < count; i++) {
            lines.add(new Fields.Field(text(), text()));
        }
        return Fields.of(lines);
    }

    private Terms terms() {
        return new Terms(moment(), duration(), duration(), flag(), flag(), flag(), flag(), duration(), duration(),
                duration(), duration(), duration());
    }

    private Body body() {
        return Body.of(raw(count()));
    }

    private List<String> texts() {
        int count = elements(1);
        var texts = new ArrayList<String>(count);
        for (int i = 0; i < count; i++) {
            texts.add(text());
        }
        return texts;
    }

    private String text() {
        long coded = number();
        int length = Math.toIntExact(coded >>> 1);
        if ((coded & 1) == 0) {
            return new String(raw(length), StandardCharsets.ISO_8859_1);
        }
        if (length > bytes.remaining() / 2) {
            throw new BufferUnderflowException();
        }
        var text = new StringBuilder(length);
        for (int i = 0; i < length; i++) {
            text.append(bytes.getChar());
        }
        return text.toString();
    }

    private byte[] raw(int length) {
        if (length > bytes.remaining()) {
            throw new BufferUnderflowException();
        }
        var raw = new byte[length];
        bytes.get(raw);
        return raw;
    }

    /** How many elements of at least so many bytes follow, checked before anything is allocated for them. */
    private int elements(int least) {
        int count = count();
        if (count > bytes.remaining() / least) {
            throw new BufferUnderflowException();
        }
        return count;
    }

    private int count() {
        int count = Math.toIntExact(number());
        if (count < 0) {
            throw new IllegalArgumentException("negative count");
        }
        return count;
    }

    private Instant moment() {
        return Instant.ofEpochSecond(signed(), number());
    }

    private Duration duration() {
        return Duration.ofSeconds(signed(), number());
    }

    private long signed() {
        long coded = number();
        return (coded >>> 1) ^ -(coded & 1);
    }

    private long number() {
        long number = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            byte octet = octet();
            number |= (octet & 0x7fL) << shift;
            if (octet >= 0) {
                return number;
            }
        }
        throw new IllegalArgumentException("a number without an end");
    }

    private boolean flag() {
        return octet() != 0;
    }

    private byte octet() {
        return bytes.get();
    }
}
