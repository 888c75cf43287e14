package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.marcnuri.helm.LintResult;
import dev.corral.config.CorralProperties;
import io.fabric8.kubernetes.api.model.ConfigMap;
import io.fabric8.kubernetes.api.model.Container;
import io.fabric8.kubernetes.api.model.ContainerPort;
import io.fabric8.kubernetes.api.model.EnvVar;
import io.fabric8.kubernetes.api.model.HasMetadata;
import io.fabric8.kubernetes.api.model.IntOrString;
import io.fabric8.kubernetes.api.model.PodSpec;
import io.fabric8.kubernetes.api.model.Probe;
import io.fabric8.kubernetes.api.model.Service;
import io.fabric8.kubernetes.api.model.ServiceAccount;
import io.fabric8.kubernetes.api.model.apps.Deployment;
import io.fabric8.kubernetes.api.model.autoscaling.v2.HorizontalPodAutoscaler;
import io.fabric8.kubernetes.api.model.networking.v1.NetworkPolicy;
import io.fabric8.kubernetes.api.model.policy.v1.PodDisruptionBudget;
import io.fabric8.openshift.api.model.monitoring.v1.PrometheusRule;
import io.fabric8.openshift.api.model.monitoring.v1.ServiceMonitor;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.springframework.boot.autoconfigure.data.redis.RedisProperties;
import org.springframework.boot.autoconfigure.ssl.PemSslBundleProperties;
import org.springframework.util.unit.DataSize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;
import static org.junit.jupiter.params.provider.Arguments.arguments;

/** Renders the chart with Helm, parses the result with the Kubernetes model, and binds Corral's settings to it. */
class ChartTest {

    private static final String NAME = "shop-corral";

    private static final String SENTINEL = """
            routes: [{id: shop, origin: "http://shop:8080"}]
            redis:
              mode: sentinel
              username: corral
              existingSecret: redis-acl
              passwordKey: pass
              sentinel:
                master: main
                nodes: ["s1:26379", "s2:26379"]
                username: watcher
                existingSecret: redis-sentinel
            """;

    private static final String CLUSTER = """
            routes: [{id: shop, origin: "https://shop:8443"}]
            redis:
              mode: cluster
              timeout: 250ms
              existingSecret: redis
              cluster:
                nodes: ["c1:6379", "c2:6379"]
              tls:
                enabled: true
                caSecret: redis-ca
                clientSecret: redis-client
            """;

    private static final String EVERYTHING = """
            image:
              repository: images.example/corral
              digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
              pullSecrets: [pull]
            routes:
              - id: assets
                path: /assets/**
                origin: http://assets:8080/base
                timeout: 3s
                max-body: 10MB
                concurrency: 50
                connection-max-life: 30s
                hit-for-miss: 1m
                host: client
                query: {include: [size, "v*"], exclude: [utm]}
                key: {fields: [X-Device]}
                forward: {trust: true, drop: [X-A], keep: [X-B]}
                cache:
                  max-life: 12h
                  heuristics: false
                  stale-if-error: 1h
                  early-refresh: 1.5
                  tag-fields: [Cache-Tag]
              - id: shop
                origin: http://shop:8080
            settings:
              lease: {ttl: 3s}
              waiters: {per-key: 1000000, per-replica: 2000000}
              near: {size: 64MB}
            config:
              resilience4j.circuitbreaker.configs.default:
                failure-rate-threshold: 40
              spring: {data: {redis: {client-name: corral}}}
              logging: {level: {root: warn}}
            redis: {mode: built-in}
            service: {type: LoadBalancer, port: 8000, annotations: {a: b}}
            management:
              auth:
                existingSecret: operators
                users:
                  - {nameKey: who, passwordKey: what, role: OPERATOR}
                  - {nameKey: who2, passwordKey: what2, role: VIEWER}
            jvmOptions: -Xlog:gc
            extraEnv: [{name: A, value: b}]
            extraVolumes: [{name: certs, secret: {secretName: certs}}]
            extraVolumeMounts: [{name: certs, mountPath: /etc/certs, readOnly: true}]
            shutdown: {drainSeconds: 9, requestSeconds: 30}
            autoscaling: {enabled: true, minReplicas: 4, maxReplicas: 9, targetCPUUtilizationPercentage: 60}
            podDisruptionBudget: {maxUnavailable: 25%}
            topologySpread: {whenUnsatisfiable: DoNotSchedule}
            networkPolicy:
              clients: [{namespaceSelector: {matchLabels: {role: edge}}}]
              operators: [{namespaceSelector: {matchLabels: {role: monitoring}}}]
              egress: {restricted: true, rules: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}
            monitoring:
              serviceMonitor: {enabled: true, labels: {release: prometheus}}
              prometheusRule: {enabled: true, labels: {release: prometheus}}
              dashboard: {enabled: true}
            serviceAccount: {annotations: {a: b}}
            podAnnotations: {a: b}
            podLabels: {team: shop}
            nodeSelector: {disk: fast}
            tolerations: [{key: only, operator: Exists}]
            affinity: {nodeAffinity: {}}
            priorityClassName: high
            """;

