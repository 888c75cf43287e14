package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.Error;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import dev.corral.config.CorralProperties;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.springframework.boot.autoconfigure.data.redis.RedisProperties;
import org.springframework.boot.convert.DurationStyle;

import static org.assertj.core.api.Assertions.assertThat;

/** Checks docker-compose.yml against the schema of the Compose Specification, and its parts against each other. */
class ComposeTest {

    private static final Path FILE = Path.of("docker-compose.yml");
    private static final Path SCHEMA = Path.of("src/test/resources/dev/corral/deploy/compose-spec.json");
    private static final Pattern VARIABLE = Pattern.compile("\\$\\{[A-Z_]+:-([^}]*)}");

    /** The file with no variable set. */
    private final JsonNode compose = Yaml.read(VARIABLE.matcher(Yaml.text(FILE)).replaceAll("$1"));

    @Test
    void composeFileMatchesSpecification() {
        assertThat(errors(compose)).isEmpty();
    }

    /** Checks that the check itself fails when it must. */
    @Test
    void schemaCheckDetectsInvalidComposeFile() {
        String text = Yaml.text(FILE);

        assertThat(errors(Yaml.read(text.replace("healthcheck:", "healtcheck:")))).isNotEmpty();
        assertThat(errors(Yaml.read(text.replace("condition: service_healthy", "condition: healthy")))).isNotEmpty();
        assertThat(errors(Yaml.read(text.replace("    volumes: [", "    volumes: [{type: bind, sourze: a},"))))
                .isNotEmpty();
    }

    @Test
    void composeFileDefinesAllServices() {
        assertThat(services()).containsExactlyInAnyOrder("redis", "origin", "corral", "balancer", "prometheus",
                "grafana");
        assertThat(service("corral").at("/deploy/replicas").asInt()).isEqualTo(3);
        assertThat(service("corral").at("/build/target").asText()).isEqualTo("corral");
        assertThat(service("origin").at("/build/target").asText()).isEqualTo("demo");
        assertThat(Dockerfile.read().stages()).contains("corral", "demo");
    }

    @Test
    void servicesAreUnprivilegedAndLoopbackOnly() {
        assertThat(services()).allSatisfy(name -> {
            assertThat(service(name).path("read_only").asBoolean()).isTrue();
            assertThat(texts(service(name).path("cap_drop"))).containsExactly("ALL");
            assertThat(texts(service(name).path("security_opt"))).containsExactly("no-new-privileges:true");
            assertThat(texts(service(name).path("ports"))).allMatch(port -> port.startsWith("127.0.0.1:"));
        });
    }

    /** An image without a version changes over time. */
    @Test
    void imagesArePinnedToAVersion() {
        assertThat(services()).filteredOn(name -> !service(name).has("build"))
                .allSatisfy(name -> assertThat(service(name).path("image").asText()).matches(".+:v?[0-9][^:]*"));
    }

    @Test
    void mountedFilesExist() {
        List<String> sources = services().stream()
                .flatMap(name -> texts(service(name).path("volumes")).stream())
                .toList();

        assertThat(sources).isNotEmpty().allSatisfy(mount -> {
            assertThat(mount).startsWith("./").endsWith(":ro");
            assertThat(Path.of(mount.substring(0, mount.indexOf(':')))).isRegularFile();
        });
    }

    @Test
    void replicaSettingsBind() {
        ReplicaSettings replica = ReplicaSettings.with(Yaml.text(Path.of("deploy/corral.yml")), environment("corral"));
        CorralProperties settings = replica.settings();

        assertThat(settings.routes()).singleElement().satisfies(route -> {
            assertThat(route.origin())
                    .hasToString("http://origin:" + texts(service("origin").path("command")).getFirst());
            // The replicas trust the fields of the load balancer.
            assertThat(route.forward().trust()).isTrue();
        });
        assertThat(services()).contains(replica.bind("spring.data.redis", RedisProperties.class).getHost());
        assertThat(texts(service("corral").path("volumes"))).singleElement()
                .asString()
                .contains(":" + Dockerfile.read().last("corral", "WORKDIR") + "/config/application.yml:");
    }

    /** After SIGTERM: the drain, the phase of requests, then the phase of flights. */
    @Test
    void stopGracePeriodCoversDrainAndShutdownPhases() throws IOException {
        var properties = new Properties();
        try (InputStream own = Files.newInputStream(Path.of("src/main/resources/application.properties"))) {
            properties.load(own);
        }
        Duration phase = DurationStyle.detectAndParse(
                properties.getProperty("spring.lifecycle.timeout-per-shutdown-phase"));

        assertThat(DurationStyle.detectAndParse(service("corral").path("stop_grace_period").asText()))
                .isGreaterThan(phase.multipliedBy(2).plus(drain()));
    }

