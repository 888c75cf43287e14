package dev.corral.dev;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * Duration and load of a soak. A fault is injected every {@code faultEvery}, starting after the first period; a purge is sent every
 * {@code purgeEvery}.
 */
record SoakPlan(Duration time, int replicas, int keys, int clients, int requestsPerSecond, Duration purgeEvery,
        Duration faultEvery, long seed, List<String> command, Path report) {

    /** By the system properties {@code soak.*}. */
    static SoakPlan ofSystemProperties() {
        Path jar = Path.of(System.getProperty("soak.jar", "target/corral.jar"));
        return new SoakPlan(
                Duration.ofSeconds((long) (60 * Double.parseDouble(System.getProperty("soak.minutes", "10")))),
                Integer.getInteger("soak.replicas", 3), Integer.getInteger("soak.keys", 100_000),
                Integer.getInteger("soak.clients", 64), Integer.getInteger("soak.rate", 300), Duration.ofMillis(500),
                Duration.ofSeconds(Integer.getInteger("soak.fault-every", 40)), Long.getLong("soak.seed", 1),
                ReplicaProcess.jar(jar, "-Xmx256m", "-XX:+UseSerialGC"),
                Path.of(System.getProperty("soak.report", "target/soak/report.txt")));
    }
}
