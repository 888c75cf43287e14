package dev.corral;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.coalesce.Coalescer;
import dev.corral.dev.Answer;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
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

import static dev.corral.TestReplica.basic;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Purges as operators and content management systems ask for them, at one replica. */
@Timeout(120)
class PurgeByHttpTest {

    private static final String OLGA = basic("olga", "operator's");
    private static final String VERA = basic("vera", "viewer's");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final AtomicInteger PATHS = new AtomicInteger();

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static TestReplica replica;

    @BeforeAll
    static void start() {
        redis = TestReplica.redis();
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
        replica = TestReplica.start(settings);
    }

    @AfterAll
    static void stop() {
        replica.close();
        shop.close();
        redis.close();
    }

    /** A path of this test's own whose answer is fresh for a minute, and stored. */
    private static String anywhere(String... fields) {
        return stored("/p/" + PATHS.incrementAndGet(), fields);
    }

    private static String stored(String path, String... fields) {
        Answer answer = Answer.of(200, "body of " + path, "Cache-Control", "max-age=60, stale-while-revalidate=60");
        for (int i = 0; i < fields.length; i += 2) {
            answer = answer.with(fields[i], fields[i + 1]);
        }
        shop.answer(path, answer);
        assertThat(replica.ask("GET", path).statusCode()).isEqualTo(200);
        landed();
        assertThat(status(path)).startsWith("Corral; hit");
        return path;
    }

    private static void landed() {
        await().atMost(Duration.ofSeconds(15))
                .until(() -> replica.context().getBean(Coalescer.class).inFlight() == 0);
    }

    /** What the cache says of a request for it. */
    private static String status(String path) {
        return replica.ask("GET", path).headers().firstValue("Cache-Status").orElse("");
    }

    private static void assertGone(String path) {
        assertThat(status(path)).startsWith("Corral; fwd=").doesNotContain("hit");
        landed();
    }

    private static void assertKept(String path) {
        assertThat(status(path)).startsWith("Corral; hit");
    }

    private static HttpResponse<String> purge(String json) {
        return replica.post("/actuator/purge", json, "Authorization", OLGA);
    }

    private static JsonNode purged(String json) {
        HttpResponse<String> answer = purge(json);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/json");
        return read(answer);
    }

