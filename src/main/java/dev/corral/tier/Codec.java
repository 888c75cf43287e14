package dev.corral.tier;

import java.nio.ByteBuffer;
import java.util.Optional;

/** Turns values into bytes and back. Thread-safe; never throws. */
public interface Codec<V> {

    /** The bytes of the value. */
    byte[] encode(V value);

    /** The value of these bytes; empty when they are of a format this process does not know, as during a rolling upgrade. */
    Optional<V> decode(ByteBuffer bytes);
}
