package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.StreamSupport;

/** The alert rules of the chart and of docker-compose.yml. */
final class AlertRules {

    static final Path FILE = Path.of("helm", "corral", "files", "alerts.yaml");

    private AlertRules() {}

    static List<JsonNode> rules() {
        return StreamSupport.stream(Yaml.read(FILE).path("groups").spliterator(), false)
                .flatMap(group -> StreamSupport.stream(group.path("rules").spliterator(), false))
                .toList();
    }
}
