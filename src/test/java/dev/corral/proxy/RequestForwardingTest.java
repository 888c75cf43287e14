package dev.corral.proxy;

import dev.corral.http.HeaderFields;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** What of a request the origin sees, and what of an answer the client: RFC 9110 sections 7.6 and 7.7. */
@ProxyTest
class RequestForwardingTest {

    private static final Set<String> HOP_BY_HOP = Set.of("connection", "keep-alive", "proxy-connection",
            "proxy-authorization", "proxy-authenticate", "te", "trailer", "upgrade", "http2-settings", "x-secret");

    private final FleetUnderTest fleet;

    RequestForwardingTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @ParameterizedTest
    @ValueSource(strings = {"//a//b/", "a%2Fb%2fc", "a;x=1/b;y", "a?", "a??", "a?x=1&&y=&=z", "a?b=2&a=1", "%7euser",
            "a/../b", "a/./b/..", "%2e%2E/a", "%E2%82%AC/%e2%82%ac", "a%20b?q=%20+%2B", "-._~:@!$&'()*+,=",
            "a?/?:@-._~!$",
            "a%00b", "a%0d%0aX:%201", "%25zz"})
    void pathAndQueryAreForwardedByteForByte(String rest) throws IOException {
        for (String method : List.of("GET", "HEAD", "POST", "OPTIONS")) {
            String target = fleet.uniquePath("raw") + "/" + rest;

            assertThat(fleet.a.request(method, target).status()).isEqualTo(404);

            assertThat(fleet.origin.receivedRequests()).filteredOn(request -> request.target().equals(target))
                    .hasSize(1);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "POST", "M-SEARCH"})
    void hopByHopFieldsAreNotForwarded(String method) throws IOException {
        String path = fleet.uniquePath("hop");
        fleet.origin.on(path, 200, "ok", "Cache-Control", "max-age=60", "Connection", "X-Secret, x-other", "X-Secret",
                "s",
                "X-Other", "o", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive", "Proxy-Authenticate",
                "Basic",
                "Upgrade", "h3", "Trailer", "X-T", "X-Kept", "yes");

        for (int round = 0; round < 2; round++) {
            HttpProbe.ProbeResponse answer = fleet.a.request(method, path, "Connection",
                    "X-Secret, TE, Upgrade, HTTP2-Settings",
                    "X-Secret", "s", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive", "Proxy-Authorization",
                    "Basic eA==", "TE", "trailers", "Trailer", "X-T", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABk",
                    "X-Kept", "yes");

            assertThat(lowerCaseNames(fleet.origin.lastRequest(path).fields())).doesNotContainAnyElementsOf(HOP_BY_HOP)
                    .contains("x-kept");
            assertThat(lowerCaseNames(answer.fields())).doesNotContainAnyElementsOf(HOP_BY_HOP)
                    .doesNotContain("x-other")
                    .contains("x-kept");
        }
    }

    /** RFC 9110 section 5.3: lines of one name keep their order. Names compare without case, and nothing comes twice. */
    @Test
    void endToEndFieldsAreForwardedUnchanged() throws IOException {
        String path = fleet.uniquePath("fields");
        fleet.origin.on(path, 200, "ok", "Cache-Control", "max-age=60", "X-Many", "1", "x-many", "2", "X-MANY", "3",
                "X-Empty", "", "X-Bytes", "\u00e9\u00ff", "Content-Foo", "a,  b");
        String[] sent = {"X-Many", "1", "x-many", "2", "X-MANY", "3", "X-Empty", "", "X-Bytes", "\u00e9\u00ff",
                "Cookie",
                "a=1", "cookie", "b=2", "User-Agent", "it  is"};

        for (String method : List.of("PUT", "GET", "GET")) {
            HttpProbe.ProbeResponse answer = fleet.a.request(method, path, sent);

            assertThat(answer.fields().lines()).containsSubsequence(
                    HeaderFields.of("X-Many", "1", "x-many", "2", "X-MANY", "3", "X-Empty", "").lines());
            assertThat(answer.field("Content-Foo")).isEqualTo("a,  b");
            assertThat(answer.field("X-Bytes")).isEqualTo("\u00e9\u00ff");
        }

        for (var request : fleet.origin.receivedRequests(path)) {
            assertThat(request.fields().lines()).containsSubsequence(HeaderFields.of(sent).lines());
            assertThat(request.fields().values("X-Many")).containsExactly("1", "2", "3");
            assertThat(request.fields().values("Cookie")).containsExactly("a=1", "b=2");
        }
    }

