package dev.corral;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.coalesce.Coalescer;
import dev.corral.dev.Answer;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.ops.Board;
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

import static dev.corral.TestReplica.basic;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Two replicas at one Redis, each by a user of its own there, so that one can be cut off and the other not. */
@Timeout(180)
class FleetByHttpTest {

    private static final String OLGA = basic("olga", "operator's");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final AtomicInteger PATHS = new AtomicInteger();

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static TestReplica a;
    private static TestReplica b;
    private static final List<TestReplica> others = new ArrayList<>();

    @BeforeAll
    static void start() {
        redis = TestReplica.redis();
        shop = DemoShop.start(Duration.ZERO);
        a = replica("a");
        b = replica("b");
        eventually(() -> {
            assertThat(live(a)).containsExactly("a", "b");
            assertThat(live(b)).containsExactly("a", "b");
        });
    }

    @AfterAll
    static void stop() {
        others.forEach(TestReplica::close);
        b.close();
        a.close();
        shop.close();
        redis.close();
    }

    private static TestReplica replica(String id) {
        redis.ask("ACL SETUSER " + id + " on >secret ~* &* +@all");
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
        return TestReplica.start(settings);
    }

    private static void eventually(ThrowingRunnable holds) {
        await().atMost(Duration.ofSeconds(20)).untilAsserted(holds);
    }

