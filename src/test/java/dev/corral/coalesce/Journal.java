package dev.corral.coalesce;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import reactor.core.scheduler.Scheduler;

/** What happened in a run, line by line if anybody is to read it, and which promises were broken. Not thread-safe. */
final class Journal {

    private final Scheduler time;
    private final boolean traced;
    private final List<String> lines = new ArrayList<>();
    private final List<String> violations = new ArrayList<>();

    Journal(Scheduler time, boolean traced) {
        this.time = time;
        this.traced = traced;
    }

    void note(Supplier<String> line) {
        if (traced) {
            lines.add(stamped(line.get()));
        }
    }

    void violated(String promise) {
        violations.add(stamped(promise));
        note(() -> "VIOLATED: " + promise);
    }

    List<String> lines() {
        return lines;
    }

    List<String> violations() {
        return violations;
    }

    private String stamped(String line) {
        return String.format(Locale.ROOT, "%10.3f ms  %s", time.now(TimeUnit.NANOSECONDS) / 1e6, line);
    }
}
