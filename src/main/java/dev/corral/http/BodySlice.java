package dev.corral.http;

import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/** Some bytes of a body, not copied. Immutable. */
public record BodySlice(Body body, int offset, int length) {

    /**
     * Refuses what lies outside of the body.
     *
     * @throws IndexOutOfBoundsException when it does
     */
    public BodySlice {
        Objects.checkFromIndexSize(offset, length, body.length());
    }

    /** The same bytes in slices of at most that length, in their order. */
    public List<BodySlice> split(int most) {
        int count = Math.ceilDiv(length, most);
        return IntStream.range(0, count)
                .mapToObj(i -> new BodySlice(body, offset + i * most, Math.min(most, length - i * most)))
                .toList();
    }

    /** All bytes of the body. */
    public static BodySlice of(Body body) {
        return new BodySlice(body, 0, body.length());
    }
}
