package dev.corral.management.security;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.testkit.InProcessReplica;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import org.springframework.security.web.server.SecurityWebFilterChain;
import org.springframework.security.web.server.WebFilterChainProxy;
import org.springframework.web.server.WebFilter;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;

/** Authentication and authorization on the management port. The test class stays below ten failed logins per minute. */
class ManagementSecurityTest {

    private static final String ADA = basicAuthorization("ada", "a plain pass:word");
    private static final String OLGA = basicAuthorization("olga", "hashed");

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static InProcessReplica replica;

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ZERO);
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "ada");
        settings.put("corral.management.users[0].password", "a plain pass:word");
        settings.put("corral.management.users[1].name", "olga");
        settings.put("corral.management.users[1].password",
                "{bcrypt}" + new BCryptPasswordEncoder(4).encode("hashed"));
        settings.put("corral.management.users[1].role", "operator");
        settings.put("corral.management.users[2].name", "nora");
        settings.put("corral.management.users[2].password", "{noop}{odd}");
        replica = InProcessReplica.start(settings);
    }

    @AfterAll
    static void stop() {
        replica.close();
        shop.close();
        redis.close();
    }

    private static void assertProblem(HttpResponse<String> response, int status, String reason) {
        assertThat(response.statusCode()).isEqualTo(status);
        assertThat(response.headers().firstValue("Content-Type")).contains("application/problem+json");
        assertThat(response.headers().allValues("Cache-Control").toString()).contains("no-store");
        assertThat(response.body()).contains("\"reason\":\"" + reason + "\"", "\"status\":" + status,
                "\"type\":\"about:blank\"");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/actuator/health", "/actuator/health/readiness", "/actuator/health/liveness",
            "/actuator/prometheus"})
    void healthAndMetricsAreReadableWithoutLogin(String path) {
        assertThat(replica.requestManagement("GET", path).statusCode()).isEqualTo(200);
        assertThat(replica.requestManagement("HEAD", path).statusCode()).isEqualTo(200);
        assertThat(replica.requestManagement("DELETE", path).statusCode()).isEqualTo(401);
    }

    @Test
    void healthDetailsRequireLogin() {
        assertThat(replica.requestManagement("GET", "/actuator/health").body()).doesNotContain("components", "redis");
        assertThat(replica.requestManagement("GET", "/actuator/health", "Authorization", ADA).body())
                .contains("\"redis\":");
    }

    @ParameterizedTest
    @CsvSource({"GET,/actuator", "GET,/actuator/metrics", "GET,/actuator/loggers", "GET,/", "GET,/products/1",
            "GET,/actuator/dashboard", "GET,/actuator/dashboard/stream", "PURGE,/products/1", "DELETE,/products/1",
            "OPTIONS,/products/1", "GET,/actuator/healthy", "GET,/actuator/prometheuses", "HEAD,/actuator/env",
            "PURGE,/actuator/health"})
    void everyOtherPathRequiresLogin(String method, String path) {
        HttpResponse<String> response = replica.requestManagement(method, path);

        assertThat(response.headers().allValues("WWW-Authenticate"))
                .containsExactly("Basic realm=\"Corral\", charset=\"UTF-8\"");
        if (method.equals("HEAD")) {
            assertThat(response.statusCode()).isEqualTo(401);
        } else {
            assertProblem(response, 401, "unauthenticated");
        }
    }

    @Test
    void viewerReadsButCannotChange() {
        assertThat(replica.requestManagement("GET", "/actuator/loggers", "Authorization", ADA).statusCode())
                .isEqualTo(200);
        assertThat(replica
                .requestManagement("GET", "/actuator/metrics", "Authorization", basicAuthorization("nora", "{odd}"))
                .statusCode())
                .isEqualTo(200);
        assertProblem(replica.postJson("/actuator/loggers/x", "{}", "Authorization", ADA), 403, "forbidden");
        assertProblem(replica.requestManagement("PURGE", "/products/1", "Authorization", ADA), 403, "forbidden");
        assertProblem(replica.requestManagement("DELETE", "/actuator/flights", "Authorization", ADA), 403, "forbidden");
    }

    @Test
    void operatorReadsAndChanges() {
        assertThat(replica.requestManagement("GET", "/actuator/loggers", "Authorization", OLGA).statusCode())
                .isEqualTo(200);
        assertThat(
                replica.postJson("/actuator/loggers/dev.corral.none", "{\"configuredLevel\":\"INFO\"}", "Authorization",
                        OLGA).statusCode())
                .isEqualTo(204);
    }

    /** The security filters accept any path of a PURGE; the purge controller checks it. */
    @ParameterizedTest
    @ValueSource(strings = {"/products/1", "/a//b", "/a%2Fb", "/a;x=1/b", "/a/../b", "/50%25"})
    void purgeMethodPassesFirewallWithAnyPath(String path) {
        assertThat(replica.requestManagement("PURGE", path, "Authorization", OLGA).statusCode()).isNotIn(400, 401, 403);
    }

    @ParameterizedTest
    @ValueSource(strings = {"/actuator/health/..%2Floggers", "/actuator//loggers", "/actuator/health/../loggers",
            "/actuator/health;x/../loggers", "/actuator/loggers%00"})
    void traversalPathIsRejected(String path) {
        assertProblem(replica.requestManagement("GET", path), 400, "malformed");
    }

    @Test
    void wrongPasswordAndUnknownUserAreIndistinguishable() {
        HttpResponse<String> wrong = replica.requestManagement("GET", "/actuator", "Authorization",
                basicAuthorization("olga", "guess"));
        HttpResponse<String> unknown = replica.requestManagement("GET", "/actuator", "Authorization",
                basicAuthorization("oscar", "guess"));
        // An unknown name is verified against the first user's password, which must not authenticate it.
        HttpResponse<String> first = replica.requestManagement("GET", "/actuator", "Authorization",
                basicAuthorization("oscar", "a plain pass:word"));

        assertProblem(wrong, 401, "unauthenticated");
        assertThat(unknown.body()).isEqualTo(wrong.body());
        assertThat(first.body()).isEqualTo(wrong.body());
        assertThat(unknown.headers().map().keySet()).isEqualTo(wrong.headers().map().keySet());
    }

    @Test
    void wrongCredentialsOnPublicPathAreRejected() {
        assertProblem(replica.requestManagement("GET", "/actuator/health", "Authorization",
                basicAuthorization("ada", "wrong")), 401, "unauthenticated");
    }

    @ParameterizedTest
    @ValueSource(strings = {"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain",
            "Text/Plain;charset=utf-8", ""})
    void formContentTypeIsRejected(String type) {
        HttpResponse<String> response = type.isEmpty()
                ? replica.requestManagement("POST", "/actuator/loggers/x", "Authorization", OLGA)
                : replica.requestManagement("POST", "/actuator/loggers/x", "Authorization", OLGA, "Content-Type", type);

        assertProblem(response, 415, "content-type");
    }

    @ParameterizedTest
    @CsvSource({"Origin,http://evil.example", "Origin,null", "Origin,http://127.0.0.1", "Origin,http://[broken",
            "Sec-Fetch-Site,cross-site", "Sec-Fetch-Site,same-site"})
    void crossSiteRequestIsRejected(String field, String value) {
        assertProblem(replica.postJson("/actuator/loggers/x", "{}", "Authorization", OLGA, field, value), 403,
                "cross-site");
        assertProblem(replica.requestManagement("PURGE", "/x", "Authorization", OLGA, field, value), 403, "cross-site");
    }

    @Test
    void sameOriginRequestIsAccepted() {
        String here = "http://127.0.0.1:" + replica.managementPort();
        String level = "{\"configuredLevel\":\"INFO\"}";

        assertThat(replica.postJson("/actuator/loggers/dev.corral.none", level, "Authorization", OLGA, "Origin", here)
                .statusCode()).isEqualTo(204);
        // Behind a proxy that changes Host.
        assertThat(replica.postJson("/actuator/loggers/dev.corral.none", level, "Authorization", OLGA, "Origin",
                "https://corral.example", "Sec-Fetch-Site", "same-origin").statusCode()).isEqualTo(204);
    }

    @ParameterizedTest
    @ValueSource(strings = {"/actuator/loggers", "/actuator/health", "/nothing"})
    void securityHeadersAreSetOnEveryResponse(String path) {
        var fields = replica.requestManagement("GET", path, "Authorization", ADA).headers();

        assertThat(fields.firstValue("X-Frame-Options")).contains("DENY");
        assertThat(fields.firstValue("X-Content-Type-Options")).contains("nosniff");
        assertThat(fields.firstValue("Referrer-Policy")).contains("no-referrer");
        assertThat(fields.firstValue("Cache-Control").orElse("")).contains("no-store");
        assertThat(fields.firstValue("Content-Security-Policy").orElse(""))
                .contains("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'")
                .doesNotContain("unsafe", "*");
        assertThat(fields.allValues("Set-Cookie")).isEmpty();
    }

    @Test
    void dataPortHasNoSecurityFilterAndNoManagementPath() {
        assertThat(replica.context().getBeansOfType(WebFilter.class)).containsOnlyKeys("unmappedRequestFilter");
        assertThat(replica.context().getBeansOfType(WebFilterChainProxy.class)).isEmpty();
        assertThat(replica.context().getBeansOfType(SecurityWebFilterChain.class)).isEmpty();
        for (String path : List.of("/actuator/health", "/actuator/prometheus", "/actuator/loggers")) {
            HttpResponse<String> response = replica.request("GET", path, "Authorization",
                    basicAuthorization("olga", "wrong"));

            assertThat(response.headers().firstValue("Cache-Status").orElse("")).startsWith("Corral; fwd=");
            assertThat(response.headers().firstValue("X-Frame-Options")).isEmpty();
            assertThat(shop.count(path)).isEqualTo(1);
        }
    }

    /** The data port's filter for unmapped requests does not apply to the management port. */
    @Test
    void managementPortRequestNeverReachesOrigin() {
        replica.requestManagement("OPTIONS", "/products/never", "Authorization", OLGA);
        replica.requestManagement("GET", "/products/never", "Authorization", OLGA);
        replica.requestManagement("PURGE", "/products/never", "Authorization", OLGA);

        assertThat(shop.count("/products/never")).isZero();
    }
}
