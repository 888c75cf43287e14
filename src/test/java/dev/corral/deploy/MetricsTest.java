package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import dev.corral.CorralApplication;
import dev.corral.coalesce.Coalescer;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.dev.RedisServer;
import dev.corral.dev.StubResponse;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import reactor.core.publisher.Sinks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

/**
 * Alert rules, dashboard and README use only metrics that a running replica exposes. The test starts one replica and sends requests of
 * every outcome, so that each has been counted.
 */
class MetricsTest {

    private static final Pattern TEMPLATE = Pattern.compile("\\{\\{\\s*(?:\\$labels\\.)?([a-z_]+)\\s*}}");

    private static PrometheusScrape scrape = new PrometheusScrape(List.of());

    @BeforeAll
    static void produceEveryOutcome() throws Exception {
        try (DemoShop shop = DemoShop.start(Duration.ofMillis(1));
                EmbeddedRedis redis = RedisServer.embedded();
                ConfigurableApplicationContext corral = start(shop, redis);
                HttpClient client = HttpClient.newHttpClient()) {
            var ask = new MetricsClient(client, "http://127.0.0.1:" + port(corral, "server"));
            Coalescer<?, ?> coalescer = corral.getBean(Coalescer.class);
            ask.expectStatus(200, "/products/1");
            awaitStored(coalescer);
            ask.expectStatus(200, "/products/1");
            ask.expectStatus(200, "/private/1");
            ask.post("/products/1");
            ask.expectStatus(502, "/dead/1");
            ask.expectStatus(504, "/products/2", "Cache-Control", "only-if-cached");
            shop.respondWith("/stale",
                    StubResponse.of(200, "a", "Cache-Control", "max-age=0, stale-while-revalidate=60"));
            ask.expectStatus(200, "/stale");
            awaitStored(coalescer);
            ask.expectStatus(200, "/stale");
            collapse(shop, coalescer, ask);
            String management = "http://127.0.0.1:" + port(corral, "management") + "/actuator/prometheus";
            scrape = PrometheusScrape.read(new MetricsClient(client, management).expectStatus(200, "").body());
        }
    }

    private record MetricsClient(HttpClient http, String base) {

        HttpResponse<String> expectStatus(int expected, String path, String... fields) throws Exception {
            var request = HttpRequest.newBuilder(URI.create(base + path));
            return send(expected, fields.length == 0 ? request.build() : request.headers(fields).build());
        }

        void post(String path) throws Exception {
            send(200, HttpRequest.newBuilder(URI.create(base + path)).POST(BodyPublishers.ofString("a")).build());
        }

        private HttpResponse<String> send(int expected, HttpRequest request) throws Exception {
            HttpResponse<String> response = http.send(request, BodyHandlers.ofString());
            assertThat(response.statusCode()).isEqualTo(expected);
            return response;
        }
    }

    /** Waits until the response is stored, which happens after it was sent. */
    private static void awaitStored(Coalescer<?, ?> coalescer) {
        await().until(() -> coalescer.flightCount() == 0);
    }

    /** Two requests, one fetch: the shop responds when both wait. */
    private static void collapse(DemoShop shop, Coalescer<?, ?> coalescer, MetricsClient client) {
        Sinks.One<StubResponse> held = Sinks.one();
        shop.script("/held", received -> held.asMono());
        HttpRequest request = HttpRequest.newBuilder(URI.create(client.base + "/held")).build();
        var first = client.http.sendAsync(request, BodyHandlers.discarding());
        var second = client.http.sendAsync(request, BodyHandlers.discarding());
        await().until(() -> coalescer.waiterCount() == 2);
        held.tryEmitValue(StubResponse.of(200, "a", "Cache-Control", "max-age=60")).orThrow();
        assertThat(List.of(first.join().statusCode(), second.join().statusCode())).containsOnly(200);
    }

