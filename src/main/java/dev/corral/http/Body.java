package dev.corral.http;

import java.util.Arrays;

/** A complete response body in memory. Immutable: the caller that passes the array must not write to it again. */
public final class Body {

    /** The empty body. */
    public static final Body EMPTY = new Body(new byte[0]);

    private final byte[] bytes;

    private Body(byte[] bytes) {
        this.bytes = bytes;
    }

    /** A body that wraps the array without a copy. */
    public static Body of(byte[] bytes) {
        return bytes.length == 0 ? EMPTY : new Body(bytes);
    }

    /** The array itself, so that a hit copies nothing. Callers must not write to it. */
    public byte[] bytes() {
        return bytes;
    }

    /** The length in bytes. */
    public int length() {
        return bytes.length;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Body body && Arrays.equals(bytes, body.bytes);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(bytes);
    }

    @Override
    public String toString() {
        return bytes.length + " bytes";
    }
}
