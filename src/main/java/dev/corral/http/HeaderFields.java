package dev.corral.http;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * The header fields of one message, one element for each field line, in the order received. Names keep their case and are
 * compared without regard to case (RFC 9110 section 5.1). Immutable.
 */
public final class HeaderFields implements Iterable<HeaderFields.FieldLine> {

    /** No fields. */
    public static final HeaderFields EMPTY = new HeaderFields(List.of());

    /** One field line. */
    public record FieldLine(String name, String value) {}

    private final List<FieldLine> lines;

    private HeaderFields(List<FieldLine> lines) {
        this.lines = lines;
    }

    /** The fields of the given lines, in their order. */
    public static HeaderFields of(List<FieldLine> lines) {
        return lines.isEmpty() ? EMPTY : new HeaderFields(List.copyOf(lines));
    }

    /**
     * Fields from alternating names and values, for literals.
     *
     * @throws IllegalArgumentException if the last value is missing
     */
    public static HeaderFields of(String... namesAndValues) {
        if (namesAndValues.length % 2 != 0) {
            throw new IllegalArgumentException(
                    "a value is missing for field " + namesAndValues[namesAndValues.length - 1]);
        }
        var lines = new ArrayList<FieldLine>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            lines.add(new FieldLine(namesAndValues[i], namesAndValues[i + 1]));
        }
        return of(lines);
    }

    /** The value of the first line with this name; empty if the field is absent. */
    public Optional<String> firstValue(String name) {
        for (FieldLine line : lines) {
            if (line.name.equalsIgnoreCase(name)) {
                return Optional.of(line.value);
            }
        }
        return Optional.empty();
    }

    /** The values of all lines with this name, in order; empty if the field is absent. */
    public List<String> values(String name) {
        var values = new ArrayList<String>();
        for (FieldLine line : lines) {
            if (line.name.equalsIgnoreCase(name)) {
                values.add(line.value);
            }
        }
        return values;
    }

    /** The combined value (RFC 9110 section 5.2): all lines joined by {@code ", "}; empty if the field is absent. */
    public Optional<String> combinedValue(String name) {
        List<String> values = values(name);
        return values.isEmpty() ? Optional.empty() : Optional.of(String.join(", ", values));
    }

    /** Whether there is a line with this name. */
    public boolean has(String name) {
        for (FieldLine line : lines) {
            if (line.name.equalsIgnoreCase(name)) {
                return true;
            }
        }
        return false;
    }

    /** These fields without the lines whose name the predicate accepts. */
    public HeaderFields without(Predicate<String> name) {
        int first = 0;
        while (first < lines.size() && !name.test(lines.get(first).name)) {
            first++;
        }
        if (first == lines.size()) {
            return this;
        }
        var kept = new ArrayList<>(lines.subList(0, first));
        for (FieldLine line : lines.subList(first + 1, lines.size())) {
            if (!name.test(line.name)) {
                kept.add(line);
            }
        }
        return of(kept);
    }

    /** These fields without the lines of this name. */
    public HeaderFields without(String name) {
        return without(name::equalsIgnoreCase);
    }

    /** These fields with one line appended. */
    public HeaderFields plus(String name, String value) {
        var extended = new ArrayList<>(lines);
        extended.add(new FieldLine(name, value));
        return of(extended);
    }

    /** These fields followed by the others. */
    public HeaderFields plus(HeaderFields others) {
        if (lines.isEmpty() || others.lines.isEmpty()) {
            return lines.isEmpty() ? others : this;
        }
        var extended = new ArrayList<FieldLine>(lines.size() + others.lines.size());
        extended.addAll(lines);
        extended.addAll(others.lines);
        return of(extended);
    }

    /** These fields with exactly one line of this name, at the end. */
    public HeaderFields withReplaced(String name, String value) {
        return without(name).plus(name, value);
    }

    /** All lines, in order; unmodifiable. */
    public List<FieldLine> lines() {
        return lines;
    }

    @Override
    public Iterator<FieldLine> iterator() {
        return lines.iterator();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof HeaderFields fields && lines.equals(fields.lines);
    }

    @Override
    public int hashCode() {
        return lines.hashCode();
    }

    /** The field names only: values may be credentials. */
    @Override
    public String toString() {
        return lines.stream().map(FieldLine::name).toList().toString();
    }
}
