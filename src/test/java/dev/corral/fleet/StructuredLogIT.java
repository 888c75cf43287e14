package dev.corral.fleet;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.dev.StubResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

/** JSON logs with Spring Boot's settings only. */
@ExtendWith(SharedFleetExtension.class)
@Timeout(120)
class StructuredLogIT {

    private static final String TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

    private final ProcessFleet fleet;
    private final FleetClients clients = new FleetClients();
    private final ObjectMapper json = new ObjectMapper();

    StructuredLogIT(ProcessFleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void ecsAccessLogHasServiceAndTrace() {
        fleet.holdPath("/logged", received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60")).releaseAll();
        JarReplica replica = fleet.startReplica("ecs", Map.of("logging.structured.format.console", "ecs",
                "corral.access-log", "true", "management.tracing.enabled", "true",
                "management.tracing.sampling.probability", "1", "corral.routes[2].forward.trust", "true"));

        clients.request(replica, "/logged?hush=1", "traceparent", "00-" + TRACE_ID + "-00f067aa0ba902b7-01").join();

        List<JsonNode> access = awaitLines(replica, "/logged");
        assertThat(access).hasSize(1);
        JsonNode line = access.getFirst();
        assertThat(line.at("/service/name").asText()).isEqualTo("corral");
        assertThat(line.at("/log/logger").asText()).isEqualTo("corral.access");
        assertThat(text(line, "trace.id")).isEqualTo(TRACE_ID);
        assertThat(text(line, "span.id")).hasSize(16);
        assertThat(line.path("method").asText()).isEqualTo("GET");
        assertThat(line.path("path").asText()).isEqualTo("/logged");
        assertThat(line.path("status").asInt()).isEqualTo(200);
        assertThat(line.path("outcome").asText()).isEqualTo("miss");
        assertThat(line.toString()).doesNotContain("hush");
    }

    @Test
    void logstashAndGelfAccessLogsAreJson() {
        fleet.holdPath("/logged-too", received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"))
                .releaseAll();
        for (String format : List.of("logstash", "gelf")) {
            JarReplica replica = fleet.startReplica(format, Map.of("logging.structured.format.console", format,
                    "corral.access-log", "true"));

            clients.request(replica, "/logged-too").join();

            assertThat(awaitLines(replica, "/logged-too")).as(format).hasSize(1);
        }
    }

    /** Without an access log, requests are not logged. */
    @Test
    void requestsAreNotLoggedWithoutAccessLog() throws IOException {
        fleet.holdPath("/unlogged", received -> StubResponse.of(200, "page", "Cache-Control", "max-age=60"))
                .releaseAll();
        JarReplica replica = fleet.startReplica("quiet", Map.of());
        long before = lines(replica);

        clients.request(List.of(replica), 50, "/unlogged").awaitAll();
        clients.request(List.of(replica), 50, "/private/unlogged").awaitAll();

        assertThat(lines(replica)).isEqualTo(before);
    }

    private static long lines(JarReplica replica) throws IOException {
        return Files.readAllLines(replica.log().file()).size();
    }

    /** The lines with this text; every line must be JSON. The access log is written by a separate thread. */
    private List<JsonNode> awaitLines(JarReplica replica, String text) {
        ProcessFleet.await("a line with " + text, Duration.ofSeconds(10), () -> replica.log().contains(text));
        try {
            return Files.readAllLines(replica.log().file())
                    .stream()
                    .map(this::parse)
                    .filter(line -> line.toString().contains(text))
                    .toList();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private JsonNode parse(String line) {
        try {
            return json.readTree(line);
        } catch (JsonProcessingException e) {
            throw new AssertionError("no JSON: " + line, e);
        }
    }

    private static String text(JsonNode line, String name) {
        return line.has(name) ? line.path(name).asText() : line.at("/" + name.replace('.', '/')).asText();
    }
}
