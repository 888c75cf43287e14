package dev.corral.dev;

import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * Keeps a fleet under a mixed load (Zipf-distributed keys, private pages, POSTs, purges by URL and tag) while faults are injected on a
 * schedule. Compares every response with the origin's log: the right key, a version that the origin has sent and that is not older than
 * the previous one of this replica, nothing from before a purge that all replicas have acknowledged, nothing of another client, no error.
 * Prints one line per fault and a table at the end; exits with 1 when there were violations.
 */
public final class Soak {

    private static final Duration START = Duration.ofMinutes(2);
    private static final Duration PURGE = Duration.ofSeconds(10);

    /** Of the fetches without a fault to explain it: more than this share for keys that are fresh is a violation. */
    private static final double MAX_NEEDLESS_SHARE = 0.01;

    private static final String LOGIN = "Basic "
            + Base64.getEncoder().encodeToString("soak:soak".getBytes(StandardCharsets.UTF_8));

    private final SoakPlan plan;
    private final PrintStream out;
    private final SoakRules rules;
    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final List<ReplicaProcess> replicas = new ArrayList<>();
    private final List<FaultProxy> proxies = new ArrayList<>();

    private Soak(SoakPlan plan, PrintStream out) {
        this.plan = plan;
        this.out = out;
        this.rules = new SoakRules(plan.keys(), SoakOrigin.TAGS, plan.replicas(), SoakOrigin.FRESH.toNanos());
    }

    /** Runs the soak that the system properties {@code soak.*} describe. */
    public static void main(String[] args) throws Exception {
        System.exit(run(SoakPlan.ofSystemProperties(), System.out) ? 0 : 1);
    }

    /** True when there was no violation. */
    static boolean run(SoakPlan plan, PrintStream out) throws IOException, InterruptedException {
        Path faults = plan.report().resolveSibling(FaultFile.FILE_NAME);
        FaultFile.clear(faults);
        var soak = new Soak(plan, out);
        List<String> violations = soak.run();
        FaultFile.write(faults, violations);
        return violations.isEmpty();
    }

    private List<String> run() throws IOException, InterruptedException {
        try (EmbeddedRedis redis = RedisServer.embedded(); var origin = new SoakOrigin(rules)) {
            out.println("starting " + plan.replicas() + " replicas");
            startReplicas(redis, origin);
            var clients = new SoakClients(plan, rules, replicas);
            String before;
            try (clients) {
                out.printf("%d requests/s by Zipf over %,d keys for %d s, a purge every %d ms, a fault every %d s%n",
                        plan.requestsPerSecond(), plan.keys(), plan.time().toSeconds(), plan.purgeEvery().toMillis(),
                        plan.faultEvery().toSeconds());
                before = memory();
                clients.start();
                load(redis);
            }
            return report(before, memory());
        } finally {
            replicas.forEach(ReplicaProcess::close);
            proxies.forEach(FaultProxy::close);
            http.shutdownNow();
        }
    }

    private void startReplicas(EmbeddedRedis redis, SoakOrigin origin) {
        for (int i = 0; i < plan.replicas(); i++) {
            FaultProxy proxy = FaultProxy.start(redis.port(), plan.seed() + i);
            proxies.add(proxy);
            var settings = new HashMap<>(Map.of("spring.data.redis.host", "127.0.0.1",
                    "spring.data.redis.port", Integer.toString(proxy.port()),
                    "corral.replica-id", "soak-" + i,
                    "corral.routes[0].id", "soak", "corral.routes[0].path", "/**",
                    "corral.routes[0].origin", origin.url(),
                    // Of the origin alone, which shares this machine with all else.
                    "corral.routes[0].timeout", "25s"));
            settings.putAll(Map.of("corral.management.users[0].name", "soak",
                    "corral.management.users[0].password", "soak",
                    "corral.management.users[0].role", "operator"));
            replicas.add(ReplicaProcess.start(plan.command(), settings));
        }
        replicas.forEach(replica -> replica.awaitReady(START));
    }

    private void load(EmbeddedRedis redis) throws InterruptedException {
        Thread purger = Thread.ofVirtual().name("soak-purger").start(this::purgeRepeatedly);
        var faults = new SoakFaults(redis, proxies, replicas, rules, plan.seed());
        long start = System.nanoTime();
        long end = start + plan.time().toNanos();
        try {
            // The last fault is over, and what it has done too, before the end.
            while (System.nanoTime() + plan.faultEvery().toNanos() < end) {
                Thread.sleep(plan.faultEvery());
                String fault = faults.injectNext();
                out.printf("%4d s  %s; %,d requests, %,d fetches, %d violations%n",
                        Duration.ofNanos(System.nanoTime() - start).toSeconds(), fault, rules.countOf("requests"),
                        rules.countOf("origin fetches"), rules.violations());
            }
            Thread.sleep(Math.max(0, (end - System.nanoTime()) / 1_000_000));
        } finally {
            purger.interrupt();
            purger.join();
        }
    }

