package dev.corral.coalesce;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import reactor.core.scheduler.Scheduler;

/** What happened in a run, line by line if anybody is to read it, and which promises were broken. Not thread-safe. */
final class SimulationLog {

    private final Scheduler time;
    private final boolean recordsLines;
    private final List<String> lines = new ArrayList<>();
    private final List<String> violations = new ArrayList<>();

    SimulationLog(Scheduler time, boolean traced) {
        this.time = time;
        this.recordsLines = traced;
    }

    void log(Supplier<String> line) {
        if (recordsLines) {
            lines.add(withTime(line.get()));
        }
    }

    void recordViolation(String promise) {
        violations.add(withTime(promise));
        log(() -> "VIOLATED: " + promise);
    }

    List<String> lines() {
        return lines;
    }

    List<String> violations() {
        return violations;
    }

    private String withTime(String line) {
        return String.format(Locale.ROOT, "%10.3f ms  %s", time.now(TimeUnit.NANOSECONDS) / 1e6, line);
    }
}
