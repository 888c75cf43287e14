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

/** The origin's labels of an answer, by which it can be purged. */
public final class SurrogateTags {

    /** A purge by a tag we dropped would miss the entry, so an answer with more is not stored at all. */
    private static final int MAX_TAGS = 1_000;

    /** Characters of one. */
    public static final int MAX_TAG_LENGTH = 1_024;

    private SurrogateTags() {}

    /**
     * The tags of an answer, each once, in order; none beyond the bounds of number and length. {@code Surrogate-Key} and
     * {@code xkey} are parted by blanks, every other field by commas.
     */
    public static List<String> of(ResponseHead head, CachePolicy policy) {
        return tryParse(head, policy).orElse(List.of());
    }

    /** The tags; empty when they are too many or too long. */
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

    /** The tags of one line of the field, none of them empty. */
    public static List<String> split(String name, String line) {
        boolean byBlanks = name.equalsIgnoreCase("Surrogate-Key") || name.equalsIgnoreCase("xkey");
        return Stream.of(line.split(byBlanks ? "[ \t]+" : ",", -1))
                .map(FieldSyntax::trim)
                .filter(tag -> !tag.isEmpty())
                .toList();
    }

    /** The fields a client may see: without those of the tags, if the policy hides them. */
    public static HeaderFields strip(HeaderFields fields, CachePolicy policy) {
        return policy.stripTags()
                ? fields.without(name -> policy.tagFields().stream().anyMatch(name::equalsIgnoreCase))
                : fields;
    }
}
