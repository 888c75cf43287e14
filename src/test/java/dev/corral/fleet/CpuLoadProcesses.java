package dev.corral.fleet;

import dev.corral.dev.ChildProcess;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.springframework.util.FileSystemUtils;

/** Processes that compute without an end, one for each core: what runs beside them gets half of the machine. */
final class CpuLoadProcesses implements AutoCloseable {

    private final Path home;
    private final List<ChildProcess> processes = new ArrayList<>();

    private CpuLoadProcesses(Path home) {
        this.home = home;
    }

    static CpuLoadProcesses start() {
        try {
            var busy = new CpuLoadProcesses(Files.createTempDirectory("corral-busy-"));
            for (int core = 0; core < Runtime.getRuntime().availableProcessors(); core++) {
                busy.processes.add(ChildProcess.start(busy.home, List.of("/bin/sh", "-c", "while :; do :; done")));
            }
            return busy;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        processes.forEach(ChildProcess::close);
        try {
            FileSystemUtils.deleteRecursively(home);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
