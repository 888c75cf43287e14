package dev.corral.proxy;

import io.micrometer.core.instrument.MeterRegistry;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** One reading of the target: what browsers send reaches the origin as it came, and no dot segment leads around a route. */
@ProxyTest
class RequestTargetHandlingTest {

    private final FleetUnderTest fleet;

    RequestTargetHandlingTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    private static String toLatin1(String utf8) {
        return new String(utf8.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"|", "{", "}", "^", "`", "\\", "[", "]", "\"", "<", ">", "%", "%4", "%zz", "%u0041",
            "\u00c3\u00a9", "\u00e9", "\u0080\u009f", "\u00ff", "\u00e2\u0082\u00ac", "css?family=Open+Sans:400|Roboto",
            "a?{}|^`\\[]\"<>%", "?q=\u00c3\u00a9&r=\u00e2\u0082\u00ac", "?%", "?q=100%", "a|b?b=2&a=1", "%C3%A9",
            "a:b@c", "!$&'()*+,;="})
    void targetBytesAreForwardedUnchanged(String rest) throws IOException {
        for (String method : List.of("GET", "HEAD", "POST", "OPTIONS", "DELETE")) {
            String target = fleet.uniquePath("bytes") + "/" + rest;

            assertThat(fleet.a.request(method, target, "Content-Length", "0").status()).isEqualTo(404);

            assertThat(fleet.origin.receivedRequests()).filteredOn(request -> request.target().equals(target))
                    .hasSize(1);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"/x|y", "/x\\y", "/%", "/\u00c3\u00a9", "/?q={\u00e9}"})
    void targetThatIsNoUriIsCachedUnderItsKey(String rest) throws IOException {
        String target = fleet.uniquePath("odd") + rest;
        String path = target.substring(0, target.indexOf('?') < 0 ? target.length() : target.indexOf('?'));
        fleet.origin.on(path, 200, "odd", "Cache-Control", "max-age=600");

        assertThat(fleet.a.getAndStore(target).text()).isEqualTo("odd");
        assertThat(fleet.a.get(target).isHit()).isTrue();
        assertThat(fleet.b.get(target).isHit()).isTrue();
        fleet.a.request("POST", target, "Content-Length", "0");
        assertThat(fleet.b.get(target).isHit()).isFalse();
    }

    /** A byte is not its encoding, and not the character that another encoding makes of it. */
    @Test
    void differentlyEncodedByteHasASeparateEntry() throws IOException {
        String path = fleet.uniquePath("spelled");
        List<String> spellings = List.of("/\u00e9", "/\u00c3\u00a9", "/%C3%A9", "/%E9");
        for (String spelling : spellings) {
            fleet.origin.on(path + spelling, 200, spelling, "Cache-Control", "max-age=600");
        }
        for (int round = 0; round < 2; round++) {
            for (String spelling : spellings) {
                assertThat(toLatin1(fleet.a.getAndStore(path + spelling).text())).isEqualTo(toLatin1(spelling));
            }
        }
    }

    @Test
    void targetThatIsNoUriIsForwardedBehindABasePath() throws IOException {
        String path = fleet.uniquePath("based", "x|\u00c3\u00a9%");

        fleet.a.get(path + "?{}");

        assertThat(fleet.origin.receivedRequests())
                .anyMatch(request -> request.target().equals("/base" + path + "?{}"));
    }

