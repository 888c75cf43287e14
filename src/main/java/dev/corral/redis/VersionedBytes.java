package dev.corral.redis;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;

/**
 * The layout of an entry in Redis: the format (one byte), the length of the version (one byte), the version (ASCII), the
 * payload. The version is before the payload so that a script can compare it without reading the payload. The scripts FOLLOW
 * and PUBLISH of {@link RedisScripts} read this header, too.
 */
record VersionedBytes(String version, ByteBuffer payload) {

    private static final byte FORMAT_BYTE = 1;
    private static final int FIXED_HEADER_BYTES = 2;

    /** The header before the payload. */
    static byte[] header(String version) {
        byte[] versionBytes = version.getBytes(StandardCharsets.US_ASCII);
        return ByteBuffer.allocate(FIXED_HEADER_BYTES + versionBytes.length)
                .put(FORMAT_BYTE)
                .put((byte) versionBytes.length)
                .put(versionBytes)
                .array();
    }

    /** The length of the header in bytes. */
    static int headerLength(String version) {
        return FIXED_HEADER_BYTES + version.length();
    }

    /** Whether these bytes, {@link #headerLength} of them, are the header of an entry with this version. */
    static boolean isHeaderOf(byte[] bytes, String version) {
        return Arrays.equals(bytes, header(version));
    }

    /** Decodes an entry; empty when it has another format: then the entry is absent for this process. */
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
