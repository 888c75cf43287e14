package dev.corral.http;

import java.util.Objects;

/** Some bytes of a body, not copied. Immutable. */
public record Slice(Body body, int offset, int length) {

    /**
     * Refuses what lies outside of the body.
     *
     * @throws IndexOutOfBoundsException when it does
     */
    public Slice {
        Objects.checkFromIndexSize(offset, length, body.length());
    }

    /** All bytes of the body. */
    public static Slice of(Body body) {
        return new Slice(body, 0, body.length());
    }
}
