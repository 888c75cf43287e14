package dev.corral.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.corral.config.CorralProperties;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.springframework.boot.context.properties.bind.DataObjectPropertyName;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

/** Invalid and unknown values are rejected before anything reaches a cluster. */
class ChartValuesTest {

    private static final JsonNode SCHEMA = Yaml.read(HelmChart.HOME.resolve("values.schema.json"));

    /** Settings that the chart sets itself or takes from Secrets. */
    private static final Set<String> EXCLUDED_SETTINGS = Set.of("routes", "replica-id", "redis", "management",
            "shutdown");

    private static Arguments refused(String values, String... reasonParts) {
        return arguments(HelmChart.MINIMAL_VALUES + values, List.of(reasonParts));
    }

    static List<Arguments> invalidValues() {
        String routes = "routes: [{id: shop, origin: 'http://shop:8080', ";
        return List.of(refused("replicaCount: 3\n", "replicaCount"),
                refused("routes: []\n", "routes is empty", "routes[0].origin"),
                refused("routes: [{id: shop}]\n", "origin"), refused("routes: [{origin: 'http://a'}]\n", "id"),
                refused("routes: [{id: a shop, origin: 'http://a'}]\n", "/routes/0/id"),
                refused("routes: [{id: shop, origin: 'shop:8080'}]\n", "/routes/0/origin"),
                refused(routes + "timeuot: 3s}]\n", "timeuot"), refused(routes + "maxBody: 3MB}]\n", "maxBody"),
                refused(routes + "timeout: soon}]\n", "/routes/0/timeout"),
                refused(routes + "concurrency: 0}]\n", "/routes/0/concurrency"),
                refused(routes + "query: {exlude: [a]}}]\n", "exlude"),
                refused(routes + "cache: {max-live: 1h}}]\n", "max-live"),
                refused("settings: {laese: {ttl: 2s}}\n", "laese"), refused("settings: {lease: {tll: 2s}}\n", "tll"),
                refused("settings: {routes: []}\n", "routes"),
                refused("config: {corral: {lease: {ttl: 2s}}}\n", "config.corral is not taken"),
                refused("config: {corral.lease.ttl: 2s}\n", "config.corral.lease.ttl is not taken"),
                refused("redis: {host: ''}\n", "redis.host must be set"),
                refused("redis: {mode: sentinels, host: a}\n", "/redis/mode"),
                refused("redis: {mode: sentinel, sentinel: {nodes: ['a:1']}}\n", "redis.sentinel.master"),
                refused("redis: {mode: sentinel, sentinel: {master: m, nodes: [a]}}\n", "/redis/sentinel/nodes/0"),
                refused("redis: {mode: cluster}\n", "redis.cluster.nodes"),
                refused("redis: {mode: cluster, database: 1, cluster: {nodes: ['a:1']}}\n", "redis.database must be 0"),
                refused("redis: {mode: built-in, existingSecret: a}\n", "redis.mode built-in"),
                refused("redis: {host: a, tls: {caSecret: ca}}\n", "redis.tls.enabled"),
                refused("redis: {host: a, password: secret}\n", "password"),
                refused("redis: {host: a, port: 70000}\n", "/redis/port"),
                refused("redis: {host: a, keyPrefix: '{a}'}\n", "/redis/keyPrefix"),
                refused("management: {auth: {users: [{nameKey: a, passwordKey: b, role: ADMIN}]}}\n",
                        "/management/auth/users/0/role"),
                refused("management: {auth: {password: secret}}\n", "password"),
                refused("management: {service: {type: LoadBalancer}}\n", "type"),
                refused("image: {digest: 'sha256:1'}\n", "/image/digest"),
                refused("shutdown: {requestSeconds: 0}\n", "/shutdown/requestSeconds"),
                refused("autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 4}\n", "autoscaling.minReplicas"),
                refused("networkPolicy: {egress: {enabled: true}}\n", "enabled"),
                refused("topologySpread: {whenUnsatisfiable: Perhaps}\n", "/topologySpread/whenUnsatisfiable"));
    }

