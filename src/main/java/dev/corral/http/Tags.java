package dev.corral.http;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/** The origin's labels of an answer, by which it can be purged. */
public final class Tags {

    /** A purge by a tag we dropped would miss the entry, so an answer with more is not stored at all. */
    private static final int MOST = 1_000;

    /** Characters of one. */
    public static final int LONGEST = 1_024;

    private Tags() {}

    /**
     * The tags of an answer, each once, in order; none beyond the bounds of number and length. {@code Surrogate-Key} and
     * {@code xkey} are parted by blanks, every other field by commas.
     */
    public static List<String> of(Head head, Policy policy) {
        return bounded(head, policy).orElse(List.of());
    }

    /** The tags; empty when they are too many or too long. */
    static Optional<List<String>> bounded(Head head, Policy policy) {
        Set<String> tags = new LinkedHashSet<>();
        for (String name : policy.tagFields()) {
            for (String line : head.fields().all(name)) {
                for (String tag : parted(name, line)) {
                    if (tag.length() > LONGEST) {
                        return Optional.empty();
                    }
                    tags.add(tag);
                }
            }
        }
        return tags.size() > MOST ? Optional.empty() : Optional.of(new ArrayList<>(tags));
    }

    /** The tags of one line of the field, none of them empty. */
    public static List<String> parted(String name, String line) {
        boolean byBlanks = name.equalsIgnoreCase("Surrogate-Key") || name.equalsIgnoreCase("xkey");
        return Stream.of(line.split(byBlanks ? "[ \t]+" : ",", -1))
                .map(Syntax::trim)
                .filter(tag -> !tag.isEmpty())
                .toList();
    }

    /** The fields a client may see: without those of the tags, if the policy hides them. */
    public static Fields hidden(Fields fields, Policy policy) {
        return policy.hideTags()
                ? fields.without(name -> policy.tagFields().stream().anyMatch(name::equalsIgnoreCase))
                : fields;
    }
}
