package dev.corral.dev;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;

/**
 * Size, rounds and target of a stampede. With several {@code keys}, each has {@code clientsPerKey}; otherwise all clients request one key.
 */
record StampedePlan(int clients, int rounds, int replicas, int privateClients, int keys, int clientsPerKey,
        Duration warmUp,
        Duration latency,
        Duration privateLatency, Path jar, List<String> jvmFlags, Path report) {

    // What a small container would have. The heap is far from full: one key of a kilobyte.
    private static final String JVM_FLAGS = "-Xmx256m -XX:+UseSerialGC";

    /** By the system properties {@code stampede.*}. */
    static StampedePlan ofSystemProperties() {
        return new StampedePlan(Integer.getInteger("stampede.clients", 800), Integer.getInteger("stampede.rounds", 5),
                Integer.getInteger("stampede.replicas", 3), Integer.getInteger("stampede.private-clients", 60),
                Integer.getInteger("stampede.keys", 200), Integer.getInteger("stampede.clients-per-key", 20),
                Duration.ofSeconds(Integer.getInteger("stampede.warm-up", 5)), DemoShop.LATENCY,
                Duration.ofMillis(150), Path.of(System.getProperty("stampede.jar", "target/corral.jar")),
                words(System.getProperty("stampede.jvm", JVM_FLAGS)),
                Path.of(System.getProperty("stampede.report", "target/stampede/report.html")));
    }

    private static List<String> words(String line) {
        return Stream.of(line.split("\\s+")).filter(word -> !word.isEmpty()).toList();
    }
}
