package dev.corral.fleet;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpServer;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.http.HttpClient;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Runs the jar in the environments of platforms that Spring Boot detects: it must behave the same everywhere. Without Corral's settings,
 * Spring Boot would trust the address, scheme and path prefix that any client claims.
 */
@Timeout(180)
class PlatformIT {

    /** The variables that a kubelet sets in each container, including those of a Service named corral. */
    private static final Map<String, String> POD_ENVIRONMENT = Map.of("KUBERNETES_SERVICE_HOST", "10.96.0.1",
            "KUBERNETES_SERVICE_PORT", "443", "KUBERNETES_PORT", "tcp://10.96.0.1:443",
            "CORRAL_SERVICE_HOST", "10.96.7.7", "CORRAL_SERVICE_PORT", "80", "CORRAL_PORT", "tcp://10.96.7.7:80",
            "CORRAL_MANAGEMENT_PORT", "tcp://10.96.7.8:8081", "HOSTNAME", "corral-7d4b9c-x2x8p");

    private static final Map<String, String> CLOUD_FOUNDRY_ENVIRONMENT = Map.of(
            "VCAP_APPLICATION", "{\"application_id\":\"a1\",\"cf_api\":\"http://127.0.0.1:1\",\"name\":\"corral\"}",
            "VCAP_SERVICES", "{}", "CF_INSTANCE_INDEX", "0", "PORT", "8080");

    private static final Map<String, String> OTHER_ENVIRONMENT = Map.ofEntries(Map.entry("DYNO", "web.1"),
            Map.entry("WEBSITE_HOSTNAME", "a"), Map.entry("WEBSITE_INSTANCE_ID", "b"),
            Map.entry("WEBSITE_RESOURCE_GROUP", "c"), Map.entry("WEBSITE_SKU", "d"),
            Map.entry("NOMAD_ALLOC_ID", "e"), Map.entry("HC_LANDSCAPE", "f"), Map.entry("PORT", "8080"),
            Map.entry("http_proxy", "http://127.0.0.1:1"), Map.entry("HTTP_PROXY", "http://127.0.0.1:1"),
            Map.entry("ALL_PROXY", "socks5://127.0.0.1:1"));

    private static final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private static EmbeddedRedis redis;
    private static HttpServer origin;
    private static JarReplica pod;
    private static JarReplica cloudFoundry;
    private static JarReplica otherPlatforms;

    @BeforeAll
    static void start() throws IOException {
        redis = RedisServer.embedded();
        origin = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        origin.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        origin.createContext("/", exchange -> {
            Headers fields = exchange.getRequestHeaders();
            byte[] seen = (exchange.getRequestMethod() + " " + exchange.getRequestURI() + "\nfor="
                    + fields.get("X-Forwarded-For") + "\nproto=" + fields.get("X-Forwarded-Proto") + "\nforwarded="
                    + fields.get("Forwarded") + "\nprefix=" + fields.get("X-Forwarded-Prefix") + "\n")
                    .getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Cache-Control", "max-age=60");
            exchange.sendResponseHeaders(200, seen.length);
            exchange.getResponseBody().write(seen);
            exchange.close();
        });
        origin.start();
        pod = replica("platform-pod", POD_ENVIRONMENT);
        cloudFoundry = replica("platform-cf", CLOUD_FOUNDRY_ENVIRONMENT);
        otherPlatforms = replica("platform-others", OTHER_ENVIRONMENT);
        for (JarReplica replica : new JarReplica[]{pod, cloudFoundry, otherPlatforms}) {
            ProcessFleet.await(replica.name() + " is ready", Duration.ofMinutes(2), replica::isReady);
        }
    }

    @AfterAll
    static void stop() {
        for (JarReplica replica : new JarReplica[]{pod, cloudFoundry, otherPlatforms}) {
            replica.close();
        }
        origin.stop(0);
        redis.close();
        http.close();
    }

