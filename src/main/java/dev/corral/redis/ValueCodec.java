package dev.corral.redis;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;

/** Turns values into bytes and back. Thread-safe; never throws. */
public interface ValueCodec<V> {

    /** The bytes of the value. */
    byte[] encode(V value);

    /** These bytes and those of the value behind them. */
    default byte[] encode(byte[] before, V value) {
        byte[] after = encode(value);
        byte[] all = Arrays.copyOf(before, before.length + after.length);
        System.arraycopy(after, 0, all, before.length, after.length);
        return all;
    }

    /** About how many bytes the encoded value has. */
    default long estimateSize(V value) {
        return 0;
    }

    /** The value of these bytes; empty when they are of a format this process does not know, as during a rolling upgrade. */
    Optional<V> decode(ByteBuffer bytes);
}
