package dev.corral.fleet;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The log file of a replica, read from where the last read ended. Not thread-safe. */
final class ReplicaLog {

    /** Bugs of Corral: an ERROR, a dropped signal, a leaked buffer, a dead thread, an exhausted heap. */
    private static final Pattern FAULT = Pattern
            .compile("^\\S+ +ERROR |onErrorDropped|\\bLEAK\\b|^Exception in thread|OutOfMemoryError|fatal error");

    private final Path file;
    private int linesRead;

    ReplicaLog(Path file) {
        this.file = file;
    }

    Path file() {
        return file;
    }

    /** Whether a line contains the text. */
    boolean contains(String text) {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.anyMatch(line -> line.contains(text));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The faults since the last call that match none of the patterns. */
    List<String> newFaults(List<Pattern> declared) {
        List<String> lines = lines();
        List<String> fresh = lines.subList(Math.min(linesRead, lines.size()), lines.size());
        linesRead = lines.size();
        return fresh.stream()
                .filter(line -> FAULT.matcher(line).find())
                .filter(line -> declared.stream().noneMatch(pattern -> pattern.matcher(line).find()))
                .map(line -> file.getFileName() + ": " + line)
                .toList();
    }

    private List<String> lines() {
        try {
            return Files.readAllLines(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
