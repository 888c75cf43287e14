package dev.corral.management.purge;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.coalesce.Coalescer;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.StubResponse;
import dev.corral.testkit.AuditLogCapture;
import dev.corral.testkit.InProcessReplica;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Purges by operators and by content management systems, on one replica. */
@Timeout(120)
class PurgeControllerTest {

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
        settings.put("corral.routes[0].id", "tenants");
        settings.put("corral.routes[0].path", "/tenants/**");
        settings.put("corral.routes[0].host", "client");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.routes[1].id", "shop");
        settings.put("corral.routes[1].origin", shop.url());
        settings.put("corral.management.users[0].name", "olga");
        settings.put("corral.management.users[0].password", "operator's");
        settings.put("corral.management.users[0].role", "operator");
        settings.put("corral.management.users[1].name", "vera");
        settings.put("corral.management.users[1].password", "viewer's");
        settings.put("corral.management.users[2].name", "o\nscar");
        settings.put("corral.management.users[2].password", "operator's");
        settings.put("corral.management.users[2].role", "operator");
        replica = InProcessReplica.start(settings);
    }

    @AfterAll
    static void stop() {
        replica.close();
        shop.close();
        redis.close();
    }

    /** A path unique to this test, whose response is stored and fresh for a minute. */
    private static String storedPath(String... fields) {
        return storeAt("/p/" + PATHS.incrementAndGet(), fields);
    }

    private static String storeAt(String path, String... fields) {
        StubResponse response = StubResponse.of(200, "body of " + path, "Cache-Control",
                "max-age=60, stale-while-revalidate=60");
        for (int i = 0; i < fields.length; i += 2) {
            response = response.withField(fields[i], fields[i + 1]);
        }
        shop.respondWith(path, response);
        assertThat(replica.request("GET", path).statusCode()).isEqualTo(200);
        awaitNoFlights();
        assertThat(cacheStatusOf(path)).startsWith("Corral; hit");
        return path;
    }

    private static void awaitNoFlights() {
        await().until(() -> replica.context().getBean(Coalescer.class).flightCount() == 0);
    }

    /** The Cache-Status of a request for the path. */
    private static String cacheStatusOf(String path) {
        return replica.request("GET", path).headers().firstValue("Cache-Status").orElse("");
    }

    private static void assertPurged(String path) {
        assertThat(cacheStatusOf(path)).startsWith("Corral; fwd=").doesNotContain("hit");
        awaitNoFlights();
    }

    private static void assertHit(String path) {
        assertThat(cacheStatusOf(path)).startsWith("Corral; hit");
    }

    private static HttpResponse<String> purge(String json) {
        return replica.postJson("/actuator/purge", json, "Authorization", OLGA);
    }

    private static JsonNode purgeSuccessfully(String json) {
        HttpResponse<String> response = purge(json);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        assertThat(response.headers().firstValue("Content-Type")).contains("application/json");
        return read(response);
    }

    private static JsonNode read(HttpResponse<String> response) {
        try {
            return JSON.readTree(response.body());
        } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
            throw new AssertionError("no JSON: " + response.body(), e);
        }
    }

    private static List<String> texts(JsonNode list) {
        return IntStream.range(0, list.size()).mapToObj(i -> list.get(i).asText()).toList();
    }

    private static void assertProblem(HttpResponse<String> response, int status, String reason, String... detail) {
        assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
        assertThat(response.headers().firstValue("Content-Type")).contains("application/problem+json");
        JsonNode problem = read(response);
        assertThat(problem.path("type").asText()).isEqualTo("about:blank");
        assertThat(problem.path("status").asInt()).isEqualTo(status);
        assertThat(problem.path("title").asText()).isNotBlank();
        assertThat(problem.path("reason").asText()).isEqualTo(reason);
        assertThat(problem.path("detail").asText()).isNotBlank().doesNotContain("com.fasterxml", "java.", "`");
        for (String part : detail) {
            assertThat(problem.path("detail").asText()).contains(part);
        }
    }

    // ---- targets

    @Test
    void urlPurgeRemovesAllVariants() {
        String path = "/p/" + PATHS.incrementAndGet();
        String other = storedPath();
        shop.respondWith(path, StubResponse.of(200, "a", "Cache-Control", "max-age=60", "Vary", "Accept-Language"));
        for (String language : List.of("de", "fr")) {
            replica.request("GET", path, "Accept-Language", language);
            awaitNoFlights();
            assertThat(replica.request("GET", path, "Accept-Language", language)
                    .headers()
                    .firstValue("Cache-Status")
                    .orElse("")).startsWith("Corral; hit");
        }

        JsonNode result = purgeSuccessfully("{\"urls\":[\"" + path + "\"]}");

        assertThat(texts(result.path("names"))).containsExactly("url:" + path);
        for (String language : List.of("de", "fr")) {
            assertThat(replica.request("GET", path, "Accept-Language", language)
                    .headers()
                    .firstValue("Cache-Status")
                    .orElse("")).startsWith("Corral; fwd=");
        }
        assertHit(other);
    }

    @Test
    void absoluteUrlIsRequiredWhereHostIsInKey() {
        String path = "/tenants/" + PATHS.incrementAndGet();
        String here = "127.0.0.1:" + replica.port();
        storeAt(path);

        purgeSuccessfully("{\"urls\":[\"http://elsewhere.example" + path + "\"]}");
        assertHit(path);
        purgeSuccessfully("{\"urls\":[\"http://" + here + path + "\"]}");
        assertPurged(path);
        assertProblem(purge("{\"urls\":[\"" + path + "\"]}"), 400, "bad-input", "urls[0]", path,
                "needs a scheme and a host", "route tenants");
    }

    @Test
    void tagPurgeMatchesEitherTagHeader() {
        String red = storedPath("Cache-Tag", "red,sale");
        String blue = storedPath("Surrogate-Key", "blue sale");
        String unpurged = storedPath();

        purgeSuccessfully("{\"tags\":[\"red\"]}");
        assertPurged(red);
        assertHit(blue);

        storeAt(red, "Cache-Tag", "red,sale");
        purgeSuccessfully("{\"tags\":[\"sale\"]}");
        assertPurged(red);
        assertPurged(blue);
        assertHit(unpurged);
    }

    @Test
    void prefixRouteAndAllPurgesRemoveOnlyWhatTheyName() {
        String shoes = storeAt("/prefix/shoes/1");
        String hats = storeAt("/prefix/hats/1");
        String tenant = storeAt("/tenants/" + PATHS.incrementAndGet());

        purgeSuccessfully("{\"prefixes\":[\"/prefix/shoes\"]}");
        assertPurged(shoes);
        assertHit(hats);

        purgeSuccessfully("{\"routes\":[\"tenants\"]}");
        assertPurged(tenant);
        assertHit(hats);

        assertThat(texts(purgeSuccessfully("{\"all\":true}").path("names"))).containsExactly("all");
        assertPurged(hats);
    }

    @Test
    void batchPurgeRemovesEveryTarget() {
        String one = storedPath();
        String two = storedPath("Cache-Tag", "batch");
        String three = storeAt("/batch/3");

        JsonNode result = purgeSuccessfully(
                "{\"urls\":[\"" + one + "\"],\"tags\":[\"batch\"],\"prefixes\":[\"/batch/\"],"
                        + "\"routes\":[],\"all\":false,\"soft\":false,\"wait\":true,\"dryRun\":false}");

        assertThat(texts(result.path("names"))).containsExactly("url:" + one, "tag:batch", "prefix:/batch/");
        List.of(one, two, three).forEach(PurgeControllerTest::assertPurged);
    }

    @Test
    void softPurgeMakesEntryStale() {
        String path = storedPath();
        shop.respondWith(path, StubResponse.of(200, "new", "Cache-Control", "max-age=60"));

        JsonNode result = purgeSuccessfully("{\"urls\":[\"" + path + "\"],\"soft\":true}");

        assertThat(result.path("soft").asBoolean()).isTrue();
        HttpResponse<String> stale = replica.request("GET", path);
        assertThat(stale.body()).isEqualTo("body of " + path);
        assertThat(stale.headers().firstValue("Cache-Status").orElse("")).startsWith("Corral; hit; ttl=-");
        await().until(() -> replica.request("GET", path).body().equals("new"));
    }

    // ---- responses

    @Test
    void waitingPurgeListsAcknowledgements() {
        long before = System.currentTimeMillis() * 1_000;

        JsonNode result = purgeSuccessfully("{\"tags\":[\"nothing has it\"]}");

        assertThat(result.path("position").asLong()).isGreaterThan(before);
        assertThat(result.path("complete").asBoolean()).isTrue();
        assertThat(result.path("replicas")).hasSize(1);
        assertThat(result.at("/replicas/0/id").asText()).isEqualTo("a");
        assertThat(result.at("/replicas/0/acknowledged").asBoolean()).isTrue();
        assertThat(result.at("/replicas/0/millis").asDouble()).isPositive();
    }

    @Test
    void purgeWithoutWaitReturnsPositionOnly() {
        JsonNode result = purgeSuccessfully("{\"tags\":[\"nothing has it\"],\"wait\":false}");

        assertThat(result.path("position").asLong()).isPositive();
        assertThat(result.path("complete").asBoolean()).isFalse();
        assertThat(result.path("replicas")).isEmpty();
        assertThat(result.path("silent").isArray()).isTrue();
        assertThat(result.path("silent")).isEmpty();
    }

    @Test
    void purgePositionsGrowAndRecentPurgesAreListed() {
        long first = purgeSuccessfully("{\"tags\":[\"first of two\"]}").path("position").asLong();
        long second = purgeSuccessfully("{\"tags\":[\"second of two\"],\"soft\":true}").path("position").asLong();

        JsonNode standing = read(replica.requestManagement("GET", "/actuator/purge", "Authorization", VERA));

        assertThat(second).isGreaterThan(first);
        assertThat(standing.path("position").asLong()).isGreaterThanOrEqualTo(second);
        assertThat(standing.at("/last/0/position").asLong()).isEqualTo(second);
        assertThat(standing.at("/last/0/soft").asBoolean()).isTrue();
        assertThat(texts(standing.at("/last/0/names"))).containsExactly("tag:second of two");
        assertThat(standing.at("/last/0/by").asText()).isEqualTo("olga");
        assertThat(standing.at("/last/1/position").asLong()).isEqualTo(first);
    }

    @Test
    void dryRunReportsMatchesAndPurgesNothing() {
        String path = storedPath("Cache-Tag", "dry");
        String absent = "/p/" + PATHS.incrementAndGet();
        long position = read(replica.requestManagement("GET", "/actuator/purge", "Authorization", VERA))
                .path("position")
                .asLong();

        JsonNode preview = purgeSuccessfully(
                "{\"urls\":[\"" + path + "\",\"" + absent + "\"],\"tags\":[\"dry\"],\"dryRun\":true}");

        assertThat(preview.path("dryRun").asBoolean()).isTrue();
        assertThat(texts(preview.path("names"))).containsExactly("url:" + path, "url:" + absent, "tag:dry");
        assertThat(preview.at("/here/hit").asInt()).isEqualTo(1);
        assertThat(preview.at("/here/of").asInt()).isPositive();
        assertThat(preview.at("/urls/0/state").asText()).isEqualTo("fresh");
        assertThat(preview.at("/urls/0/route").asText()).isEqualTo("shop");
        assertThat(texts(preview.at("/urls/0/tags"))).containsExactly("dry");
        assertThat(preview.at("/urls/1/state").asText()).isEqualTo("absent");
        assertHit(path);
        assertThat(read(replica.requestManagement("GET", "/actuator/purge", "Authorization", VERA)).path("position")
                .asLong())
                .isEqualTo(position);
    }

    // ---- invalid input

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '\0', value = {
            "{} | The purge has no target | tags",
            "{\"soft\":true} | The purge has no target | \"all\": true",
            "{\"tags\":[]} | The purge has no target | urls",
            "{\"all\":false} | The purge has no target | urls",
            "{\"tag\":[\"a\"]} | tag is not a known member | tags",
            "{\"tags\":[\"a\"],\"Soft\":true} | Soft is not a known member | soft",
            "{\"tags\":\"a\"} | tags must be a list of strings | the string a",
            "{\"tags\":{\"a\":1}} | tags must be a list of strings | an object",
            "{\"tags\":null} | tags must be a list of strings | null",
            "{\"tags\":[1]} | tags[0] must be a string | 1",
            "{\"tags\":[\"a\",null]} | tags[1] must be a string | null",
            "{\"tags\":[[\"a\"]]} | tags[0] must be a string | a list",
            "{\"urls\":[true]} | urls[0] must be a string | true",
            "{\"tags\":[\"a\"],\"soft\":\"true\"} | soft must be true or false | the string true",
            "{\"tags\":[\"a\"],\"soft\":1} | soft must be true or false | 1",
            "{\"tags\":[\"a\"],\"wait\":null} | wait must be true or false | null",
            "{\"tags\":[\"a\"],\"dryRun\":\"yes\"} | dryRun must be true or false | yes",
            "{\"all\":\"false\"} | all must be true or false | false",
            "{\"all\":0} | all must be true or false | 0",
            "{\"tags\":[\"\"]} | tags[0]: | must be 1 to 1024 characters",
            "{\"tags\":[\"a\\nb\"]} | tags[0]: | control characters",
            "{\"tags\":[\"a\",\" b\"]} | tags[1]: | without surrounding spaces",
            "{\"urls\":[\"products/1\"]} | urls[0]: products/1 | begins with /",
            "{\"urls\":[\"\"]} | urls[0]: | begins with /",
            "{\"urls\":[\"ftp://a/b\"]} | urls[0]: ftp://a/b | http or https",
            "{\"urls\":[\"http://u:p@a/b\"]} | urls[0]: | without user",
            "{\"urls\":[\"/a#b\"]} | urls[0]: /a#b | fragment",
            "{\"urls\":[\"/a b\"]} | urls[0]: /a b | begins with /",
            "{\"prefixes\":[\"/a?b\"]} | prefixes[0]: /a?b | must not have a query",
            "{\"prefixes\":[\"a\"]} | prefixes[0]: a | begins with /",
            "{\"routes\":[\"shoop\"]} | routes[0]: shoop is not a route | tenants, shop",
            "{\"tags\":[\"a\"]} {} | one JSON object | without trailing content",
            "{\"tags\":[\"a\"]}] | not valid JSON | line 1",
            "{\"tags\":[\"a\"],\"tags\":[\"b\"]} | Duplicate | tags",
            "{\"tags\":[\"a\"] | not valid JSON | end",
            "{'tags':['a']} | not valid JSON | '",
            "nonsense | not valid JSON | nonsense",
            "[] | must be a JSON object | tags",
            "\"all\" | must be a JSON object | all",
            "null | must be a JSON object | urls",
    })
    void invalidPurgeBodyIsRejectedWithReason(String json, String named, String advice) {
        try (var audit = new AuditLogCapture()) {
            assertProblem(purge(json), 400, "bad-input", named, advice);
            assertThat(audit.lines()).isEmpty();
        }
    }

    @Test
    void emptyPurgeBodyIsRejected() {
        assertProblem(purge(""), 400, "bad-input", "must be a JSON object");
    }

    @Test
    void purgeOfMoreThanThousandTargetsIsRejected() {
        String thousand = IntStream.range(0, 1_000).mapToObj(i -> "\"t" + i + "\"").collect(Collectors.joining(","));

        assertThat(texts(purgeSuccessfully("{\"tags\":[" + thousand + "]}").path("names"))).hasSize(1_000);
        assertProblem(purge("{\"tags\":[" + thousand + ",\"more\"]}"), 400, "bad-input", "1 to 1000", "1001");
        assertProblem(purge("{\"tags\":[" + thousand + ",\"more\"],\"dryRun\":true}"), 400, "bad-input", "1 to 1000");
    }

    @Test
    void oversizedPurgeBodyIsRejected() {
        assertProblem(purge("{\"tags\":[\"" + "a".repeat(3 << 20) + "\"]}"), 413, "too-large", "split");
    }

    /** As a busy machine reads them: the head and the first of the body at once, by a login that takes no other thread to check. */
    @Test
    void aBodyThatComesTogetherWithItsHeadIsReadToItsEnd() {
        purgeSuccessfully("{\"tags\":[\"remembered\"]}");
        String body = "{\"tags\":[\"" + "a".repeat(200) + "\"]" + " ".repeat(500_000) + "}";

        assertThat(replica
                .sendRaw("POST /actuator/purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: " + OLGA
                        + "\r\nContent-Type: application/json\r\nContent-Length: " + body.length() + "\r\n\r\n" + body))
                .startsWith("HTTP/1.1 200 ");
    }

    @ParameterizedTest
    @ValueSource(strings = {"text/xml", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream",
            "*/*", "broken", "application/json/x"})
    void nonJsonContentTypeIsRejected(String type) {
        HttpResponse<String> response = replica.requestManagement("POST", "/actuator/purge", "Authorization", OLGA,
                "Content-Type",
                type);

        assertProblem(response, 415, "content-type", "application/json");
    }

    @ParameterizedTest
    @ValueSource(strings = {"application/json", "application/json; charset=utf-8", "Application/JSON"})
    void jsonContentTypeVariantsAreAccepted(String type) {
        assertThat(replica
                .sendRaw("POST /actuator/purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: " + OLGA
                        + "\r\nContent-Type: " + type + "\r\nContent-Length: 14\r\n\r\n{\"tags\":[\"x\"]}"))
                .startsWith("HTTP/1.1 200 ");
    }

    @Test
    void purgeRequiresOperator() {
        String path = storedPath();

        assertProblem(replica.postJson("/actuator/purge", "{\"all\":true}", "Authorization", VERA), 403, "forbidden");
        assertProblem(replica.postJson("/actuator/purge", "{\"all\":true}"), 401, "unauthenticated");
        assertProblem(replica.requestManagement("PURGE", path, "Authorization", VERA), 403, "forbidden");
        assertProblem(replica.requestManagement("PURGE", path), 401, "unauthenticated");
        assertHit(path);
    }

    // ---- PURGE

    private static JsonNode purgeByMethod(String target, String... fields) {
        String[] all = List.of(List.of(fields), List.of("Authorization", OLGA))
                .stream()
                .flatMap(List::stream)
                .toArray(String[]::new);
        HttpResponse<String> response = replica.requestManagement("PURGE", target, all);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return read(response);
    }

    @Test
    void purgeMethodRemovesPath() {
        String path = storedPath();
        String other = storedPath();

        JsonNode result = purgeByMethod(path);

        assertThat(texts(result.path("names"))).containsExactly("url:" + path);
        assertThat(result.path("complete").asBoolean()).isTrue();
        assertPurged(path);
        assertHit(other);
    }

    @Test
    void purgeMethodMatchesNormalizedQuery() {
        String path = storedPath();
        replica.request("GET", path + "?a=%20&b=2");
        awaitNoFlights();

        purgeByMethod(path + "?b=2&a=%20");

        assertPurged(path + "?a=%20&b=2");
        assertHit(path);
    }

    private static String purgeByRawRequest(String target, String host) {
        return replica
                .sendRaw("PURGE " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nAuthorization: "
                        + OLGA + "\r\n\r\n");
    }

    @Test
    void purgeMethodHostMattersWhereHostIsInKey() {
        String path = storeAt("/tenants/" + PATHS.incrementAndGet());
        String here = "127.0.0.1:" + replica.port();

        assertThat(purgeByRawRequest(path, "elsewhere.example")).startsWith("HTTP/1.1 200 ");
        assertHit(path);
        assertThat(purgeByRawRequest(path, here)).startsWith("HTTP/1.1 200 ");
        assertPurged(path);
    }

    /** RFC 9112 section 3.2.2: the host of the target takes precedence over Host. */
    @Test
    void purgeMethodPrefersHostOfAbsoluteTarget() {
        String path = storeAt("/tenants/" + PATHS.incrementAndGet());
        String here = "127.0.0.1:" + replica.port();

        assertThat(purgeByRawRequest("http://elsewhere.example" + path, here)).startsWith("HTTP/1.1 200 ");
        assertHit(path);
        assertThat(purgeByRawRequest("http://" + here + path, "elsewhere.example")).startsWith("HTTP/1.1 200 ")
                .contains("url:" + here + path);
        assertPurged(path);
    }

    @ParameterizedTest
    @CsvSource({"Cache-Tag,'one-by-field, other'", "Surrogate-Key,one-by-field other", "xkey,one-by-field other"})
    void purgeMethodWithTagHeaderPurgesTags(String field, String tags) {
        String tagged = storedPath("Cache-Tag", "one-by-field");
        String path = storedPath();

        JsonNode result = purgeByMethod(path, field, tags);

        assertThat(texts(result.path("names"))).containsExactly("tag:one-by-field", "tag:other");
        assertPurged(tagged);
        assertHit(path);
    }

    @ParameterizedTest
    @CsvSource({"Corral-Purge,soft", "Corral-Purge,SOFT", "Fastly-Soft-Purge,1"})
    void purgeMethodWithSoftHeaderMakesStale(String field, String value) {
        String path = storedPath();

        assertThat(purgeByMethod(path, field, value).path("soft").asBoolean()).isTrue();

        assertThat(replica.request("GET", path).headers().firstValue("Cache-Status").orElse(""))
                .startsWith("Corral; hit; ttl=-");
        awaitNoFlights();
        assertThat(purgeByMethod(path).path("soft").asBoolean()).isFalse();
    }

    @Test
    void invalidPurgeMethodRequestIsRejected() {
        assertProblem(
                replica.requestManagement("PURGE", "/x", "Authorization", OLGA, "Surrogate-Key", "a".repeat(2_000)),
                400,
                "bad-input", "Surrogate-Key", "1024");
        assertProblem(replica.requestManagement("PURGE", "/x", "Authorization", OLGA, "Corral-Purge", "sfot"), 400,
                "bad-input",
                "Corral-Purge must be soft or hard", "sfot");
        assertThat(purgeByRawRequest("*", "a")).startsWith("HTTP/1.1 400 ");
        assertThat(purgeByRawRequest("http://u:p@a/b", "a")).startsWith("HTTP/1.1 400 ").contains("problem+json");
    }

    // ---- forms of plugins

    @ParameterizedTest
    @CsvSource({"/pattern/shoes/.*,", "/pattern/shoes/.*,regex", "/pattern/sh.*,default", "/pattern/shoes/(.*),regex"})
    void pathEndingInWildcardPurgesPrefix(String target, String method) {
        String shoes = storeAt("/pattern/shoes/" + PATHS.incrementAndGet());
        String hats = storeAt("/pattern/hats/" + PATHS.incrementAndGet());

        JsonNode result = method == null ? purgeByMethod(target) : purgeByMethod(target, "X-Purge-Method", method);

        assertThat(result.path("complete").asBoolean()).isTrue();
        assertPurged(shoes);
        assertHit(hats);
    }

    @Test
    void wildcardPathPurgesWholeHost() {
        String tenant = storeAt("/tenants/" + PATHS.incrementAndGet());
        String path = storedPath();
        String here = "127.0.0.1:" + replica.port();

        assertThat(purgeByRawRequest("/.*", "elsewhere.example")).startsWith("HTTP/1.1 200 ");
        assertHit(tenant);
        assertPurged(path);
        assertThat(purgeByRawRequest("http://" + here + "/.*", here)).startsWith("HTTP/1.1 200 ");
        assertPurged(tenant);
    }

    @Test
    void exactMethodPurgesUrlContainingWildcard() {
        String path = storeAt("/exact/" + PATHS.incrementAndGet() + ".*");
        String other = storeAt(path.replace(".*", "x"));

        purgeByMethod(path, "X-Purge-Method", "exact");

        assertPurged(path);
        assertHit(other);
    }

    @ParameterizedTest
    @ValueSource(strings = {"((^|,)cat_p_1(,|$))|((^|,)cat_p_2(,|$))", "cat_p_1|cat_p_2"})
    void magentoTagPatternPurgesTags(String pattern) {
        String one = storedPath("Cache-Tag", "cat_p_1,cms");
        String two = storedPath("Cache-Tag", "cat_p_2");
        String twelve = storedPath("Cache-Tag", "cat_p_12");

        JsonNode result = purgeByMethod("/", "X-Magento-Tags-Pattern", pattern);

        assertThat(texts(result.path("names"))).containsExactly("tag:cat_p_1", "tag:cat_p_2");
        assertPurged(one);
        assertPurged(two);
        assertHit(twelve);
    }

    @Test
    void magentoFlushPurgesEverything() {
        String tenant = storeAt("/tenants/" + PATHS.incrementAndGet());
        String path = storedPath();

        assertThat(texts(purgeByMethod("/", "X-Magento-Tags-Pattern", ".*").path("names"))).containsExactly("all");

        assertPurged(path);
        assertPurged(tenant);
    }

    /** None of these may get a 200 without purging anything. */
    @ParameterizedTest
    @CsvSource(delimiter = ';', value = {
            "/a/.*/b; Host; h; .* at its end",
            "/a(b)+; X-Purge-Method; regex; .* at its end",
            "/a; X-Purge-Method; regex; X-Purge-Method: regex",
            "/a/b+.*; X-Purge-Method; regex; /shoes/.*",
            "/a; X-Purge-Method; fuzzy; default, exact or regex",
            "/; X-Magento-Tags-Pattern; cat_p_.*; X-Magento-Tags-Pattern must be",
            "/; X-Magento-Tags-Pattern; ((^|,)cat_(p|c)_1(,|$)); literal tags",
            "/; X-Magento-Tags-Pattern; ''; X-Magento-Tags-Pattern must be",
            "/; X-Ban-Url; /a/.*; X-Ban-Url is not supported",
            "/; X-Ban-Host; shop.example; Corral has no bans",
            "/; X-Cache-Tags; a,b; Cache-Tag",
            "/; xkey-softpurge; a b; Corral-Purge: soft",
    })
    void unsupportedPurgePatternIsRejected(String target, String field, String value, String advice) {
        String path = storedPath();

        String response = replica.sendRaw("PURGE " + target + " HTTP/1.1\r\nConnection: close\r\nAuthorization: " + OLGA
                + "\r\n" + (field.equals("Host") ? "" : "Host: a\r\n") + field + ": " + value + "\r\n\r\n");

        assertThat(response).startsWith("HTTP/1.1 400 ").contains("problem+json", advice);
        assertHit(path);
    }

    @Test
    void wildcardInUrlsIsRejected() {
        assertProblem(purge("{\"urls\":[\"/a/.*\"]}"), 400, "bad-input", "urls[0]", "prefixes");
    }

    // ---- Redis unavailable

    @Test
    void purgeWithoutRedisIsServiceUnavailable() {
        String path = storedPath();
        try (var audit = new AuditLogCapture()) {
            redis.stop();

            assertProblem(purge("{\"urls\":[\"" + path + "\"]}"), 503, "redis", "could not be written");
            assertProblem(purge("{\"urls\":[\"" + path + "\"],\"wait\":false}"), 503, "redis");
            HttpResponse<String> byMethod = replica.requestManagement("PURGE", path, "Authorization", OLGA);
            assertProblem(byMethod, 503, "redis");
            assertThat(byMethod.headers().firstValue("Retry-After")).isPresent();
            assertThat(audit.lines()).hasSize(3)
                    .allSatisfy(line -> assertThat(line).contains("refused", "by=olga", "url:" + path));
            assertThat(replica.requestManagement("GET", "/actuator/prometheus").body())
                    .contains("corral_purges_total{result=\"failed\"} 3.0");
        } finally {
            redis.restart();
            await().until(() -> purge("{\"all\":true}").statusCode() == 200);
        }
    }

    // ---- audit

    @Test
    void everyPurgeIsAudited() {
        try (var audit = new AuditLogCapture()) {
            long position = purgeSuccessfully("{\"tags\":[\"audited\"],\"soft\":true}").path("position").asLong();
            long byMethod = purgeByMethod("/audited").path("position").asLong();
            purgeSuccessfully("{\"tags\":[\"audited\"],\"dryRun\":true}");

            assertThat(audit.lines()).hasSize(2);
            assertThat(audit.lines().getFirst()).startsWith("purge position=" + position + " soft=true by=olga")
                    .contains("names=[tag:audited]", "replicas=1/1");
            assertThat(audit.lines().getLast()).contains("position=" + byMethod, "soft=false", "by=olga",
                    "names=[url:/audited]");
        }
    }

    @Test
    void controlCharactersInUserNameAreEscapedInAuditLog() {
        try (var audit = new AuditLogCapture()) {
            String oscar = basicAuthorization("o\nscar", "operator's");

            HttpResponse<String> response = replica.postJson("/actuator/purge", "{\"tags\":[\"a\"]}", "Authorization",
                    oscar);
            replica.postJson("/actuator/loggers/dev.corral.none", "{}", "Authorization", oscar);

            assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
            assertThat(audit.lines()).hasSize(2)
                    .allSatisfy(line -> assertThat(line).contains("by=o?scar").doesNotContain("\n"));
        }
    }
}
