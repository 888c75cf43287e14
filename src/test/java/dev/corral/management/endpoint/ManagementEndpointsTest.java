package dev.corral.management.endpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.coalesce.Coalescer;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.StubResponse;
import dev.corral.testkit.AuditLogCapture;
import dev.corral.testkit.InProcessReplica;
import java.net.URLEncoder;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** The endpoints of one replica for reading and for changes other than purges. */
@Timeout(120)
class ManagementEndpointsTest {

    private static final String OLGA = basicAuthorization("olga", "operator's");
    private static final String VERA = basicAuthorization("vera", "viewer's");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final AtomicInteger PATHS = new AtomicInteger();

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static InProcessReplica replica;

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.replica-id", "a");
        settings.put("corral.routes[0].id", "gated");
        settings.put("corral.routes[0].path", "/gated/**");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.routes[0].timeout", "61500ms");
        settings.put("corral.routes[0].concurrency", "7");
        settings.put("corral.routes[0].query.exclude", "utm");
        settings.put("corral.routes[0].cache.stale-if-error", "1m");
        settings.put("corral.routes[1].id", "shop");
        settings.put("corral.routes[1].origin", shop.url());
        settings.put("corral.management.users[0].name", "olga");
        settings.put("corral.management.users[0].password", "operator's");
        settings.put("corral.management.users[0].role", "operator");
        settings.put("corral.management.users[1].name", "vera");
        settings.put("corral.management.users[1].password", "viewer's");
        replica = InProcessReplica.start(settings);
    }

    @AfterAll
    static void stop() {
        replica.close();
        shop.close();
        redis.close();
    }

    private static String path() {
        return "/e/" + PATHS.incrementAndGet();
    }

    private static void storeResponse(String path, StubResponse response, String... fields) {
        shop.respondWith(path, response);
        replica.request("GET", path, fields);
        awaitNoFlights();
    }

    private static void awaitNoFlights() {
        await().until(() -> coalescer().flightCount() == 0);
    }

    private static Coalescer<?, ?> coalescer() {
        return replica.context().getBean(Coalescer.class);
    }

    private static HttpResponse<String> getAsViewer(String target) {
        return replica.requestManagement("GET", target, "Authorization", VERA);
    }

    private static JsonNode getJson(String target) {
        HttpResponse<String> response = getAsViewer(target);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return read(response.body());
    }

    private static JsonNode read(String json) {
        try {
            return JSON.readTree(json);
        } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
            throw new AssertionError("no JSON: " + json, e);
        }
    }

    private static JsonNode entry(String url, String... headers) {
        var target = new StringBuilder("/actuator/entry?url=" + encoded(url));
        for (String header : headers) {
            target.append("&header=").append(encoded(header));
        }
        return getJson(target.toString());
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private static List<String> texts(JsonNode list) {
        return IntStream.range(0, list.size()).mapToObj(i -> list.get(i).asText()).toList();
    }

    private static void assertProblem(HttpResponse<String> response, int status, String reason, String... detail) {
        assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
        assertThat(response.headers().firstValue("Content-Type")).contains("application/problem+json");
        JsonNode problem = read(response.body());
        assertThat(problem.path("reason").asText()).isEqualTo(reason);
        assertThat(problem.path("status").asInt()).isEqualTo(status);
        for (String part : detail) {
            assertThat(problem.path("detail").asText()).contains(part);
        }
    }

    // ---- flights

    private static JsonNode flight(String path) {
        for (JsonNode flight : getJson("/actuator/flights").path("flights")) {
            if (flight.path("key").asText().endsWith(path)) {
                return flight;
            }
        }
        throw new AssertionError("no flight for " + path);
    }

    @Test
    void flightInProgressIsListed() {
        String path = path();
        Sinks.One<StubResponse> held = Sinks.one();
        shop.script(path, request -> held.asMono());
        var waiting = List.of(replica.requestAsync(path), replica.requestAsync(path), replica.requestAsync(path));
        await().until(() -> coalescer().waiterCount() == 3 && shop.count(path) == 1);

        JsonNode flights = getJson("/actuator/flights");

        assertThat(flights.path("count").asInt()).isEqualTo(1);
        assertThat(flights.path("waiters").asInt()).isEqualTo(3);
        JsonNode flight = flight(path);
        assertThat(flight.path("key").asText()).isEqualTo(shop.url() + path);
        assertThat(flight.path("role").asText()).isEqualTo("leader");
        assertThat(flight.path("waiters").asInt()).isEqualTo(3);
        assertThat(flight.path("ageMillis").asLong(-1)).isNotNegative();
        assertThat(flight.path("id").asText()).isNotBlank();
        assertThat(entry(path).path("inFlight").asBoolean()).isTrue();

        held.tryEmitValue(StubResponse.of(200, "filled", "Cache-Control", "max-age=60")).orThrow();
        waiting.forEach(response -> assertThat(response.join().body()).isEqualTo("filled"));
        awaitNoFlights();
        assertThat(getJson("/actuator/flights").path("count").asInt()).isZero();
    }

    /** Current waiters get the response of the abandoned flight, later requests start a new one, and the response is not stored. */
    @Test
    void abandonedFlightServesItsWaitersAndIsNotStored() {
        String path = path();
        Sinks.One<StubResponse> first = Sinks.one();
        Sinks.One<StubResponse> second = Sinks.one();
        shop.script(path, request -> request.number() == 1 ? first.asMono() : second.asMono());
        var old = replica.requestAsync(path);
        await().until(() -> shop.count(path) == 1);
        String id = flight(path).path("id").asText();

        try (var audit = new AuditLogCapture()) {
            assertProblem(replica.requestManagement("DELETE", "/actuator/flights/" + id, "Authorization", VERA), 403,
                    "forbidden");
            assertProblem(replica.requestManagement("DELETE", "/actuator/flights/" + id), 401, "unauthenticated");
            assertThat(
                    replica.requestManagement("DELETE", "/actuator/flights/" + id, "Authorization", OLGA).statusCode())
                    .isEqualTo(204);
            assertThat(audit.lines())
                    .containsExactly("change method=DELETE path=/actuator/flights/" + id + " by=olga");
        }

        var fresh = replica.requestAsync(path);
        await().until(() -> shop.count(path) == 2);
        second.tryEmitValue(StubResponse.of(200, "new", "Cache-Control", "max-age=60")).orThrow();
        assertThat(fresh.join().body()).isEqualTo("new");
        first.tryEmitValue(StubResponse.of(200, "old", "Cache-Control", "max-age=60")).orThrow();
        assertThat(old.join().body()).isEqualTo("old");
        await().until(() -> getJson("/actuator/flights").path("count").asInt() == 0);
        assertThat(replica.request("GET", path).body()).isEqualTo("new");
        assertThat(shop.count(path)).isEqualTo(2);
    }

    /** The waiters of the successor are not attributed to the abandoned flight. */
    @Test
    void abandoningTwiceIsNotFound() {
        String path = path();
        Sinks.One<StubResponse> held = Sinks.one();
        shop.script(path, request -> held.asMono());
        var old = replica.requestAsync(path);
        await().until(() -> shop.count(path) == 1);
        String id = flight(path).path("id").asText();
        assertThat(replica.requestManagement("DELETE", "/actuator/flights/" + id, "Authorization", OLGA).statusCode())
                .isEqualTo(204);

        assertProblem(replica.requestManagement("DELETE", "/actuator/flights/" + id, "Authorization", OLGA), 404,
                "not-found",
                "no flight " + id);
        assertThat(getJson("/actuator/flights").path("count").asInt()).isZero();

        held.tryEmitValue(StubResponse.of(200, "old", "Cache-Control", "max-age=60")).orThrow();
        assertThat(old.join().body()).isEqualTo("old");
    }

    @Test
    void abandoningUnknownFlightIsNotFound() {
        try (var audit = new AuditLogCapture()) {
            assertProblem(replica.requestManagement("DELETE", "/actuator/flights/nothing", "Authorization", OLGA), 404,
                    "not-found", "no flight nothing", "this replica");
            assertThat(audit.lines()).isEmpty();
        }
    }

    // ---- entry

    @Test
    void missingEntryIsReportedAbsent() {
        String path = path();

        JsonNode entry = entry(path);

        assertThat(entry.path("state").asText()).isEqualTo("absent");
        assertThat(entry.path("route").asText()).isEqualTo("shop");
        assertThat(entry.path("url").asText()).isEqualTo(shop.url() + path);
        assertThat(entry.path("inFlight").asBoolean()).isFalse();
        assertThat(entry.path("purgedBy")).isEmpty();
        assertThat(shop.count(path)).isZero();
    }

    @Test
    void storedEntryIsReportedWithoutBodyAndCredentials() {
        String path = path();
        storeResponse(path,
                StubResponse.of(200, "the body itself", "Cache-Control", "max-age=60", "Cache-Tag", "red,sale",
                        "Content-Type", "text/plain", "X-Api-Token", "swordfish", "Authentication-Info", "swordfish",
                        "X-Shown",
                        "yes"));

        HttpResponse<String> response = getAsViewer("/actuator/entry?url=" + encoded(path));

        assertThat(response.body()).doesNotContain("the body itself", "swordfish");
        JsonNode entry = read(response.body());
        assertThat(entry.path("state").asText()).isEqualTo("fresh");
        assertThat(entry.path("status").asInt()).isEqualTo(200);
        assertThat(entry.path("ageSeconds").asInt(-1)).isBetween(0, 10);
        assertThat(entry.path("ttlSeconds").asInt()).isBetween(50, 60);
        assertThat(texts(entry.path("tags"))).containsExactly("red", "sale");
        assertThat(entry.path("bytes").asInt()).isEqualTo("the body itself".length());
        assertThat(texts(entry.path("fields"))).contains("X-Shown: yes", "Content-Type: text/plain");
        assertThat(entry.path("position").asLong()).isPositive();
        assertThat(entry.path("storedAt").asText()).startsWith("20");
        assertThat(entry.path("purgedBy")).isEmpty();
        // The absolute URL names the same entry.
        assertThat(entry(shop.url() + path).path("key")).isEqualTo(entry.path("key"));
    }

    @Test
    void purgedEntryNamesThePurgesThatMatched() {
        String path = path();
        storeResponse(path,
                StubResponse.of(200, "a", "Cache-Control", "max-age=60, stale-while-revalidate=60", "Cache-Tag",
                        "listed-tag"));
        replica.postJson("/actuator/purge", "{\"tags\":[\"listed-tag\"],\"soft\":true}", "Authorization", OLGA);

        JsonNode soft = entry(path);
        assertThat(soft.path("state").asText()).isEqualTo("stale");
        assertThat(texts(soft.path("purgedBy"))).containsExactly("t:listed-tag");

        replica.postJson("/actuator/purge", "{\"prefixes\":[\"/e/\"]}", "Authorization", OLGA);
        JsonNode hard = entry(path);
        assertThat(hard.path("state").asText()).isEqualTo("purged");
        assertThat(texts(hard.path("purgedBy"))).contains("t:listed-tag").anyMatch(name -> name.startsWith("p:"));
    }

    @Test
    void variantIsFoundBySelectingHeaders() {
        String path = path();
        shop.script(path,
                request -> Mono
                        .just(StubResponse.of(200, request.fields().combinedValue("Accept-Language").orElse("none"),
                                "Cache-Control", "max-age=60", "Vary", "Accept-Language, X-Group")));
        replica.request("GET", path, "Accept-Language", "de, en;q=0.5", "X-Group", "a,b");
        awaitNoFlights();

        JsonNode stored = entry(path, "Accept-Language: de, en;q=0.5", "X-Group: a,b");
        assertThat(stored.path("state").asText()).isEqualTo("fresh");
        assertThat(texts(stored.path("vary"))).containsExactlyInAnyOrder("accept-language", "x-group");
        assertThat(texts(stored.path("selected"))).anyMatch(field -> field.matches("(?i)x-group: a,b"));
        assertThat(entry(path, "Accept-Language: fr", "X-Group: a,b").path("state").asText()).isEqualTo("absent");

        String singleFieldPath = path();
        shop.script(singleFieldPath,
                request -> Mono.just(StubResponse.of(200, "a", "Cache-Control", "max-age=60", "Vary",
                        "Accept-Language")));
        replica.request("GET", singleFieldPath, "Accept-Language", "de, en;q=0.5");
        awaitNoFlights();
        assertThat(entry(singleFieldPath, "Accept-Language: de, en;q=0.5").path("state").asText()).isEqualTo("fresh");
        assertThat(entry(singleFieldPath).path("state").asText()).isEqualTo("absent");
    }

    @Test
    void hitForMissMarkerIsReportedWithReason() {
        String path = path();
        storeResponse(path, StubResponse.of(200, "mine", "Cache-Control", "private"));

        JsonNode entry = entry(path);

        assertThat(entry.path("state").asText()).isEqualTo("hit-for-miss");
        assertThat(entry.path("reason").asText()).isEqualTo("private");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
            "/actuator/entry | url",
            "/actuator/entry?url=nothing | url or header: nothing must be an absolute http or https URL",
            "/actuator/entry?url=/a&header=nothing | nothing must be a field name",
            "/actuator/entry?url=ftp://a/b | ftp://a/b must be an absolute http",
    })
    void invalidEntryQueryIsRejected(String target, String named) {
        assertProblem(getAsViewer(target), 400, "bad-input", named);
    }

    // ---- routes

    @Test
    void routesReportEffectiveSettings() {
        JsonNode routes = getJson("/actuator/routes").path("routes");

        assertThat(routes).hasSize(2);
        assertThat(routes.at("/0/id").asText()).isEqualTo("gated");
        assertThat(routes.at("/0/settings/timeout").asText()).isEqualTo("61500ms");
        assertThat(routes.at("/0/settings/concurrency").asInt()).isEqualTo(7);
        assertThat(routes.at("/0/settings/max-body").asText()).isEqualTo("2097152B");
        assertThat(texts(routes.at("/0/settings/query/exclude"))).containsExactly("utm");
        assertThat(routes.at("/0/settings/cache/stale-if-error").asText()).isEqualTo("60000ms");
        assertThat(routes.at("/0/settings/cache/max-life").asText()).isEqualTo("86400000ms");
        assertThat(routes.at("/0/gate/breaker").asText()).isEqualTo("CLOSED");
        assertThat(routes.at("/0/gate/limit").asInt()).isEqualTo(7);
        assertThat(routes.at("/1/gate/limit").asInt()).isEqualTo(200);
        assertThat(getJson("/actuator/routes/shop").path("id").asText()).isEqualTo("shop");
        assertProblem(getAsViewer("/actuator/routes/shoop"), 404, "not-found", "shoop", "gated, shop");
    }

    @Test
    void originRequestsInProgressAreCounted() {
        String path = "/gated" + path();
        Sinks.One<StubResponse> held = Sinks.one();
        shop.script(path, request -> held.asMono());
        var waiting = replica.requestAsync(path);
        await().until(() -> shop.count(path) == 1);

        assertThat(getJson("/actuator/routes/gated").at("/gate/underWay").asInt()).isEqualTo(1);

        held.tryEmitValue(StubResponse.of(200, "a", "Cache-Control", "no-store")).orThrow();
        waiting.join();
        await().until(() -> getJson("/actuator/routes/gated").at("/gate/underWay").asInt() == 0);
    }

    private static HttpResponse<String> changeBreaker(String route, String json) {
        return replica.postJson("/actuator/routes/" + route, json, "Authorization", OLGA);
    }

    @Test
    void openedBreakerStopsOriginRequests() {
        String path = "/gated" + path();
        String other = path();
        shop.respondWith(path, StubResponse.of(200, "a", "Cache-Control", "no-store"));
        shop.respondWith(other, StubResponse.of(200, "a", "Cache-Control", "no-store"));
        try (var audit = new AuditLogCapture()) {
            HttpResponse<String> opened = changeBreaker("gated", "{\"breaker\":\"open\"}");

            assertThat(opened.statusCode()).isEqualTo(200);
            assertThat(read(opened.body())).isEqualTo(read("{\"id\":\"gated\",\"breaker\":\"FORCED_OPEN\"}"));
            HttpResponse<String> refused = replica.request("GET", path);
            assertThat(refused.statusCode()).isEqualTo(503);
            assertThat(refused.headers().firstValue("Retry-After")).isPresent();
            assertThat(shop.count(path)).isZero();
            assertThat(replica.request("GET", other).statusCode()).isEqualTo(200);
            assertThat(getJson("/actuator/routes/gated").at("/gate/breaker").asText()).isEqualTo("FORCED_OPEN");
            assertThat(getJson("/actuator/circuitbreakers").at("/circuitBreakers/gated/state").asText())
                    .isEqualTo("FORCED_OPEN");

            assertThat(read(changeBreaker("gated", "{\"breaker\":\"closed\"}").body()).path("breaker").asText())
                    .isEqualTo("CLOSED");
            assertThat(replica.request("GET", path).statusCode()).isEqualTo(200);
            assertThat(read(changeBreaker("gated", "{\"breaker\":\"disabled\"}").body()).path("breaker").asText())
                    .isEqualTo("DISABLED");
            assertThat(read(changeBreaker("gated", "{\"breaker\":\"closed\"}").body()).path("breaker").asText())
                    .isEqualTo("CLOSED");
            assertThat(audit.lines()).containsExactly("breaker route=gated wish=open by=olga",
                    "breaker route=gated wish=closed by=olga", "breaker route=gated wish=disabled by=olga",
                    "breaker route=gated wish=closed by=olga");
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '\0', value = {
            "{} | breaker must be open, closed, disabled",
            "{\"breaker\":null} | breaker must be open, closed, disabled, not null",
            "{\"breaker\":\"OPEN\"} | breaker must be open, closed, disabled",
            "{\"breaker\":true} | breaker must be open, closed, disabled, not true",
            "{\"braker\":\"open\"} | braker is not a known member. Members: breaker",
            "[] | must be a JSON object with breaker",
    })
    void invalidBreakerCommandIsRejected(String json, String named) {
        assertProblem(changeBreaker("gated", json), 400, "bad-input", named);
        assertThat(getJson("/actuator/routes/gated").at("/gate/breaker").asText()).isEqualTo("CLOSED");
    }

    @Test
    void breakerChangeNeedsOperatorAndKnownRoute() {
        assertProblem(replica.postJson("/actuator/routes/gated", "{\"breaker\":\"open\"}", "Authorization", VERA), 403,
                "forbidden");
        assertProblem(replica.postJson("/actuator/routes/gated", "{\"breaker\":\"open\"}"), 401, "unauthenticated");
        assertProblem(changeBreaker("shoop", "{\"breaker\":\"open\"}"), 404, "not-found", "shoop", "gated, shop");
    }

    // ---- other endpoints

    @Test
    void actuatorLinksListEveryEndpoint() {
        JsonNode links = getJson("/actuator").path("_links");
        var names = new ArrayList<String>();
        links.fieldNames().forEachRemaining(names::add);

        assertThat(names).contains("self", "health", "info", "metrics", "prometheus", "loggers", "circuitbreakers",
                "bulkheads", "purge", "flights", "entry", "routes", "fleet");
        for (String name : List.of("health", "info", "metrics", "loggers", "circuitbreakers", "bulkheads", "purge",
                "flights", "routes", "fleet")) {
            String href = links.path(name).path("href").asText();
            assertThat(getAsViewer(href.substring(href.indexOf("/actuator"))).statusCode()).as(name).isEqualTo(200);
        }
        assertThat(names).doesNotContain("env", "beans", "heapdump", "threaddump", "shutdown", "configprops");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/actuator", "/actuator/info", "/actuator/metrics", "/actuator/loggers",
            "/actuator/circuitbreakers", "/actuator/bulkheads", "/actuator/purge", "/actuator/flights",
            "/actuator/entry?url=/a", "/actuator/routes", "/actuator/routes/shop", "/actuator/fleet"})
    void readEndpointsRequireLogin(String target) {
        assertProblem(replica.requestManagement("GET", target), 401, "unauthenticated");
        assertThat(getAsViewer(target).statusCode()).isEqualTo(200);
        assertThat(replica.requestManagement("GET", target, "Authorization", OLGA).statusCode()).isEqualTo(200);
        assertThat(getAsViewer(target).headers().firstValue("Cache-Control").orElse("")).contains("no-store");
    }

    @Test
    void healthIsPublicWithoutDetails() {
        assertThat(read(replica.requestManagement("GET", "/actuator/health").body()).path("status").asText())
                .isEqualTo("UP");
        assertThat(getJson("/actuator/health").at("/components/redis/status").asText()).isEqualTo("UP");
        assertThat(getJson("/actuator/metrics/corral.fills").path("name").asText()).isEqualTo("corral.fills");
        assertThat(replica.requestManagement("GET", "/actuator/prometheus").body()).contains("corral_redis_up 1.0");
    }

    @Test
    void successfulEndpointChangeIsAudited() {
        try (var audit = new AuditLogCapture()) {
            String target = "/actuator/loggers/dev.corral.none";
            assertThat(replica.postJson(target, "{\"configuredLevel\":\"INFO\"}", "Authorization", OLGA).statusCode())
                    .isEqualTo(204);
            assertThat(replica.postJson(target, "{\"configuredLevel\":\"LOUD\"}", "Authorization", OLGA).statusCode())
                    .isEqualTo(400);
            assertThat(replica.postJson(target, "{}", "Authorization", VERA).statusCode()).isEqualTo(403);
            getAsViewer(target);

            assertThat(audit.lines()).containsExactly("change method=POST path=" + target + " by=olga");
        }
    }

    @ParameterizedTest
    @CsvSource({"GET,/actuator/nothing,404,not-found", "GET,/nothing,404,not-found",
            "PUT,/actuator/purge,405,method-not-allowed",
            "DELETE,/actuator/routes/shop,405,method-not-allowed", "GET,/actuator/routes/shop/more,404,not-found"})
    void unknownPathOrMethodIsProblemDetail(String method, String target, int status, String reason) {
        assertProblem(
                replica.requestManagement(method, target, "Authorization", OLGA, "Content-Type", "application/json"),
                status,
                reason);
    }
}
