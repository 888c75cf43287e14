package dev.corral.cache;

import dev.corral.http.FieldSyntax;
import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/** Surrogate tags: labels by which the origin allows a response to be purged. */
public final class SurrogateTags {

    /** Limit of tags. A response with more is not stored: a purge by a tag that was dropped would miss the entry. */
    private static final int MAX_TAGS = 1_000;

    /** Limit of characters in one tag. */
    public static final int MAX_TAG_LENGTH = 1_024;

    private SurrogateTags() {}

    /**
     * The distinct tags of a response, in order; empty if they exceed a limit. {@code Surrogate-Key} and {@code xkey} are separated by
     * spaces, all other fields by commas.
     */
    public static List<String> of(ResponseHead head, CachePolicy policy) {
        return tryParse(head, policy).orElse(List.of());
    }

    /** The distinct tags; empty if they exceed the limit of number or length. */
    static Optional<List<String>> tryParse(ResponseHead head, CachePolicy policy) {
        Set<String> tags = new LinkedHashSet<>();
        for (String name : policy.tagFields()) {
            for (String line : head.fields().values(name)) {
                for (String tag : split(name, line)) {
                    if (tag.length() > MAX_TAG_LENGTH) {
                        return Optional.empty();
                    }
                    tags.add(tag);
                }
            }
        }
        return tags.size() > MAX_TAGS ? Optional.empty() : Optional.of(new ArrayList<>(tags));
    }

    /** The non-empty tags of one line of the field. */
    public static List<String> split(String name, String line) {
        boolean spaceSeparated = name.equalsIgnoreCase("Surrogate-Key") || name.equalsIgnoreCase("xkey");
        return Stream.of(line.split(spaceSeparated ? "[ \t]+" : ",", -1))
                .map(FieldSyntax::trim)
                .filter(tag -> !tag.isEmpty())
                .toList();
    }

    /** The fields without the tag fields, if the policy strips them. */
    public static HeaderFields strip(HeaderFields fields, CachePolicy policy) {
        return policy.stripTags()
                ? fields.without(name -> policy.tagFields().stream().anyMatch(name::equalsIgnoreCase))
                : fields;
    }
}