    /** The load balancer notices before a replica stops serving: number of failed health checks times their interval. */
    @Test
    void drainExceedsBalancerHealthCheckTime() {
        Matcher check = Pattern.compile("check port 8081 inter (\\S+) fall (\\d+)")
                .matcher(Yaml.text(Path.of("deploy/haproxy.cfg")));
        assertThat(check.find()).isTrue();

        assertThat(drain()).isGreaterThan(
                DurationStyle.detectAndParse(check.group(1)).multipliedBy(Long.parseLong(check.group(2))));
    }

    private static Duration drain() {
        return ReplicaSettings.with(Yaml.text(Path.of("deploy/corral.yml")), Map.of()).settings().shutdown().drain();
    }

    @Test
    void balancerConfigurationMatchesReplicas() {
        String haproxy = Yaml.text(Path.of("deploy/haproxy.cfg"));

        assertThat(haproxy).contains("server-template corral- 10 corral:8080", "server-template corral- 10 corral:8081",
                "check port 8081", "uri /actuator/health/readiness");
        Set<String> bound = Pattern.compile("bind :(\\d+)")
                .matcher(haproxy)
                .results()
                .map(it -> it.group(1))
                .collect(
                        Collectors.toCollection(TreeSet::new));
        assertThat(texts(service("balancer").path("ports")))
                .extracting(port -> port.substring(port.lastIndexOf(':') + 1))
                .containsExactlyInAnyOrderElementsOf(bound);
        assertThat(texts(service("balancer").at("/healthcheck/test")).getLast())
                .isEqualTo("http://127.0.0.1:8404/ready");
        assertThat(haproxy).contains("monitor-uri /ready");
    }

    @Test
    void prometheusConfigurationMatchesReplicasAndRules() {
        JsonNode prometheus = Yaml.read(Path.of("deploy/prometheus.yml"));
        JsonNode job = prometheus.path("scrape_configs").get(0);

        // The alert rules use this job name.
        assertThat(job.path("job_name").asText()).isEqualTo("corral");
        assertThat(job.path("metrics_path").asText()).isEqualTo("/actuator/prometheus");
        assertThat(texts(job.at("/dns_sd_configs/0/names"))).isSubsetOf(services());
        assertThat(job.at("/dns_sd_configs/0/port").asInt()).isEqualTo(8081);
        assertThat(texts(service("prometheus").path("volumes"))).anyMatch(mount -> mount
                .equals("./" + AlertRules.FILE + ":" + texts(prometheus.path("rule_files")).getFirst() + ":ro"));
    }

    @Test
    void grafanaConfigurationMatchesPrometheusAndDashboard() {
        JsonNode source = Yaml.read(Path.of("deploy/grafana/datasources.yml")).at("/datasources/0");
        String dashboards = Yaml.read(Path.of("deploy/grafana/dashboards.yml"))
                .at("/providers/0/options/path")
                .asText();

        assertThat(source.path("url").asText()).isEqualTo("http://prometheus:9090");
        assertThat(source.path("isDefault").asBoolean()).isTrue();
        assertThat(texts(service("grafana").path("volumes")))
                .anyMatch(mount -> mount.equals("./" + GrafanaDashboard.FILE + ":" + dashboards + "/corral.json:ro"));
        assertThat(service("grafana").at("/environment/GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH").asText())
                .isEqualTo(dashboards + "/corral.json");
    }

    private Map<String, Object> environment(String service) {
        return service(service).path("environment")
                .properties()
                .stream()
                .collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().asText()));
    }

    private Set<String> services() {
        var names = new TreeSet<String>();
        compose.path("services").fieldNames().forEachRemaining(names::add);
        return names;
    }

    private JsonNode service(String name) {
        return compose.path("services").path(name);
    }

    private static List<String> texts(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false).map(JsonNode::asText).toList();
    }

    private static List<String> errors(JsonNode document) {
        // The schema's $id is not absolute, and its $schema is not the official URI of the dialect.
        JsonNode schema = ((ObjectNode) Yaml.read(SCHEMA)).without(List.of("$id", "$schema"));
        return SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_7)
                .getSchema(schema)
                .validate(document)
                .stream()
                .map(Error::toString)
                .toList();
    }
}
