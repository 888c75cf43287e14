package dev.corral.deploy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

/** Runs the checkers of Prometheus and HAProxy where they are installed; otherwise skipped. */
class ExternalToolsTest {

    @Test
    void promtoolAcceptsAlertRules() throws Exception {
        assertRuns("promtool", "check", "rules", AlertRules.FILE.toString());
    }

    /** Scenarios of a fleet, and the alerts that each must and must not raise. */
    @Test
    void alertRulesFireAsExpected() throws Exception {
        assertRuns("promtool", "test", "rules", "src/test/resources/dev/corral/deploy/alerts-test.yaml");
    }

    @Test
    void haproxyAcceptsItsConfiguration() throws Exception {
        assertRuns("haproxy", "-c", "-f", Path.of("deploy", "haproxy.cfg").toString());
    }

    private static void assertRuns(String tool, String... arguments) throws InterruptedException, IOException {
        var command = new ArrayList<>(List.of(tool));
        command.addAll(List.of(arguments));
        Process process = start(command);
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

        assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(said).isZero();
    }

    private static Process start(List<String> command) {
        try {
            return new ProcessBuilder(command).redirectErrorStream(true).start();
        } catch (IOException missing) {
            return abort(command.getFirst() + " is not installed (" + missing.getMessage() + ")");
        }
    }
}
