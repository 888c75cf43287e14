package dev.corral.cache;

import java.nio.ByteBuffer;
import java.util.Optional;

/** The bytes of an {@link Entry} in the shared tier: compact, versioned, read in one pass. */
public final class EntryCodec {

    private EntryCodec() {}

    /** The entry's bytes. */
    public static byte[] encode(Entry entry) {
        return encode(new byte[0], entry);
    }

    /** These bytes and the entry's behind them. The body is copied once. */
    public static byte[] encode(byte[] before, Entry entry) {
        return new EntryWriter().write(before, entry);
    }

    /** The entry; empty when the bytes are damaged or of another version. Never throws. */
    public static Optional<Entry> decode(byte[] bytes) {
        return decode(ByteBuffer.wrap(bytes));
    }

    /** The entry between position and limit, which are left as they are; empty as above. */
    public static Optional<Entry> decode(ByteBuffer bytes) {
        return EntryReader.read(bytes);
    }
}
