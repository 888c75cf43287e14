package dev.corral.cache;

import java.nio.ByteBuffer;
import java.util.Optional;

/** Converts an {@link Entry} to and from its bytes in the shared tier. The format is described in {@link EntryWriter}. */
public final class EntryCodec {

    private EntryCodec() {}

    /** The bytes of the entry. */
    public static byte[] encode(Entry entry) {
        return encode(new byte[0], entry);
    }

    /** The given bytes followed by the bytes of the entry. The body is copied once. */
    public static byte[] encode(byte[] prefix, Entry entry) {
        return new EntryWriter().write(prefix, entry);
    }

    /**
     * The entry between position and limit, which do not change. Empty if the bytes are damaged or have another format version. Never
     * throws.
     */
    public static Optional<Entry> decode(ByteBuffer bytes) {
        return EntryReader.read(bytes);
    }
}
