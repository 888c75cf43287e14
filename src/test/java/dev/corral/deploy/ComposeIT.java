package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import dev.corral.dev.ContainerRedis;
import dev.corral.dev.FreePort;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Runs docker-compose.yml if a Docker engine is available, otherwise skipped. Builds the images first. */
@Timeout(1_800)
@EnabledIf(value = "engineIsUsable", disabledReason = "no Docker engine with compose that can pull an image: only the schema was checked")
class ComposeIT {

    private static final String PROJECT = "corral-compose-it";
    private static final List<String> PORTS = List.of("CORRAL_PORT", "CORRAL_MANAGEMENT_PORT", "SHOP_PORT",
            "BALANCER_PORT",
            "PROMETHEUS_PORT", "GRAFANA_PORT");

    private static final Map<String, String> ENVIRONMENT = new HashMap<>();

    static boolean engineIsUsable() throws Exception {
        return ContainerRedis.engineIsUsable() && run("version") == 0;
    }

    @BeforeAll
    static void composeUp() throws Exception {
        List<Integer> free = FreePort.pick(PORTS.size());
        for (int i = 0; i < PORTS.size(); i++) {
            ENVIRONMENT.put(PORTS.get(i), free.get(i).toString());
        }
        assertThat(run("up", "--build", "--wait", "--wait-timeout", "300")).isZero();
    }

    @AfterAll
    static void composeDown() throws Exception {
        if (!ENVIRONMENT.isEmpty()) {
            run("down", "--volumes", "--timeout", "10");
        }
    }

    @Test
    void simultaneousRequestsAtBalancerAreOneOriginRequest() throws Exception {
        try (HttpClient client = HttpClient.newHttpClient()) {
            var crowd = IntStream.range(0, 60)
                    .mapToObj(i -> client.sendAsync(request("CORRAL_PORT", "/products/crowd"), BodyHandlers.ofString()))
                    .toList();

            crowd.forEach(response -> assertThat(response.join().statusCode()).isEqualTo(200));
            assertThat(get("SHOP_PORT", "/count").at("/paths").path("/products/crowd").asInt()).isEqualTo(1);
        }
    }

    @Test
    void prometheusScrapesThreeReplicasAndLoadsRules() throws Exception {
        await().atMost(Duration.ofMinutes(1))
                .pollInterval(Duration.ofSeconds(1))
                .until(() -> get("PROMETHEUS_PORT", "/api/v1/query?query=sum(corral_redis_up)")
                        .at("/data/result/0/value/1")
                        .asText()
                        .equals("3"));
        JsonNode rules = get("PROMETHEUS_PORT", "/api/v1/rules").at("/data/groups/0/rules");

        assertThat(StreamSupport.stream(rules.spliterator(), false).map(rule -> rule.path("name").asText()))
                .containsExactlyElementsOf(
                        AlertRules.rules().stream().map(rule -> rule.path("alert").asText()).toList());
    }

    @Test
    void grafanaServesDashboardAnonymously() {
        await().atMost(Duration.ofMinutes(1))
                .pollInterval(Duration.ofSeconds(1))
                .ignoreExceptions()
                .until(() -> get("GRAFANA_PORT", "/api/dashboards/uid/corral").at("/dashboard/title")
                        .asText()
                        .equals("Corral"));
    }

    private static HttpRequest request(String port, String path) {
        return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + ENVIRONMENT.get(port) + path)).build();
    }

    private static JsonNode get(String port, String path) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpResponse<String> response = client.send(request(port, path), BodyHandlers.ofString());
            assertThat(response.statusCode()).isEqualTo(200);
            return Yaml.read(response.body());
        }
    }

    private static int run(String... arguments) throws IOException, InterruptedException {
        var command = new ArrayList<>(List.of("docker", "compose", "--project-name", PROJECT));
        command.addAll(List.of(arguments));
        var builder = new ProcessBuilder(command).inheritIO();
        builder.environment().putAll(ENVIRONMENT);
        return builder.start().waitFor();
    }
}
