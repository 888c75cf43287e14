package dev.corral;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import static dev.corral.TestReplica.basic;
import static org.assertj.core.api.Assertions.assertThat;

/** The dashboard's stream where it ends, is refused or has moved. Each test has a replica of its own. */
class DashboardStreamTest {

    private static final String VIEWER = basic("ada", "looks");

    private static EmbeddedRedis redis;
    private static DemoShop shop;

    @BeforeAll
    static void start() {
        redis = TestReplica.redis();
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
    void itMovesWithTheOtherEndpoints() throws Exception {
        try (var moved = TestReplica.start(settings("management.endpoints.web.base-path", "/ops/corral"));
                var stream = EventStream.open(moved, VIEWER, "/ops/corral/dashboard/stream")) {
            String page = moved.manage("GET", "/ops/corral/dashboard", "Authorization", VIEWER).body();
            Matcher script = Pattern.compile("src=\"(dashboard/[^\"]*/page.js)\"").matcher(page);
            assertThat(script.find()).isTrue();
            assertThat(moved.manage("GET", "/ops/corral/" + script.group(1), "Authorization", VIEWER).statusCode())
                    .isEqualTo(200);
            assertThat(stream.next("history")).startsWith("[");
            assertThat(moved.manage("GET", "/actuator/dashboard", "Authorization", VIEWER).statusCode())
                    .isEqualTo(404);
        }
    }

    @Test
    void theNumberOfStreamsIsBoundedAndAPlaceIsGivenBack() throws Exception {
        try (var own = TestReplica.start(settings())) {
            var streams = new ArrayList<EventStream>();
            try {
                for (int i = 0; i < 50; i++) {
                    EventStream stream = EventStream.open(own, VIEWER, "/actuator/dashboard/stream");
                    streams.add(stream);
                    assertThat(stream.answer().statusCode()).isEqualTo(200);
                }

                HttpResponse<String> full = own.manage("GET", "/actuator/dashboard/stream", "Authorization", VIEWER);

                assertThat(full.statusCode()).isEqualTo(503);
                assertThat(full.headers().firstValue("Content-Type")).contains("application/problem+json");
                assertThat(full.headers().firstValue("Retry-After")).isPresent();
                assertThat(full.body()).contains("\"reason\":\"too-many-streams\"", "50");

                streams.removeLast().close();

                Awaitility.await().atMost(Duration.ofSeconds(20)).untilAsserted(() -> {
                    try (var again = EventStream.open(own, VIEWER, "/actuator/dashboard/stream")) {
                        assertThat(again.answer().statusCode()).isEqualTo(200);
                    }
                });
            } finally {
                for (EventStream stream : streams) {
                    stream.close();
                }
            }
        }
    }

    @Test
    void anOpenStreamDoesNotHoldUpTheStop() throws Exception {
        TestReplica own = TestReplica.start(settings());
        try (var stream = EventStream.open(own, VIEWER, "/actuator/dashboard/stream")) {
            stream.next("history");
            Instant start = Instant.now();

            own.close();

            // A graceful stop would wait for it 20 s.
            assertThat(Duration.between(start, Instant.now())).isLessThan(Duration.ofSeconds(10));
            String left = stream.next("sample");
            while (!left.isEmpty()) {
                left = stream.next("sample");
            }
        }
    }
}
