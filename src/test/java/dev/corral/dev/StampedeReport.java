package dev.corral.dev;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.HdrHistogram.Histogram;
import org.springframework.boot.json.JsonWriter;

/** The stampede as one HTML page that needs no network: the page's template, a charting library and the data in one file. */
final class StampedeReport {

    private static final String CHARTS = "/META-INF/resources/webjars/chart.js/4.5.1/dist/chart.umd.min.js";
    private static final double[] PERCENTS = {0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99,
            99.5, 99.9};

    private StampedeReport() {}

    static void write(StampedePlan plan, String redis, List<StampedeScenario> scenarios, List<String> faults)
            throws IOException {
        String page = resource("/dev/corral/dev/report.html")
                .replace("/*CHARTS*/", resource(CHARTS).replaceAll("(?m)^//# sourceMappingURL.*$", ""))
                // Data must not end the script element it stands in.
                .replace("/*DATA*/null", json(plan, redis, scenarios, faults).replace("</", "<\\/"));
        Files.createDirectories(plan.report().toAbsolutePath().getParent());
        Files.writeString(plan.report(), page);
    }

    private static String json(StampedePlan plan, String redis, List<StampedeScenario> scenarios, List<String> faults) {
        var data = new LinkedHashMap<String, Object>();
        data.put("date", ZonedDateTime.now(ZoneId.systemDefault())
                .format(DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss xxx")));
        data.put("machine", machine(redis));
        data.put("plan", plan(plan));
        data.put("faults", faults);
        data.put("scenarios", scenarios.stream().map(StampedeReport::scenario).toList());
        return JsonWriter.standard().writeToString(data);
    }

    private static Map<String, Object> machine(String redis) {
        var machine = new LinkedHashMap<String, Object>();
        machine.put("cores", Runtime.getRuntime().availableProcessors());
        machine.put("processor", processor());
        machine.put("system", System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                + System.getProperty("os.arch"));
        machine.put("java", System.getProperty("java.vendor") + " " + Runtime.version());
        machine.put("redis", redis);
        return machine;
    }

    private static Map<String, Object> plan(StampedePlan plan) {
        var described = new LinkedHashMap<String, Object>();
        described.put("clients", plan.clients());
        described.put("rounds", plan.rounds());
        described.put("replicas", plan.replicas());
        described.put("keys", plan.keys());
        described.put("clientsPerKey", plan.clientsPerKey());
        described.put("privateClients", plan.privateClients());
        described.put("latency", plan.latency().toMillis());
        described.put("privateLatency", plan.privateLatency().toMillis());
        described.put("warmUp", plan.warmUp().toSeconds());
        described.put("jvm", String.join(" ", plan.jvmFlags()));
        return described;
    }

    private static Map<String, Object> scenario(StampedeScenario scenario) {
        var described = new LinkedHashMap<String, Object>();
        described.put("id", scenario.id());
        described.put("name", scenario.name());
        described.put("what", scenario.what());
        described.put("origin", scenario.median(StampedeRound::originRequests));
        described.put("p50", millis(scenario.medianPercentile(50)));
        described.put("p99", millis(scenario.medianPercentile(99)));
        described.put("max", millis(scenario.median(StampedeRound::max)));
        described.put("rounds", scenario.rounds().stream().map(StampedeReport::round).toList());
        described.put("percentiles", percentiles(scenario.all()));
        return described;
    }

    private static Map<String, Object> round(StampedeRound round) {
        var described = new LinkedHashMap<String, Object>();
        described.put("origin", round.originRequests());
        described.put("p50", millis(round.percentile(50)));
        described.put("p99", millis(round.percentile(99)));
        described.put("max", millis(round.max()));
        described.put("answers", round.statusLine());
        return described;
    }

    private static List<List<Double>> percentiles(Histogram micros) {
        var points = new ArrayList<List<Double>>();
        for (double percent : PERCENTS) {
            points.add(List.of(percent, micros.getValueAtPercentile(percent) / 1e3));
        }
        return points;
    }

    private static double millis(Duration time) {
        return time.toNanos() / 1e6;
    }

    private static String processor() {
        Path cpus = Path.of("/proc/cpuinfo");
        if (!Files.isReadable(cpus)) {
            return "";
        }
        try (var lines = Files.lines(cpus)) {
            return lines.filter(line -> line.startsWith("model name"))
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .findFirst()
                    .orElse("");
        } catch (IOException e) {
            return "";
        }
    }

    private static String resource(String path) throws IOException {
        try (InputStream in = StampedeReport.class.getResourceAsStream(path)) {
            if (in == null) {
                throw new IOException("not on the class path: " + path);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
