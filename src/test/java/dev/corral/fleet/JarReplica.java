package dev.corral.fleet;

import dev.corral.dev.ChildProcess;
import dev.corral.dev.FreePort;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.Socket;
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
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** One replica: a JVM of its own that runs the packaged jar on free ports of 127.0.0.1. It ends with this JVM. */
final class JarReplica implements AutoCloseable {

    // Quick to start and small: the tests count, they do not race.
    private static final List<String> JVM_OPTIONS = List.of("-XX:+IgnoreUnrecognizedVMOptions",
            "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow",
            "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx192m",
            // Every buffer is watched, without a record of who had it.
            "-Dio.netty.leakDetection.level=simple", "-Dio.netty.leakDetection.samplingInterval=1");

    /** Who may change things here, and the password, which is no secret. */
    static final String OPERATOR = "operator";

    static final String PASSWORD = "of-the-tests";

    private static final Duration ACTUATOR_TIMEOUT = Duration.ofSeconds(5);
    private static final Duration SHUTDOWN_TIMEOUT = Duration.ofSeconds(30);

    private final String name;
    private final Path logs;
    private final Map<String, String> environment;
    private final List<String> command;
    private final Path home;
    private final int port;
    private final int managementPort;
    private final ChildProcess process;
    private final ReplicaLog log;
    private final HttpClient http;

    private JarReplica(String name, Path logs, Map<String, String> environment, List<String> command, Path home,
            List<Integer> ports, ChildProcess process,
            ReplicaLog log,
            HttpClient http) {
        this.name = name;
        this.logs = logs;
        this.environment = environment;
        this.command = command;
        this.home = home;
        this.port = ports.getFirst();
        this.managementPort = ports.getLast();
        this.process = process;
        this.log = log;
        this.http = http;
    }

    /** Starts a replica and does not wait for it. */
    static JarReplica start(String name, Path logs, Map<String, String> settings, HttpClient http) {
        return start(name, logs, List.of(), settings, http);
    }

    /** Likewise, with these options of its JVM besides. */
    static JarReplica start(String name, Path logs, List<String> options, Map<String, String> settings,
            HttpClient http) {
        return start(name, logs, Map.of(), options, settings, http);
    }

    /** Starts a command with additional environment variables. */
    static JarReplica start(String name, Path logs, Map<String, String> environment, List<String> options,
            Map<String, String> settings, HttpClient http) {
        List<Integer> ports = FreePort.pick(2);
        var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        command.addAll(JVM_OPTIONS);
        command.addAll(options);
        command.addAll(List.of("-jar", jar()));
        settings.forEach((setting, value) -> command.add("--" + setting + "=" + value));
        command.addAll(List.of("--corral.replica-id=" + name,
                "--server.address=127.0.0.1", "--server.port=" + ports.getFirst(),
                "--management.server.address=127.0.0.1", "--management.server.port=" + ports.getLast()));
        return run(name, logs, environment, command, ports, http);
    }

    /** Starts a replica that has ended once more, with the same settings on the same ports, and does not wait for it. */
    JarReplica restart() {
        return run(name + "-again", logs, environment, command, List.of(port, managementPort), http);
    }

    private static JarReplica run(String name, Path logs, Map<String, String> environment, List<String> command,
            List<Integer> ports, HttpClient http) {
        try {
            Path home = Files.createTempDirectory("corral-replica-");
            Path log = Files.createDirectories(logs).resolve(name + ".log");
            Files.deleteIfExists(log);
            // The home goes with the process, the log stays to be read.
            Files.createSymbolicLink(home.resolve("log"), Files.createFile(log).toAbsolutePath());
            return new JarReplica(name, logs, environment, command, home, ports,
                    ChildProcess.start(home, environment, command), new ReplicaLog(log), http);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    String name() {
        return name;
    }

    /** The base URL for clients. */
    String url() {
        return "http://127.0.0.1:" + port;
    }

    /** The port for clients. */
    int port() {
        return port;
    }

    /** The port for operators. */
    int managementPort() {
        return managementPort;
    }

    /** The process: to be paused, resumed, killed. */
    ChildProcess process() {
        return process;
    }

    ReplicaLog log() {
        return log;
    }

    /** Whether it says that it can serve. */
    boolean isReady() {
        if (!process.isAlive()) {
            throw new IllegalStateException(name + " has ended:\n" + process.logTail());
        }
        return getActuator("health/readiness").filter(response -> response.statusCode() == 200).isPresent();
    }

    /** The status and the body of an actuator's page; empty when nobody answers. */
    Optional<HttpResponse<String>> getActuator(String page) {
        var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + managementPort + "/actuator/" + page))
                .timeout(ACTUATOR_TIMEOUT)
                .header("Authorization", authorization())
                .build();
        try {
            return Optional.of(http.send(request, BodyHandlers.ofString()));
        } catch (IOException nobody) {
            return Optional.empty();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    /** Purges, and waits for the fleet to know: status and body of the answer. */
    HttpResponse<String> purge(String order) {
        var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + managementPort + "/actuator/purge"))
                .timeout(ACTUATOR_TIMEOUT)
                .header("Authorization", authorization())
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(order))
                .build();
        try {
            return http.send(request, BodyHandlers.ofString());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private static String authorization() {
        return "Basic "
                + Base64.getEncoder().encodeToString((OPERATOR + ":" + PASSWORD).getBytes(StandardCharsets.UTF_8));
    }

    /** The sum of a metric over all its tags that have this text, as Prometheus sees it; 0 when there is none. */
    double metric(String metric, String tags) {
        return getActuator("prometheus").stream()
                .flatMap(response -> response.body().lines())
                .filter(line -> line.startsWith(metric + "{") || line.startsWith(metric + " "))
                .filter(line -> line.contains(tags))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                .sum();
    }

    double metric(String metric) {
        return metric(metric, "");
    }

    /** Asks it to stop (SIGTERM) and does not wait. */
    void stop() {
        Thread.ofVirtual().start(() -> process.terminate(SHUTDOWN_TIMEOUT));
    }

    /** Whether it takes no more clients. */
    boolean refusesConnections() {
        try {
            new Socket(InetAddress.getLoopbackAddress(), port).close();
            return false;
        } catch (ConnectException refused) {
            return true;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Ends it at once (SIGKILL), paused or not. */
    @Override
    public void close() {
        process.kill();
        try {
            Files.deleteIfExists(home.resolve("log"));
            Files.deleteIfExists(home);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String jar() {
        return Optional.ofNullable(System.getProperty("corral.jar"))
                .orElseThrow(() -> new IllegalStateException("run by `mvnw verify`: there is no -Dcorral.jar"));
    }
}
