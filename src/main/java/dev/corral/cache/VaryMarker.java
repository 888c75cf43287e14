package dev.corral.cache;

import java.util.List;

/**
 * Marks a resource whose response depends on request fields. The variants are stored under keys of their own.
 *
 * @param fieldNames the lower-case, sorted names of the selecting request fields; empty if the resource does not vary
 */
public record VaryMarker(String cacheKey, List<String> fieldNames, long purgePosition,
        String traceparent) implements Entry {

    /** Copies the names. */
    public VaryMarker {
        fieldNames = List.copyOf(fieldNames);
    }

    /** The marker of a fetch without a trace. */
    public VaryMarker(String cacheKey, List<String> fieldNames, long purgePosition) {
        this(cacheKey, fieldNames, purgePosition, "");
    }

    @Override
    public VaryMarker withTraceparent(String traceparent) {
        return new VaryMarker(cacheKey, fieldNames, purgePosition, traceparent);
    }
}
