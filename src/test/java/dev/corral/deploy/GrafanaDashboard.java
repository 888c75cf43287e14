package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The Grafana dashboard of the chart and of docker-compose.yml. */
final class GrafanaDashboard {

    static final Path FILE = Path.of("helm", "corral", "files", "dashboard.json");

    /** A query and the legend of its lines. */
    record PanelQuery(String panel, String expression, String legend) {}

    /** A variable's {@code label_values(selector, label)}. */
    record LabelValues(String selector, String label) {}

    private static final Pattern LABEL_VALUES = Pattern.compile("label_values\\((.*), ([a-z_]+)\\)");

    private final JsonNode root = Yaml.read(FILE);

    /** All panels except rows. */
    List<JsonNode> panels() {
        return stream(root.path("panels")).filter(panel -> !panel.path("type").asText().equals("row")).toList();
    }

    List<PanelQuery> queries() {
        return panels().stream()
                .flatMap(panel -> stream(panel.path("targets"))
                        .map(target -> new PanelQuery(panel.path("title").asText(),
                                target.path("expr").asText(), target.path("legendFormat").asText())))
                .toList();
    }

    List<JsonNode> variables() {
        return stream(root.at("/templating/list")).toList();
    }

    List<LabelValues> labelValues() {
        return variables().stream().filter(it -> it.path("type").asText().equals("query")).map(variable -> {
            String query = variable.at("/query/query").asText();
            Matcher values = LABEL_VALUES.matcher(query);
            if (!values.matches()) {
                throw new IllegalArgumentException("not label_values(selector, label): " + query);
            }
            return new LabelValues(values.group(1), values.group(2));
        }).toList();
    }

    private static Stream<JsonNode> stream(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false);
    }
}