    private static ConfigurableApplicationContext start(DemoShop shop, EmbeddedRedis redis) {
        var arguments = new ArrayList<String>();
        redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.addAll(List.of("--server.port=0", "--management.server.port=0", "--spring.data.redis.timeout=5s",
                "--corral.routes[0].id=dead", "--corral.routes[0].path=/dead/**",
                "--corral.routes[0].origin=http://127.0.0.1:" + FreePort.pick(), "--corral.routes[1].id=shop",
                "--corral.routes[1].origin=" + shop.url(), "--corral.routes[1].timeout=60s"));
        return new SpringApplicationBuilder(CorralApplication.class).run(arguments.toArray(String[]::new));
    }

    private static int port(ConfigurableApplicationContext corral, String which) {
        return corral.getEnvironment().getRequiredProperty("local." + which + ".port", Integer.class);
    }

    @AfterAll
    static void clearScrape() {
        scrape = new PrometheusScrape(List.of());
    }

    // ---- alerts

    @Test
    void alertExpressionsUseExposedMetrics() {
        assertThat(AlertRules.rules()).hasSizeGreaterThan(5)
                .allSatisfy(rule -> assertThat(scrape.missing(rule.path("expr").asText()))
                        .as(rule.path("alert").asText())
                        .isEmpty());
    }

    @Test
    void alertsHaveSeverityAndDescription() {
        assertThat(AlertRules.rules()).allSatisfy(rule -> {
            assertThat(rule.path("alert").asText()).startsWith("Corral");
            assertThat(rule.at("/labels/severity").asText()).isIn("warning", "critical");
            assertThat(rule.at("/annotations/summary").asText()).isNotBlank();
            assertThat(rule.at("/annotations/description").asText()).isNotBlank();
            assertThat(templated(rule.at("/annotations/summary").asText()))
                    .isSubsetOf(labels(rule.path("expr").asText()));
        });
        assertThat(AlertRules.rules()).extracting(rule -> rule.path("alert").asText()).doesNotHaveDuplicates();
    }

    // ---- dashboard

    @Test
    void dashboardPanelsUseExposedMetrics() {
        assertThat(new GrafanaDashboard().queries()).hasSizeGreaterThan(20).allSatisfy(query -> {
            assertThat(scrape.missing(query.expression())).as(query.panel()).isEmpty();
            assertThat(templated(query.legend())).as(query.panel()).isSubsetOf(labels(query.expression()));
        });
    }

    @Test
    void dashboardVariablesHaveValues() {
        assertThat(new GrafanaDashboard().labelValues()).isNotEmpty().allSatisfy(values -> {
            assertThat(scrape.missing(values.selector())).isEmpty();
            assertThat(labels(values.selector())).contains(values.label());
        });
    }

    @Test
    void dashboardPanelsHaveUniquePositionsAndDatasource() {
        List<JsonNode> panels = new GrafanaDashboard().panels();
        Set<String> variables = new TreeSet<>(Set.of("__rate_interval", "__range"));
        new GrafanaDashboard().variables().forEach(variable -> variables.add(variable.path("name").asText()));

        assertThat(panels).extracting(panel -> panel.path("id").asInt()).doesNotHaveDuplicates();
        assertThat(panels).extracting(panel -> panel.path("gridPos")).doesNotHaveDuplicates();
        assertThat(panels).allSatisfy(panel -> {
            assertThat(panel.at("/datasource/uid").asText()).isEqualTo("${datasource}");
            assertThat(panel.at("/gridPos/x").asInt() + panel.at("/gridPos/w").asInt()).isLessThanOrEqualTo(24);
        });
        assertThat(new GrafanaDashboard().queries()).allSatisfy(query -> assertThat(usedVariables(query.expression()))
                .isSubsetOf(variables));
    }

    private static Set<String> usedVariables(String expression) {
        var used = new TreeSet<String>();
        Matcher variable = Pattern.compile("\\$([a-z_]+)").matcher(expression);
        while (variable.find()) {
            used.add(variable.group(1));
        }
        return used;
    }

    // ---- README

