package dev.corral.dev;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * A redis-server 7.0 on 127.0.0.1 without persistence, which can be stopped, restarted and paused to test its clients. It ends with this
 * JVM, even if the JVM is killed. Thread-safe. Linux and macOS, x86-64 and arm64.
 */
public final class EmbeddedRedis implements RedisServer {

    private static final Duration START_TIMEOUT = Duration.ofSeconds(10);
    private static final int PORT_TRIES = 3;

    private final Path home;
    private final int port;
    private final List<String> command;
    private ChildProcess child; // guarded by this

    private EmbeddedRedis(Path home, int port, List<String> command) {
        this.home = home;
        this.port = port;
        this.command = command;
        this.child = launch();
    }

    static EmbeddedRedis start(String... args) {
        return start(Optional.empty(), List.of(args));
    }

    /** Starts the server as a Sentinel, which writes its configuration file itself. */
    static EmbeddedRedis sentinel(String configuration) {
        return start(Optional.of(configuration), List.of("--sentinel"));
    }

    @Override
    public String host() {
        return "127.0.0.1";
    }

    @Override
    public int port() {
        return port;
    }

    @Override
    public Map<String, String> settings() {
        return Map.of("spring.data.redis.host", host(), "spring.data.redis.port", Integer.toString(port));
    }

    @Override
    public String kind() {
        return "an embedded redis-server";
    }

    /** The process ID of the current or the last server. */
    public synchronized long pid() {
        return child.pid();
    }

    /** Kills the server with all its data; connections are reset. {@link #restart()} starts it again. */
    public synchronized void stop() {
        child.kill();
    }

    /** Starts the server again, empty, on the same port; kills it first if it is running. */
    public synchronized void restart() {
        child.kill();
        child = launch();
    }

    /** Pauses the server until {@link #resume()}: connections stay open without replies. */
    public synchronized void pause() {
        child.pause();
    }

    /** Resumes a paused server, which then replies to the commands sent in the meantime. */
    public synchronized void resume() {
        child.resume();
    }

    /**
     * Sends command lines such as {@code CONFIG SET maxmemory 1mb} over one new connection and returns the last reply, with the elements of
     * an array on separate lines. For tests: it blocks.
     *
     * @throws IllegalStateException when a reply is an error
     */
    public String execute(String... lines) {
        try (var line = new RedisInlineConnection(port)) {
            String response = "";
            for (String command : lines) {
                response = line.execute(command);
            }
            return response;
        } catch (IOException e) {
            throw new UncheckedIOException("no answer from Redis on port " + port, e);
        }
    }

    @Override
    public synchronized void close() {
        child.kill();
        ChildProcess.removeHome(home);
    }

    private static EmbeddedRedis start(Optional<String> configuration, List<String> args) {
        Path home = ChildProcess.newHome("redis");
        try {
            Path binary = extractBinary(home);
            var command = new ArrayList<String>(List.of(binary.toString()));
            if (configuration.isPresent()) {
                command.add(Files.writeString(home.resolve("redis.conf"), configuration.get()).toString());
            }
            command.addAll(args);
            return startOnFreePort(home, command);
        } catch (IOException e) {
            ChildProcess.removeHome(home);
            throw new UncheckedIOException("cannot prepare redis-server", e);
        } catch (RuntimeException e) {
            ChildProcess.removeHome(home);
            throw e;
        }
    }

    private static EmbeddedRedis startOnFreePort(Path home, List<String> command) {
        for (int attempt = 1;; attempt++) {
            int port = FreePort.pick();
            try {
                return new EmbeddedRedis(home, port, onPort(port, command));
            } catch (PortTakenException e) {
                // Another process took the port between choice and start.
                if (attempt == PORT_TRIES) {
                    throw e;
                }
            }
        }
    }

    /** The defaults first, so that the caller's settings override them. */
    private static List<String> onPort(int port, List<String> command) {
        boolean configured = command.size() > 1 && !command.get(1).startsWith("--");
        int head = configured ? 2 : 1;
        var all = new ArrayList<>(command.subList(0, head));
        all.addAll(List.of("--port", Integer.toString(port), "--bind", "127.0.0.1"));
        if (!configured) {
            all.addAll(List.of("--save", "", "--appendonly", "no"));
        }
        all.addAll(command.subList(head, command.size()));
        return all;
    }

    private ChildProcess launch() {
        ChildProcess started = ChildProcess.start(home, command);
        Instant deadline = Instant.now().plus(START_TIMEOUT);
        while (!isResponding()) {
            if (!started.isAlive()) {
                String tail = started.logTail();
                throw tail.contains("in use")
                        ? new PortTakenException(port)
                        : new IllegalStateException("redis-server did not start:\n" + tail);
            }
            if (Instant.now().isAfter(deadline)) {
                started.kill();
                throw new IllegalStateException("redis-server does not answer:\n" + started.logTail());
            }
            pauseBriefly();
        }
        return started;
    }

    /** Any reply is sufficient, including an error that requires a password. */
    private boolean isResponding() {
        try (var line = new RedisInlineConnection(port)) {
            line.execute("PING");
            return true;
        } catch (IllegalStateException refusal) {
            return true;
        } catch (IOException notYet) {
            return false;
        }
    }

    private static void pauseBriefly() {
        try {
            Thread.sleep(5);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private static Path extractBinary(Path home) throws IOException {
        String resource = "/redis-server-7.0.15-" + operatingSystem() + "-" + architecture();
        Path binary = home.resolve("redis-server");
        try (InputStream in = EmbeddedRedis.class.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalStateException("no redis-server for this machine (" + resource
                        + "): set spring.data.redis.host or REDIS_URL, or start a Docker engine");
            }
            Files.copy(in, binary);
        }
        if (!binary.toFile().setExecutable(true)) {
            throw new IOException("cannot make " + binary + " executable");
        }
        return binary;
    }

    private static String operatingSystem() {
        String name = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        if (name.contains("linux")) {
            return "linux";
        }
        return name.contains("mac") ? "darwin" : name.replace(' ', '-');
    }

    private static String architecture() {
        String name = System.getProperty("os.arch");
        return switch (name) {
            case "amd64", "x86_64" -> "amd64";
            case "aarch64", "arm64" -> "arm64";
            default -> name;
        };
    }

    /** The port was free when it was chosen but is no longer. */
    private static final class PortTakenException extends IllegalStateException {
        private static final long serialVersionUID = 1;

        PortTakenException(int port) {
            super("port " + port + " is taken");
        }
    }
}
