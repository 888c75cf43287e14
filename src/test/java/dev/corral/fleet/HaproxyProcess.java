package dev.corral.fleet;

import dev.corral.dev.ChildProcess;
import dev.corral.dev.FreePort;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** HAProxy with the configuration that is shipped, {@code deploy/haproxy.cfg}, in which only the addresses differ. */
final class HaproxyProcess implements AutoCloseable {

    private static final Path SHIPPED = Path.of(System.getProperty("user.dir"), "deploy", "haproxy.cfg");

    private final int port;
    private final int statsPort;
    private final Path home;
    private final ChildProcess process;

    private HaproxyProcess(int port, int statsPort, Path home, ChildProcess process) {
        this.port = port;
        this.statsPort = statsPort;
        this.home = home;
        this.process = process;
    }

    /** The program, if it is installed. */
    static Optional<Path> installed() {
        return Stream.concat(Stream.of(System.getenv().getOrDefault("PATH", "").split(":", -1)), Stream.of("/usr/sbin"))
                .map(directory -> Path.of(directory, "haproxy"))
                .filter(Files::isExecutable)
                .findFirst();
    }

    /** Starts it in front of these replicas, and returns when it has found all of them ready. */
    static HaproxyProcess start(Path program, List<JarReplica> replicas) {
        List<Integer> ports = FreePort.pick(3);
        try {
            Path home = Files.createTempDirectory("corral-haproxy-");
            Path file = Files.writeString(home.resolve("haproxy.cfg"), configuration(ports, replicas));
            ChildProcess process = ChildProcess.start(home, List.of(program.toString(), "-db", "-f", file.toString()));
            var haproxy = new HaproxyProcess(ports.getFirst(), ports.getLast(), home, process);
            ProcessFleet.await("the load balancer has found the replicas", HeldOriginPath.TIMEOUT,
                    () -> haproxy.readyServers() == replicas.size());
            return haproxy;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The port for clients. */
    int port() {
        return port;
    }

    /** How many replicas it sends requests to. */
    long readyServers() {
        if (!process.isAlive()) {
            throw new IllegalStateException("haproxy has ended:\n" + process.logTail());
        }
        try {
            var connection = (HttpURLConnection) URI.create("http://127.0.0.1:" + statsPort + "/stats;csv")
                    .toURL()
                    .openConnection();
            connection.setReadTimeout(5_000);
            return new String(connection.getInputStream().readAllBytes(), StandardCharsets.UTF_8).lines()
                    .filter(line -> line.startsWith("replicas,replica-"))
                    .filter(line -> line.split(",", -1)[17].equals("UP"))
                    .count();
        } catch (IOException notYet) {
            return 0;
        }
    }

    @Override
    public void close() {
        process.kill();
        try {
            for (String file : List.of("haproxy.cfg", "log")) {
                Files.deleteIfExists(home.resolve(file));
            }
            Files.deleteIfExists(home);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String configuration(List<Integer> ports, List<JarReplica> replicas) throws IOException {
        String servers = servers(replicas, JarReplica::port);
        String management = servers(replicas, JarReplica::managementPort);
        return replace(Files.readString(SHIPPED), "bind :8080", "bind 127.0.0.1:" + ports.getFirst(), "bind :8081",
                "bind 127.0.0.1:" + ports.get(1), "bind :8404", "bind 127.0.0.1:" + ports.getLast(),
                // Names become addresses, so there is nothing to resolve; each replica here has a management port of its own.
                " resolvers containers init-addr none", "", "check port 8081 inter", "check inter",
                "server-template corral- 10 corral:8080", servers, "server-template corral- 10 corral:8081",
                management);
    }

    private static String servers(List<JarReplica> replicas, ToIntFunction<JarReplica> port) {
        return IntStream.range(0, replicas.size())
                .mapToObj(i -> "server replica-" + i + " 127.0.0.1:" + port.applyAsInt(replicas.get(i)) + " port "
                        + replicas.get(i).managementPort())
                .collect(Collectors.joining("\n    "));
    }

    private static String replace(String text, String... fromAndTo) {
        String replaced = text;
        for (int i = 0; i < fromAndTo.length; i += 2) {
            if (!replaced.contains(fromAndTo[i])) {
                throw new IllegalStateException(SHIPPED + " has no \"" + fromAndTo[i] + "\" any more");
            }
            replaced = replaced.replace(fromAndTo[i], fromAndTo[i + 1]);
        }
        return replaced;
    }

}