    private static JarReplica replica(String name, Map<String, String> environment) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.redis.key-prefix", name);
        settings.put("corral.access-log", "true");
        settings.put("corral.management.users[0].name", JarReplica.OPERATOR);
        settings.put("corral.management.users[0].password", JarReplica.PASSWORD);
        settings.put("corral.management.users[0].role", "operator");
        String[] ids = {"k", "hostc", "public"};
        for (int i = 0; i < ids.length; i++) {
            settings.put("corral.routes[" + i + "].id", ids[i]);
            settings.put("corral.routes[" + i + "].path", "/" + ids[i] + "/**");
            settings.put("corral.routes[" + i + "].origin", "http://127.0.0.1:" + origin.getAddress().getPort());
        }
        settings.put("corral.routes[1].host", "client");
        Path logs = Path.of(System.getProperty("corral.jar", "target/corral.jar")).resolveSibling("fleet");
        return JarReplica.start(name, logs, environment, List.of(), settings, http);
    }

    @Test
    void kubernetesPodIgnoresClientForwardedFields() throws IOException {
        assertForwardedFieldsIgnored(pod);
    }

    @Test
    void cloudFoundryIgnoresClientForwardedFields() throws IOException {
        assertForwardedFieldsIgnored(cloudFoundry);
        // The platform's access to the endpoints would be on this port.
        assertThat(send(cloudFoundry.port(), "GET", "/cloudfoundryapplication")).startsWith("HTTP/1.1 404 ")
                .contains("no-route");
    }

    @Test
    void otherPlatformsIgnoreClientForwardedFields() throws IOException {
        assertForwardedFieldsIgnored(otherPlatforms);
    }

    @Test
    void kubernetesPodLimitsLoginsByPeerAddress() throws IOException {
        assertLoginsLimitedByPeerAddress(pod);
    }

    @Test
    void cloudFoundryLimitsLoginsByPeerAddress() throws IOException {
        assertLoginsLimitedByPeerAddress(cloudFoundry);
    }

    @Test
    void otherPlatformsLimitLoginsByPeerAddress() throws IOException {
        assertLoginsLimitedByPeerAddress(otherPlatforms);
    }

    private static void assertForwardedFieldsIgnored(JarReplica replica) throws IOException {
        int port = replica.port();
        assertThat(send(port, "POST", "/k/x", "X-Forwarded-For: 6.6.6.6")).startsWith("HTTP/1.1 200 ")
                .contains("POST /k/x\n", "for=[127.0.0.1]\n")
                .doesNotContain("6.6.6.6");
        assertThat(send(port, "POST", "/k/x", "Forwarded: for=6.6.6.6;proto=https"))
                .contains("for=[127.0.0.1]\n", "proto=[http]\n")
                .doesNotContain("6.6.6.6", "https");
        assertThat(send(port, "GET", "/k/shared", "X-Forwarded-For: 6.6.6.6")).doesNotContain("6.6.6.6");

        assertThat(send(port, "GET", "/hostc/x", "X-Forwarded-Proto: https")).contains("proto=[http]\n");
        assertThat(send(port, "GET", "/hostc/x")).as("the same key").contains("Cache-Status: Corral; hit");

        assertThat(send(port, "GET", "/k/prefixed", "X-Forwarded-Prefix: /admin")).contains("GET /k/prefixed\n")
                .doesNotContain("/admin");
        assertThat(send(port, "POST", "/k/x", "X-Forwarded-Prefix: /admin")).contains("POST /k/x\n")
                .doesNotContain("GET /admin", "POST /admin");

        assertThat(send(port, "GET", "/admin/x")).startsWith("HTTP/1.1 404 ").contains("no-route");
        for (String prefix : new String[]{"/admin", "/admin/secret;", "/admin?x=", "/admin#"}) {
            String path = "/public/x" + prefix.length();
            assertThat(send(port, "GET", path, "X-Forwarded-Prefix: " + prefix)).as(prefix)
                    .startsWith("HTTP/1.1 200 ")
                    .contains("GET " + path + "\n")
                    .doesNotContain("admin");
        }
        assertThat(send(port, "GET", "/public/../x", "X-Forwarded-Prefix: /admin")).doesNotContain("admin");
        assertThat(send(port, "GET", "/k/ported", "X-Forwarded-Port: 99999")).startsWith("HTTP/1.1 200 ");
        assertThat(send(port, "GET", "/k/hosted", "X-Forwarded-Host: evil")).startsWith("HTTP/1.1 200 ")
                .doesNotContain("evil");

        ProcessFleet.await("the access log", Duration.ofSeconds(10), () -> replica.log().contains("/k/hosted"));
        assertThat(Files.readString(replica.log().file())).contains("127.0.0.1 GET /public/x6 200")
                .doesNotContain("/admin/public", "6.6.6.6", "ERROR");
    }

    /** Of 14 wrong passwords, each with another address in its field, the first ten get 401 and the others 429. */
    private static void assertLoginsLimitedByPeerAddress(JarReplica replica) throws IOException {
        int port = replica.managementPort();
        for (String field : new String[]{"X-Forwarded-For: 10.0.0.", "Forwarded: for=10.1.0."}) {
            // Each with a different local address.
            String peer = field.startsWith("F") ? "127.0.0.3" : "127.0.0.2";
            assertThat(IntStream.range(0, 14)
                    .mapToObj(i -> status(sendFrom(peer, port, "GET", "/actuator",
                            login("guess" + i), field + i))))
                    .as(field)
                    .startsWith(401, 401, 401, 401, 401, 401, 401, 401, 401, 401)
                    .endsWith(429, 429, 429, 429);
        }
        // The addresses in the fields are not locked out.
        for (int i = 0; i < 9; i++) {
            sendFrom("127.0.0.4", port, "GET", "/actuator", login("guess" + i), "X-Forwarded-For: 127.0.0.5");
        }
        for (int i = 0; i < 9; i++) {
            sendFrom("127.0.0.6", port, "GET", "/actuator", login("guess" + i), "X-Forwarded-For: 127.0.0.5");
        }
        assertThat(status(sendFrom("127.0.0.5", port, "GET", "/actuator", login(JarReplica.PASSWORD)))).isEqualTo(200);
        assertThat(status(send(port, "GET", "/actuator/health/liveness"))).isEqualTo(200);
        assertThat(status(send(port, "GET", "/actuator/health/readiness"))).isEqualTo(200);
    }

    private static String login(String password) {
        return "Authorization: Basic " + Base64.getEncoder()
                .encodeToString((JarReplica.OPERATOR + ":" + password).getBytes(StandardCharsets.UTF_8));
    }

    private static int status(String response) {
        return Integer.parseInt(response.substring(9, 12));
    }

    private static String send(int port, String method, String target, String... fields) throws IOException {
        return sendFrom("127.0.0.1", port, method, target, fields);
    }

    /** The raw response to a request from this local address. */
    private static String sendFrom(String peer, int port, String method, String target, String... fields) {
        try (var socket = new Socket("127.0.0.1", port, InetAddress.getByName(peer), 0)) {
            socket.setSoTimeout(20_000);
            String head = method + " " + target + " HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n"
                    + "Connection: close\r\n" + (fields.length == 0 ? "" : String.join("\r\n", fields) + "\r\n")
                    + "\r\n";
            socket.getOutputStream().write(head.getBytes(StandardCharsets.ISO_8859_1));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
