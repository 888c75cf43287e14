package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;

/** The instructions of the Dockerfile by stage. A stage includes the instructions of the stage it is built from. */
final class Dockerfile {

    private record Instruction(String word, String rest) {}

    private final Map<String, List<Instruction>> stages = new HashMap<>();

    private Dockerfile() {}

    static Dockerfile read() {
        var file = new Dockerfile();
        List<Instruction> current = new ArrayList<>();
        String whole = Yaml.text(Path.of("Dockerfile")).replaceAll("(?m)^#.*\n", "").replace("\\\n", "");
        for (String line : whole.lines().filter(line -> !line.isBlank()).toList()) {
            String[] parts = line.split("\\s+", 2);
            if (parts[0].equals("FROM")) {
                String[] from = parts[1].split(" AS ", 2);
                current = new ArrayList<>(file.stages.getOrDefault(from[0], List.of()));
                file.stages.put(from[1], current);
            }
            current.add(new Instruction(parts[0], parts[1]));
        }
        return file;
    }

    Set<String> stages() {
        return stages.keySet();
    }

    /** All instructions of the kind in the stage, in order. */
    List<String> all(String stage, String word) {
        return stages.getOrDefault(stage, List.of())
                .stream()
                .filter(instruction -> instruction.word.equals(word))
                .map(Instruction::rest)
                .toList();
    }

    /** The last instruction of the kind, which is the effective one. */
    String last(String stage, String word) {
        return all(stage, word).getLast();
    }

    /** The JSON array of the last instruction of the kind. */
    List<String> command(String stage, String word) {
        String rest = last(stage, word);
        JsonNode words = Yaml.read(rest.substring(rest.indexOf('[')));
        return StreamSupport.stream(words.spliterator(), false).map(JsonNode::asText).toList();
    }
}
