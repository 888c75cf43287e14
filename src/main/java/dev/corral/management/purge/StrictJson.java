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
 * A JSON object from a client, read member by member. Nothing is converted: members of another type, null, unknown or duplicate
 * members are rejected with {@link BadRequestException}, because an ambiguous purge could miss entries.
 */
final class StrictJson {

    private final ObjectNode members;

    private StrictJson(ObjectNode members) {
        this.members = members;
    }

    /** A reader that rejects duplicate members and trailing content. */
    static ObjectReader strictReader(ObjectMapper json) {
        return json.readerFor(JsonNode.class)
                .with(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .with(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);
    }

    /** Parses an object that has only members from {@code allowedMembers}. */
    static StrictJson parse(byte[] bytes, ObjectReader reader, Set<String> allowedMembers) {
        if (!(readTree(bytes, reader) instanceof ObjectNode members)) {
            throw new BadRequestException("The body must be a JSON object with " + sortedNames(allowedMembers) + ".");
        }
        members.fieldNames().forEachRemaining(name -> {
            if (!allowedMembers.contains(name)) {
                throw new BadRequestException(
                        abbreviate(name) + " is not a known member. Members: " + sortedNames(allowedMembers) + ".");
            }
        });
        return new StrictJson(members);
    }

    private static JsonNode readTree(byte[] bytes, ObjectReader reader) {
        try {
            return reader.readTree(bytes);
        } catch (MismatchedInputException e) {
            throw new BadRequestException("The body must be one JSON object without trailing content.");
        } catch (JsonProcessingException e) {
            throw new BadRequestException("The body is not valid JSON: " + parseError(e) + ".");
        } catch (IOException e) {
            throw new IllegalStateException("an array cannot fail to be read", e);
        }
    }

    /** Jackson's message with line and column, but without source references and parser settings. */
    private static String parseError(JsonProcessingException error) {
        String message = error.getOriginalMessage().replaceAll("(?s)(: was expecting| \\(start marker).*", "");
        return error.getLocation() == null
                ? message
                : message + ", line " + error.getLocation().getLineNr() + ", column "
                        + error.getLocation().getColumnNr();
    }

    private static String sortedNames(Set<String> names) {
        return String.join(", ", new TreeSet<>(names));
    }

    /** The strings of a list; empty when the member is absent. */
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

    boolean getBoolean(String name, boolean defaultValue) {
        JsonNode flag = members.path(name);
        if (!flag.isMissingNode() && !flag.isBoolean()) {
            throw typeMismatch(name, "true or false", flag);
        }
        return flag.asBoolean(defaultValue);
    }

    /**
     * The string; empty when the member is absent.
     *
     * @param expected describes the valid values, for the message
     */
    Optional<String> getString(String name, String expected) {
        JsonNode text = members.path(name);
        if (!text.isMissingNode() && !text.isTextual()) {
            throw typeMismatch(name, expected, text);
        }
        return Optional.ofNullable(text.textValue());
    }

    private static BadRequestException typeMismatch(String name, String expected, JsonNode node) {
        JsonNodeType type = node.getNodeType();
        String actual = switch (type) {
            case NULL -> "null";
            case ARRAY -> "a list";
            case OBJECT -> "an object";
            case STRING -> "the string " + abbreviate(node.textValue());
            case NUMBER, BOOLEAN -> node.asText();
            case BINARY, POJO, MISSING -> type.name().toLowerCase(Locale.ROOT);
        };
        return new BadRequestException(name + " must be " + expected + ", not " + actual + ".");
    }

    private static String abbreviate(String text) {
        return text.length() <= 80 ? text : text.substring(0, 80) + "...";
    }
}