    /** The values are merged over {@link HelmChart#MINIMAL_VALUES}. */
    @ParameterizedTest
    @MethodSource("invalidValues")
    void invalidValueIsRejectedWithReason(String values, List<String> reasonParts) {
        String merged = Yaml.write(mergeOverMinimalValues(values));

        assertThatThrownBy(() -> HelmChart.render(merged)).isInstanceOf(IllegalStateException.class)
                .satisfies(refusal -> assertThat(String.valueOf(refusal.getMessage()))
                        .contains(reasonParts));
    }

    private static JsonNode mergeOverMinimalValues(String values) {
        String over = values.substring(HelmChart.MINIMAL_VALUES.length());
        return Yaml.merge((ObjectNode) Yaml.read(HelmChart.MINIMAL_VALUES), Yaml.read(over));
    }

    @Test
    void schemaRouteNamesMatchProperties() {
        assertThat(namesOf(SCHEMA.at("/properties/routes/items")))
                .isEqualTo(namesOf(CorralProperties.RouteProperties.class, Set.of()));
    }

    @Test
    void schemaSettingNamesMatchProperties() {
        assertThat(namesOf(SCHEMA.at("/properties/settings")))
                .isEqualTo(namesOf(CorralProperties.class, EXCLUDED_SETTINGS));
    }

    /** Otherwise a misspelled name would silently leave the default. */
    @Test
    void schemaForbidsAdditionalProperties() {
        var open = new ArrayList<String>();
        findOpen("", SCHEMA, open);

        assertThat(open).isEmpty();
    }

    /** Each value has a default, so that values.yaml lists all of them. */
    @Test
    void valuesFileListsEveryValue() {
        JsonNode defaults = Yaml.read(HelmChart.HOME.resolve("values.yaml"));
        var missing = new TreeSet<String>();
        findMissing("", SCHEMA, defaults, missing);

        assertThat(missing).isSubsetOf("global", "settings.access-log", "settings.lease", "settings.coalesce",
                "settings.purge", "settings.server", "settings.warm-up", "settings.waiters", "settings.near",
                "resources.claims",
                "redis.builtIn.resources.claims");
    }

    private static void findMissing(String path, JsonNode schema, JsonNode defaults, Set<String> missing) {
        schema.path("properties").properties().forEach(property -> {
            String name = path + property.getKey();
            if (!defaults.has(property.getKey())) {
                missing.add(name);
            } else {
                findMissing(name + ".", property.getValue(), defaults.get(property.getKey()), missing);
            }
        });
    }

    private static void findOpen(String path, JsonNode schema, List<String> open) {
        if (schema.has("properties") && !schema.path("additionalProperties").isBoolean()) {
            open.add(path);
        }
        schema.path("properties").properties().forEach(it -> findOpen(path + "/" + it.getKey(), it.getValue(), open));
        if (schema.has("items")) {
            findOpen(path + "/items", schema.get("items"), open);
        }
    }

    private static Set<String> namesOf(JsonNode schema) {
        var names = new TreeSet<String>();
        schema.path("properties").properties().forEach(property -> {
            names.add(property.getKey());
            JsonNode value = property.getValue().has("items") ? property.getValue().get("items") : property.getValue();
            namesOf(value).forEach(below -> names.add(property.getKey() + "." + below));
        });
        return names;
    }

    private static Set<String> namesOf(Class<?> record, Set<String> but) {
        return Arrays.stream(record.getRecordComponents())
                .filter(component -> !but.contains(name(component)))
                .flatMap(component -> {
                    var names = new TreeSet<>(Set.of(name(component)));
                    Class<?> type = element(component.getGenericType());
                    if (type.isRecord()) {
                        namesOf(type, Set.of()).forEach(below -> names.add(name(component) + "." + below));
                    }
                    return names.stream();
                })
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static Class<?> element(Type type) {
        return type instanceof ParameterizedType list
                ? (Class<?>) list.getActualTypeArguments()[0]
                : (Class<?>) type;
    }

    private static String name(RecordComponent component) {
        return DataObjectPropertyName.toDashedForm(component.getName());
    }
}
