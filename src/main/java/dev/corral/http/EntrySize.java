package dev.corral.http;

import java.util.List;

/** How much memory an entry takes. */
public final class EntrySize {

    /** A String and its array, without the characters. */
    private static final int TEXT = 56;

    /** A field line, without its two texts. */
    private static final int LINE = 24;

    /** An entry and what it is kept in. */
    private static final int ENTRY = 512;

    private EntrySize() {}

    /** Bytes of an entry in memory, roughly: its body, and each text in it. */
    public static int of(Entry entry) {
        long size = ENTRY + text(entry.key()) + text(entry.trace()) + switch (entry) {
            case Stored stored -> size(stored);
            case Ailing ailing -> size(ailing.stored());
            case Varies pointer -> texts(pointer.names());
            case HitForMiss marker -> text(marker.reason());
            case Failure failure -> failure.answer()
                    .map(answer -> answer.body().length() + fields(answer.head().fields())
                            + fields(answer.selecting()))
                    .orElse(0L);
        };
        return (int) Math.min(Integer.MAX_VALUE, size);
    }

    private static long size(Stored stored) {
        return stored.body().length() + fields(stored.head().fields()) + fields(stored.selecting())
                + texts(stored.tags()) + texts(stored.earlierVary());
    }

    private static long fields(Fields fields) {
        long size = 0;
        for (Fields.Field field : fields) {
            size += LINE + text(field.name()) + text(field.value());
        }
        return size;
    }

    private static long texts(List<String> texts) {
        long size = 0;
        for (String text : texts) {
            size += text(text);
        }
        return size;
    }

    private static long text(String text) {
        return TEXT + (long) text.length();
    }
}
