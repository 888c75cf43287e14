package dev.corral.management.fleet;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.testkit.InProcessReplica;
import dev.corral.testkit.ServerSentEventReader;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;

/** The dashboard's stream when it ends, is rejected or has another base path. Each test uses a separate replica. */
class DashboardStreamTest {

    private static final String VIEWER = basicAuthorization("ada", "looks");

    private static EmbeddedRedis redis;
    private static DemoShop shop;

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
    }

    @AfterAll
    static void stop() {
        shop.close();
        redis.close();
    }

    private static Map<String, String> settings(String... more) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "ada");
        settings.put("corral.management.users[0].password", "looks");
        for (int i = 0; i < more.length; i += 2) {
            settings.put(more[i], more[i + 1]);
        }
        return settings;
    }

    @Test
    void dashboardFollowsTheBasePath() throws Exception {
        try (var moved = InProcessReplica.start(settings("management.endpoints.web.base-path", "/ops/corral"));
                var stream = ServerSentEventReader.open(moved, VIEWER, "/ops/corral/dashboard/stream")) {
            String page = moved.requestManagement("GET", "/ops/corral/dashboard", "Authorization", VIEWER).body();
            Matcher script = Pattern.compile("src=\"(dashboard/[^\"]*/page.js)\"").matcher(page);
            assertThat(script.find()).isTrue();
            assertThat(moved.requestManagement("GET", "/ops/corral/" + script.group(1), "Authorization", VIEWER)
                    .statusCode())
                    .isEqualTo(200);
            assertThat(stream.next("history")).startsWith("[");
            assertThat(moved.requestManagement("GET", "/actuator/dashboard", "Authorization", VIEWER).statusCode())
                    .isEqualTo(404);
        }
    }

    @Test
    void streamLimitRejectsUntilAStreamCloses() throws Exception {
        try (var replica = InProcessReplica.start(settings())) {
            var streams = new ArrayList<ServerSentEventReader>();
            try {
                for (int i = 0; i < 50; i++) {
                    ServerSentEventReader stream = ServerSentEventReader.open(replica, VIEWER,
                            "/actuator/dashboard/stream");
                    streams.add(stream);
                    assertThat(stream.response().statusCode()).isEqualTo(200);
                }

                HttpResponse<String> full = replica.requestManagement("GET", "/actuator/dashboard/stream",
                        "Authorization",
                        VIEWER);

                assertThat(full.statusCode()).isEqualTo(503);
                assertThat(full.headers().firstValue("Content-Type")).contains("application/problem+json");
                assertThat(full.headers().firstValue("Retry-After")).isPresent();
                assertThat(full.body()).contains("\"reason\":\"too-many-streams\"", "50");

                streams.removeLast().close();

                Awaitility.await().untilAsserted(() -> {
                    try (var again = ServerSentEventReader.open(replica, VIEWER, "/actuator/dashboard/stream")) {
                        assertThat(again.response().statusCode()).isEqualTo(200);
                    }
                });
            } finally {
                for (ServerSentEventReader stream : streams) {
                    stream.close();
                }
            }
        }
    }

    /** Each server logs that its requests have ended, or that it has given up waiting. A limit of time would measure the machine. */
    @Test
    @ExtendWith(OutputCaptureExtension.class)
    void openStreamDoesNotDelayShutdown(CapturedOutput output) throws Exception {
        try (var own = InProcessReplica
                .start(settings("logging.level.org.springframework.boot.web.embedded.netty", "INFO"));
                var stream = ServerSentEventReader.open(own, VIEWER, "/actuator/dashboard/stream")) {
            stream.next("history");

            // Not the replica's client, which waits until somebody has read the stream to its end.
            own.context().close();

            assertThat(output.toString().lines().filter(line -> line.endsWith("Graceful shutdown complete")))
                    .as(output.toString())
                    .hasSize(2);
            String left = stream.next("sample");
            while (!left.isEmpty()) {
                left = stream.next("sample");
            }
        }
    }
}