    private static List<String> readmeMeters() {
        String readme = Yaml.text(Path.of("README.md"));
        String table = readme.substring(readme.indexOf("| meter |"), readme.indexOf("**The most important figure"));
        return Pattern.compile("`(corral\\.[a-z.]+)`").matcher(table).results().map(it -> it.group(1)).toList();
    }

    /** The names in Prometheus' format. */
    private static List<String> prometheusNames(String meter) {
        String name = meter.replace('.', '_');
        return List.of(name, name + "_total", name + "_seconds", name + "_seconds_count", name + "_seconds_sum",
                name + "_seconds_max", name + "_seconds_bucket");
    }

    @Test
    void readmeMetersAreExposed() {
        assertThat(readmeMeters()).hasSizeGreaterThan(8)
                .allSatisfy(meter -> assertThat(scrape.series()).extracting(PrometheusScrape.Series::metric)
                        .containsAnyElementsOf(prometheusNames(meter)));
    }

    @Test
    void exposedMetersAreInTheReadme() {
        Set<String> documented = new TreeSet<>();
        readmeMeters().forEach(meter -> documented.addAll(prometheusNames(meter)));

        assertThat(scrape.series()).extracting(PrometheusScrape.Series::metric)
                .filteredOn(metric -> metric.startsWith("corral_"))
                .hasSizeGreaterThan(20)
                .isSubsetOf(documented);
    }

    /** Each exposed value of a label is listed in its row of the README. */
    @Test
    void exposedLabelValuesAreInTheReadme() {
        String readme = Yaml.text(Path.of("README.md"));
        for (String meter : readmeMeters()) {
            String row = readme.lines().filter(line -> line.startsWith("| `" + meter + "`")).findFirst().orElse("");
            if (row.isEmpty()) {
                continue;
            }
            scrape.series()
                    .stream()
                    .filter(series -> prometheusNames(meter).contains(series.metric()))
                    .forEach(series -> {
                        for (String label : List.of("outcome", "result", "reason")) {
                            Optional.ofNullable(series.labels().get(label))
                                    .ifPresent(value -> assertThat(row).as(series.metric()).contains(value));
                        }
                    });
        }
    }

    /** The README contains the query as a PromQL expression. */
    @Test
    void readmeQueryUsesExposedMetrics() {
        String readme = Yaml.text(Path.of("README.md"));
        List<String> recipes = Pattern.compile("(?s)```promql\n(.*?)```")
                .matcher(readme)
                .results()
                .map(it -> it.group(1))
                .toList();

        assertThat(recipes).isNotEmpty().allSatisfy(recipe -> assertThat(scrape.missing(recipe)).isEmpty());
    }

    // ---- the check itself

    @Test
    void missingMetricOrLabelIsDetected() {
        assertThat(scrape.missing("rate(corral_fils_total[5m])")).containsExactly("no metric corral_fils_total");
        assertThat(scrape.missing("corral_requests_seconds_count{outcom=\"hit\"}")).singleElement()
                .asString()
                .contains("no label outcom");
        assertThat(scrape.missing("corral_requests_seconds_count{outcome=~\"hit|hits\"}")).singleElement()
                .asString()
                .contains("no outcome hits");
        assertThat(scrape.missing("sum by (rute) (corral_requests_seconds_count)")).containsExactly("no label rute");
        assertThatThrownBy(() -> scrape.missing("rtae(corral_fills_total[5m])")).hasMessageContaining("rtae");
        assertThatThrownBy(() -> scrape.missing("rate(corral_fills_total[5m]")).hasMessageContaining("not closed");
        assertThatThrownBy(() -> scrape.missing("corral_fills_total ? 1")).hasMessageContaining("not PromQL");
    }

    private static Set<String> labels(String expression) {
        return scrape.labels(PromQl.read(expression));
    }

    private static Set<String> templated(String text) {
        var names = new TreeSet<String>();
        Matcher template = TEMPLATE.matcher(text);
        while (template.find()) {
            names.add(template.group(1));
        }
        return names;
    }
}