    private static JsonNode read(HttpResponse<String> answer) {
        try {
            return JSON.readTree(answer.body());
        } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
            throw new AssertionError("no JSON: " + answer.body(), e);
        }
    }

    private static JsonNode seen(TestReplica by, String target) {
        HttpResponse<String> answer = by.manage("GET", target, "Authorization", OLGA);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return read(answer);
    }

    /** What one replica says of another, or of itself. */
    private static JsonNode member(TestReplica by, String id) {
        for (JsonNode member : seen(by, "/actuator/fleet").path("replicas")) {
            if (member.path("id").asText().equals(id)) {
                return member;
            }
        }
        return JSON.missingNode();
    }

    private static List<String> live(TestReplica by) {
        var live = new ArrayList<String>();
        for (JsonNode member : seen(by, "/actuator/fleet").path("replicas")) {
            if (member.path("live").asBoolean()) {
                live.add(member.path("id").asText());
            }
        }
        return live;
    }

    private static HttpResponse<String> purge(TestReplica at, String json) {
        return at.post("/actuator/purge", json, "Authorization", OLGA);
    }

    /** Whom that purge has heard from, in its own words. */
    private static Map<String, Boolean> acknowledged(HttpResponse<String> purge) {
        var acknowledged = new HashMap<String, Boolean>();
        for (JsonNode replica : read(purge).path("replicas")) {
            acknowledged.put(replica.path("id").asText(), replica.path("acknowledged").asBoolean());
            assertThat(replica.path("millis").asDouble() > 0).isEqualTo(replica.path("acknowledged").asBoolean());
        }
        return acknowledged;
    }

    /** A path that both have in their memory. */
    private static String stored() {
        String path = "/f/" + PATHS.incrementAndGet();
        shop.answer(path, Answer.of(200, "a", "Cache-Control", "max-age=600", "Cache-Tag", "f"));
        a.ask("GET", path);
        eventually(() -> {
            assertThat(status(a, path)).startsWith("Corral; hit");
            assertThat(status(b, path)).startsWith("Corral; hit");
        });
        return path;
    }

    private static String status(TestReplica by, String path) {
        return by.ask("GET", path).headers().firstValue("Cache-Status").orElse("");
    }

    // ---- the fleet

    @Test
    void eachTellsOfBoth() {
        long position = read(purge(a, "{\"tags\":[\"nothing\"]}")).path("position").asLong();

        for (TestReplica by : List.of(a, b)) {
            eventually(() -> {
                assertThat(seen(by, "/actuator/fleet").path("self").asText()).isEqualTo(by.equals(a) ? "a" : "b");
                for (String id : List.of("a", "b")) {
                    JsonNode member = member(by, id);
                    assertThat(member.path("live").asBoolean()).isTrue();
                    assertThat(member.path("version").asText()).isNotBlank();
                    assertThat(member.path("redis").asText()).isEqualTo("UP");
                    assertThat(member.path("position").asLong()).isGreaterThanOrEqualTo(position);
                    assertThat(member.path("lagMillis").asLong(-1)).isBetween(0L, 2_000L);
                    // One machine, one clock.
                    assertThat(member.path("clockOffsetMillis").asLong(9_999)).isBetween(-1_000L, 1_000L);
                    assertThat(Instant.parse(member.path("started").asText()))
                            .isBefore(Instant.parse(member.path("seen").asText()));
                    assertThat(member.at("/breakers/shop").asText()).isEqualTo("CLOSED");
                    assertThat(member.has("latency")).isFalse();
                }
            });
        }
    }

    /** Of the requests of the last second. */
    @Test
    void sharesAddUpToOne() {
        String path = stored();

        eventually(() -> {
            for (int i = 0; i < 20; i++) {
                a.ask("GET", path);
                b.ask("GET", path);
            }
            JsonNode sample = seen(a, "/actuator/fleet");
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
    void oneThatHasLeftIsForgottenAtOnce() throws Exception {
        TestReplica c = replica("c");
        others.add(c);
        eventually(() -> assertThat(live(a)).containsExactly("a", "b", "c"));
        HttpResponse<String> ofThree = purge(c, "{\"tags\":[\"f\"]}");
        assertThat(acknowledged(ofThree)).isEqualTo(Map.of("a", true, "b", true, "c", true));

        // As at its end; to close the whole would take the event loops from the others, which are in this JVM.
        var left = new CountDownLatch(1);
        c.context().getBean(Board.class).stop(left::countDown);
        assertThat(left.await(15, TimeUnit.SECONDS)).isTrue();
        c.context().getBean(FleetLink.class).stop();

        HttpResponse<String> ofTwo = purge(a, "{\"tags\":[\"f\"]}");
        assertThat(ofTwo.statusCode()).isEqualTo(200);
        assertThat(acknowledged(ofTwo)).isEqualTo(Map.of("a", true, "b", true));
        eventually(() -> assertThat(member(a, "c").isMissingNode()).isTrue());
    }

    @Test
    void aFollowerAndItsLeaderAreSeen() {
        String path = "/f/" + PATHS.incrementAndGet();
        Sinks.One<Answer> held = Sinks.one();
        shop.script(path, asked -> held.asMono());
        var leader = a.meanwhile(path);
        await().atMost(Duration.ofSeconds(15)).until(() -> shop.count(path) == 1);
        var follower = b.meanwhile(path);

        eventually(() -> {
            assertThat(seen(a, "/actuator/flights").at("/flights/0/role").asText()).isEqualTo("leader");
            assertThat(seen(b, "/actuator/flights").at("/flights/0/role").asText()).isEqualTo("follower");
            assertThat(seen(b, "/actuator/flights").at("/flights/0/key").asText()).isEqualTo(shop.url() + path);
        });
        eventually(() -> assertThat(member(a, "b").at("/top/0/role").asText()).isEqualTo("follower"));

        held.tryEmitValue(Answer.of(200, "one for both", "Cache-Control", "max-age=60")).orThrow();
        assertThat(leader.join().body()).isEqualTo("one for both");
        assertThat(follower.join().body()).isEqualTo("one for both");
        assertThat(shop.count(path)).isEqualTo(1);
    }

    // ---- purges

    @Test
    void aPurgeIsAcknowledgedByBothAndHoldsAtOnce() {
        String path = stored();

        HttpResponse<String> purge = purge(a, "{\"urls\":[\"" + path + "\"]}");

        assertThat(purge.statusCode()).isEqualTo(200);
        assertThat(read(purge).path("complete").asBoolean()).isTrue();
        assertThat(acknowledged(purge)).isEqualTo(Map.of("a", true, "b", true));
        assertThat(status(b, path)).startsWith("Corral; fwd=");
        await().atMost(Duration.ofSeconds(15)).until(() -> b.context().getBean(Coalescer.class).inFlight() == 0);
        assertThat(seen(b, "/actuator/purge").at("/last/0/by").asText()).isEqualTo("olga");
        assertThat(seen(b, "/actuator/purge").at("/last/0/position").asLong())
                .isEqualTo(read(purge).path("position").asLong());
    }

    /** Redis is the truth, a message only a hint: the log is read all the same, and the fleet's record says so. */
    @Test
    void aReplicaThatHearsNoMessageIsWaitedForAllTheSame() {
        String path = stored();
        try {
            redis.ask("ACL SETUSER b resetchannels");

            HttpResponse<String> purge = purge(a, "{\"urls\":[\"" + path + "\"]}");

            assertThat(purge.statusCode()).as(purge.body()).isEqualTo(200);
            assertThat(acknowledged(purge)).isEqualTo(Map.of("a", true, "b", true));
            assertThat(status(b, path)).startsWith("Corral; fwd=");
        } finally {
            redis.ask("ACL SETUSER b allchannels", "CLIENT KILL USER b");
            eventually(() -> assertThat(seen(b, "/actuator/health").path("status").asText()).isEqualTo("UP"));
        }
    }

    /** Safety rule 2, for a leader that has not heard of the purge, though Redis has told it the position. */
    @Test
    void aValidationByWhoHasNotHeardOfThePurgeDoesNotRevive() {
        try {
            redis.ask("ACL SETUSER b resetchannels");

            // Twice a second it reads what it has not heard: perhaps just before it is asked.
            boolean unaware = false;
            for (int i = 0; i < 20 && !unaware; i++) {
                unaware = validatesUnaware();
            }

            assertThat(unaware).isTrue();
        } finally {
            redis.ask("ACL SETUSER b allchannels", "CLIENT KILL USER b");
            eventually(() -> assertThat(seen(b, "/actuator/health").path("status").asText()).isEqualTo("UP"));
        }
    }

    /** Whether the one that is cut off has validated what was purged, without knowing that it was. */
    private static boolean validatesUnaware() {
        String path = "/f/" + PATHS.incrementAndGet();
        shop.answer(path, Answer.of(200, "old", "Cache-Control", "max-age=60", "Age", "100", "ETag", "\"old\""));
        b.ask("GET", path);
        eventually(
                () -> assertThat(seen(b, "/actuator/entry?url=" + path).path("state").asText()).isEqualTo("stale"));
        shop.script(path, asked -> Mono.just(asked.fields().has("If-None-Match")
                ? Answer.of(304, "", "Cache-Control", "max-age=600", "ETag", "\"old\"")
                : Answer.of(200, "new", "Cache-Control", "max-age=600")));

        long position = read(purge(a, "{\"urls\":[\"" + path + "\"],\"wait\":false}")).path("position").asLong();
        boolean unaware = b.ask("GET", path).body().equals("old");

        eventually(() -> assertThat(seen(b, "/actuator/purge").path("position").asLong())
                .isGreaterThanOrEqualTo(position));
        assertThat(b.ask("GET", path).body()).isEqualTo("new");
        assertThat(a.ask("GET", path).body()).isEqualTo("new");
        return unaware;
    }

    @Test
    void aReplicaThatIsSilentIsNamedAndSoonNotWaitedFor() {
        String path = stored();
        try {
            redis.ask("ACL SETUSER b off", "CLIENT KILL USER b");

            HttpResponse<String> silent = purge(a, "{\"urls\":[\"" + path + "\"]}");

            assertThat(silent.statusCode()).as(silent.body()).isEqualTo(207);
            assertThat(read(silent).path("complete").asBoolean()).isFalse();
            assertThat(read(silent).path("position").asLong()).isPositive();
            assertThat(acknowledged(silent)).isEqualTo(Map.of("a", true, "b", false));

            eventually(() -> assertThat(live(a)).containsExactly("a"));
            assertThat(member(a, "b").path("live").asBoolean(true)).isFalse();
            assertThat(member(a, "b").path("share").isNull()).isTrue();
            HttpResponse<String> alone = purge(a, "{\"urls\":[\"" + path + "\"]}");
            assertThat(alone.statusCode()).isEqualTo(200);
            assertThat(acknowledged(alone)).isEqualTo(Map.of("a", true));

            // The one that is cut off says so, and promises nothing.
            assertThat(seen(b, "/actuator/health").path("status").asText()).isEqualTo("DEGRADED");
            eventually(() -> assertThat(live(b)).containsExactly("b"));
            assertThat(purge(b, "{\"urls\":[\"" + path + "\"]}").statusCode()).isEqualTo(503);
        } finally {
            redis.ask("ACL SETUSER b on");
            eventually(() -> {
                assertThat(live(a)).containsExactly("a", "b");
                assertThat(live(b)).containsExactly("a", "b");
            });
        }
        // It has read what it did not hear.
        long count = shop.count(path);
        assertThat(status(b, path)).startsWith("Corral; fwd=");
        assertThat(shop.count(path)).isEqualTo(count + 1);
    }
}
