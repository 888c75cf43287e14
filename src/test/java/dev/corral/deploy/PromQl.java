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
 * What a PromQL expression asks for: its selectors, and the labels it groups by. A scanner, not a parser: it knows the words of the
 * language that are used here and refuses all others, so that a misspelt function is not taken for a metric.
 *
 * @param selectors in their order
 * @param labels    of {@code by}, {@code without} and their kin
 */
record PromQl(List<Selector> selectors, Set<String> labels) {

    /** One metric with its matchers. */
    record Selector(String metric, List<Match> matches) {}

    /** One matcher; the operator is {@code =}, {@code !=}, {@code =~} or {@code !~}. */
    record Match(String label, String operator, String value) {}

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
        // Grafana's own, which it replaces with a duration.
        String text = expression.replaceAll("\\[\\$__[a-z_]+]", "[5m]");
        var scan = new Scan(text, TOKEN.matcher(text));
        scan.all();
        return new PromQl(scan.selectors, scan.labels);
    }

    private static final class Scan {

        private final String text;
        private final Matcher token;
        private final List<Selector> selectors = new ArrayList<>();
        private final Set<String> labels = new TreeSet<>();
        private int open;

        Scan(String text, Matcher token) {
            this.text = text;
            this.token = token;
        }

        void all() {
            while (token.regionStart() < text.length()) {
                MatchResult found = next();
                if (found.group("word") != null) {
                    word(found.group("word"));
                } else if (found.group("matchers") != null) {
                    throw refused("matchers without a metric");
                } else if ("(".equals(found.group("sign"))) {
                    open++;
                } else if (")".equals(found.group("sign")) && --open < 0) {
                    throw refused("a ) too many");
                }
            }
            if (open != 0) {
                throw refused("a ( is not closed");
            }
        }

        private MatchResult next() {
            if (!token.lookingAt()) {
                throw refused("not PromQL");
            }
            MatchResult found = token.toMatchResult();
            token.region(found.end(), text.length());
            return found;
        }

        private char ahead() {
            return token.regionStart() < text.length() ? text.charAt(token.regionStart()) : ' ';
        }

        private void word(String word) {
            if (GROUPING.contains(word)) {
                grouping();
            } else if (OPERATORS.contains(word)) {
                return;
            } else if (AGGREGATORS.contains(word)) {
                if (ahead() != '(' && !text.substring(token.regionStart()).matches("(?s)(by|without)\\b.*")) {
                    throw refused("an aggregation of nothing");
                }
            } else if (ahead() == '(') {
                if (!FUNCTIONS.contains(word)) {
                    throw refused("an unknown function " + word);
                }
            } else {
                selector(word);
            }
        }

        private void grouping() {
            int end = text.indexOf(')', token.regionStart());
            if (ahead() != '(' || end < 0) {
                throw refused("grouping by nothing");
            }
            for (String label : text.substring(token.regionStart() + 1, end).split(",", -1)) {
                labels.add(label.strip());
            }
            token.region(end + 1, text.length());
        }

        private void selector(String metric) {
            var matches = new ArrayList<Match>();
            if (ahead() == '{') {
                String inner = Optional.ofNullable(next().group("matchers")).orElseThrow(() -> refused("bad matchers"));
                Matcher match = MATCH.matcher(inner.substring(1, inner.length() - 1));
                while (match.regionStart() < match.regionEnd()) {
                    if (!match.lookingAt()) {
                        throw refused("bad matchers " + inner);
                    }
                    matches.add(new Match(match.group(1), match.group(2), match.group(3)));
                    match.region(match.end(), match.regionEnd());
                }
            }
            selectors.add(new Selector(metric, List.copyOf(matches)));
        }

        private IllegalArgumentException refused(String why) {
            return new IllegalArgumentException(why + ", at " + token.regionStart() + " of: " + text);
        }
    }
}
