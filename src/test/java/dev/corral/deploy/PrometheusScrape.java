package dev.corral.deploy;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The output of /actuator/prometheus of a replica, and checks of queries against it. */
record PrometheusScrape(List<Series> series) {

    /** One line of the output. */
    record Series(String metric, Map<String, String> labels) {}

    /** Labels that Prometheus adds to each series by the scrape or by service discovery. */
    private static final Set<String> SCRAPE_LABELS = Set.of("job", "instance", "namespace", "service");
    /** Metrics that Prometheus creates itself. */
    private static final Set<String> BUILT_IN_METRICS = Set.of("up");

    private static final Pattern LINE = Pattern.compile("([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\\{(.*)})? \\S+");
    private static final Pattern LABEL = Pattern.compile("([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\\]|\\\\.)*)\"");
    private static final Pattern ALTERNATIVES = Pattern.compile("[a-z_|-]+");

    static PrometheusScrape read(String text) {
        var all = new ArrayList<Series>();
        text.lines().filter(line -> !line.startsWith("#") && !line.isBlank()).forEach(line -> {
            Matcher series = LINE.matcher(line);
            if (!series.matches()) {
                throw new IllegalArgumentException("not a series: " + line);
            }
            var labels = new HashMap<String, String>();
            Matcher label = LABEL.matcher(Optional.ofNullable(series.group(2)).orElse(""));
            while (label.find()) {
                labels.put(label.group(1), label.group(2));
            }
            all.add(new Series(series.group(1), labels));
        });
        return new PrometheusScrape(all);
    }

    /** Why the expression can never return a result; empty when it can. */
    List<String> missing(String expression) {
        PromQl query = PromQl.read(expression);
        var misses = new ArrayList<String>();
        query.selectors().forEach(selector -> misses.addAll(missing(selector)));
        Set<String> known = labels(query);
        query.labels()
                .stream()
                .filter(label -> !known.contains(label))
                .forEach(label -> misses.add("no label " + label));
        return misses;
    }

    /** The labels that the series of the expression may have. */
    Set<String> labels(PromQl query) {
        var known = new TreeSet<>(SCRAPE_LABELS);
        query.selectors()
                .forEach(selector -> seriesOf(selector.metric()).forEach(it -> known.addAll(it.labels().keySet())));
        return known;
    }

    private List<String> missing(PromQl.Selector selector) {
        if (BUILT_IN_METRICS.contains(selector.metric())) {
            return List.of();
        }
        if (seriesOf(selector.metric()).findAny().isEmpty()) {
            return List.of("no metric " + selector.metric());
        }
        return selector.matchers()
                .stream()
                .filter(match -> !SCRAPE_LABELS.contains(match.label()))
                .flatMap(match -> missing(selector.metric(), match))
                .toList();
    }

    /** Each alternative of a matcher must be an existing value. Grafana variables and negative matchers are not checked. */
    private Stream<String> missing(String metric, PromQl.LabelMatcher match) {
        Set<String> values = new TreeSet<>();
        seriesOf(metric)
                .forEach(series -> Optional.ofNullable(series.labels().get(match.label())).ifPresent(values::add));
        if (values.isEmpty()) {
            return Stream.of("no label " + match.label() + " of " + metric);
        }
        if (match.operator().startsWith("!") || match.value().contains("$")) {
            return Stream.empty();
        }
        if (match.operator().equals("=~") && !ALTERNATIVES.matcher(match.value()).matches()) {
            return Stream.of("more of a pattern than this test understands: " + match.value());
        }
        return Stream.of(match.value().split("\\|", -1))
                .filter(value -> !values.contains(value))
                .map(value -> "no " + match.label() + " " + value + " of " + metric + ", only " + values);
    }

    private Stream<Series> seriesOf(String metric) {
        return series.stream().filter(series -> series.metric().equals(metric));
    }
}
