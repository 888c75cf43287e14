package dev.corral.http;

import java.util.List;

/**
 * The pointer of a resource whose answer depends on request fields: the objects lie under the variants' own keys.
 *
 * @param names the selecting request fields, lower-cased and sorted; none: the resource does not vary
 */
public record Varies(String key, List<String> names, long position, String trace) implements Entry {

    /** Copies the names. */
    public Varies {
        names = List.copyOf(names);
    }

    /** Not traced. */
    public Varies(String key, List<String> names, long position) {
        this(key, names, position, "");
    }

    @Override
    public Varies traced(String fetch) {
        return new Varies(key, names, position, fetch);
    }
}
