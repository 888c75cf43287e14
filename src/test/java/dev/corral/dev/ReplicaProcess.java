package dev.corral.dev;

import java.io.File;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A replica of Corral in a separate JVM, on free ports of 127.0.0.1. It ends with this JVM, even if the JVM is killed. Thread-safe.
 */
public final class ReplicaProcess implements AutoCloseable {

    private static final Duration STOP_TIMEOUT = Duration.ofSeconds(10);

    private final Path home;
    private final int port;
    private final int managementPort;
    private final ChildProcess child;

    private ReplicaProcess(Path home, int port, int managementPort, ChildProcess child) {
        this.home = home;
        this.port = port;
        this.managementPort = managementPort;
        this.child = child;
    }

    /**
     * Starts a replica with the command, to which the settings are added as arguments ({@code --name=value}). Does not wait until it serves:
     * see {@link #awaitReady}.
     */
    public static ReplicaProcess start(List<String> command, Map<String, String> settings) {
        List<Integer> ports = FreePort.pick(2);
        var line = new ArrayList<>(command);
        settings.forEach((name, value) -> line.add("--" + name + "=" + value));
        line.addAll(List.of("--server.address=127.0.0.1", "--server.port=" + ports.getFirst(),
                "--management.server.address=127.0.0.1", "--management.server.port=" + ports.getLast()));
        Path home = ChildProcess.newHome("replica");
        return new ReplicaProcess(home, ports.getFirst(), ports.getLast(), ChildProcess.start(home, line));
    }

    /** The command that runs a jar with the java that runs this, and with these JVM flags. */
    public static List<String> jar(Path jar, String... flags) {
        return Stream.of(java(flags).stream(), Stream.of("-jar", jar.toAbsolutePath().toString()))
                .flatMap(part -> part)
                .toList();
    }

    /** The command that runs a main class of this class path in the same way. */
    static List<String> mainClass(Class<?> main, String... flags) {
        return Stream.of(java(flags).stream(), Stream.of("-cp", classPath(), main.getName()))
                .flatMap(part -> part)
                .toList();
    }

    /** The port for clients. */
    public int port() {
        return port;
    }

    /** The port of the actuator. */
    public int managementPort() {
        return managementPort;
    }

    /** The base URL for clients, without a slash at the end. */
    public String url() {
        return "http://127.0.0.1:" + port;
    }

    /** The process: to be paused, resumed, killed. */
    public ChildProcess process() {
        return child;
    }

    /**
     * Waits until the replica is ready.
     *
     * @throws IllegalStateException when it ends before, or is not ready in time
     */
    public void awaitReady(Duration patience) {
        Eventually.await("the replica on port " + port + " is ready", patience, () -> {
            if (!child.isAlive()) {
                throw new IllegalStateException("a replica did not start:\n" + child.logTail());
            }
            return isReady();
        });
    }

    /** Asks the replica to stop and waits until it has; after ten seconds kills it. */
    @Override
    public void close() {
        child.terminate(STOP_TIMEOUT);
        ChildProcess.removeHome(home);
    }

    private boolean isReady() {
        try {
            var url = URI.create("http://127.0.0.1:" + managementPort + "/actuator/health/readiness").toURL();
            var connection = (HttpURLConnection) url.openConnection();
            connection.setConnectTimeout(1_000);
            connection.setReadTimeout(5_000);
            try {
                return connection.getResponseCode() == 200;
            } finally {
                connection.disconnect();
            }
        } catch (IOException notYet) {
            return false;
        }
    }

    /** Absolute, for a child has a directory of its own. */
    private static String classPath() {
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(entry -> Path.of(entry).toAbsolutePath().toString())
                .collect(Collectors.joining(File.pathSeparator));
    }

    private static List<String> java(String... flags) {
        var line = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        line.add("--enable-native-access=ALL-UNNAMED");
        if (Runtime.version().feature() >= 24) {
            // Netty 4.1 on JDK 24 and later: JEP 498.
            line.add("--sun-misc-unsafe-memory-access=allow");
        }
        line.addAll(List.of(flags));
        return line;
    }
}
