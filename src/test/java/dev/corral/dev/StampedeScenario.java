package dev.corral.dev;

import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.function.Function;
import org.HdrHistogram.Histogram;

/** One way the crowd was answered, measured in several rounds. */
record StampedeScenario(String id, String name, String what, List<StampedeRound> rounds) {

    /** The middle one of the rounds, by that measure. */
    <T extends Comparable<T>> T median(Function<StampedeRound, T> measure) {
        List<T> sorted = rounds.stream().map(measure).sorted(Comparator.naturalOrder()).toList();
        return sorted.get(sorted.size() / 2);
    }

    Duration medianPercentile(double percent) {
        return median(round -> round.percentile(percent));
    }

    /** All answers of all rounds. */
    Histogram all() {
        var all = new Histogram(3);
        rounds.forEach(round -> all.add(round.micros()));
        return all;
    }
}
