package dev.corral.management.security;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import dev.corral.CorralApplication;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.testkit.InProcessReplica;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** Logins other than by configured users, and the settings for logins. Each test uses a separate replica. */
class ManagementLoginTest {

    private static final Pattern PRINTED_PASSWORD = Pattern.compile("has the generated password: (\\S+)");

    private static EmbeddedRedis redis;

    @TempDir
    private static Path directory = Path.of("");

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
    }

    @AfterAll
    static void stop() {
        redis.close();
    }

    private static Map<String, String> settings(String... more) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", "http://127.0.0.1:" + FreePort.pick());
        for (int i = 0; i < more.length; i += 2) {
            settings.put(more[i], more[i + 1]);
        }
        return settings;
    }

    @Test
    @ExtendWith(OutputCaptureExtension.class)
    void generatedPasswordIsPrintedOnceWithoutUsers(CapturedOutput output) {
        try (var replica = InProcessReplica.start(settings())) {
            Matcher printed = PRINTED_PASSWORD.matcher(output.getAll());
            assertThat(printed.find()).isTrue();
            String password = printed.group(1);
            assertThat(printed.find()).isFalse();
            assertThat(password).hasSizeGreaterThan(30);

            assertThat(replica
                    .requestManagement("GET", "/actuator", "Authorization", basicAuthorization("corral", password))
                    .statusCode())
                    .isEqualTo(200);
            assertThat(replica.postJson("/actuator/loggers/dev.corral.none", "{\"configuredLevel\":\"INFO\"}",
                    "Authorization", basicAuthorization("corral", password)).statusCode()).isEqualTo(204);
        }
    }

    @Test
    void addressIsLockedOutAfterTenFailedLogins() {
        try (var replica = InProcessReplica.start(settings("corral.management.users[0].name", "ada",
                "corral.management.users[0].password", "right"))) {
            for (int i = 0; i < 10; i++) {
                assertThat(replica
                        .requestManagement("GET", "/actuator", "Authorization", basicAuthorization("ada", "guess" + i))
                        .statusCode())
                        .isEqualTo(401);
            }

            HttpResponse<String> limited = replica.requestManagement("GET", "/actuator", "Authorization",
                    basicAuthorization("ada", "right"));

            assertThat(limited.statusCode()).isEqualTo(429);
            assertThat(limited.headers().firstValue("Content-Type")).contains("application/problem+json");
            assertThat(limited.body()).contains("\"reason\":\"too-many-logins\"");
            assertThat(Integer.parseInt(limited.headers().firstValue("Retry-After").orElse("0"))).isBetween(1, 60);
            // Requests that need no login are not affected.
            assertThat(replica.requestManagement("GET", "/actuator/health").statusCode()).isEqualTo(200);
            assertThat(replica.requestManagement("GET", "/actuator").statusCode()).isEqualTo(401);
        }
    }

    @Test
    void prometheusRequiresLoginWhenNotPublic() {
        try (var replica = InProcessReplica.start(settings("corral.management.users[0].name", "ada",
                "corral.management.users[0].password", "right", "corral.management.prometheus-open", "false"))) {
            assertThat(replica.requestManagement("GET", "/actuator/prometheus").statusCode()).isEqualTo(401);
            assertThat(replica
                    .requestManagement("GET", "/actuator/prometheus", "Authorization",
                            basicAuthorization("ada", "right"))
                    .statusCode()).isEqualTo(200);
            assertThat(replica.requestManagement("GET", "/actuator/health").statusCode()).isEqualTo(200);
        }
    }

    @Test
    void publicEndpointsFollowTheBasePath() {
        try (var replica = InProcessReplica.start(settings("corral.management.users[0].name", "ada",
                "corral.management.users[0].password", "right", "management.endpoints.web.base-path", "/ops"))) {
            assertThat(replica.requestManagement("GET", "/ops/health").statusCode()).isEqualTo(200);
            assertThat(replica.requestManagement("GET", "/actuator/health").statusCode()).isEqualTo(401);
            assertThat(replica.requestManagement("GET", "/ops/loggers").statusCode()).isEqualTo(401);
        }
    }

    // ---- tokens

    private static KeyPair keys() throws Exception {
        return KeyPairGenerator.getInstance("RSA").generateKeyPair();
    }

    private static Path publicKey(KeyPair keys) throws Exception {
        return Files.writeString(Files.createTempFile(directory, "issuer", ".pem"), "-----BEGIN PUBLIC KEY-----\n"
                + Base64.getMimeEncoder().encodeToString(keys.getPublic().getEncoded())
                + "\n-----END PUBLIC KEY-----\n");
    }

    private static String token(KeyPair keys, Instant until, Object roles) throws JOSEException {
        var claims = new JWTClaimsSet.Builder().subject("pia")
                .audience("corral")
                .expirationTime(Date.from(until))
                .claim("realm_access", Map.of("roles", roles))
                .build();
        var token = new SignedJWT(new JWSHeader(JWSAlgorithm.RS256), claims);
        token.sign(new RSASSASigner(keys.getPrivate()));
        return "Bearer " + token.serialize();
    }

    @Test
    @ExtendWith(OutputCaptureExtension.class)
    void validJwtGrantsItsRole(CapturedOutput output) throws Exception {
        KeyPair keys = keys();
        Instant later = Instant.now().plusSeconds(600);
        try (var replica = InProcessReplica.start(settings(
                "spring.security.oauth2.resourceserver.jwt.public-key-location",
                publicKey(keys).toUri().toString(), "spring.security.oauth2.resourceserver.jwt.audiences", "corral",
                "corral.management.jwt.roles-claim", "realm_access.roles", "corral.management.jwt.operator",
                "corral-ops"))) {
            String viewer = token(keys, later, List.of("viewer"));
            String operator = token(keys, later, List.of("corral-ops"));
            String level = "{\"configuredLevel\":\"INFO\"}";

            assertThat(replica.requestManagement("GET", "/actuator", "Authorization", viewer).statusCode())
                    .isEqualTo(200);
            assertThat(replica.requestManagement("GET", "/actuator/health", "Authorization", viewer).body())
                    .contains("components");
            assertThat(replica.postJson("/actuator/loggers/x", level, "Authorization", viewer).statusCode())
                    .isEqualTo(403);
            assertThat(replica.postJson("/actuator/loggers/x", level, "Authorization", operator).statusCode())
                    .isEqualTo(204);
            assertThat(replica.requestManagement("GET", "/actuator", "Authorization", token(keys, later, List.of()))
                    .statusCode())
                    .isEqualTo(403);

            HttpResponse<String> unauthenticated = replica.requestManagement("GET", "/actuator");
            assertThat(unauthenticated.statusCode()).isEqualTo(401);
            assertThat(unauthenticated.headers().allValues("WWW-Authenticate")).containsExactly("Bearer");
            HttpResponse<String> expired = replica.requestManagement("GET", "/actuator", "Authorization",
                    token(keys, Instant.now().minusSeconds(600), List.of("corral-ops")));
            assertThat(expired.statusCode()).isEqualTo(401);
            assertThat(expired.headers().allValues("WWW-Authenticate"))
                    .containsExactly("Bearer error=\"invalid_token\"");
            assertThat(replica.requestManagement("GET", "/actuator", "Authorization",
                    token(keys(), later, List.of("corral-ops"))).statusCode()).isEqualTo(401);
            assertThat(replica.requestManagement("GET", "/actuator", "Authorization", "Bearer nonsense").statusCode())
                    .isEqualTo(401);
            // No users are configured, so names and passwords are not accepted.
            assertThat(replica.requestManagement("GET", "/actuator", "Authorization", basicAuthorization("corral", "x"))
                    .statusCode())
                    .isEqualTo(401);
            assertThat(output.getAll()).doesNotContain("generated password", "jwt.audiences");
        }
    }

    @Test
    void sensitiveEndpointsRequireOperator() {
        try (var replica = InProcessReplica.start(settings("corral.management.users[0].name", "ada",
                "corral.management.users[0].password", "looks", "corral.management.users[1].name", "olga",
                "corral.management.users[1].password", "does", "corral.management.users[1].role", "operator",
                "management.endpoints.web.exposure.include", "*", "management.endpoint.heapdump.access",
                "unrestricted"))) {
            for (String endpoint : List.of("heapdump", "env", "env/spring.application.name", "configprops",
                    "threaddump")) {
                for (String method : List.of("GET", "HEAD")) {
                    assertThat(replica
                            .requestManagement(method, "/actuator/" + endpoint, "Authorization",
                                    basicAuthorization("ada", "looks"))
                            .statusCode()).as(endpoint).isEqualTo(403);
                }
            }
            assertThat(replica
                    .requestManagement("GET", "/actuator/env", "Authorization", basicAuthorization("olga", "does"))
                    .statusCode())
                    .isEqualTo(200);
            assertThat(replica
                    .requestManagement("GET", "/actuator/metrics", "Authorization", basicAuthorization("ada", "looks"))
                    .statusCode())
                    .isEqualTo(200);
        }
    }

    @Test
    @ExtendWith(OutputCaptureExtension.class)
    void unreachableJwtIssuerIsServiceUnavailable(CapturedOutput output) throws Exception {
        String unavailable = "http://127.0.0.1:" + FreePort.pick() + "/keys";
        try (var replica = InProcessReplica
                .start(settings("spring.security.oauth2.resourceserver.jwt.jwk-set-uri", unavailable,
                        "corral.management.users[0].name", "ada", "corral.management.users[0].password", "right"))) {
            String token = token(keys(), Instant.now().plusSeconds(600), List.of("operator"));
            for (int i = 0; i < 11; i++) {
                HttpResponse<String> response = replica.requestManagement("GET", "/actuator", "Authorization", token);

                assertThat(response.statusCode()).isEqualTo(503);
                assertThat(response.body()).contains("\"reason\":\"login-unavailable\"");
            }
            assertThat(
                    replica.requestManagement("GET", "/actuator", "Authorization", basicAuthorization("ada", "right"))
                            .statusCode())
                    .isEqualTo(200);
            assertThat(replica.requestManagement("GET", "/actuator").headers().allValues("WWW-Authenticate"))
                    .containsExactlyInAnyOrder("Basic realm=\"Corral\", charset=\"UTF-8\"", "Bearer");
            // Without audiences, tokens for any service of the issuer are accepted.
            assertThat(output.getAll()).contains("spring.security.oauth2.resourceserver.jwt.audiences is not set");
        }
    }

    // ---- settings

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
            "management.server.port=| management.server.port | Must differ from server.port",
            "management.server.port=8080| management.server.port | Must differ from server.port",
            "spring.security.user.name=x| spring.security.user.name | corral.management.users[0].name",
            "spring.security.oauth2.resourceserver.jwt.authorities-claim-name=x| authorities-claim-name | corral.management.jwt.roles-claim",
            "server.forward-headers-strategy=native| server.forward-headers-strategy | corral.routes[n].forward.trust",
            "server.forward-headers-strategy=FRAMEWORK| server.forward-headers-strategy | corral.routes[n].forward.trust",
            "corral.routes[0].ssl.bundle=nix| corral.routes[shop].ssl.bundle | spring.ssl.bundle.pem.nix",
    })
    @ExtendWith(OutputCaptureExtension.class)
    void unsupportedSpringSettingStopsTheStart(String setting, String named, String advice, CapturedOutput output) {
        var arguments = new ArrayList<String>();
        settings("server.port", "8080", "corral.routes[0].origin", "https://127.0.0.1:1")
                .forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.add("--" + setting);

        assertThatThrownBy(
                () -> new SpringApplicationBuilder(CorralApplication.class).run(arguments.toArray(String[]::new))
                        .close())
                .isInstanceOf(Exception.class);

        assertThat(output.getAll()).contains("APPLICATION FAILED TO START", named, advice).doesNotContain("\tat ");
    }
}
