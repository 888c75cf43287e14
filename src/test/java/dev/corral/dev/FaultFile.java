package dev.corral.dev;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The file by which a run tells the build that it has found faults: it is there when there are any, one on each line. */
final class FaultFile {

    /** Its name, beside the report. */
    static final String FILE_NAME = "faults.txt";

    private FaultFile() {}

    /** Removes what an earlier run has left. */
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
