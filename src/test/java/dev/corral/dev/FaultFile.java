package dev.corral.dev;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The file that reports faults of a run to the build. It exists only if there are faults, one per line. */
final class FaultFile {

    /** The name of the file, next to the report. */
    static final String FILE_NAME = "faults.txt";

    private FaultFile() {}

    /** Removes the file of an earlier run. */
    static void clear(Path file) throws IOException {
        Files.deleteIfExists(file);
    }

    static void write(Path file, List<String> faults) throws IOException {
        if (!faults.isEmpty()) {
            Files.createDirectories(file.toAbsolutePath().getParent());
            Files.write(file, faults);
        }
    }
}