    private static final String NOTHING = HelmChart.MINIMAL_VALUES + """
            replicas: 1
            shutdown: {drainSeconds: 0}
            podDisruptionBudget: {enabled: false}
            topologySpread: {enabled: false}
            networkPolicy: {enabled: false}
            serviceAccount: {create: false}
            """;

    static List<Arguments> matrix() {
        return List.of(arguments("least", HelmChart.MINIMAL_VALUES), arguments("sentinel", SENTINEL),
                arguments("cluster", CLUSTER),
                arguments("everything", EVERYTHING), arguments("nothing", NOTHING),
                arguments("built-in", "routes: [{id: a, origin: 'http://a'}]\nredis: {mode: built-in}\n"));
    }

    // ---- for all values

    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void helmLintPasses(String name, String values) {
        LintResult result = HelmChart.lint(values);

        assertThat(result.isFailed()).as(String.join("\n", result.getMessages())).isFalse();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void objectsHaveValidUniqueNamesAndLabels(String name, String values) {
        List<HasMetadata> all = HelmChart.render(values).objects();

        assertThat(all).allSatisfy(object -> {
            assertThat(object.getMetadata().getName()).matches("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?");
            assertThat(object.getMetadata().getLabels())
                    .containsEntry("app.kubernetes.io/instance", "shop")
                    .containsEntry("app.kubernetes.io/managed-by", "Helm")
                    .allSatisfy((label, value) -> assertThat(value)
                            .matches("([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"));
        });
        assertThat(all).extracting(object -> object.getKind() + " " + object.getMetadata().getName())
                .doesNotHaveDuplicates();
    }

    /** The restricted Pod Security Standard, a read-only file system, and no API server token. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void podsMeetRestrictedSecurityStandard(String name, String values) {
        List<PodSpec> pods = HelmChart.render(values).pods();

        assertThat(pods).isNotEmpty().allSatisfy(pod -> {
            assertThat(pod.getAutomountServiceAccountToken()).isFalse();
            assertThat(pod.getEnableServiceLinks()).isFalse();
            assertThat(pod.getHostNetwork()).isNull();
            assertThat(pod.getSecurityContext().getRunAsNonRoot()).isTrue();
            assertThat(pod.getSecurityContext().getRunAsUser()).isPositive();
            assertThat(pod.getSecurityContext().getSeccompProfile().getType()).isEqualTo("RuntimeDefault");
            assertThat(pod.getVolumes()).allSatisfy(volume -> assertThat(volume.getHostPath()).isNull());
            assertThat(pod.getContainers()).allSatisfy(container -> {
                assertThat(container.getSecurityContext().getAllowPrivilegeEscalation()).isFalse();
                assertThat(container.getSecurityContext().getReadOnlyRootFilesystem()).isTrue();
                assertThat(container.getSecurityContext().getCapabilities().getDrop()).containsExactly("ALL");
                assertThat(container.getSecurityContext().getCapabilities().getAdd()).isEmpty();
                assertThat(container.getResources().getRequests()).containsKeys("cpu", "memory");
                assertThat(container.getResources().getLimits()).containsKey("memory");
                assertThat(container.getVolumeMounts()).allSatisfy(mount -> assertThat(pod.getVolumes())
                        .anyMatch(volume -> volume.getName().equals(mount.getName())));
            });
        });
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void selectorsMatchExactlyTheirPods(String name, String values) {
        KubernetesManifests rendered = HelmChart.render(values);
        Map<String, String> replicas = labels(rendered.named(Deployment.class, NAME));

        assertThat(rendered.ofKind(Deployment.class)).allSatisfy(deployment -> assertThat(labels(deployment))
                .containsAllEntriesOf(deployment.getSpec().getSelector().getMatchLabels()));
        assertThat(List.of(NAME, NAME + "-management")).allSatisfy(service -> assertThat(replicas)
                .containsAllEntriesOf(rendered.named(Service.class, service).getSpec().getSelector()));
        assertThat(rendered.ofKind(PodDisruptionBudget.class)).allSatisfy(budget -> assertThat(replicas)
                .containsAllEntriesOf(budget.getSpec().getSelector().getMatchLabels()));
        rendered.ofKind(Deployment.class)
                .stream()
                .filter(it -> it.getMetadata().getName().endsWith("-redis"))
                .forEach(redis -> {
                    Map<String, String> selector = rendered.named(Service.class, NAME + "-redis")
                            .getSpec()
                            .getSelector();
                    assertThat(labels(redis)).containsAllEntriesOf(selector);
                    assertThat(selector).isNotEqualTo(rendered.named(Service.class, NAME).getSpec().getSelector());
                });
    }

    /** Services and probes refer to existing container ports. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void referencedPortsExist(String name, String values) {
        KubernetesManifests rendered = HelmChart.render(values);
        Container replica = container(rendered);

        assertThat(replica.getPorts()).extracting(ContainerPort::getName, ContainerPort::getContainerPort)
                .containsExactly(tuple("http", 8080),
                        tuple("management", 8081));
        var settings = ReplicaSettings.of(rendered);
        assertThat(settings.value("server.port", Integer.class)).isEqualTo(8080);
        assertThat(settings.value("management.server.port", Integer.class)).isEqualTo(8081);
        assertThat(targetPort(rendered, NAME)).isEqualTo("http");
        assertThat(targetPort(rendered, NAME + "-management")).isEqualTo("management");
        assertThat(rendered.named(Service.class, NAME + "-management").getSpec().getType()).isEqualTo("ClusterIP");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void probesUseManagementPort(String name, String values) {
        Container replica = container(HelmChart.render(values));

        assertThat(List.of(replica.getStartupProbe(), replica.getLivenessProbe(), replica.getReadinessProbe()))
                .extracting(Probe::getHttpGet)
                .allSatisfy(get -> assertThat(get.getPort()).isEqualTo(new IntOrString("management")))
                .extracting(get -> get.getPath())
                .containsExactly("/actuator/health/liveness", "/actuator/health/liveness",
                        "/actuator/health/readiness");
        // Two minutes to start, longer than a JVM takes on a busy node.
        assertThat(replica.getStartupProbe().getPeriodSeconds() * replica.getStartupProbe().getFailureThreshold())
                .isEqualTo(120);
    }

    /** The kubelet may kill only after the drain, the phase of requests and the phase of flights. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void gracePeriodCoversDrainAndShutdownPhases(String name, String values) {
        KubernetesManifests rendered = HelmChart.render(values);
        PodSpec pod = pod(rendered);
        Duration phase = ReplicaSettings.of(rendered)
                .value("spring.lifecycle.timeout-per-shutdown-phase", Duration.class);
        Duration drain = ReplicaSettings.of(rendered).settings().shutdown().drain();

        assertThat(Duration.ofSeconds(pod.getTerminationGracePeriodSeconds()))
                .isGreaterThan(phase.multipliedBy(2).plus(drain));
        // The replica drains itself; a preStop hook would only add to it.
        assertThat(container(rendered).getLifecycle()).isNull();
        assertThat(
                rendered.named(Deployment.class, NAME).getSpec().getStrategy().getRollingUpdate().getMaxUnavailable())
                .isEqualTo(new IntOrString(0));
    }

    /** Load balancers that use readiness have noticed before the Pod stops serving. */
    @Test
    void drainExceedsReadinessProbeFailureTime() {
        KubernetesManifests rendered = HelmChart.render(HelmChart.MINIMAL_VALUES);
        Probe readiness = container(rendered).getReadinessProbe();

        assertThat(ReplicaSettings.of(rendered).settings().shutdown().drain()).isGreaterThan(
                Duration.ofSeconds(readiness.getPeriodSeconds()).multipliedBy(readiness.getFailureThreshold()));
    }

    @Test
    void drainFollowsValues() {
        assertThat(ReplicaSettings.of(HelmChart.render(EVERYTHING)).settings().shutdown().drain())
                .isEqualTo(Duration.ofSeconds(9));
        assertThat(ReplicaSettings.of(HelmChart.render(NOTHING)).settings().shutdown().drain()).isZero();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("matrix")
    void renderedSettingsBind(String name, String values) {
        CorralProperties settings = ReplicaSettings.of(HelmChart.render(values)).settings();

        assertThat(settings.routes()).isNotEmpty();
        assertThat(settings.replicaId()).isEqualTo("the-metadata.name");
    }

    // ---- for specific values

    @Test
    void routesAndSettingsFollowValues() {
        CorralProperties settings = ReplicaSettings.of(HelmChart.render(EVERYTHING)).settings();

        assertThat(settings.lease().ttl()).isEqualTo(Duration.ofSeconds(3));
        assertThat(settings.waiters()).isEqualTo(new CorralProperties.WaiterLimits(1_000_000, 2_000_000));
        assertThat(settings.near().size()).isEqualTo(DataSize.ofMegabytes(64));
        assertThat(settings.routes()).extracting(CorralProperties.RouteProperties::id)
                .containsExactly("assets", "shop");
        CorralProperties.RouteProperties assets = settings.routes().getFirst();
        assertThat(assets.path()).isEqualTo("/assets/**");
        assertThat(assets.origin()).hasToString("http://assets:8080/base");
        assertThat(assets.maxBody()).isEqualTo(DataSize.ofMegabytes(10));
        assertThat(assets.concurrency()).isEqualTo(50);
        assertThat(assets.connectionMaxLife()).isEqualTo(Duration.ofSeconds(30));
        assertThat(assets.query().include()).containsExactlyInAnyOrder("size", "v*");
        assertThat(assets.key().fields()).containsExactly("X-Device");
        assertThat(assets.forward().trust()).isTrue();
        assertThat(assets.cache().heuristics()).isFalse();
        assertThat(assets.cache().earlyRefresh()).isEqualTo(1.5);
        assertThat(settings.routes().getLast()).isEqualTo(ReplicaSettings.of(HelmChart.render(HelmChart.MINIMAL_VALUES))
                .settings()
                .routes()
                .getFirst());
    }

    @Test
    void otherSpringPropertiesArePassedOn() {
        ReplicaSettings replica = ReplicaSettings.of(HelmChart.render(EVERYTHING));

        assertThat(replica.value("resilience4j.circuitbreaker.configs.default.failure-rate-threshold", Integer.class))
                .isEqualTo(40);
        assertThat(replica.value("logging.level.root", String.class)).isEqualTo("warn");
        // Merged with the chart's values instead of replacing them.
        RedisProperties redis = replica.bind("spring.data.redis", RedisProperties.class);
        assertThat(redis.getClientName()).isEqualTo("corral");
        assertThat(redis.getHost()).isEqualTo(NAME + "-redis");
    }

    @Test
    void standaloneRedisFollowsValues() {
        KubernetesManifests rendered = HelmChart
                .render(HelmChart.MINIMAL_VALUES
                        + "  port: 6380\n  database: 3\n  username: corral\n  existingSecret: acl\n"
                        + "  keyPrefix: staging\n");
        RedisProperties redis = ReplicaSettings.of(rendered).bind("spring.data.redis", RedisProperties.class);

        assertThat(redis.getHost()).isEqualTo("redis.example");
        assertThat(redis.getPort()).isEqualTo(6380);
        assertThat(redis.getDatabase()).isEqualTo(3);
        assertThat(redis.getUsername()).isEqualTo("corral");
        assertThat(redis.getPassword()).isEqualTo("acl/password");
        assertThat(redis.getTimeout()).isEqualTo(Duration.ofMillis(100));
        assertThat(redis.getSsl().isEnabled()).isFalse();
        assertThat(ReplicaSettings.of(rendered).value("corral.redis.key-prefix", String.class)).isEqualTo("staging");
        assertThat(rendered.ofKind(Deployment.class)).hasSize(1);
    }

    @Test
    void sentinelRedisFollowsValues() {
        RedisProperties redis = ReplicaSettings.of(HelmChart.render(SENTINEL))
                .bind("spring.data.redis", RedisProperties.class);

        assertThat(redis.getSentinel().getMaster()).isEqualTo("main");
        assertThat(redis.getSentinel().getNodes()).containsExactly("s1:26379", "s2:26379");
        assertThat(redis.getSentinel().getUsername()).isEqualTo("watcher");
        assertThat(redis.getSentinel().getPassword()).isEqualTo("redis-sentinel/password");
        assertThat(redis.getUsername()).isEqualTo("corral");
        assertThat(redis.getPassword()).isEqualTo("redis-acl/pass");
        assertThat(redis.getCluster()).isNull();
    }

    @Test
    void clusterRedisWithTlsFollowsValues() {
        KubernetesManifests rendered = HelmChart.render(CLUSTER);
        ReplicaSettings replica = ReplicaSettings.of(rendered);
        RedisProperties redis = replica.bind("spring.data.redis", RedisProperties.class);
        PemSslBundleProperties bundle = replica.bind("spring.ssl.bundle.pem.redis", PemSslBundleProperties.class);

        assertThat(redis.getCluster().getNodes()).containsExactly("c1:6379", "c2:6379");
        assertThat(redis.getSentinel()).isNull();
        assertThat(redis.getSsl().isEnabled()).isTrue();
        assertThat(redis.getSsl().getBundle()).isEqualTo("redis");
        Map<String, String> files = Map.of("redis-ca", "/etc/corral/redis-ca", "redis-client",
                "/etc/corral/redis-client");
        files.forEach((volume, path) -> {
            assertThat(pod(rendered).getVolumes()).anySatisfy(each -> {
                assertThat(each.getName()).isEqualTo(volume);
                assertThat(each.getSecret().getSecretName()).isEqualTo(volume);
            });
            assertThat(container(rendered).getVolumeMounts()).anySatisfy(each -> {
                assertThat(each.getName()).isEqualTo(volume);
                assertThat(each.getMountPath()).isEqualTo(path);
            });
        });
        assertThat(bundle.getTruststore().getCertificate()).isEqualTo("file:/etc/corral/redis-ca/ca.crt");
        assertThat(bundle.getKeystore().getCertificate()).isEqualTo("file:/etc/corral/redis-client/tls.crt");
        assertThat(bundle.getKeystore().getPrivateKey()).isEqualTo("file:/etc/corral/redis-client/tls.key");
    }

    @Test
    void bundledRedisEvictsVolatileKeysAndAdmitsReplicasOnly() {
        KubernetesManifests rendered = HelmChart.render(EVERYTHING);

        assertThat(rendered.named(Deployment.class, NAME + "-redis")
                .getSpec()
                .getTemplate()
                .getSpec()
                .getContainers()
                .getFirst()
                .getArgs()).containsSequence("--maxmemory-policy", "volatile-lfu");
        NetworkPolicy policy = rendered.named(NetworkPolicy.class, NAME + "-redis");
        assertThat(policy.getSpec().getIngress()).singleElement()
                .satisfies(rule -> assertThat(rule.getFrom())
                        .singleElement()
                        .satisfies(peer -> assertThat(labels(rendered.named(Deployment.class, NAME)))
                                .containsAllEntriesOf(peer.getPodSelector().getMatchLabels())));
    }

    /** Neither a ConfigMap nor a Pod contains a password: the chart refers to Secrets and creates none. */
    @Test
    void passwordsComeFromSecretReferences() {
        assertThat(container(HelmChart.render(EVERYTHING)).getEnv())
                .filteredOn(variable -> variable.getName().startsWith("CORRAL_MANAGEMENT"))
                .extracting(EnvVar::getName, ChartTest::value)
                .containsExactly(tuple("CORRAL_MANAGEMENT_USERS_0_NAME", "operators/who"),
                        tuple("CORRAL_MANAGEMENT_USERS_0_PASSWORD", "operators/what"),
                        tuple("CORRAL_MANAGEMENT_USERS_0_ROLE", "OPERATOR"),
                        tuple("CORRAL_MANAGEMENT_USERS_1_NAME", "operators/who2"),
                        tuple("CORRAL_MANAGEMENT_USERS_1_PASSWORD", "operators/what2"),
                        tuple("CORRAL_MANAGEMENT_USERS_1_ROLE", "VIEWER"));
        assertThat(container(HelmChart.render(HelmChart.MINIMAL_VALUES)).getEnv()).extracting(EnvVar::getName)
                .containsExactly("CORRAL_REPLICA_ID");
    }

    @Test
    void defaultImageTagIsProjectVersion() {
        String version = ProjectPom.read("/project/version");

        assertThat(Yaml.read(HelmChart.HOME.resolve("Chart.yaml")).path("appVersion").asText()).isEqualTo(version);
        assertThat(container(HelmChart.render(HelmChart.MINIMAL_VALUES)).getImage()).isEqualTo("corral:" + version);
        assertThat(container(HelmChart.render(EVERYTHING)).getImage()).startsWith("images.example/corral@sha256:0123");
    }

    @Test
    void changedSettingsChangePodChecksum() {
        assertThat(checksum(HelmChart.MINIMAL_VALUES)).isEqualTo(checksum(HelmChart.MINIMAL_VALUES))
                .isNotEqualTo(checksum(HelmChart.MINIMAL_VALUES + "settings: {lease: {ttl: 3s}}\n"))
                .isNotEqualTo(checksum(HelmChart.MINIMAL_VALUES + "  timeout: 200ms\n"));
    }

    @Test
    void replicaCountIsUnsetWithAutoscaling() {
        KubernetesManifests fixed = HelmChart.render(HelmChart.MINIMAL_VALUES);
        KubernetesManifests scaled = HelmChart.render(EVERYTHING);
        HorizontalPodAutoscaler scaler = scaled.named(HorizontalPodAutoscaler.class, NAME);

        assertThat(fixed.named(Deployment.class, NAME).getSpec().getReplicas()).isEqualTo(3);
        assertThat(fixed.ofKind(HorizontalPodAutoscaler.class)).isEmpty();
        assertThat(scaled.named(Deployment.class, NAME).getSpec().getReplicas()).isNull();
        assertThat(scaler.getSpec().getScaleTargetRef().getName()).isEqualTo(NAME);
        assertThat(scaler.getSpec().getMinReplicas()).isEqualTo(4);
        assertThat(scaler.getSpec().getMaxReplicas()).isEqualTo(9);
    }

    @Test
    void topologySpreadConstraintsFollowValues() {
        assertThat(pod(HelmChart.render(EVERYTHING)).getTopologySpreadConstraints()).allSatisfy(spread -> {
            assertThat(spread.getWhenUnsatisfiable()).isEqualTo("DoNotSchedule");
            assertThat(spread.getMatchLabelKeys()).containsExactly("pod-template-hash");
        })
                .extracting(spread -> spread.getTopologyKey())
                .containsExactly("topology.kubernetes.io/zone", "kubernetes.io/hostname");
        assertThat(pod(HelmChart.render(NOTHING)).getTopologySpreadConstraints()).isEmpty();
    }

    @Test
    void networkPolicyRestrictsManagementPort() {
        var policy = HelmChart.render(EVERYTHING).named(NetworkPolicy.class, NAME).getSpec();

        assertThat(policy.getIngress()).hasSize(2);
        assertThat(policy.getIngress().getFirst().getPorts()).singleElement()
                .satisfies(port -> assertThat(port.getPort()).isEqualTo(new IntOrString("http")));
        assertThat(policy.getIngress().getLast().getPorts()).singleElement()
                .satisfies(port -> assertThat(port.getPort()).isEqualTo(new IntOrString("management")));
        assertThat(policy.getIngress().getLast().getFrom()).hasSize(2);
        assertThat(policy.getPolicyTypes()).containsExactly("Ingress", "Egress");
        // DNS, Redis, and the configured rules.
        assertThat(policy.getEgress()).hasSize(3);
        assertThat(
                HelmChart.render(HelmChart.MINIMAL_VALUES).named(NetworkPolicy.class, NAME).getSpec().getPolicyTypes())
                .containsExactly("Ingress");
    }

    @Test
    void serviceMonitorSelectsManagementServiceOnly() {
        KubernetesManifests rendered = HelmChart.render(EVERYTHING);
        ServiceMonitor monitor = rendered.named(ServiceMonitor.class, NAME);
        Map<String, String> selector = monitor.getSpec().getSelector().getMatchLabels();

        assertThat(rendered.ofKind(Service.class)
                .stream()
                .filter(service -> service.getMetadata().getLabels().entrySet().containsAll(selector.entrySet())))
                .extracting(service -> service.getMetadata().getName())
                .containsExactly(NAME + "-management");
        assertThat(monitor.getSpec().getEndpoints()).singleElement().satisfies(endpoint -> {
            assertThat(endpoint.getPort()).isEqualTo("management");
            assertThat(endpoint.getPath()).isEqualTo("/actuator/prometheus");
            assertThat(endpoint.getRelabelings()).singleElement()
                    .satisfies(label -> assertThat(label.getReplacement()).isEqualTo("corral"));
        });
        assertThat(monitor.getMetadata().getLabels()).containsEntry("release", "prometheus");
    }

    @Test
    void monitoringFilesMatchThoseOfCompose() throws Exception {
        KubernetesManifests rendered = HelmChart.render(EVERYTHING);

        assertThat(Yaml.readAll(Yaml.text(AlertRules.FILE)).getFirst())
                .isEqualTo(new JsonMapper().valueToTree(rendered.named(PrometheusRule.class, NAME).getSpec()));
        JsonNode dashboard = new JsonMapper().readTree(
                Objects.requireNonNull(
                        rendered.named(ConfigMap.class, NAME + "-dashboard").getData().get("corral.json")));
        assertThat(dashboard).isEqualTo(Yaml.read(Path.of("helm/corral/files/dashboard.json")));
        assertThat(HelmChart.render(HelmChart.MINIMAL_VALUES).ofKind(PrometheusRule.class)).isEmpty();
        assertThat(HelmChart.render(HelmChart.MINIMAL_VALUES).ofKind(ServiceMonitor.class)).isEmpty();
    }

    @Test
    void serviceAccountHasNoToken() {
        KubernetesManifests with = HelmChart.render(HelmChart.MINIMAL_VALUES);

        assertThat(with.named(ServiceAccount.class, NAME).getAutomountServiceAccountToken()).isFalse();
        assertThat(pod(with).getServiceAccountName()).isEqualTo(NAME);
        assertThat(HelmChart.render(NOTHING).ofKind(ServiceAccount.class)).isEmpty();
        assertThat(pod(HelmChart.render(NOTHING)).getServiceAccountName()).isEqualTo("default");
    }

    /** A replica ID has at most 40 characters (corral.replica-id); the name of a Pod may be longer. */
    @Test
    void longReleaseNameFallsBackToPodUid() {
        String release = "a-release-with-a-name-as-long-as-helm-lets-it-be-53ch";
        KubernetesManifests rendered = HelmChart.render(release, HelmChart.MINIMAL_VALUES);

        assertThat(rendered.objects())
                .allSatisfy(object -> assertThat(object.getMetadata().getName()).hasSizeLessThan(64));
        assertThat(rendered.ofKind(Deployment.class)
                .getFirst()
                .getSpec()
                .getTemplate()
                .getSpec()
                .getContainers()
                .getFirst()
                .getEnv()
                .getFirst()
                .getValueFrom()
                .getFieldRef()
                .getFieldPath()).isEqualTo("metadata.uid");
    }

    private static String checksum(String values) {
        return Objects.requireNonNull(HelmChart.render(values)
                .named(Deployment.class, NAME)
                .getSpec()
                .getTemplate()
                .getMetadata()
                .getAnnotations()
                .get("checksum/config"));
    }

    private static String value(EnvVar variable) {
        return variable.getValue() != null
                ? variable.getValue()
                : variable.getValueFrom().getSecretKeyRef().getName() + "/"
                        + variable.getValueFrom().getSecretKeyRef().getKey();
    }

    private static PodSpec pod(KubernetesManifests rendered) {
        return rendered.named(Deployment.class, NAME).getSpec().getTemplate().getSpec();
    }

    private static Container container(KubernetesManifests rendered) {
        return pod(rendered).getContainers().getFirst();
    }

    private static Map<String, String> labels(Deployment deployment) {
        return deployment.getSpec().getTemplate().getMetadata().getLabels();
    }

    private static String targetPort(KubernetesManifests rendered, String service) {
        return rendered.named(Service.class, service).getSpec().getPorts().getFirst().getTargetPort().getStrVal();
    }
}
