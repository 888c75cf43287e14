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

/** What a replica says at /actuator/prometheus, and what can be asked of it. */
record PrometheusScrape(List<Series> series) {

    /** One line. */
    record Series(String metric, Map<String, String> labels) {}

    /** Those that Prometheus gives to each series itself, by the scrape or by the cluster's service discovery. */
    private static final Set<String> SCRAPE_LABELS = Set.of("job", "instance", "namespace", "service");
    /** What Prometheus knows without being told. */
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

    /** Why that expression could give nothing, ever; empty when it can. */
    List<String> missing(String expression) {
        PromQl asked = PromQl.read(expression);
        var misses = new ArrayList<String>();
        asked.selectors().forEach(selector -> misses.addAll(missing(selector)));
        Set<String> known = labels(asked);
        asked.labels()
                .stream()
                .filter(label -> !known.contains(label))
                .forEach(label -> misses.add("no label " + label));
        return misses;
    }

    /** The labels that the series of that expression may have. */
    Set<String> labels(PromQl asked) {
        var known = new TreeSet<>(SCRAPE_LABELS);
        asked.selectors()
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

    /** Each of several words must be a value that there is. What Grafana puts in, and what must not be, is not known here. */
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
