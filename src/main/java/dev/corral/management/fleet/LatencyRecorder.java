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

/** Records request durations as a histogram per interval. Histograms of several replicas can be added. Thread-safe. */
public final class LatencyRecorder {

    /** Longer durations count as this one; it is longer than an origin's timeout and a wait together. */
    private static final long MAX_MICROS = TimeUnit.MINUTES.toMicros(30);

    // Two digits: a percentile is accurate to 1 %, and the histogram of one second has some hundred bytes.
    private static final int SIGNIFICANT_DIGITS = 2;

    private final Recorder recorder = new Recorder(MAX_MICROS, SIGNIFICANT_DIGITS);

    /** Records one duration; wait-free. */
    public void record(Duration time) {
        recorder.recordValue(Math.min(MAX_MICROS, Math.max(0, TimeUnit.NANOSECONDS.toMicros(time.toNanos()))));
    }

    /** The histogram of the durations recorded since the last call. */
    public Histogram takeInterval() {
        return recorder.getIntervalHistogram();
    }

    static Histogram emptyHistogram() {
        return new Histogram(MAX_MICROS, SIGNIFICANT_DIGITS);
    }

    /** The histogram as compressed base64, for {@link #decode} on another replica. */
    public static String encode(Histogram histogram) {
        ByteBuffer bytes = ByteBuffer.allocate(histogram.getNeededByteBufferCapacity());
        int length = histogram.encodeIntoCompressedByteBuffer(bytes);
        return Base64.getEncoder().encodeToString(Arrays.copyOf(bytes.array(), length));
    }

    /** The histogram of an {@link #encode encoded} text; empty when it is not readable. */
    static Optional<Histogram> decode(String text) {
        try {
            ByteBuffer bytes = ByteBuffer.wrap(Base64.getDecoder().decode(text));
            return Optional.of(Histogram.decodeFromCompressedByteBuffer(bytes, MAX_MICROS));
        } catch (DataFormatException | IllegalArgumentException | IndexOutOfBoundsException ignored) {
            return Optional.empty();
        }
    }

    /** A percentile in milliseconds; empty when nothing was recorded. */
    static Optional<Double> percentileMillis(Histogram histogram, double percentile) {
        return histogram.getTotalCount() == 0
                ? Optional.empty()
                : Optional.of(histogram.getValueAtPercentile(percentile) / 1_000.0);
    }
}