    private static JsonNode read(HttpResponse<String> answer) {
        try {
            return JSON.readTree(answer.body());
        } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
            throw new AssertionError("no JSON: " + answer.body(), e);
        }
    }

    private static List<String> texts(JsonNode list) {
        return IntStream.range(0, list.size()).mapToObj(i -> list.get(i).asText()).toList();
    }

    private static void assertProblem(HttpResponse<String> answer, int status, String reason, String... detail) {
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(status);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/problem+json");
        JsonNode problem = read(answer);
        assertThat(problem.path("type").asText()).isEqualTo("about:blank");
        assertThat(problem.path("status").asInt()).isEqualTo(status);
        assertThat(problem.path("title").asText()).isNotBlank();
        assertThat(problem.path("reason").asText()).isEqualTo(reason);
        assertThat(problem.path("detail").asText()).isNotBlank().doesNotContain("com.fasterxml", "java.", "`");
        for (String part : detail) {
            assertThat(problem.path("detail").asText()).contains(part);
        }
    }

    // ---- what can be named

    @Test
    void byUrlWhicheverVariant() {
        String path = "/p/" + PATHS.incrementAndGet();
        String other = anywhere();
        shop.answer(path, Answer.of(200, "a", "Cache-Control", "max-age=60", "Vary", "Accept-Language"));
        for (String language : List.of("de", "fr")) {
            replica.ask("GET", path, "Accept-Language", language);
            landed();
            assertThat(replica.ask("GET", path, "Accept-Language", language)
                    .headers()
                    .firstValue("Cache-Status")
                    .orElse("")).startsWith("Corral; hit");
        }

        JsonNode result = purged("{\"urls\":[\"" + path + "\"]}");

        assertThat(texts(result.path("names"))).containsExactly("url:" + path);
        for (String language : List.of("de", "fr")) {
            assertThat(replica.ask("GET", path, "Accept-Language", language)
                    .headers()
                    .firstValue("Cache-Status")
                    .orElse("")).startsWith("Corral; fwd=");
        }
        assertKept(other);
    }

    @Test
    void byAbsoluteUrlWhereTheHostIsPartOfTheKey() {
        String path = "/tenants/" + PATHS.incrementAndGet();
        String here = "127.0.0.1:" + replica.port();
        stored(path);

        purged("{\"urls\":[\"http://elsewhere.example" + path + "\"]}");
        assertKept(path);
        purged("{\"urls\":[\"http://" + here + path + "\"]}");
        assertGone(path);
        assertProblem(purge("{\"urls\":[\"" + path + "\"]}"), 400, "bad-input", "urls[0]", path,
                "needs its scheme and host", "route tenants");
    }

    @Test
    void byTagOfEitherField() {
        String red = anywhere("Cache-Tag", "red,sale");
        String blue = anywhere("Surrogate-Key", "blue sale");
        String none = anywhere();

        purged("{\"tags\":[\"red\"]}");
        assertGone(red);
        assertKept(blue);

        stored(red, "Cache-Tag", "red,sale");
        purged("{\"tags\":[\"sale\"]}");
        assertGone(red);
        assertGone(blue);
        assertKept(none);
    }

    @Test
    void byPrefixRouteAndAll() {
        String shoes = stored("/prefix/shoes/1");
        String hats = stored("/prefix/hats/1");
        String tenant = stored("/tenants/" + PATHS.incrementAndGet());

        purged("{\"prefixes\":[\"/prefix/shoes\"]}");
        assertGone(shoes);
        assertKept(hats);

        purged("{\"routes\":[\"tenants\"]}");
        assertGone(tenant);
        assertKept(hats);

        assertThat(texts(purged("{\"all\":true}").path("names"))).containsExactly("all");
        assertGone(hats);
    }

    @Test
    void severalThingsInOneStep() {
        String one = anywhere();
        String two = anywhere("Cache-Tag", "batch");
        String three = stored("/batch/3");

        JsonNode result = purged("{\"urls\":[\"" + one + "\"],\"tags\":[\"batch\"],\"prefixes\":[\"/batch/\"],"
                + "\"routes\":[],\"all\":false,\"soft\":false,\"wait\":true,\"dryRun\":false}");

        assertThat(texts(result.path("names"))).containsExactly("url:" + one, "tag:batch", "prefix:/batch/");
        List.of(one, two, three).forEach(PurgeByHttpTest::assertGone);
    }

    @Test
    void aSoftPurgeMakesStale() {
        String path = anywhere();
        shop.answer(path, Answer.of(200, "new", "Cache-Control", "max-age=60"));

        JsonNode result = purged("{\"urls\":[\"" + path + "\"],\"soft\":true}");

        assertThat(result.path("soft").asBoolean()).isTrue();
        HttpResponse<String> stale = replica.ask("GET", path);
        assertThat(stale.body()).isEqualTo("body of " + path);
        assertThat(stale.headers().firstValue("Cache-Status").orElse("")).startsWith("Corral; hit; ttl=-");
        await().atMost(Duration.ofSeconds(15)).until(() -> replica.ask("GET", path).body().equals("new"));
    }

    // ---- what it answers

    @Test
    void whoWaitsHearsFromEachReplica() {
        long before = System.currentTimeMillis() * 1_000;

        JsonNode result = purged("{\"tags\":[\"nothing has it\"]}");

        assertThat(result.path("position").asLong()).isGreaterThan(before);
        assertThat(result.path("complete").asBoolean()).isTrue();
        assertThat(result.path("replicas")).hasSize(1);
        assertThat(result.at("/replicas/0/id").asText()).isEqualTo("a");
        assertThat(result.at("/replicas/0/acknowledged").asBoolean()).isTrue();
        assertThat(result.at("/replicas/0/millis").asDouble()).isPositive();
    }

    @Test
    void whoDoesNotWaitHearsThePosition() {
        JsonNode result = purged("{\"tags\":[\"nothing has it\"],\"wait\":false}");

        assertThat(result.path("position").asLong()).isPositive();
        assertThat(result.path("complete").asBoolean()).isFalse();
        assertThat(result.path("replicas")).isEmpty();
        assertThat(result.path("silent").isArray()).isTrue();
        assertThat(result.path("silent")).isEmpty();
    }

    @Test
    void positionsOnlyGrowAndTheLastPurgesAreTold() {
        long first = purged("{\"tags\":[\"first of two\"]}").path("position").asLong();
        long second = purged("{\"tags\":[\"second of two\"],\"soft\":true}").path("position").asLong();

        JsonNode standing = read(replica.manage("GET", "/actuator/purge", "Authorization", VERA));

        assertThat(second).isGreaterThan(first);
        assertThat(standing.path("position").asLong()).isGreaterThanOrEqualTo(second);
        assertThat(standing.at("/last/0/position").asLong()).isEqualTo(second);
        assertThat(standing.at("/last/0/soft").asBoolean()).isTrue();
        assertThat(texts(standing.at("/last/0/names"))).containsExactly("tag:second of two");
        assertThat(standing.at("/last/0/by").asText()).isEqualTo("olga");
        assertThat(standing.at("/last/1/position").asLong()).isEqualTo(first);
    }

    @Test
    void aDryRunPurgesNothing() {
        String path = anywhere("Cache-Tag", "dry");
        String absent = "/p/" + PATHS.incrementAndGet();
        long position = read(replica.manage("GET", "/actuator/purge", "Authorization", VERA)).path("position")
                .asLong();

        JsonNode preview = purged(
                "{\"urls\":[\"" + path + "\",\"" + absent + "\"],\"tags\":[\"dry\"],\"dryRun\":true}");

        assertThat(preview.path("dryRun").asBoolean()).isTrue();
        assertThat(texts(preview.path("names"))).containsExactly("url:" + path, "url:" + absent, "tag:dry");
        assertThat(preview.at("/here/hit").asInt()).isEqualTo(1);
        assertThat(preview.at("/here/of").asInt()).isPositive();
        assertThat(preview.at("/urls/0/state").asText()).isEqualTo("fresh");
        assertThat(preview.at("/urls/0/route").asText()).isEqualTo("shop");
        assertThat(texts(preview.at("/urls/0/tags"))).containsExactly("dry");
        assertThat(preview.at("/urls/1/state").asText()).isEqualTo("absent");
        assertKept(path);
        assertThat(read(replica.manage("GET", "/actuator/purge", "Authorization", VERA)).path("position").asLong())
                .isEqualTo(position);
    }

    // ---- what it refuses

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '\0', value = {
            "{} | Nothing is named | tags",
            "{\"soft\":true} | Nothing is named | \"all\": true",
            "{\"tags\":[]} | Nothing is named | urls",
            "{\"all\":false} | Nothing is named | urls",
            "{\"tag\":[\"a\"]} | tag is not known | tags",
            "{\"tags\":[\"a\"],\"Soft\":true} | Soft is not known | soft",
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
            "{\"tags\":[\"a\",\" b\"]} | tags[1]: | without blanks",
            "{\"urls\":[\"products/1\"]} | urls[0]: products/1 | begins with /",
            "{\"urls\":[\"\"]} | urls[0]: | begins with /",
            "{\"urls\":[\"ftp://a/b\"]} | urls[0]: ftp://a/b | http or https",
            "{\"urls\":[\"http://u:p@a/b\"]} | urls[0]: | without user",
            "{\"urls\":[\"/a#b\"]} | urls[0]: /a#b | fragment",
            "{\"urls\":[\"/a b\"]} | urls[0]: /a b | begins with /",
            "{\"prefixes\":[\"/a?b\"]} | prefixes[0]: /a?b | no query",
            "{\"prefixes\":[\"a\"]} | prefixes[0]: a | begins with /",
            "{\"routes\":[\"shoop\"]} | routes[0]: shoop is no route | tenants, shop",
            "{\"tags\":[\"a\"]} {} | one JSON object | behind its end",
            "{\"tags\":[\"a\"]}] | no JSON | line 1",
            "{\"tags\":[\"a\"],\"tags\":[\"b\"]} | Duplicate | tags",
            "{\"tags\":[\"a\"] | no JSON | end",
            "{'tags':['a']} | no JSON | '",
            "nonsense | no JSON | nonsense",
            "[] | must be a JSON object | tags",
            "\"all\" | must be a JSON object | all",
            "null | must be a JSON object | urls",
    })
    void whatIsWrongIsNamed(String json, String named, String right) {
        try (var audit = new AuditTrail()) {
            assertProblem(purge(json), 400, "bad-input", named, right);
            assertThat(audit.lines()).isEmpty();
        }
    }

    @Test
    void anEmptyBodyIsRefused() {
        assertProblem(purge(""), 400, "bad-input", "must be a JSON object");
    }

    @Test
    void aThousandNamesAreTheMostAndOneMoreIsTooMany() {
        String thousand = IntStream.range(0, 1_000).mapToObj(i -> "\"t" + i + "\"").collect(Collectors.joining(","));

        assertThat(texts(purged("{\"tags\":[" + thousand + "]}").path("names"))).hasSize(1_000);
        assertProblem(purge("{\"tags\":[" + thousand + ",\"more\"]}"), 400, "bad-input", "1 to 1000", "1001");
        assertProblem(purge("{\"tags\":[" + thousand + ",\"more\"],\"dryRun\":true}"), 400, "bad-input", "1 to 1000");
    }

    @Test
    void aBodyThatIsTooLargeIsRefused() {
        assertProblem(purge("{\"tags\":[\"" + "a".repeat(3 << 20) + "\"]}"), 413, "too-large", "split");
    }

    @ParameterizedTest
    @ValueSource(strings = {"text/xml", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream",
            "*/*", "broken", "application/json/x"})
    void anotherContentTypeIsRefused(String type) {
        HttpResponse<String> answer = replica.manage("POST", "/actuator/purge", "Authorization", OLGA, "Content-Type",
                type);

        assertProblem(answer, 415, "content-type", "application/json");
    }

    @ParameterizedTest
    @ValueSource(strings = {"application/json", "application/json; charset=utf-8", "Application/JSON"})
    void jsonIsTakenHoweverItIsNamed(String type) {
        assertThat(replica.raw("POST /actuator/purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: " + OLGA
                + "\r\nContent-Type: " + type + "\r\nContent-Length: 14\r\n\r\n{\"tags\":[\"x\"]}"))
                .startsWith("HTTP/1.1 200 ");
    }

    @Test
    void onlyAnOperatorPurges() {
        String path = anywhere();

        assertProblem(replica.post("/actuator/purge", "{\"all\":true}", "Authorization", VERA), 403, "role");
        assertProblem(replica.post("/actuator/purge", "{\"all\":true}"), 401, "login");
        assertProblem(replica.manage("PURGE", path, "Authorization", VERA), 403, "role");
        assertProblem(replica.manage("PURGE", path), 401, "login");
        assertKept(path);
    }

    // ---- PURGE

    private static JsonNode purgeMethod(String target, String... fields) {
        String[] all = List.of(List.of(fields), List.of("Authorization", OLGA))
                .stream()
                .flatMap(List::stream)
                .toArray(String[]::new);
        HttpResponse<String> answer = replica.manage("PURGE", target, all);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return read(answer);
    }

    @Test
    void thePurgeMethodTakesAPath() {
        String path = anywhere();
        String other = anywhere();

        JsonNode result = purgeMethod(path);

        assertThat(texts(result.path("names"))).containsExactly("url:" + path);
        assertThat(result.path("complete").asBoolean()).isTrue();
        assertGone(path);
        assertKept(other);
    }

    @Test
    void thePurgeMethodTakesAQuery() {
        String path = anywhere();
        replica.ask("GET", path + "?a=%20&b=2");
        landed();

        purgeMethod(path + "?b=2&a=%20");

        assertGone(path + "?a=%20&b=2");
        assertKept(path);
    }

    private static String rawPurge(String target, String host) {
        return replica.raw("PURGE " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nAuthorization: "
                + OLGA + "\r\n\r\n");
    }

    @Test
    void theHostOfThePurgeMethodCountsWhereItIsPartOfTheKey() {
        String path = stored("/tenants/" + PATHS.incrementAndGet());
        String here = "127.0.0.1:" + replica.port();

        assertThat(rawPurge(path, "elsewhere.example")).startsWith("HTTP/1.1 200 ");
        assertKept(path);
        assertThat(rawPurge(path, here)).startsWith("HTTP/1.1 200 ");
        assertGone(path);
    }

    /** RFC 9112 section 3.2.2: the target's host wins over the field's. */
    @Test
    void thePurgeMethodTakesAnAbsoluteUrl() {
        String path = stored("/tenants/" + PATHS.incrementAndGet());
        String here = "127.0.0.1:" + replica.port();

        assertThat(rawPurge("http://elsewhere.example" + path, here)).startsWith("HTTP/1.1 200 ");
        assertKept(path);
        assertThat(rawPurge("http://" + here + path, "elsewhere.example")).startsWith("HTTP/1.1 200 ")
                .contains("url:" + here + path);
        assertGone(path);
    }

    @ParameterizedTest
    @CsvSource({"Cache-Tag,'one-by-field, other'", "Surrogate-Key,one-by-field other", "xkey,one-by-field other"})
    void thePurgeMethodTakesTagsInstead(String field, String tags) {
        String tagged = anywhere("Cache-Tag", "one-by-field");
        String path = anywhere();

        JsonNode result = purgeMethod(path, field, tags);

        assertThat(texts(result.path("names"))).containsExactly("tag:one-by-field", "tag:other");
        assertGone(tagged);
        assertKept(path);
    }

    @ParameterizedTest
    @CsvSource({"Corral-Purge,soft", "Corral-Purge,SOFT", "Fastly-Soft-Purge,1"})
    void thePurgeMethodCanBeSoft(String field, String value) {
        String path = anywhere();

        assertThat(purgeMethod(path, field, value).path("soft").asBoolean()).isTrue();

        assertThat(replica.ask("GET", path).headers().firstValue("Cache-Status").orElse(""))
                .startsWith("Corral; hit; ttl=-");
        landed();
        assertThat(purgeMethod(path).path("soft").asBoolean()).isFalse();
    }

    @Test
    void aWrongPurgeMethodIsRefused() {
        assertProblem(replica.manage("PURGE", "/x", "Authorization", OLGA, "Surrogate-Key", "a".repeat(2_000)), 400,
                "bad-input", "Surrogate-Key", "1024");
        assertProblem(replica.manage("PURGE", "/x", "Authorization", OLGA, "Corral-Purge", "sfot"), 400, "bad-input",
                "Corral-Purge must be soft or hard", "sfot");
        assertThat(rawPurge("*", "a")).startsWith("HTTP/1.1 400 ");
        assertThat(rawPurge("http://u:p@a/b", "a")).startsWith("HTTP/1.1 400 ").contains("problem+json");
    }

    // ---- what plugins send

    @ParameterizedTest
    @CsvSource({"/pattern/shoes/.*,", "/pattern/shoes/.*,regex", "/pattern/sh.*,default", "/pattern/shoes/(.*),regex"})
    void aPathWithAnythingAtItsEndIsAPrefix(String target, String method) {
        String shoes = stored("/pattern/shoes/" + PATHS.incrementAndGet());
        String hats = stored("/pattern/hats/" + PATHS.incrementAndGet());

        JsonNode result = method == null ? purgeMethod(target) : purgeMethod(target, "X-Purge-Method", method);

        assertThat(result.path("complete").asBoolean()).isTrue();
        assertGone(shoes);
        assertKept(hats);
    }

    @Test
    void aPatternOfAnythingIsTheWholeHost() {
        String tenant = stored("/tenants/" + PATHS.incrementAndGet());
        String path = anywhere();
        String here = "127.0.0.1:" + replica.port();

        assertThat(rawPurge("/.*", "elsewhere.example")).startsWith("HTTP/1.1 200 ");
        assertKept(tenant);
        assertGone(path);
        assertThat(rawPurge("http://" + here + "/.*", here)).startsWith("HTTP/1.1 200 ");
        assertGone(tenant);
    }

    @Test
    void anExactUrlMayHaveAPatternInIt() {
        String path = stored("/exact/" + PATHS.incrementAndGet() + ".*");
        String other = stored(path.replace(".*", "x"));

        purgeMethod(path, "X-Purge-Method", "exact");

        assertGone(path);
        assertKept(other);
    }

    @ParameterizedTest
    @ValueSource(strings = {"((^|,)cat_p_1(,|$))|((^|,)cat_p_2(,|$))", "cat_p_1|cat_p_2"})
    void magentosPatternIsAListOfTags(String pattern) {
        String one = anywhere("Cache-Tag", "cat_p_1,cms");
        String two = anywhere("Cache-Tag", "cat_p_2");
        String twelve = anywhere("Cache-Tag", "cat_p_12");

        JsonNode result = purgeMethod("/", "X-Magento-Tags-Pattern", pattern);

        assertThat(texts(result.path("names"))).containsExactly("tag:cat_p_1", "tag:cat_p_2");
        assertGone(one);
        assertGone(two);
        assertKept(twelve);
    }

    @Test
    void magentosFlushIsEverything() {
        String tenant = stored("/tenants/" + PATHS.incrementAndGet());
        String path = anywhere();

        assertThat(texts(purgeMethod("/", "X-Magento-Tags-Pattern", ".*").path("names"))).containsExactly("all");

        assertGone(path);
        assertGone(tenant);
    }

    /** Not one of these is a 200 that purges nothing. */
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
            "/; X-Ban-Url; /a/.*; X-Ban-Url is not understood",
            "/; X-Ban-Host; shop.example; there are no bans",
            "/; X-Cache-Tags; a,b; Cache-Tag",
            "/; xkey-softpurge; a b; Corral-Purge: soft",
    })
    void aPatternThatIsNotUnderstoodIsRefused(String target, String field, String value, String right) {
        String path = anywhere();

        String response = replica.raw("PURGE " + target + " HTTP/1.1\r\nConnection: close\r\nAuthorization: " + OLGA
                + "\r\n" + (field.equals("Host") ? "" : "Host: a\r\n") + field + ": " + value + "\r\n\r\n");

        assertThat(response).startsWith("HTTP/1.1 400 ").contains("problem+json", right);
        assertKept(path);
    }

    @Test
    void aPatternAmongUrlsIsRefused() {
        assertProblem(purge("{\"urls\":[\"/a/.*\"]}"), 400, "bad-input", "urls[0]", "prefixes");
    }

    // ---- Redis away

    @Test
    void withoutRedisNothingIsPurgedAndNothingClaimed() {
        String path = anywhere();
        try (var audit = new AuditTrail()) {
            redis.stop();

            assertProblem(purge("{\"urls\":[\"" + path + "\"]}"), 503, "redis", "could not be written");
            assertProblem(purge("{\"urls\":[\"" + path + "\"],\"wait\":false}"), 503, "redis");
            HttpResponse<String> byMethod = replica.manage("PURGE", path, "Authorization", OLGA);
            assertProblem(byMethod, 503, "redis");
            assertThat(byMethod.headers().firstValue("Retry-After")).isPresent();
            assertThat(audit.lines()).hasSize(3)
                    .allSatisfy(line -> assertThat(line).contains("refused", "by=olga", "url:" + path));
            assertThat(replica.manage("GET", "/actuator/prometheus").body())
                    .contains("corral_purges_total{result=\"failed\"} 3.0");
        } finally {
            redis.restart();
            await().atMost(Duration.ofSeconds(15))
                    .until(() -> purge("{\"all\":true}").statusCode() == 200);
        }
    }

    // ---- audit

    @Test
    void eachPurgeIsALineOfTheAuditLog() {
        try (var audit = new AuditTrail()) {
            long position = purged("{\"tags\":[\"audited\"],\"soft\":true}").path("position").asLong();
            long byMethod = purgeMethod("/audited").path("position").asLong();
            purged("{\"tags\":[\"audited\"],\"dryRun\":true}");

            assertThat(audit.lines()).hasSize(2);
            assertThat(audit.lines().getFirst()).startsWith("purge position=" + position + " soft=true by=olga")
                    .contains("names=[tag:audited]", "replicas=1/1");
            assertThat(audit.lines().getLast()).contains("position=" + byMethod, "soft=false", "by=olga",
                    "names=[url:/audited]");
        }
    }

    @Test
    void anOddNameMakesNoSecondLine() {
        try (var audit = new AuditTrail()) {
            String oscar = basic("o\nscar", "operator's");

            HttpResponse<String> answer = replica.post("/actuator/purge", "{\"tags\":[\"a\"]}", "Authorization", oscar);
            replica.post("/actuator/loggers/dev.corral.none", "{}", "Authorization", oscar);

            assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
            assertThat(audit.lines()).hasSize(2)
                    .allSatisfy(line -> assertThat(line).contains("by=o?scar").doesNotContain("\n"));
        }
    }
}