    private void purgeRepeatedly() {
        var random = new Random(plan.seed());
        try {
            while (true) {
                Thread.sleep(plan.purgeEvery());
                purge(random);
            }
        } catch (InterruptedException ignored) {
            Thread.currentThread().interrupt();
        }
    }

    private void purge(Random random) throws InterruptedException {
        boolean byTag = random.nextBoolean();
        // Hot keys too, by the tags they have.
        int number = byTag ? random.nextInt(SoakOrigin.TAGS) : random.nextInt(plan.keys());
        if (byTag) {
            rules.tagPurgeRequested(number);
        } else {
            rules.purgeRequested(number);
        }
        long sent = System.nanoTime();
        boolean done = sendPurge(replicas.get(random.nextInt(replicas.size())),
                byTag ? "{\"tags\":[\"tag-" + number + "\"]}" : "{\"urls\":[\"/keys/" + number + "\"]}");
        rules.count(done ? "purges acknowledged by all" : "purges refused or not acknowledged by all");
        if (done && byTag) {
            rules.purgedTag(number, sent);
        } else if (done) {
            rules.purged(number, sent);
        }
    }

    private boolean sendPurge(ReplicaProcess replica, String order) throws InterruptedException {
        var request = HttpRequest
                .newBuilder(URI.create("http://127.0.0.1:" + replica.managementPort() + "/actuator/purge"))
                .timeout(PURGE)
                .header("Authorization", LOGIN)
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(order))
                .build();
        try {
            HttpResponse<String> response = http.send(request, BodyHandlers.ofString());
            if (response.statusCode() == 500 || response.statusCode() == 400) {
                rules.violation("status " + response.statusCode() + " for a purge: " + response.body());
            }
            return response.statusCode() == 200 && response.body().contains("\"complete\":true");
        } catch (IOException ignored) {
            return false;
        }
    }

    private List<String> report(String before, String after) throws IOException {
        long fetches = rules.countOf("origin fetches");
        long needless = rules.countOf("fetches of a fresh key");
        if (needless > MAX_NEEDLESS_SHARE * fetches) {
            rules.violation(needless + " of " + fetches
                    + " fetches were of a key that was fresh, without a fault to explain it");
        }
        var lines = new ArrayList<String>();
        for (String what : List.of("requests", "shared responses", "private responses", "POSTs",
                "purges acknowledged by all",
                "purges refused or not acknowledged by all", "faults", "origin fetches", "fetches of a fresh key",
                "responses after more than 1 s")) {
            lines.add("%,12d  %s".formatted(rules.countOf(what), what));
        }
        lines.add("%12.4f  fetches per fill, where no fault explains more".formatted(
                fetches == needless ? 1 : (double) fetches / (fetches - needless)));
        lines.add("%,12d  violations".formatted(rules.violations()));
        lines.add("memory at the start: " + before);
        lines.add("memory at the end:   " + after);
        rules.reported().forEach(violation -> lines.add("VIOLATION  " + violation));
        out.println();
        lines.forEach(out::println);
        Files.createDirectories(plan.report().toAbsolutePath().getParent());
        Files.write(plan.report(), lines);
        return rules.reported();
    }

    /** Of each replica, after a collection: heap, direct buffers, and what the process has of the machine's memory. */
    private String memory() throws InterruptedException {
        var all = new ArrayList<String>();
        for (ReplicaProcess replica : replicas) {
            collect(replica);
            String metrics = metrics(replica);
            all.add("heap %.0f MB, direct %.1f MB, resident %.0f MB".formatted(
                    sum(metrics, "jvm_memory_used_bytes", "area=\"heap\""),
                    sum(metrics, "jvm_buffer_memory_used_bytes", "id=\"direct\""), resident(replica)));
        }
        return String.join(" | ", all);
    }

    private static void collect(ReplicaProcess replica) throws InterruptedException {
        String jcmd = Path.of(System.getProperty("java.home"), "bin", "jcmd").toString();
        try {
            new ProcessBuilder(jcmd, Long.toString(replica.process().pid()), "GC.run")
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start()
                    .waitFor();
        } catch (IOException noTool) {
            // Then the heap has its garbage in it.
        }
    }

    private String metrics(ReplicaProcess replica) throws InterruptedException {
        try {
            return http.send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + replica.managementPort()
                    + "/actuator/prometheus")).timeout(PURGE).build(), BodyHandlers.ofString()).body();
        } catch (IOException e) {
            return "";
        }
    }

    private static double sum(String metrics, String name, String tag) {
        return metrics.lines()
                .filter(line -> line.startsWith(name + "{") && line.contains(tag))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                .sum() / 1e6;
    }

    private static double resident(ReplicaProcess replica) {
        try {
            return Files.readAllLines(Path.of("/proc/" + replica.process().pid() + "/status"))
                    .stream()
                    .filter(line -> line.startsWith("VmRSS:"))
                    .mapToDouble(line -> Double.parseDouble(line.replaceAll("\\D", "")) / 1e3)
                    .sum();
        } catch (IOException notLinux) {
            return Double.NaN;
        }
    }
}