    /** RFC 9110 section 7.6.3, RFC 7239. */
    @Test
    void viaAndForwardedDescribeTheClientConnection() throws IOException {
        String path = fleet.uniquePath("way");

        fleet.a.request("POST", path, "Via", "1.0 first", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host",
                "evil.example",
                "X-Forwarded-Proto", "https", "Forwarded", "for=6.6.6.6;host=evil.example");

        HeaderFields fields = fleet.origin.lastRequest(path).fields();
        assertThat(fields.combinedValue("Via")).contains("1.0 first, 1.1 corral");
        assertThat(fields.values("X-Forwarded-For")).containsExactly("127.0.0.1");
        assertThat(fields.values("X-Forwarded-Host")).containsExactly("client.example");
        assertThat(fields.values("X-Forwarded-Proto")).containsExactly("http");
        assertThat(fields.values("Forwarded")).containsExactly("for=127.0.0.1;host=client.example;proto=http");
    }

    @Test
    void viaHasTheProtocolVersionOfTheClient() throws IOException {
        String path = fleet.uniquePath("old");
        try (HttpProbe client = fleet.a.connect()) {
            client.send("POST " + path + " HTTP/1.0\r\nHost: client.example\r\nContent-Length: 2\r\n\r\nhi").read();
        }

        assertThat(fleet.origin.lastRequest(path).field("Via")).isEqualTo("1.0 corral");
    }

    /** An answer that depended on one of these would be given to others. */
    @Test
    void sharedFetchOmitsFieldsOutsideTheCacheKey() throws IOException {
        String path = fleet.uniquePath("shared");

        fleet.a.get(path, "X-Forwarded-Host", "evil.example", "X-Original-URL", "/admin", "X-HTTP-Method-Override",
                "DELETE", "X-Host", "evil.example", "Forwarded", "host=evil.example", "Range", "bytes=0-1",
                "If-None-Match", "\"x\"", "X-Real", "kept");

        HeaderFields fields = fleet.origin.lastRequest(path).fields();
        assertThat(lowerCaseNames(fields)).doesNotContain("x-forwarded-host", "x-forwarded-proto", "x-original-url",
                "x-http-method-override", "x-host", "range", "if-none-match", "x-forwarded-for", "forwarded")
                .contains("x-real");
        assertThat(fields.values("Host")).containsExactly(fleet.origin.authority());
    }

    @Test
    void hostFollowsTheRouteSetting() throws IOException {
        for (String method : List.of("GET", "POST")) {
            String origins = fleet.uniquePath("host");
            fleet.a.request(method, origins);
            assertThat(fleet.origin.lastRequest(origins).fields().values("Host"))
                    .containsExactly(fleet.origin.authority());

            String clients = fleet.uniquePath("host-of-client", "host");
            fleet.a.request(method, clients);
            assertThat(fleet.origin.lastRequest(clients).fields().values("Host")).containsExactly("client.example");

            String literal = fleet.uniquePath("host-of-shop", "host");
            fleet.a.request(method, literal);
            assertThat(fleet.origin.lastRequest(literal).fields().values("Host")).containsExactly("shop.example:8080");
        }
    }

    @Test
    void preservedHostIsPartOfTheCacheKey() throws IOException {
        String path = fleet.uniquePath("host-of-client", "hosts");
        fleet.origin.on(path,
                exchange -> exchange.respond(200, exchange.request.field("Host"), "Cache-Control", "max-age=60"));

        for (int round = 0; round < 2; round++) {
            assertThat(fleet.a.get(path, "Host", "a.example").text()).isEqualTo("a.example");
            assertThat(fleet.a.get(path, "Host", "b.example:81").text()).isEqualTo("b.example:81");
            assertThat(fleet.a.get(path, "Host", "A.EXAMPLE").text()).isEqualToIgnoringCase("a.example");
        }

        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    @Test
    void trustedForwardedHostAndProtoArePartOfTheCacheKey() throws IOException {
        String path = fleet.uniquePath("trusting", "told");
        fleet.origin.on(path,
                exchange -> exchange.respond(200, exchange.request.field("Host"), "Cache-Control", "max-age=60"));

        for (int round = 0; round < 2; round++) {
            assertThat(fleet.a.get(path, "X-Forwarded-Host", "a.example", "X-Forwarded-Proto", "https",
                    "X-Forwarded-For", "1.2.3.4").text()).isEqualTo("a.example");
            assertThat(fleet.a.get(path, "X-Forwarded-Host", "b.example").text()).isEqualTo("b.example");
            assertThat(fleet.a.get(path, "X-Forwarded-Host", "a.example").text()).isEqualTo("a.example");
        }

        // https and http are two resources of one host.
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
        HeaderFields first = fleet.origin.receivedRequests(path).getFirst().fields();
        assertThat(first.has("X-Forwarded-For")).isFalse();
        assertThat(first.combinedValue("X-Forwarded-Proto")).contains("https");
        assertThat(first.combinedValue("X-Forwarded-Host")).contains("a.example");
    }

    private static List<String> lowerCaseNames(HeaderFields fields) {
        return fields.lines().stream().map(field -> field.name().toLowerCase(Locale.ROOT)).toList();
    }
}
