package dev.corral.management.fleet;

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
public final class LatencyRecorder {

    /** Longer is as good as this long: more than any origin's time limit and wait together. */
    private static final long MAX_MICROS = TimeUnit.MINUTES.toMicros(30);

    // Two digits: a percentile is right to 1 %, and a second's worth is some hundred bytes.
    private static final int SIGNIFICANT_DIGITS = 2;

    private final Recorder recorder = new Recorder(MAX_MICROS, SIGNIFICANT_DIGITS);

    /** Wait-free. */
    public void record(Duration time) {
        recorder.recordValue(Math.min(MAX_MICROS, Math.max(0, TimeUnit.NANOSECONDS.toMicros(time.toNanos()))));
    }

    /** What was recorded since the last call. */
    public Histogram takeInterval() {
        return recorder.getIntervalHistogram();
    }

    static Histogram emptyHistogram() {
        return new Histogram(MAX_MICROS, SIGNIFICANT_DIGITS);
    }

    /** For another replica to read. */
    public static String encode(Histogram histogram) {
        ByteBuffer bytes = ByteBuffer.allocate(histogram.getNeededByteBufferCapacity());
        int length = histogram.encodeIntoCompressedByteBuffer(bytes);
        return Base64.getEncoder().encodeToString(Arrays.copyOf(bytes.array(), length));
    }

    /** Empty when nobody here can read it. */
    static Optional<Histogram> decode(String text) {
        try {
            ByteBuffer bytes = ByteBuffer.wrap(Base64.getDecoder().decode(text));
            return Optional.of(Histogram.decodeFromCompressedByteBuffer(bytes, MAX_MICROS));
        } catch (DataFormatException | IllegalArgumentException | IndexOutOfBoundsException strange) {
            return Optional.empty();
        }
    }

    /** In milliseconds; empty when nothing was recorded. */
    static Optional<Double> percentileMillis(Histogram histogram, double percentile) {
        return histogram.getTotalCount() == 0
                ? Optional.empty()
                : Optional.of(histogram.getValueAtPercentile(percentile) / 1_000.0);
    }
}
