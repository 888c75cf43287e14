package dev.corral.dev;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/**
 * A process that does not outlive this JVM, even if this JVM is killed with -9: a watcher process reads from a pipe that only this JVM
 * holds open, and kills the command when the pipe is closed. {@link #pid()} is the command's own process ID, so that signals reach it
 * instead of a shell. Thread-safe. Needs a POSIX shell.
 */
public final class ChildProcess implements AutoCloseable {

    // The shell becomes the command (exec), so $$ in the watcher is the command's process ID. This JVM also closes the pipe when the command
    // has ended; then there is nothing to kill, and this JVM keeps or removes the directory. The command gets its own session if setsid is
    // available: Ctrl-C in the terminal then reaches only this JVM, which stops its children in order.
    private static final String WATCHER_SCRIPT = """
            jvm=$1; home=$2; shift 2
            exec 3<&0 </dev/null
            ( trap '' HUP INT TERM
              while read -r line <&3; do :; done
              kill -9 $$
              sleep 1
              kill -0 "$jvm" || rm -rf -- "$home" ) >/dev/null 2>&1 &
            exec 3<&-
            command -v setsid >/dev/null 2>&1 && exec setsid "$@"
            exec "$@"
            """;

    private final Process process;
    private final Path log;

    private ChildProcess(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    /**
     * Starts a command with the working directory {@code home} and its output in the file {@code log} in it. The directory belongs to the
     * command: it is removed if this JVM is killed.
     *
     * @throws UncheckedIOException when there is no POSIX shell
     */
    public static ChildProcess start(Path home, List<String> command) {
        return start(home, Map.of(), command);
    }

    /** Starts a command with additional environment variables. */
    public static ChildProcess start(Path home, Map<String, String> environment, List<String> command) {
        var line = new ArrayList<>(List.of("/bin/sh", "-c", WATCHER_SCRIPT, "sh",
                Long.toString(ProcessHandle.current().pid()), home.toString()));
        line.addAll(command);
        Path log = home.resolve("log");
        var builder = new ProcessBuilder(line).directory(home.toFile())
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
        builder.environment().putAll(environment);
        try {
            return new ChildProcess(builder.start(), log);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot start " + command.getFirst(), e);
        }
    }

    /** The process ID of the command. */
    public long pid() {
        return process.pid();
    }

    /** Whether the command is running; a paused command counts as running. */
    public boolean isAlive() {
        return process.isAlive();
    }

    /** The last lines of the command's output, for messages. */
    public String logTail() {
        try {
            List<String> lines = Files.readAllLines(log);
            return String.join("\n", lines.subList(Math.max(0, lines.size() - 20), lines.size()));
        } catch (IOException e) {
            return "(no output: " + e.getMessage() + ")";
        }
    }

    /** Pauses the command (SIGSTOP) until {@link #resume()}. Its connections stay open. */
    public void pause() {
        signal("STOP");
    }

    /** Resumes a paused command (SIGCONT). */
    public void resume() {
        signal("CONT");
    }

    /** Kills the command (SIGKILL), paused or not, and returns when it has ended. */
    public void kill() {
        process.destroyForcibly();
        awaitExit(Duration.ofSeconds(10));
    }

    /** Stops the command with SIGTERM, waits up to {@code grace}, then kills it. */
    public void terminate(Duration grace) {
        // With its handle: Process.destroy would close the pipe first, and the watcher would kill the command at once.
        process.toHandle().destroy();
        if (!awaitExit(grace)) {
            kill();
        }
    }

    @Override
    public void close() {
        kill();
    }

    /** A new directory for one child, accessible by this user only. */
    static Path newHome(String name) {
        try {
            return Files.createTempDirectory("corral-" + name + "-");
        } catch (IOException e) {
            throw new UncheckedIOException("cannot make a directory for " + name, e);
        }
    }

    /** Removes the directory of a child with its contents. */
    static void removeHome(Path home) {
        if (!Files.exists(home)) {
            return;
        }
        try (Stream<Path> all = Files.walk(home)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot remove " + home, e);
        }
    }

    private void signal(String name) {
        try {
            Process kill = new ProcessBuilder("kill", "-" + name, Long.toString(pid())).inheritIO().start();
            if (kill.waitFor() != 0) {
                throw new IllegalStateException("process " + pid() + " is gone");
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot signal " + pid(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private boolean awaitExit(Duration patience) {
        try {
            process.onExit().get(patience.toNanos(), TimeUnit.NANOSECONDS);
            return true;
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            throw new IllegalStateException("cannot wait for process " + pid(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }
}
