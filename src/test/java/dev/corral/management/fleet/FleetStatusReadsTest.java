package dev.corral.management.fleet;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.testkit.InProcessReplica;
import dev.corral.testkit.ServerSentEventReader;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** The statuses of the fleet are read from Redis only while there is a reader, and once for all readers of one replica. */
@Timeout(180)
class FleetStatusReadsTest {

    private static final String VIEWER = basicAuthorization("ada", "looks");
    private static final ObjectMapper JSON = new ObjectMapper();

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static InProcessReplica a;
    private static InProcessReplica b;

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
        a = replica("a");
        b = replica("b");
    }

    @AfterAll
    static void stop() {
        b.close();
        a.close();
        shop.close();
        redis.close();
    }

    private static InProcessReplica replica(String id) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.replica-id", id);
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "ada");
        settings.put("corral.management.users[0].password", "looks");
        return InProcessReplica.start(settings);
    }

    private static long commandCalls(String command) {
        Matcher calls = Pattern.compile("(?m)^cmdstat_" + command + ":calls=(\\d+)")
                .matcher(redis.execute("INFO commandstats"));
        return calls.find() ? Long.parseLong(calls.group(1)) : 0;
    }

    /** How often all statuses were read during at least this number of heartbeats of both replicas. */
    private static long readsDuring(int beats) {
        redis.execute("CONFIG RESETSTAT");
        await().atMost(Duration.ofSeconds(60)).until(() -> commandCalls("zadd") >= beats);
        return commandCalls("hgetall");
    }

    @Test
    void fleetStatusIsNotReadWithoutViewers() {
        await().atMost(Duration.ofSeconds(30)).until(() -> readsDuring(6) == 0);
    }

    @Test
    void manyStreamsShareOneReadPerSecond() throws Exception {
        var streams = new ArrayList<ServerSentEventReader>();
        try {
            for (int i = 0; i < 10; i++) {
                streams.add(ServerSentEventReader.open(a, VIEWER, "/actuator/dashboard/stream"));
                streams.getLast().next("history");
            }
            streams.getFirst().next("sample");
            redis.execute("CONFIG RESETSTAT");
            long start = System.nanoTime();
            String sample = "";
            for (int i = 0; i < 4; i++) {
                for (ServerSentEventReader stream : streams) {
                    sample = stream.next("sample");
                }
            }
            long reads = commandCalls("hgetall");
            long seconds = Duration.ofNanos(System.nanoTime() - start).toSeconds();

            assertThat(JSON.readTree(sample).path("replicas")).hasSize(2);
            assertThat(reads).isBetween(2L, seconds + 3);
        } finally {
            for (ServerSentEventReader stream : streams) {
                stream.close();
            }
        }
        await().atMost(Duration.ofSeconds(60)).until(() -> readsDuring(4) == 0);
    }

    /** Each replica writes its history points even without a reader. */
    @Test
    void newStreamStartsWithRecordedHistory() throws Exception {
        await().atMost(Duration.ofSeconds(60)).untilAsserted(() -> {
            List<JsonNode> steps;
            try (var stream = ServerSentEventReader.open(b, VIEWER, "/actuator/dashboard/stream")) {
                steps = new ArrayList<>();
                JSON.readTree(stream.next("history")).forEach(steps::add);
            }
            assertThat(steps).hasSizeGreaterThan(1);
            assertThat(steps.getLast().path("replicas")).hasSize(2);
            assertThat(steps).extracting(step -> Instant.parse(step.path("time").asText())).isSorted();
            JsonNode replica = steps.getLast().path("replicas").get(0);
            assertThat(replica.path("started").asText()).isNotEmpty();
            assertThat(replica.path("requests").isObject()).isTrue();
            assertThat(replica.has("top")).isFalse();
        });
    }
}
