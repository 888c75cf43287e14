package dev.corral.tier;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;

/**
 * An entry as it lies in Redis: the format (one byte), the length of the version (one byte), the version, the payload. The
 * version comes first so that a script can compare it without reading the payload.
 */
record Envelope(String version, ByteBuffer payload) {

    private static final byte FORMAT = 1;
    private static final int HEAD = 2;

    /** What stands before the payload. */
    static byte[] head(String version) {
        byte[] name = version.getBytes(StandardCharsets.US_ASCII);
        return ByteBuffer.allocate(HEAD + name.length).put(FORMAT).put((byte) name.length).put(name).array();
    }

    /** The length of what stands before the payload. */
    static int headLength(String version) {
        return HEAD + version.length();
    }

    /** Whether these bytes, as many as {@link #headLength}, begin an entry of that version. */
    static boolean begins(byte[] head, String version) {
        return Arrays.equals(head, head(version));
    }

    /** Empty when the bytes are of another format: for this process the entry is absent. */
    static Optional<Envelope> open(byte[] bytes) {
        if (bytes.length < HEAD || bytes[0] != FORMAT) {
            return Optional.empty();
        }
        int length = Byte.toUnsignedInt(bytes[1]);
        if (length == 0 || bytes.length < HEAD + length) {
            return Optional.empty();
        }
        var version = new String(bytes, HEAD, length, StandardCharsets.US_ASCII);
        return Optional.of(new Envelope(version, ByteBuffer.wrap(bytes, HEAD + length, bytes.length - HEAD - length)));
    }
}
