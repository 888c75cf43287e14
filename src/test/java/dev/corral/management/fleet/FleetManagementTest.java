package dev.corral.management.fleet;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.coalesce.Coalescer;
import dev.corral.config.RedisLifecycle;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.StubResponse;
import dev.corral.testkit.InProcessReplica;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.core.ThrowingRunnable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Two replicas on one Redis with different Redis users, so that one replica can be cut off without the other. */
@Timeout(180)
class FleetManagementTest {

    private static final String OLGA = basicAuthorization("olga", "operator's");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final AtomicInteger PATHS = new AtomicInteger();

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static InProcessReplica a;
    private static InProcessReplica b;
    private static final List<InProcessReplica> others = new ArrayList<>();

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
        a = replica("a");
        b = replica("b");
        eventually(() -> {
            assertThat(liveReplicas(a)).containsExactly("a", "b");
            assertThat(liveReplicas(b)).containsExactly("a", "b");
        });
    }

    @AfterAll
    static void stop() {
        others.forEach(InProcessReplica::close);
        b.close();
        a.close();
        shop.close();
        redis.close();
    }

    private static InProcessReplica replica(String id) {
        redis.execute("ACL SETUSER " + id + " on >secret ~* &* +@all");
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("spring.data.redis.username", id);
        settings.put("spring.data.redis.password", "secret");
        settings.put("corral.replica-id", id);
        settings.put("corral.purge.timeout", "5s");
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "olga");
        settings.put("corral.management.users[0].password", "operator's");
        settings.put("corral.management.users[0].role", "operator");
        return InProcessReplica.start(settings);
    }

    private static void eventually(ThrowingRunnable holds) {
        await().untilAsserted(holds);
    }

    private static JsonNode read(HttpResponse<String> response) {
        try {
            return JSON.readTree(response.body());
        } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
            throw new AssertionError("no JSON: " + response.body(), e);
        }
    }

    private static JsonNode getJson(InProcessReplica replica, String target) {
        HttpResponse<String> response = replica.requestManagement("GET", target, "Authorization", OLGA);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return read(response);
    }

    /** The status of a replica as reported by one of them. */
    private static JsonNode member(InProcessReplica replica, String id) {
        for (JsonNode member : getJson(replica, "/actuator/fleet").path("replicas")) {
            if (member.path("id").asText().equals(id)) {
                return member;
            }
        }
        return JSON.missingNode();
    }

    private static List<String> liveReplicas(InProcessReplica replica) {
        var live = new ArrayList<String>();
        for (JsonNode member : getJson(replica, "/actuator/fleet").path("replicas")) {
            if (member.path("live").asBoolean()) {
                live.add(member.path("id").asText());
            }
        }
        return live;
    }

    private static HttpResponse<String> purge(InProcessReplica at, String json) {
        return at.postJson("/actuator/purge", json, "Authorization", OLGA);
    }

    /** The acknowledgements of a purge, as its response lists them. */
    private static Map<String, Boolean> acknowledgements(HttpResponse<String> purge) {
        var acknowledged = new HashMap<String, Boolean>();
        for (JsonNode replica : read(purge).path("replicas")) {
            acknowledged.put(replica.path("id").asText(), replica.path("acknowledged").asBoolean());
            assertThat(replica.path("millis").asDouble() > 0).isEqualTo(replica.path("acknowledged").asBoolean());
        }
        return acknowledged;
    }

    /** A path whose response is in both replicas' memory. */
    private static String storedPath() {
        String path = "/f/" + PATHS.incrementAndGet();
        shop.respondWith(path, StubResponse.of(200, "a", "Cache-Control", "max-age=600", "Cache-Tag", "f"));
        a.request("GET", path);
        eventually(() -> {
            assertThat(status(a, path)).startsWith("Corral; hit");
            assertThat(status(b, path)).startsWith("Corral; hit");
        });
        return path;
    }

    private static String status(InProcessReplica replica, String path) {
        return replica.request("GET", path).headers().firstValue("Cache-Status").orElse("");
    }

    // ---- the fleet

    @Test
    void eachReplicaReportsTheWholeFleet() {
        long position = read(purge(a, "{\"tags\":[\"nothing\"]}")).path("position").asLong();

        for (InProcessReplica replica : List.of(a, b)) {
            eventually(() -> {
                assertThat(getJson(replica, "/actuator/fleet").path("self").asText())
                        .isEqualTo(replica.equals(a) ? "a" : "b");
                for (String id : List.of("a", "b")) {
                    JsonNode member = member(replica, id);
                    assertThat(member.path("live").asBoolean()).isTrue();
                    assertThat(member.path("version").asText()).isNotBlank();
                    assertThat(member.path("redis").asText()).isEqualTo("UP");
                    assertThat(member.path("position").asLong()).isGreaterThanOrEqualTo(position);
                    assertThat(member.path("lagMillis").asLong(-1)).isBetween(0L, 2_000L);
                    // Both run on one machine, so the clock offset is small.
                    assertThat(member.path("clockOffsetMillis").asLong(9_999)).isBetween(-1_000L, 1_000L);
                    assertThat(Instant.parse(member.path("started").asText()))
                            .isBefore(Instant.parse(member.path("seen").asText()));
                    assertThat(member.at("/breakers/shop").asText()).isEqualTo("CLOSED");
                    assertThat(member.has("latency")).isFalse();
                }
            });
        }
    }

    /** The share covers the requests of the last second. */
    @Test
    void trafficSharesSumToOne() {
        String path = storedPath();

        eventually(() -> {
            for (int i = 0; i < 20; i++) {
                a.request("GET", path);
                b.request("GET", path);
            }
            JsonNode sample = getJson(a, "/actuator/fleet");
            double ofA = sample.at("/replicas/0/share").asDouble();
            double ofB = sample.at("/replicas/1/share").asDouble();
            assertThat(ofA).isPositive();
            assertThat(ofB).isPositive();
            assertThat(ofA + ofB).isBetween(0.999, 1.001);
            assertThat(sample.at("/fleet/p99Millis").asDouble()).isPositive();
            assertThat(sample.at("/replicas/0/requests/hit").asLong()).isPositive();
        });
    }

    @Test
    void stoppedReplicaIsRemovedFromFleet() throws Exception {
        InProcessReplica c = replica("c");
        others.add(c);
        eventually(() -> assertThat(liveReplicas(a)).containsExactly("a", "b", "c"));
        HttpResponse<String> ofThree = purge(c, "{\"tags\":[\"f\"]}");
        assertThat(acknowledgements(ofThree)).isEqualTo(Map.of("a", true, "b", true, "c", true));

        // Stops only this part, as at shutdown: closing the whole replica would stop the event loops of the others in this JVM.
        var left = new CountDownLatch(1);
        c.context().getBean(FleetMonitor.class).stop(left::countDown);
        assertThat(left.await(15, TimeUnit.SECONDS)).isTrue();
        c.context().getBean(RedisLifecycle.class).stop();

        HttpResponse<String> ofTwo = purge(a, "{\"tags\":[\"f\"]}");
        assertThat(ofTwo.statusCode()).isEqualTo(200);
        assertThat(acknowledgements(ofTwo)).isEqualTo(Map.of("a", true, "b", true));
        eventually(() -> assertThat(member(a, "c").isMissingNode()).isTrue());
    }

    @Test
    void leaderAndFollowerFlightsAreReported() {
        String path = "/f/" + PATHS.incrementAndGet();
        Sinks.One<StubResponse> held = Sinks.one();
        shop.script(path, request -> held.asMono());
        var leader = a.requestAsync(path);
        await().until(() -> shop.count(path) == 1);
        var follower = b.requestAsync(path);

        eventually(() -> {
            assertThat(getJson(a, "/actuator/flights").at("/flights/0/role").asText()).isEqualTo("leader");
            assertThat(getJson(b, "/actuator/flights").at("/flights/0/role").asText()).isEqualTo("follower");
            assertThat(getJson(b, "/actuator/flights").at("/flights/0/key").asText()).isEqualTo(shop.url() + path);
        });
        eventually(() -> assertThat(member(a, "b").at("/top/0/role").asText()).isEqualTo("follower"));

        held.tryEmitValue(StubResponse.of(200, "one for both", "Cache-Control", "max-age=60")).orThrow();
        assertThat(leader.join().body()).isEqualTo("one for both");
        assertThat(follower.join().body()).isEqualTo("one for both");
        assertThat(shop.count(path)).isEqualTo(1);
    }

    // ---- purges

    @Test
    void purgeIsAcknowledgedByAllReplicasAndEffective() {
        String path = storedPath();

        HttpResponse<String> purge = purge(a, "{\"urls\":[\"" + path + "\"]}");

        assertThat(purge.statusCode()).isEqualTo(200);
        assertThat(read(purge).path("complete").asBoolean()).isTrue();
        assertThat(acknowledgements(purge)).isEqualTo(Map.of("a", true, "b", true));
        assertThat(status(b, path)).startsWith("Corral; fwd=");
        await().until(() -> b.context().getBean(Coalescer.class).flightCount() == 0);
        assertThat(getJson(b, "/actuator/purge").at("/last/0/by").asText()).isEqualTo("olga");
        assertThat(getJson(b, "/actuator/purge").at("/last/0/position").asLong())
                .isEqualTo(read(purge).path("position").asLong());
    }

    /** A message is only a hint: without it, the purge log is read nevertheless, and the fleet's registry shows the position. */
    @Test
    void replicaWithoutPubSubStillAcknowledgesPurge() {
        String path = storedPath();
        try {
            redis.execute("ACL SETUSER b resetchannels");

            HttpResponse<String> purge = purge(a, "{\"urls\":[\"" + path + "\"]}");

            assertThat(purge.statusCode()).as(purge.body()).isEqualTo(200);
            assertThat(acknowledgements(purge)).isEqualTo(Map.of("a", true, "b", true));
            assertThat(status(b, path)).startsWith("Corral; fwd=");
        } finally {
            redis.execute("ACL SETUSER b allchannels", "CLIENT KILL USER b");
            eventually(() -> assertThat(getJson(b, "/actuator/health").path("status").asText()).isEqualTo("UP"));
        }
    }

    /** Safety rule 2, for a leader that does not know the purge, although Redis returned its position. */
    @Test
    void revalidationUnawareOfPurgeDoesNotRestoreEntry() {
        try {
            redis.execute("ACL SETUSER b resetchannels");

            // The replica polls the purge log twice a second, perhaps just before the request.
            boolean unaware = false;
            for (int i = 0; i < 20 && !unaware; i++) {
                unaware = revalidatesBeforePurgeIsKnown();
            }

            assertThat(unaware).isTrue();
        } finally {
            redis.execute("ACL SETUSER b allchannels", "CLIENT KILL USER b");
            eventually(() -> assertThat(getJson(b, "/actuator/health").path("status").asText()).isEqualTo("UP"));
        }
    }

    /** Whether the isolated replica has revalidated the purged response without knowing of the purge. */
    private static boolean revalidatesBeforePurgeIsKnown() {
        String path = "/f/" + PATHS.incrementAndGet();
        shop.respondWith(path,
                StubResponse.of(200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\""));
        b.request("GET", path);
        eventually(
                () -> assertThat(getJson(b, "/actuator/entry?url=" + path).path("state").asText()).isEqualTo("stale"));
        shop.script(path, request -> Mono.just(request.fields().has("If-None-Match")
                ? StubResponse.of(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"")
                : StubResponse.of(200, "new", "Cache-Control", "max-age=600")));

        long position = read(purge(a, "{\"urls\":[\"" + path + "\"],\"wait\":false}")).path("position").asLong();
        boolean unaware = b.request("GET", path).body().equals("old");

        eventually(() -> assertThat(getJson(b, "/actuator/purge").path("position").asLong())
                .isGreaterThanOrEqualTo(position));
        assertThat(b.request("GET", path).body()).isEqualTo("new");
        assertThat(a.request("GET", path).body()).isEqualTo("new");
        return unaware;
    }

    @Test
    void unreachableReplicaIsReportedUnacknowledged() {
        String path = storedPath();
        try {
            redis.execute("ACL SETUSER b off", "CLIENT KILL USER b");

            HttpResponse<String> silent = purge(a, "{\"urls\":[\"" + path + "\"]}");

            assertThat(silent.statusCode()).as(silent.body()).isEqualTo(207);
            assertThat(read(silent).path("complete").asBoolean()).isFalse();
            assertThat(read(silent).path("position").asLong()).isPositive();
            assertThat(acknowledgements(silent)).isEqualTo(Map.of("a", true, "b", false));

            eventually(() -> assertThat(liveReplicas(a)).containsExactly("a"));
            assertThat(member(a, "b").path("live").asBoolean(true)).isFalse();
            assertThat(member(a, "b").path("share").isNull()).isTrue();
            HttpResponse<String> alone = purge(a, "{\"urls\":[\"" + path + "\"]}");
            assertThat(alone.statusCode()).isEqualTo(200);
            assertThat(acknowledgements(alone)).isEqualTo(Map.of("a", true));

            // The isolated replica reports that the purge failed.
            assertThat(getJson(b, "/actuator/health").path("status").asText()).isEqualTo("DEGRADED");
            eventually(() -> assertThat(liveReplicas(b)).containsExactly("b"));
            assertThat(purge(b, "{\"urls\":[\"" + path + "\"]}").statusCode()).isEqualTo(503);
        } finally {
            redis.execute("ACL SETUSER b on");
            eventually(() -> {
                assertThat(liveReplicas(a)).containsExactly("a", "b");
                assertThat(liveReplicas(b)).containsExactly("a", "b");
            });
        }
        // The replica has read the purge from the log without a message.
        long count = shop.count(path);
        assertThat(status(b, path)).startsWith("Corral; fwd=");
        assertThat(shop.count(path)).isEqualTo(count + 1);
    }
}
