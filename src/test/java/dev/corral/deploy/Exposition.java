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
record Exposition(List<Series> all) {

    /** One line. */
    record Series(String metric, Map<String, String> labels) {}

    /** Those that Prometheus gives to each series itself, by the scrape or by the cluster's service discovery. */
    private static final Set<String> OF_THE_SCRAPE = Set.of("job", "instance", "namespace", "service");
    /** What Prometheus knows without being told. */
    private static final Set<String> OF_PROMETHEUS = Set.of("up");

    private static final Pattern LINE = Pattern.compile("([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\\{(.*)})? \\S+");
    private static final Pattern LABEL = Pattern.compile("([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\\]|\\\\.)*)\"");
    private static final Pattern WORDS = Pattern.compile("[a-z_|-]+");

    static Exposition read(String text) {
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
        return new Exposition(all);
    }

    /** Why that expression could give nothing, ever; empty when it can. */
    List<String> misses(String expression) {
        PromQl asked = PromQl.read(expression);
        var misses = new ArrayList<String>();
        asked.selectors().forEach(selector -> misses.addAll(misses(selector)));
        Set<String> known = labels(asked);
        asked.labels()
                .stream()
                .filter(label -> !known.contains(label))
                .forEach(label -> misses.add("no label " + label));
        return misses;
    }

    /** The labels that the series of that expression may have. */
    Set<String> labels(PromQl asked) {
        var known = new TreeSet<>(OF_THE_SCRAPE);
        asked.selectors().forEach(selector -> of(selector.metric()).forEach(it -> known.addAll(it.labels().keySet())));
        return known;
    }

    private List<String> misses(PromQl.Selector selector) {
        if (OF_PROMETHEUS.contains(selector.metric())) {
            return List.of();
        }
        if (of(selector.metric()).findAny().isEmpty()) {
            return List.of("no metric " + selector.metric());
        }
        return selector.matches()
                .stream()
                .filter(match -> !OF_THE_SCRAPE.contains(match.label()))
                .flatMap(match -> misses(selector.metric(), match))
                .toList();
    }

    /** Each of several words must be a value that there is. What Grafana puts in, and what must not be, is not known here. */
    private Stream<String> misses(String metric, PromQl.Match match) {
        Set<String> values = new TreeSet<>();
        of(metric).forEach(series -> Optional.ofNullable(series.labels().get(match.label())).ifPresent(values::add));
        if (values.isEmpty()) {
            return Stream.of("no label " + match.label() + " of " + metric);
        }
        if (match.operator().startsWith("!") || match.value().contains("$")) {
            return Stream.empty();
        }
        if (match.operator().equals("=~") && !WORDS.matcher(match.value()).matches()) {
            return Stream.of("more of a pattern than this test understands: " + match.value());
        }
        return Stream.of(match.value().split("\\|", -1))
                .filter(value -> !values.contains(value))
                .map(value -> "no " + match.label() + " " + value + " of " + metric + ", only " + values);
    }

    private Stream<Series> of(String metric) {
        return all.stream().filter(series -> series.metric().equals(metric));
    }
}
