package dev.corral.management.purge;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.springframework.http.HttpHeaders;

/**
 * Parses purges in the forms that plugins of content management systems send to Varnish, whose VCL interprets them: patterns instead
 * of names. A pattern that stands for literal names is purged. Every other pattern is rejected with {@link BadRequestException},
 * because a purge that is not understood must not look like a successful one.
 */
final class PluginPurgeParser {

    /**
     * The path that a request target names.
     *
     * @param path     a literal path, or the beginning of a path
     * @param isPrefix whether all paths that start with {@code path} are meant
     */
    record PathTarget(String path, boolean isPrefix) {}

    /** The content of {@code X-Magento-Tags-Pattern}: literal tags, or all responses. */
    record TagPattern(List<String> tags, boolean isAll) {}

    private static final String METHOD_HEADER = "X-Purge-Method";
    private static final String TAGS_PATTERN_HEADER = "X-Magento-Tags-Pattern";

    /** Purge fields of other caches' configurations, in lower case, each with the form that Corral accepts instead. */
    private static final Map<String, String> UNSUPPORTED_HEADERS = Map.of(
            "x-cache-tags", "send the tags in Cache-Tag, with commas between them",
            "xkey-purge", "send the tags in xkey, with spaces between them",
            "xkey-softpurge", "send the tags in xkey, and Corral-Purge: soft",
            "x-purge-regex", "send PURGE with the beginning of a path and .* at its end",
            "x-purge-prefix", "send PURGE with the beginning of a path and .* at its end");

    // Magento's pattern for each tag: at the beginning or after a comma, and before a comma or at the end.
    private static final Pattern DELIMITED_TAG = Pattern.compile("\\(\\(\\^\\|,\\)(.*)\\(,\\|\\$\\)\\)");
    private static final Pattern LITERAL_TAG = Pattern.compile("[^\\s\\\\^$.|?*+()\\[\\]{},]+");
    private static final Pattern TRAILING_WILDCARD = Pattern.compile("(\\.\\*|\\(\\.\\*\\))$");
    // A dot is literal, because no plugin uses it as a wildcard. The excluded characters could stand for more than one path.
    private static final Pattern LITERAL_PATH = Pattern.compile("[^\\\\^$|*+()\\[\\]{}?]*");

    private PluginPurgeParser() {}

    /** Rejects fields that name the purge's targets in an unsupported way. */
    static void rejectUnsupportedHeaders(HttpHeaders fields) {
        for (String name : fields.keySet()) {
            String lower = name.toLowerCase(Locale.ROOT);
            if (UNSUPPORTED_HEADERS.containsKey(lower)) {
                throw new BadRequestException(name + " is not supported: " + UNSUPPORTED_HEADERS.get(lower) + ".");
            }
            if (lower.startsWith("x-ban")) {
                throw new BadRequestException(
                        name + " is not supported: Corral has no bans. Send PURGE with a URL, with the beginning of "
                                + "a path and .* at its end, or with tags in Cache-Tag, Surrogate-Key or xkey.");
            }
        }
    }

    /**
     * The tags of {@code X-Magento-Tags-Pattern}; empty when the field is absent.
     *
     * @throws BadRequestException when the pattern is not a list of literal tags
     */
    static Optional<TagPattern> parseTagPattern(HttpHeaders fields) {
        List<String> lines = fields.getOrEmpty(TAGS_PATTERN_HEADER);
        if (!fields.containsKey(TAGS_PATTERN_HEADER)) {
            return Optional.empty();
        }
        var tags = new ArrayList<String>();
        for (String line : lines) {
            if (line.equals(".*")) {
                return Optional.of(new TagPattern(List.of(), true));
            }
            tags.addAll(parseTags(line));
        }
        if (tags.isEmpty()) {
            throw new BadRequestException(TAGS_PATTERN_HEADER + " names no tag.");
        }
        return Optional.of(new TagPattern(tags, false));
    }

    private static List<String> parseTags(String line) {
        var tags = new ArrayList<String>();
        // The bars within (^|,) and (,|$) are not separators.
        for (String part : line.split("(?<!\\(\\^)\\|(?!\\$\\))", -1)) {
            Matcher delimited = DELIMITED_TAG.matcher(part);
            String tag = delimited.matches() ? delimited.group(1) : part;
            if (!LITERAL_TAG.matcher(tag).matches()) {
                throw new BadRequestException(
                        TAGS_PATTERN_HEADER + " must be .* or a list of literal tags with | between them, such as "
                                + "((^|,)cat_p_1(,|$))|((^|,)cat_p_2(,|$)), not " + abbreviate(line) + ".");
            }
            tags.add(tag);
        }
        return tags;
    }

    /**
     * The path that the target names, interpreted by {@code X-Purge-Method} if that field is present.
     *
     * @param target path and query
     * @throws BadRequestException when the target is a pattern other than the beginning of a path with {@code .*} at its end
     */
    static PathTarget parseTarget(HttpHeaders fields, String target) {
        String method = Optional.ofNullable(fields.getFirst(METHOD_HEADER)).orElse("default").toLowerCase(Locale.ROOT);
        return switch (method) {
            case "exact" -> new PathTarget(target, false);
            case "default" -> target.contains(".*") ? parsePrefix(target) : new PathTarget(target, false);
            case "regex" -> parsePrefix(target);
            default -> throw new BadRequestException(
                    METHOD_HEADER + " must be default, exact or regex, not " + abbreviate(method) + ".");
        };
    }

    private static PathTarget parsePrefix(String target) {
        String pattern = target.startsWith("^") ? target.substring(1) : target;
        Matcher wildcard = TRAILING_WILDCARD.matcher(pattern);
        String prefix = wildcard.find() ? pattern.substring(0, wildcard.start()) : pattern;
        if (prefix.equals(pattern) || !LITERAL_PATH.matcher(prefix).matches()) {
            throw new BadRequestException(
                    "The path of a purge by pattern (" + METHOD_HEADER
                            + ": regex, or a path with .* in it) must be the literal "
                            + "beginning of a path with .* at its end, such as /shoes/.*, not " + abbreviate(target)
                            + ". For a URL that contains .*, send " + METHOD_HEADER + ": exact.");
        }
        return new PathTarget(prefix.isEmpty() ? "/" : prefix, true);
    }

    private static String abbreviate(String text) {
        return text.length() <= 80 ? text : text.substring(0, 80) + "...";
    }
}
