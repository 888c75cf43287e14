package dev.corral.deploy;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The selectors and grouping labels of a PromQL expression. A scanner, not a parser: it knows the words of the language that are used
 * here and rejects all others, so that a misspelled function is not taken for a metric.
 *
 * @param selectors in order of appearance
 * @param labels    of {@code by}, {@code without} and similar clauses
 */
record PromQl(List<Selector> selectors, Set<String> labels) {

    /** A metric with its matchers. */
    record Selector(String metric, List<LabelMatcher> matchers) {}

    /** A matcher; the operator is {@code =}, {@code !=}, {@code =~} or {@code !~}. */
    record LabelMatcher(String label, String operator, String value) {}

    private static final Set<String> FUNCTIONS = Set.of("rate", "increase", "histogram_quantile", "absent", "vector");
    private static final Set<String> AGGREGATORS = Set.of("sum", "min", "max", "avg", "count");
    private static final Set<String> GROUPING = Set.of("by", "without", "on", "ignoring");
    private static final Set<String> OPERATORS = Set.of("and", "or", "unless");

    private static final Pattern TOKEN = Pattern.compile("""
            \\s*(?:(?<word>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?<number>[0-9.]+)|(?<range>\\[[0-9]+[smhd]])|\
            (?<matchers>\\{(?:[^"}]|"(?:[^"\\\\]|\\\\.)*")*})|(?<sign>[-+*/%^(),]|[=!<>]=|[<>]))\\s*""");
    private static final Pattern MATCH = Pattern
            .compile("\\s*([a-zA-Z_][a-zA-Z0-9_]*)\\s*(=~|!~|!=|=)\\s*\"((?:[^\"\\\\]|\\\\.)*)\"\\s*(?:,|$)");

    /** @throws IllegalArgumentException for what is not PromQL, or not of the part of it that is known here */
    static PromQl read(String expression) {
        // Grafana replaces this variable with a duration.
        String text = expression.replaceAll("\\[\\$__[a-z_]+]", "[5m]");
        var scan = new Scanner(text, TOKEN.matcher(text));
        scan.scanAll();
        return new PromQl(scan.selectors, scan.labels);
    }

    private static final class Scanner {

        private final String text;
        private final Matcher token;
        private final List<Selector> selectors = new ArrayList<>();
        private final Set<String> labels = new TreeSet<>();
        private int open;

        Scanner(String text, Matcher token) {
            this.text = text;
            this.token = token;
        }

        void scanAll() {
            while (token.regionStart() < text.length()) {
                MatchResult found = next();
                if (found.group("word") != null) {
                    word(found.group("word"));
                } else if (found.group("matchers") != null) {
                    throw syntaxError("matchers without a metric");
                } else if ("(".equals(found.group("sign"))) {
                    open++;
                } else if (")".equals(found.group("sign")) && --open < 0) {
                    throw syntaxError("a ) too many");
                }
            }
            if (open != 0) {
                throw syntaxError("a ( is not closed");
            }
        }

        private MatchResult next() {
            if (!token.lookingAt()) {
                throw syntaxError("not PromQL");
            }
            MatchResult found = token.toMatchResult();
            token.region(found.end(), text.length());
            return found;
        }

        private char peek() {
            return token.regionStart() < text.length() ? text.charAt(token.regionStart()) : ' ';
        }

        private void word(String word) {
            if (GROUPING.contains(word)) {
                grouping();
            } else if (OPERATORS.contains(word)) {
                return;
            } else if (AGGREGATORS.contains(word)) {
                if (peek() != '(' && !text.substring(token.regionStart()).matches("(?s)(by|without)\\b.*")) {
                    throw syntaxError("an aggregation of nothing");
                }
            } else if (peek() == '(') {
                if (!FUNCTIONS.contains(word)) {
                    throw syntaxError("an unknown function " + word);
                }
            } else {
                selector(word);
            }
        }

        private void grouping() {
            int end = text.indexOf(')', token.regionStart());
            if (peek() != '(' || end < 0) {
                throw syntaxError("grouping by nothing");
            }
            for (String label : text.substring(token.regionStart() + 1, end).split(",", -1)) {
                labels.add(label.strip());
            }
            token.region(end + 1, text.length());
        }

        private void selector(String metric) {
            var matches = new ArrayList<LabelMatcher>();
            if (peek() == '{') {
                String inner = Optional.ofNullable(next().group("matchers"))
                        .orElseThrow(() -> syntaxError("bad matchers"));
                Matcher match = MATCH.matcher(inner.substring(1, inner.length() - 1));
                while (match.regionStart() < match.regionEnd()) {
                    if (!match.lookingAt()) {
                        throw syntaxError("bad matchers " + inner);
                    }
                    matches.add(new LabelMatcher(match.group(1), match.group(2), match.group(3)));
                    match.region(match.end(), match.regionEnd());
                }
            }
            selectors.add(new Selector(metric, List.copyOf(matches)));
        }

        private IllegalArgumentException syntaxError(String why) {
            return new IllegalArgumentException(why + ", at " + token.regionStart() + " of: " + text);
        }
    }
}
