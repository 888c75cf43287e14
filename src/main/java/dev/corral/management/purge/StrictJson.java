package dev.corral.management.purge;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.node.JsonNodeType;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * A JSON object somebody sent, read member by member. Nothing is converted: what is of another type, null, unknown or there twice
 * is refused with {@link BadRequestException}, for it may purge something else than was meant.
 */
final class StrictJson {

    private final ObjectNode members;

    private StrictJson(ObjectNode members) {
        this.members = members;
    }

    /** Reads objects with the application's JSON, and takes nothing that is ambiguous. */
    static ObjectReader strictReader(ObjectMapper json) {
        return json.readerFor(JsonNode.class)
                .with(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .with(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);
    }

    /** An object with none but these members. */
    static StrictJson parse(byte[] bytes, ObjectReader reader, Set<String> known) {
        if (!(readTree(bytes, reader) instanceof ObjectNode members)) {
            throw new BadRequestException("The body must be a JSON object with " + sortedNames(known) + ".");
        }
        members.fieldNames().forEachRemaining(name -> {
            if (!known.contains(name)) {
                throw new BadRequestException(
                        abbreviate(name) + " is not known here; there are " + sortedNames(known) + ".");
            }
        });
        return new StrictJson(members);
    }

    private static JsonNode readTree(byte[] bytes, ObjectReader reader) {
        try {
            return reader.readTree(bytes);
        } catch (MismatchedInputException trailing) {
            throw new BadRequestException("The body must be one JSON object, with nothing behind its end.");
        } catch (JsonProcessingException broken) {
            throw new BadRequestException("The body is no JSON: " + parseError(broken) + ".");
        } catch (IOException impossible) {
            throw new IllegalStateException("bytes in memory can be read", impossible);
        }
    }

    /** Without what is for programmers: sources, settings of the parser. */
    private static String parseError(JsonProcessingException broken) {
        String what = broken.getOriginalMessage().replaceAll("(?s)(: was expecting| \\(start marker).*", "");
        return broken.getLocation() == null
                ? what
                : what + ", line " + broken.getLocation().getLineNr() + ", column "
                        + broken.getLocation().getColumnNr();
    }

    private static String sortedNames(Set<String> names) {
        return String.join(", ", new TreeSet<>(names));
    }

    /** The texts of a list; empty when it is absent. */
    List<String> getStrings(String name) {
        JsonNode list = members.path(name);
        if (list.isMissingNode()) {
            return List.of();
        }
        if (!list.isArray()) {
            throw typeMismatch(name, "a list of strings", list);
        }
        var texts = new ArrayList<String>();
        for (JsonNode text : list) {
            if (!text.isTextual()) {
                throw typeMismatch(name + "[" + texts.size() + "]", "a string", text);
            }
            texts.add(text.textValue());
        }
        return texts;
    }

    boolean getBoolean(String name, boolean otherwise) {
        JsonNode flag = members.path(name);
        if (!flag.isMissingNode() && !flag.isBoolean()) {
            throw typeMismatch(name, "true or false", flag);
        }
        return flag.asBoolean(otherwise);
    }

    /** The text; empty when it is absent. */
    Optional<String> getString(String name, String right) {
        JsonNode text = members.path(name);
        if (!text.isMissingNode() && !text.isTextual()) {
            throw typeMismatch(name, right, text);
        }
        return Optional.ofNullable(text.textValue());
    }

    private static BadRequestException typeMismatch(String name, String right, JsonNode found) {
        JsonNodeType type = found.getNodeType();
        String what = switch (type) {
            case NULL -> "null";
            case ARRAY -> "a list";
            case OBJECT -> "an object";
            case STRING -> "the string " + abbreviate(found.textValue());
            case NUMBER, BOOLEAN -> found.asText();
            case BINARY, POJO, MISSING -> type.name().toLowerCase(Locale.ROOT);
        };
        return new BadRequestException(name + " must be " + right + ", not " + what + ".");
    }

    private static String abbreviate(String text) {
        return text.length() <= 80 ? text : text.substring(0, 80) + "...";
    }
}
