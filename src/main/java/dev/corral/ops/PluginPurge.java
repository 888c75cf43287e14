package dev.corral.ops;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.springframework.http.HttpHeaders;

/**
 * Purges in the forms that plugins of content management systems send to Varnish, whose VCL decides what they mean: patterns instead
 * of names. What a pattern names literally is purged; every other is refused with {@link BadInput}, for a purge that is not
 * understood must not look like one that is done.
 */
final class PluginPurge {

    /**
     * What the target of a request names.
     *
     * @param path     literal; the beginning of one when {@code isPrefix}
     * @param isPrefix whether everything that begins so is meant
     */
    record Target(String path, boolean isPrefix) {}

    /** What {@code X-Magento-Tags-Pattern} names: tags, or everything. */
    record TagPattern(List<String> tags, boolean isAll) {}

    private static final String METHOD = "X-Purge-Method";
    private static final String TAGS_PATTERN = "X-Magento-Tags-Pattern";

    /** Fields of other caches' configurations that say what to purge, in lower case, with what to send instead. */
    private static final Map<String, String> REFUSED = Map.of(
            "x-cache-tags", "send the tags in Cache-Tag, with commas between them",
            "xkey-purge", "send the tags in xkey, with spaces between them",
            "xkey-softpurge", "send the tags in xkey, and Corral-Purge: soft",
            "x-purge-regex", "send PURGE with the beginning of a path and .* at its end",
            "x-purge-prefix", "send PURGE with the beginning of a path and .* at its end");

    // As Magento has it for each tag: at the beginning or behind a comma, and before a comma or at the end.
    private static final Pattern DELIMITED = Pattern.compile("\\(\\(\\^\\|,\\)(.*)\\(,\\|\\$\\)\\)");
    private static final Pattern LITERAL_TAG = Pattern.compile("[^\\s\\\\^$.|?*+()\\[\\]{},]+");
    private static final Pattern ANYTHING = Pattern.compile("(\\.\\*|\\(\\.\\*\\))$");
    // A dot is what it is: no plugin means another character. What remains could mean more than one path.
    private static final Pattern LITERAL_PATH = Pattern.compile("[^\\\\^$|*+()\\[\\]{}?]*");

    private PluginPurge() {}

    /** Refuses fields that say what to purge in a way that is not understood here. */
    static void refuseUnknown(HttpHeaders fields) {
        for (String name : fields.keySet()) {
            String lower = name.toLowerCase(Locale.ROOT);
            if (REFUSED.containsKey(lower)) {
                throw new BadInput(name + " is not understood: " + REFUSED.get(lower) + ".");
            }
            if (lower.startsWith("x-ban")) {
                throw new BadInput(
                        name + " is not understood: there are no bans. Send PURGE with a URL, with the beginning of "
                                + "a path and .* at its end, or with tags in Cache-Tag, Surrogate-Key or xkey.");
            }
        }
    }

    /**
     * The tags of {@code X-Magento-Tags-Pattern}; empty when the field is absent.
     *
     * @throws BadInput when it is a pattern that is no list of literal tags
     */
    static Optional<TagPattern> tagPattern(HttpHeaders fields) {
        List<String> lines = fields.getOrEmpty(TAGS_PATTERN);
        if (!fields.containsKey(TAGS_PATTERN)) {
            return Optional.empty();
        }
        var tags = new ArrayList<String>();
        for (String line : lines) {
            if (line.equals(".*")) {
                return Optional.of(new TagPattern(List.of(), true));
            }
            tags.addAll(tags(line));
        }
        if (tags.isEmpty()) {
            throw new BadInput(TAGS_PATTERN + " names no tag.");
        }
        return Optional.of(new TagPattern(tags, false));
    }

    private static List<String> tags(String line) {
        var tags = new ArrayList<String>();
        // The bars within (^|,) and (,|$) part nothing.
        for (String part : line.split("(?<!\\(\\^)\\|(?!\\$\\))", -1)) {
            Matcher delimited = DELIMITED.matcher(part);
            String tag = delimited.matches() ? delimited.group(1) : part;
            if (!LITERAL_TAG.matcher(tag).matches()) {
                throw new BadInput(TAGS_PATTERN + " must be .* or a list of literal tags with | between them, such as "
                        + "((^|,)cat_p_1(,|$))|((^|,)cat_p_2(,|$)), not " + shown(line) + ".");
            }
            tags.add(tag);
        }
        return tags;
    }

    /**
     * What the target names, by {@code X-Purge-Method} if that is there.
     *
     * @param target path and query
     * @throws BadInput when it is a pattern other than the beginning of a path with {@code .*} at its end
     */
    static Target target(HttpHeaders fields, String target) {
        String method = Optional.ofNullable(fields.getFirst(METHOD)).orElse("default").toLowerCase(Locale.ROOT);
        return switch (method) {
            case "exact" -> new Target(target, false);
            case "default" -> target.contains(".*") ? prefix(target) : new Target(target, false);
            case "regex" -> prefix(target);
            default -> throw new BadInput(METHOD + " must be default, exact or regex, not " + shown(method) + ".");
        };
    }

    private static Target prefix(String target) {
        String pattern = target.startsWith("^") ? target.substring(1) : target;
        Matcher end = ANYTHING.matcher(pattern);
        String beginning = end.find() ? pattern.substring(0, end.start()) : pattern;
        if (beginning.equals(pattern) || !LITERAL_PATH.matcher(beginning).matches()) {
            throw new BadInput(
                    "The path of a purge by pattern (" + METHOD + ": regex, or one with .* in it) must be the literal "
                            + "beginning of a path with .* at its end, such as /shoes/.*, not " + shown(target)
                            + ". For a URL that has .* in it, send " + METHOD + ": exact.");
        }
        return new Target(beginning.isEmpty() ? "/" : beginning, true);
    }

    private static String shown(String text) {
        return text.length() <= 80 ? text : text.substring(0, 80) + "...";
    }
}
