package dev.corral.management.fleet;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.testkit.InProcessReplica;
import dev.corral.testkit.ServerSentEventReader;
import java.net.http.HttpResponse;
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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;

/** The HTTP side of the dashboard: access to its parts, and the content of its stream. DashboardIT tests the page itself. */
class DashboardTest {

    private static final String VIEWER = basicAuthorization("ada", "looks");
    private static final String OPERATOR = basicAuthorization("olga", "acts");
    private static final ObjectMapper JSON = new ObjectMapper();

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static InProcessReplica replica;

    /** A replica with this origin; ada is a viewer, olga an operator. */
    static Map<String, String> settings(EmbeddedRedis redis, DemoShop shop) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "ada");
        settings.put("corral.management.users[0].password", "looks");
        settings.put("corral.management.users[1].name", "olga");
        settings.put("corral.management.users[1].password", "acts");
        settings.put("corral.management.users[1].role", "operator");
        return settings;
    }

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
        replica = InProcessReplica.start(settings(redis, shop));
    }

    @AfterAll
    static void stop() {
        replica.close();
        shop.close();
        redis.close();
    }

    private static List<String> links(String page) {
        Matcher found = Pattern.compile("(?:href|src)=\"([^\"#][^\"]*)\"").matcher(page);
        var links = new ArrayList<String>();
        while (found.find()) {
            links.add(found.group(1));
        }
        return links;
    }

    private static String pageScriptPath(InProcessReplica of, String base) {
        String page = of.requestManagement("GET", base + "/dashboard", "Authorization", VIEWER).body();
        String script = links(page).stream().filter(link -> link.endsWith("/page.js")).findFirst().orElseThrow();
        return base + "/" + script;
    }

    // ---- the page

    @Test
    void viewerGetsPageAndAssets() {
        HttpResponse<String> page = replica.requestManagement("GET", "/actuator/dashboard", "Authorization", VIEWER,
                "Accept",
                "text/html,*/*;q=0.8");

        assertThat(page.statusCode()).isEqualTo(200);
        assertThat(page.headers().firstValue("Content-Type")).contains("text/html;charset=UTF-8");
        assertThat(page.headers().firstValue("Cache-Control").orElse("")).contains("no-store");
        assertThat(page.headers().firstValue("X-Content-Type-Options")).contains("nosniff");
        String policy = page.headers().firstValue("Content-Security-Policy").orElse("");
        assertThat(policy).contains("default-src 'none'", "script-src 'self';", "style-src 'self';",
                "connect-src 'self'", "frame-ancestors 'none'").doesNotContain("unsafe", "*", "http");
        // Inline code that the policy would block.
        assertThat(page.body()).doesNotContainPattern("<style|<script(?![^>]* src=)| style=| on[a-z]+=");
        assertThat(links(page.body())).hasSizeGreaterThan(3).allSatisfy(link -> {
            assertThat(link).startsWith("dashboard/");
            HttpResponse<String> asset = replica.requestManagement("GET", "/actuator/" + link, "Authorization", VIEWER);
            assertThat(asset.statusCode()).isEqualTo(200);
            assertThat(asset.body()).isNotEmpty();
            assertThat(asset.headers().firstValue("Cache-Control")).contains("max-age=31536000, private, immutable");
            assertThat(asset.headers().firstValue("X-Content-Type-Options")).contains("nosniff");
            assertThat(replica.requestManagement("HEAD", "/actuator/" + link, "Authorization", VIEWER).statusCode())
                    .isEqualTo(200);
        });
    }

    @Test
    void everyImportedModuleIsServed() {
        String script = pageScriptPath(replica, "/actuator");
        var modules = new ArrayList<String>();
        var open = new ArrayList<>(List.of("page.js"));
        while (!open.isEmpty()) {
            String name = open.removeLast();
            HttpResponse<String> module = replica.requestManagement("GET", script.replace("page.js", name),
                    "Authorization",
                    VIEWER);
            assertThat(module.statusCode()).as(name).isEqualTo(200);
            assertThat(module.headers().firstValue("Content-Type")).contains("text/javascript;charset=UTF-8");
            modules.add(name);
            Matcher imports = Pattern.compile("from '\\./([^']+)'").matcher(module.body());
            while (imports.find()) {
                if (!modules.contains(imports.group(1)) && !open.contains(imports.group(1))) {
                    open.add(imports.group(1));
                }
            }
        }
        assertThat(modules).contains("page.js", "fleet.js", "charts.js", "purge.js", "stream.js", "words.js");
    }

    /** The server enforces the role; the page should not offer actions that would be rejected. */
    @Test
    void pageContainsRoleOfTheUser() {
        assertThat(replica.requestManagement("GET", "/actuator/dashboard", "Authorization", VIEWER).body())
                .contains("data-role=\"viewer\"");
        assertThat(replica.requestManagement("GET", "/actuator/dashboard", "Authorization", OPERATOR).body())
                .contains("data-role=\"operator\"");
        assertThat(replica.postJson("/actuator/purge", "{\"all\":true}", "Authorization", VIEWER).statusCode())
                .isEqualTo(403);
    }

    @Test
    void dashboardIsLinkedAndTrailingSlashRedirects() {
        assertThat(replica.requestManagement("GET", "/actuator", "Authorization", VIEWER).body())
                .contains("/actuator/dashboard\"");

        HttpResponse<String> slash = replica.requestManagement("GET", "/actuator/dashboard/", "Authorization", VIEWER);

        assertThat(slash.statusCode()).isEqualTo(308);
        assertThat(slash.headers().firstValue("Location")).contains("../dashboard");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/actuator/dashboard", "/actuator/dashboard/", "/actuator/dashboard/stream",
            "/actuator/dashboard/abc/page.js", "/actuator/dashboard/abc/nothing.js"})
    void dashboardRequiresLogin(String path) {
        HttpResponse<String> response = replica.requestManagement("GET", path);

        assertThat(response.statusCode()).isEqualTo(401);
        assertThat(response.headers().firstValue("Content-Type")).contains("application/problem+json");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/abc/nothing.js", "/abc/page.html", "/abc/DashboardController.class", "/page.js",
            "/abc/x/page.js",
            "/abc/../../../application.properties", "/abc/..%2f..%2f..%2f..%2fapplication.properties",
            "/abc/%2e%2e/%2e%2e/application.properties", "/..;/application.properties",
            "/abc/..%5c..%5capplication.properties", "/abc/%252e%252e%252fapplication.properties", "/abc/",
            "/xyz/page.js", "/abc/page.js%00", "/abc//page.js", "/stream/x"})
    void unknownDashboardPathIsNotServed(String path) {
        HttpResponse<String> response = replica.requestManagement("GET", "/actuator/dashboard" + path, "Authorization",
                OPERATOR);

        assertThat(response.statusCode()).isIn(400, 404);
        assertThat(response.body()).doesNotContain("management.server.port", "import ", "Exception");
    }

    /** During a rolling upgrade, the page of one replica requests assets from another. */
    @Test
    void assetOfAnotherVersionIsServedUncacheable() {
        HttpResponse<String> asset = replica.requestManagement("GET", "/actuator/dashboard/0123456789ab/page.js",
                "Authorization",
                VIEWER);

        assertThat(asset.statusCode()).isEqualTo(200);
        assertThat(asset.headers().firstValue("Cache-Control")).contains("no-store");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/actuator/dashboard", "/actuator/dashboard/stream", "/dashboard"})
    void dashboardIsAbsentFromDataPort(String path) {
        long before = shop.count(path);

        assertThat(replica.request("GET", path, "Authorization", OPERATOR).body()).doesNotContain("data-role");

        // On the data port this path belongs to the origin.
        assertThat(shop.count(path)).isGreaterThan(before);
    }

    // ---- the stream

    @Test
    void streamSendsHistoryThenOneSamplePerSecond() throws Exception {
        try (var stream = ServerSentEventReader.open(replica, VIEWER, "/actuator/dashboard/stream")) {
            assertThat(stream.response().statusCode()).isEqualTo(200);
            assertThat(stream.response().headers().firstValue("Content-Type").orElse(""))
                    .startsWith("text/event-stream");
            assertThat(stream.response().headers().firstValue("Cache-Control")).contains("no-store");
            JsonNode history = JSON.readTree(stream.next("history"));
            assertThat(history.isArray()).isTrue();
            Instant last = history.isEmpty()
                    ? Instant.MIN
                    : Instant.parse(history.get(history.size() - 1).path("time").asText());

            JsonNode first = JSON.readTree(stream.next("sample"));
            JsonNode second = JSON.readTree(stream.next("sample"));

            assertThat(first.path("replicas")).isNotEmpty();
            assertThat(Instant.parse(first.path("time").asText())).isAfter(last);
            assertThat(Duration.between(Instant.parse(first.path("time").asText()),
                    Instant.parse(second.path("time").asText()))).isBetween(Duration.ofMillis(200),
                            Duration.ofSeconds(10));
        }
    }
}
