package dev.corral.http;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32C;

/**
 * Writes an entry: version, kind, then its components in their order, last a CRC-32C of all before it. Numbers are LEB128, signed
 * ones zigzag; a text is its length with the lowest bit for "two bytes a character", then Latin-1 or UTF-16.
 */
final class EntryWriter {

    static final byte VERSION = 3;
    static final byte STORED = 1;
    static final byte VARIES = 2;
    static final byte HIT_FOR_MISS = 3;
    static final byte FAILURE = 4;
    static final byte AILING = 5;

    private static final int CHECKSUM = 4;

    private byte[] bytes = new byte[512];
    private int length;
    /** An entry has one body at most: it is put in at the end, and so copied once. */
    private Body inserted = Body.EMPTY;
    private int insertedAt;

    /** @param before bytes that stand before the entry, and are no part of it */
    byte[] write(byte[] before, Entry entry) {
        raw(before);
        octet(VERSION);
        switch (entry) {
            case Stored stored -> {
                octet(STORED);
                named(stored);
                stored(stored);
            }
            case Ailing ailing -> {
                octet(AILING);
                named(ailing);
                moment(ailing.until());
                number(ailing.failures());
                text(ailing.reason());
                number(ailing.status());
                flag(ailing.answered());
                stored(ailing.stored());
            }
            case Varies varies -> {
                octet(VARIES);
                named(varies);
                texts(varies.names());
            }
            case HitForMiss marker -> {
                octet(HIT_FOR_MISS);
                named(marker);
                text(marker.reason());
            }
            case Failure failure -> {
                octet(FAILURE);
                named(failure);
                text(failure.reason());
                number(failure.status());
                answer(failure.answer());
                flag(failure.retryAfter().isPresent());
                failure.retryAfter().ifPresent(this::duration);
            }
        }
        int end = Math.addExact(length, inserted.length());
        byte[] all = new byte[Math.addExact(end, CHECKSUM)];
        ByteBuffer.wrap(all)
                .put(bytes, 0, insertedAt)
                .put(inserted.bytes())
                .put(bytes, insertedAt, length - insertedAt);
        var checksum = new CRC32C();
        checksum.update(all, before.length, end - before.length);
        ByteBuffer.wrap(all).putInt(end, (int) checksum.getValue());
        return all;
    }

    private void named(Entry entry) {
        text(entry.key());
        signed(entry.position());
        text(entry.trace());
    }

    private void stored(Stored stored) {
        head(stored.head());
        fields(stored.selecting());
        terms(stored.terms());
        texts(stored.tags());
        body(stored.body());
        texts(stored.earlierVary());
    }

    private void answer(Optional<Failure.Answer> answer) {
        flag(answer.isPresent());
        if (answer.isPresent()) {
            head(answer.get().head());
            fields(answer.get().selecting());
            body(answer.get().body());
        }
    }

    private void head(Head head) {
        number(head.status());
        fields(head.fields());
    }

    private void fields(Fields fields) {
        number(fields.lines().size());
        for (Fields.Field field : fields) {
            text(field.name());
            text(field.value());
        }
    }

    private void terms(Terms terms) {
        moment(terms.at());
        duration(terms.initialAge());
        duration(terms.lifetime());
        flag(terms.noCache());
        flag(terms.mustRevalidate());
        flag(terms.open());
        flag(terms.immutable());
        duration(terms.staleWhileRevalidate());
        duration(terms.staleIfError());
        duration(terms.staleIfUnreachable());
        duration(terms.took());
        duration(terms.life());
    }

    private void body(Body body) {
        number(body.length());
        inserted = body;
        insertedAt = length;
    }

    private void texts(List<String> texts) {
        number(texts.size());
        for (String text : texts) {
            text(text);
        }
    }

    private void text(String text) {
        boolean wide = text.chars().anyMatch(c -> c > 0xff);
        byte[] characters = text.getBytes(wide ? StandardCharsets.UTF_16BE : StandardCharsets.ISO_8859_1);
        if (wide) {
            // The charset would replace a lone surrogate; here every text comes back as it was.
            for (int i = 0; i < text.length(); i++) {
                characters[2 * i] = (byte) (text.charAt(i) >> 8);
                characters[2 * i + 1] = (byte) text.charAt(i);
            }
        }
        number(((long) text.length() << 1) | (wide ? 1 : 0));
        raw(characters);
    }

    private void moment(Instant moment) {
        signed(moment.getEpochSecond());
        number(moment.getNano());
    }

    private void duration(Duration duration) {
        signed(duration.getSeconds());
        number(duration.getNano());
    }

    private void signed(long number) {
        number((number << 1) ^ (number >> 63));
    }

    private void number(long number) {
        long rest = number;
        while ((rest & ~0x7fL) != 0) {
            octet((byte) (rest | 0x80));
            rest >>>= 7;
        }
        octet((byte) rest);
    }

    private void flag(boolean flag) {
        octet((byte) (flag ? 1 : 0));
    }

    private void octet(byte octet) {
        if (length == bytes.length) {
            bytes = Arrays.copyOf(bytes, length * 2);
        }
        bytes[length++] = octet;
    }

    private void raw(byte[] more) {
        if (bytes.length - length < more.length) {
            bytes = Arrays.copyOf(bytes, Math.max(length * 2, Math.addExact(length, more.length + 64)));
        }
        System.arraycopy(more, 0, bytes, length, more.length);
        length += more.length;
    }
}
