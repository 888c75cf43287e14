package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLGenerator;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.StreamSupport;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.constructor.SafeConstructor;

/** Parses YAML to trees, with anchors resolved. A duplicate key is an error. */
final class Yaml {

    private static final YAMLMapper MAPPER = YAMLMapper.builder()
            .disable(YAMLGenerator.Feature.WRITE_DOC_START_MARKER)
            .build();

    private Yaml() {}

    /** The only document in the text. */
    static JsonNode read(String text) {
        List<JsonNode> all = readAll(text);
        if (all.size() != 1) {
            throw new IllegalArgumentException("not one document but " + all.size());
        }
        return all.getFirst();
    }

    /** The only document in the file of the project. */
    static JsonNode read(Path file) {
        return read(text(file));
    }

    /** All non-empty documents in the text. */
    static List<JsonNode> readAll(String text) {
        var options = new LoaderOptions();
        options.setAllowDuplicateKeys(false);
        var yaml = new org.yaml.snakeyaml.Yaml(new SafeConstructor(options));
        return StreamSupport.stream(yaml.loadAll(text).spliterator(), false)
                .<JsonNode>map(MAPPER::valueToTree)
                .filter(document -> document.size() > 0)
                .toList();
    }

    /** Merges values as Helm does: objects are merged, everything else is replaced. */
    static ObjectNode merge(ObjectNode under, JsonNode over) {
        ObjectNode merged = under.deepCopy();
        over.properties().forEach(property -> {
            JsonNode below = merged.path(property.getKey());
            merged.set(property.getKey(), below instanceof ObjectNode object && property.getValue().isObject()
                    ? merge(object, property.getValue())
                    : property.getValue());
        });
        return merged;
    }

    static String write(JsonNode document) {
        try {
            return MAPPER.writeValueAsString(document);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static String text(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
