package dev.corral.redis;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;

/**
 * An entry as it lies in Redis: the format (one byte), the length of the version (one byte), the version, the payload. The
 * version comes first so that a script can compare it without reading the payload.
 */
record VersionedBytes(String version, ByteBuffer payload) {

    private static final byte FORMAT_BYTE = 1;
    private static final int FIXED_HEADER_BYTES = 2;

    /** What stands before the payload. */
    static byte[] header(String version) {
        byte[] name = version.getBytes(StandardCharsets.US_ASCII);
        return ByteBuffer.allocate(FIXED_HEADER_BYTES + name.length)
                .put(FORMAT_BYTE)
                .put((byte) name.length)
                .put(name)
                .array();
    }

    /** The length of what stands before the payload. */
    static int headerLength(String version) {
        return FIXED_HEADER_BYTES + version.length();
    }

    /** Whether these bytes, as many as {@link #headerLength}, begin an entry of that version. */
    static boolean isHeaderOf(byte[] head, String version) {
        return Arrays.equals(head, header(version));
    }

    /** Empty when the bytes are of another format: for this process the entry is absent. */
    static Optional<VersionedBytes> decode(byte[] bytes) {
        if (bytes.length < FIXED_HEADER_BYTES || bytes[0] != FORMAT_BYTE) {
            return Optional.empty();
        }
        int length = Byte.toUnsignedInt(bytes[1]);
        if (length == 0 || bytes.length < FIXED_HEADER_BYTES + length) {
            return Optional.empty();
        }
        var version = new String(bytes, FIXED_HEADER_BYTES, length, StandardCharsets.US_ASCII);
        return Optional.of(new VersionedBytes(version,
                ByteBuffer.wrap(bytes, FIXED_HEADER_BYTES + length, bytes.length - FIXED_HEADER_BYTES - length)));
    }
}
