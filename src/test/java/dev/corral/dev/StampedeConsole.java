package dev.corral.dev;

import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/** The stampede as it goes, as a table in the terminal. */
final class StampedeConsole {

    private static final String LINE = "%-16s %6s %8s %8s %8s %8s  %s%n";

    private final PrintStream out;

    StampedeConsole(PrintStream out) {
        this.out = out;
    }

    void open(StampedePlan plan, String redis) {
        out.printf("%n%d clients, %d replicas, an origin that takes %d ms, %s; %d cores, Java %s%n", plan.clients(),
                plan.replicas(), plan.latency().toMillis(), redis, Runtime.getRuntime().availableProcessors(),
                Runtime.version());
        out.printf("%n" + LINE, "", "round", "origin", "p50 ms", "p99 ms", "max ms", "answers");
    }

    void printProgress(String what) {
        out.println("  .. " + what);
    }

    StampedeRound printRound(String name, int number, StampedeRound round) {
        out.printf(LINE, name, number, round.originRequests(), millis(round.percentile(50)),
                millis(round.percentile(99)),
                millis(round.max()), round.statusLine());
        round.failure().filter(reply -> reply.status() != TimedResponse.NO_RESPONSE).ifPresent(this::printFailure);
        return round;
    }

    StampedeScenario printMedian(StampedeScenario scenario) {
        out.printf(LINE, scenario.id(), "median", scenario.median(StampedeRound::originRequests),
                millis(scenario.medianPercentile(50)), millis(scenario.medianPercentile(99)),
                millis(scenario.median(StampedeRound::max)), "");
        return scenario;
    }

    void close(Path report, List<String> faults) {
        out.printf("%nThe report, with plots: %s%n", report.toAbsolutePath());
        faults.forEach(fault -> out.println("FAULT  " + fault));
        out.println(faults.isEmpty()
                ? "Every key cost the origin one request: no faults.\n"
                : faults.size() + " faults.\n");
    }

    /** What an answer that should have been a 200 says of itself, on one line. */
    private void printFailure(TimedResponse reply) {
        String body = reply.body().replaceAll("\\s+", " ");
        out.println("  .. for one: " + reply.status() + " " + body.substring(0, Math.min(body.length(), 300)));
    }

    private static String millis(Duration time) {
        return Long.toString(Math.round(time.toNanos() / 1e6));
    }
}
