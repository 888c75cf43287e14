package dev.corral.http;

import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/** A range of a body, without a copy. Offset and length are in bytes. Immutable. */
public record BodySlice(Body body, int offset, int length) {

    /**
     * Checks the bounds.
     *
     * @throws IndexOutOfBoundsException if the range exceeds the body
     */
    public BodySlice {
        Objects.checkFromIndexSize(offset, length, body.length());
    }

    /** The same bytes as consecutive slices of at most {@code maxLength} bytes. */
    public List<BodySlice> split(int maxLength) {
        int count = Math.ceilDiv(length, maxLength);
        return IntStream.range(0, count)
                .mapToObj(i -> new BodySlice(body, offset + i * maxLength, Math.min(maxLength, length - i * maxLength)))
                .toList();
    }

    /** The slice that covers the whole body. */
    public static BodySlice of(Body body) {
        return new BodySlice(body, 0, body.length());
    }
}
