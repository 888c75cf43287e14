package dev.corral.config;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.management.fleet.FleetMonitor;
import dev.corral.testkit.InProcessReplica;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

/** A replica ID belongs to one live process. */
@Timeout(180)
@ExtendWith(OutputCaptureExtension.class)
class ReplicaIdClaimTest {

    private static final String OLGA = basicAuthorization("olga", "operator's");
    private static final ObjectMapper JSON = new ObjectMapper();

    private final EmbeddedRedis redis = InProcessReplica.startRedis();
    private final DemoShop shop = DemoShop.start(Duration.ZERO);

    @AfterEach
    void close() {
        shop.close();
        redis.close();
    }

    private InProcessReplica replica(String user) {
        redis.execute("ACL SETUSER " + user + " on >secret ~* &* +@all");
        return start(user);
    }

    private InProcessReplica start(String user) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("spring.data.redis.username", user);
        settings.put("spring.data.redis.password", "secret");
        settings.put("corral.replica-id", "corral-0");
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "olga");
        settings.put("corral.management.users[0].password", "operator's");
        settings.put("corral.management.users[0].role", "operator");
        return InProcessReplica.start(settings);
    }

    private static ConditionFactory eventually() {
        return await().atMost(Duration.ofSeconds(30));
    }

    private static JsonNode health(InProcessReplica replica) {
        try {
            return JSON.readTree(replica.requestManagement("GET", "/actuator/health", "Authorization", OLGA).body())
                    .at("/components/fleet");
        } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void secondLiveProcessWithSameIdFailsToStart(CapturedOutput output) {
        try (InProcessReplica first = replica("first")) {
            assertThat(health(first).path("status").asText()).isEqualTo("UP");

            assertThatThrownBy(() -> replica("second")).hasStackTraceContaining("corral.replica-id");

            assertThat(output.getAll()).contains("APPLICATION FAILED TO START", "corral.replica-id",
                    "Another live process of the fleet has this ID");
        }
    }

    /** Like a killed Pod of a StatefulSet: its last heartbeat is recent, and no later one follows. */
    @Test
    void successorOfDeadProcessStarts() {
        String now = redis.execute("TIME").lines().findFirst().orElseThrow() + "999";
        redis.execute("HSET corral:{fleet} corral-0 \"" + now + " {}\"",
                "HSET corral:{fleet}:processes corral-0 \"" + now + " 00000000deadbeef\"");

        try (InProcessReplica successor = replica("successor")) {
            eventually().untilAsserted(() -> {
                assertThat(redis.execute("HGET corral:{fleet}:processes corral-0")).doesNotContain("deadbeef");
                assertThat(redis.execute("HKEYS corral:{fleet}")).isEqualTo("corral-0");
            });
            assertThat(health(successor).path("status").asText()).isEqualTo("UP");
        }
    }

    /** Processes that start without Redis cannot check the ID. Both report it once Redis is reachable. */
    @Test
    void duplicateIdIsReportedOnceRedisIsReachable(CapturedOutput output) throws Exception {
        try (InProcessReplica first = replica("first")) {
            redis.execute("ACL SETUSER second off >secret ~* &* +@all");
            try (InProcessReplica second = start("second")) {
                assertThat(health(second).path("status").asText()).isEqualTo("UP");

                redis.execute("ACL SETUSER second on");

                eventually().untilAsserted(() -> {
                    for (InProcessReplica one : new InProcessReplica[]{first, second}) {
                        assertThat(health(one).path("status").asText()).isEqualTo("DEGRADED");
                        assertThat(health(one).at("/details/reason").asText()).contains("corral.replica-id");
                    }
                });
                eventually().until(() -> second.requestManagement("GET", "/actuator/fleet", "Authorization", OLGA)
                        .body()
                        .contains("\"id\":\"corral-0/"));
                String warning = "Another live process of the fleet";
                assertThat(output.getAll().split(warning, -1)).as("once a process").hasSize(3);

                // Only the bean is stopped: closing the context would stop the event loops that the other replica in this JVM uses.
                var left = new CountDownLatch(1);
                second.context().getBean(FleetMonitor.class).stop(left::countDown);
                assertThat(left.await(15, TimeUnit.SECONDS)).isTrue();

                eventually().until(() -> health(first).path("status").asText().equals("UP"));
            }
        }
    }
}
