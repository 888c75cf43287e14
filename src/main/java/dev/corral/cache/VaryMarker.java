package dev.corral.cache;

import java.util.List;

/**
 * The pointer of a resource whose answer depends on request fields: the objects lie under the variants' own keys.
 *
 * @param fieldNames the selecting request fields, lower-cased and sorted; none: the resource does not vary
 */
public record VaryMarker(String cacheKey, List<String> fieldNames, long purgePosition,
        String traceparent) implements Entry {

    /** Copies the names. */
    public VaryMarker {
        fieldNames = List.copyOf(fieldNames);
    }

    /** Not traced. */
    public VaryMarker(String key, List<String> names, long position) {
        this(key, names, position, "");
    }

    @Override
    public VaryMarker withTraceparent(String fetch) {
        return new VaryMarker(cacheKey, fieldNames, purgePosition, fetch);
    }
}
