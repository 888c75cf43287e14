package dev.corral.cache;

import dev.corral.http.HeaderFields;
import java.util.List;

/** Estimates the heap memory of an entry. */
public final class EntrySize {

    /** Bytes of a String and its array, without the characters. */
    private static final int STRING_OVERHEAD_BYTES = 56;

    /** Bytes of a field line, without its two texts. */
    private static final int FIELD_LINE_OVERHEAD_BYTES = 24;

    /** Bytes of an entry and of its place in a cache. */
    private static final int ENTRY_OVERHEAD_BYTES = 512;

    private EntrySize() {}

    /** The approximate size of an entry in bytes: its body and all its texts. */
    public static int of(Entry entry) {
        long size = ENTRY_OVERHEAD_BYTES + sizeOfString(entry.cacheKey()) + sizeOfString(entry.traceparent())
                + switch (entry) {
                    case StoredResponse stored -> sizeOfResponse(stored);
                    case StaleOnError stale -> sizeOfResponse(stale.staleResponse());
                    case VaryMarker marker -> sizeOfStrings(marker.fieldNames());
                    case HitForMiss marker -> sizeOfString(marker.reason());
                    case FailedFill failure -> failure.errorResponse()
                            .map(response -> response.body().length() + sizeOfFields(response.head().fields())
                                    + sizeOfFields(response.selectingFields()))
                            .orElse(0L);
                };
        return (int) Math.min(Integer.MAX_VALUE, size);
    }

    private static long sizeOfResponse(StoredResponse stored) {
        return stored.body().length() + sizeOfFields(stored.head().fields()) + sizeOfFields(stored.selectingFields())
                + sizeOfStrings(stored.tags()) + sizeOfStrings(stored.earlierVaryNames());
    }

    private static long sizeOfFields(HeaderFields fields) {
        long size = 0;
        for (HeaderFields.FieldLine field : fields) {
            size += FIELD_LINE_OVERHEAD_BYTES + sizeOfString(field.name()) + sizeOfString(field.value());
        }
        return size;
    }

    private static long sizeOfStrings(List<String> texts) {
        long size = 0;
        for (String text : texts) {
            size += sizeOfString(text);
        }
        return size;
    }

    private static long sizeOfString(String text) {
        return STRING_OVERHEAD_BYTES + (long) text.length();
    }
}
