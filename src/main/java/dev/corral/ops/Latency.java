package dev.corral.ops;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.zip.DataFormatException;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.Recorder;

/** How long requests took since the last look, such that the numbers of several replicas can be added up. Thread-safe. */
final class Latency {

    /** Longer is as good as this long: more than any origin's time limit and wait together. */
    private static final long MOST = TimeUnit.MINUTES.toMicros(30);

    // Two digits: a percentile is right to 1 %, and a second's worth is some hundred bytes.
    private static final int DIGITS = 2;

    private final Recorder recorder = new Recorder(MOST, DIGITS);

    /** Wait-free. */
    void record(Duration time) {
        recorder.recordValue(Math.min(MOST, Math.max(0, TimeUnit.NANOSECONDS.toMicros(time.toNanos()))));
    }

    /** What was recorded since the last call. */
    Histogram since() {
        return recorder.getIntervalHistogram();
    }

    static Histogram none() {
        return new Histogram(MOST, DIGITS);
    }

    /** For another replica to read. */
    static String encode(Histogram histogram) {
        ByteBuffer bytes = ByteBuffer.allocate(histogram.getNeededByteBufferCapacity());
        int length = histogram.encodeIntoCompressedByteBuffer(bytes);
        return Base64.getEncoder().encodeToString(Arrays.copyOf(bytes.array(), length));
    }

    /** Empty when nobody here can read it. */
    static Optional<Histogram> decode(String text) {
        try {
            ByteBuffer bytes = ByteBuffer.wrap(Base64.getDecoder().decode(text));
            return Optional.of(Histogram.decodeFromCompressedByteBuffer(bytes, MOST));
        } catch (DataFormatException | IllegalArgumentException | IndexOutOfBoundsException strange) {
            return Optional.empty();
        }
    }

    /** In milliseconds; empty when nothing was recorded. */
    static Optional<Double> millis(Histogram histogram, double percentile) {
        return histogram.getTotalCount() == 0
                ? Optional.empty()
                : Optional.of(histogram.getValueAtPercentile(percentile) / 1_000.0);
    }
}