    @Test
    void absoluteFormPathIsForwardedUnchanged() throws IOException {
        String path = fleet.uniquePath("absolute") + "/a|b";

        fleet.a.get("http://client.example" + path + "?{\u00e9}");

        assertThat(fleet.origin.receivedRequests()).anyMatch(request -> request.target().equals(path + "?{\u00e9}"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"/based/../../admin", "/based/%2e%2e/%2e%2e/admin", "/based/..%2f..%2fadmin",
            "/based/x/%2E%2E%2F..%2F..%2Fadmin", "/based/..\\..\\admin", "/based/..%5c..%5cadmin",
            "/based/..;/..;/admin",
            "/cookies/..%2ft/account", "/cookies/..;/t/account", "/cookies/..\\t/account", "/cookies/x/..%2f..%2ft/x",
            "/cookies//../t/account", "/../t/x", "/%2e%2e/t/x", "/cookies/%c0%ae%c0%ae/t/x"})
    void dotSegmentsCannotEscapeARoute(String target) throws IOException {
        int before = fleet.origin.receivedRequests().size();
        long refused = fleet.a.requestCount("none", "rejected");

        for (String method : List.of("GET", "POST", "PURGE")) {
            HttpProbe.ProbeResponse answer = fleet.a.request(method, target, "Content-Length", "0");

            assertThat(answer.status()).isEqualTo(400);
            assertThat(answer.reason()).isEqualTo("ambiguous-path");
            assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=bypass; detail=ambiguous-path");
        }
        assertThat(fleet.a.get("http://client.example" + target).status()).isEqualTo(400);

        assertThat(fleet.origin.receivedRequests()).hasSize(before);
        ReplicaUnderTest.eventually(() -> fleet.a.requestCount("none", "rejected") == refused + 4);
    }

    /** The route is that of the path without its dot segments: no route's rules hold for another route's pages. */
    @ParameterizedTest
    @ValueSource(strings = {"/cookies/../t/", "/cookies/%2e%2e/t/", "/cookies/x/../%2E./t/", "/t/./",
            "/cookies/.%2e/t/"})
    void dotSegmentsCannotSelectARoute(String beginning) throws IOException {
        String page = fleet.uniquePath("account").substring("/t/".length());
        long before = fleet.a.requestCount("cookies", "bypass");
        // The route "cookies" would store it.
        fleet.origin.on(beginning + page, 200, "account of " + page, "Cache-Control", "max-age=60", "Set-Cookie",
                "sid=1");

        assertThat(fleet.a.get(beginning + page, "Cookie", "sid=1").status()).isEqualTo(200);
        HttpProbe.ProbeResponse other = fleet.a.get(beginning + page);

        assertThat(other.isHit()).isFalse();
        assertThat(fleet.origin.requestCount(beginning + page)).isEqualTo(2);
        assertThat(fleet.a.requestCount("cookies", "bypass")).isEqualTo(before);
    }

    /** An origin that decodes a slash has another page than the route that the path seems to have. */
    @ParameterizedTest
    @ValueSource(strings = {"/ordered%2fspecial/x", "/ordered\\special/x", "/ordered%5Cspecial/x",
            "//ordered/special/x",
            "/ordered//special/x", "/cookies;x/account", "/ordered/special;x/y"})
    void encodedSlashCannotSelectARoute(String target) throws IOException {
        int before = fleet.origin.receivedRequests().size();

        assertThat(fleet.a.get(target).reason()).isEqualTo("ambiguous-path");

        assertThat(fleet.origin.receivedRequests()).hasSize(before);
    }

    @ParameterizedTest
    @ValueSource(strings = {"/a#b", "#b", "?a#b"})
    void fragmentInTheTargetIsRejected(String rest) throws IOException {
        String target = fleet.uniquePath("fragment") + rest;

        HttpProbe.ProbeResponse answer = fleet.a.get(target);

        assertThat(answer.status()).isEqualTo(400);
        assertThat(answer.reason()).isEqualTo("bad-request");
    }

    // ---- how long

    @Test
    void requestHeadWithinTheLimitsIsAccepted() throws IOException {
        String path = fleet.uniquePath("long");
        fleet.origin.on(path, 200, "ok");

        assertThat(fleet.a.get(path + "?" + "x".repeat(8 * 1024)).text()).isEqualTo("ok");
        assertThat(fleet.a.get(path + "?" + "x".repeat(15 * 1024)).text()).isEqualTo("ok");
        assertThat(fleet.a.get(path, "Cookie", "x".repeat(16 * 1024)).text()).isEqualTo("ok");
        assertThat(fleet.origin.lastRequest(path).field("Cookie")).hasSize(16 * 1024);
    }

    @Test
    void oversizedRequestHeadGetsAProblemAndIsCounted() throws IOException {
        long before = fleet.a.requestCount("none", "rejected");
        try (HttpProbe client = fleet.a.connect()) {
            HttpProbe.ProbeResponse answer = client.request("GET", "/t/" + "x".repeat(20_000)).read();

            assertThat(answer.status()).isEqualTo(414);
            assertThat(answer.reason()).isEqualTo("target-too-long");
            assertThat(answer.field("Connection")).isEqualTo("close");
            assertThat(client.isClosed()).isTrue();
        }
        try (HttpProbe client = fleet.a.connect()) {
            HttpProbe.ProbeResponse answer = client.request("GET", "/t/x", "X", "x".repeat(20_000)).read();

            assertThat(answer.status()).isEqualTo(431);
            assertThat(answer.reason()).isEqualTo("fields-too-large");
            assertThat(client.isClosed()).isTrue();
        }
        ReplicaUnderTest.eventually(() -> fleet.a.requestCount("none", "rejected") == before + 2);
    }

    @Test
    void requestHeadLimitsAreConfigurable() throws IOException {
        String path = fleet.uniquePath("short");
        fleet.origin.on(path, 200, "ok");
        try (ReplicaUnderTest guest = fleet.startExtra("narrow", "server.netty.max-initial-line-length=1KB",
                "server.max-http-request-header-size=2KB")) {
            assertThat(guest.get(path + "?" + "x".repeat(900)).text()).isEqualTo("ok");
            assertThat(guest.get(path + "?" + "x".repeat(1_100)).status()).isEqualTo(414);
            assertThat(guest.get(path, "X", "x".repeat(1_900)).text()).isEqualTo("ok");
            assertThat(guest.get(path, "X", "x".repeat(2_100)).status()).isEqualTo(431);
            assertThat(guest.context()
                    .getBean(MeterRegistry.class)
                    .find("corral.requests")
                    .tag("outcome", "rejected")
                    .timer()).isNotNull();
        }
    }
}
