package dev.corral.redis;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;

/** Encodes values as bytes and decodes them. Thread-safe; never throws. */
public interface ValueCodec<V> {

    /** Encodes the value. */
    byte[] encode(V value);

    /** Encodes the value behind a header, into one array. */
    default byte[] encode(byte[] header, V value) {
        byte[] encoded = encode(value);
        byte[] result = Arrays.copyOf(header, header.length + encoded.length);
        System.arraycopy(encoded, 0, result, header.length, encoded.length);
        return result;
    }

    /** The approximate size of the encoded value in bytes. */
    default long estimateSize(V value) {
        return 0;
    }

    /** Decodes a value; empty when this process does not know the format, as may happen during a rolling upgrade. */
    Optional<V> decode(ByteBuffer bytes);
}
