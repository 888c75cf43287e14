package dev.corral.edge;

import dev.corral.http.Fields;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** What of a request the origin sees, and what of an answer the client: RFC 9110 sections 7.6 and 7.7. */
@EdgeTest
class ForwardingTest {

    private static final Set<String> HOP_BY_HOP = Set.of("connection", "keep-alive", "proxy-connection",
            "proxy-authorization", "proxy-authenticate", "te", "trailer", "upgrade", "http2-settings", "x-secret");

    private final Fleet fleet;

    ForwardingTest(Fleet fleet) {
        this.fleet = fleet;
    }

    @ParameterizedTest
    @ValueSource(strings = {"//a//b/", "a%2Fb%2fc", "a;x=1/b;y", "a?", "a??", "a?x=1&&y=&=z", "a?b=2&a=1", "%7euser",
            "a/../b", "a/./b/..", "%2e%2E/a", "%E2%82%AC/%e2%82%ac", "a%20b?q=%20+%2B", "-._~:@!$&'()*+,=",
            "a?/?:@-._~!$",
            "a%00b", "a%0d%0aX:%201", "%25zz"})
    void pathAndQueryReachTheOriginByteForByte(String rest) throws IOException {
        for (String method : List.of("GET", "HEAD", "POST", "OPTIONS")) {
            String target = fleet.path("raw") + "/" + rest;

            assertThat(fleet.a.ask(method, target).status()).isEqualTo(404);

            assertThat(fleet.origin.received()).filteredOn(request -> request.target().equals(target)).hasSize(1);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "POST", "M-SEARCH"})
    void fieldsOfTheConnectionEndHere(String method) throws IOException {
        String path = fleet.path("hop");
        fleet.origin.on(path, 200, "ok", "Cache-Control", "max-age=60", "Connection", "X-Secret, x-other", "X-Secret",
                "s",
                "X-Other", "o", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive", "Proxy-Authenticate",
                "Basic",
                "Upgrade", "h3", "Trailer", "X-T", "X-Kept", "yes");

        for (int round = 0; round < 2; round++) {
            Client.Answer answer = fleet.a.ask(method, path, "Connection", "X-Secret, TE, Upgrade, HTTP2-Settings",
                    "X-Secret", "s", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive", "Proxy-Authorization",
                    "Basic eA==", "TE", "trailers", "Trailer", "X-T", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABk",
                    "X-Kept", "yes");

            assertThat(names(fleet.origin.last(path).fields())).doesNotContainAnyElementsOf(HOP_BY_HOP)
                    .contains("x-kept");
            assertThat(names(answer.fields())).doesNotContainAnyElementsOf(HOP_BY_HOP)
                    .doesNotContain("x-other")
                    .contains("x-kept");
        }
    }

    /** RFC 9110 section 5.3: lines of one name keep their order. Names compare without case, and nothing comes twice. */
    @Test
    void allOtherFieldsPassAsTheyAre() throws IOException {
        String path = fleet.path("fields");
        fleet.origin.on(path, 200, "ok", "Cache-Control", "max-age=60", "X-Many", "1", "x-many", "2", "X-MANY", "3",
                "X-Empty", "", "X-Bytes", "\u00e9\u00ff", "Content-Foo", "a,  b");
        String[] sent = {"X-Many", "1", "x-many", "2", "X-MANY", "3", "X-Empty", "", "X-Bytes", "\u00e9\u00ff",
                "Cookie",
                "a=1", "cookie", "b=2", "User-Agent", "it  is"};

        for (String method : List.of("PUT", "GET", "GET")) {
            Client.Answer answer = fleet.a.ask(method, path, sent);

            assertThat(answer.fields().lines()).containsSubsequence(
                    Fields.of("X-Many", "1", "x-many", "2", "X-MANY", "3", "X-Empty", "").lines());
            assertThat(answer.field("Content-Foo")).isEqualTo("a,  b");
            assertThat(answer.field("X-Bytes")).isEqualTo("\u00e9\u00ff");
        }

        for (var request : fleet.origin.received(path)) {
            assertThat(request.fields().lines()).containsSubsequence(Fields.of(sent).lines());
            assertThat(request.fields().all("X-Many")).containsExactly("1", "2", "3");
            assertThat(request.fields().all("Cookie")).containsExactly("a=1", "b=2");
        }
    }

    /** RFC 9110 section 7.6.3, RFC 7239. */
    @Test
    void theOriginIsToldTheWayARequestCame() throws IOException {
        String path = fleet.path("way");

        fleet.a.ask("POST", path, "Via", "1.0 first", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil.example",
                "X-Forwarded-Proto", "https", "Forwarded", "for=6.6.6.6;host=evil.example");

        Fields fields = fleet.origin.last(path).fields();
        assertThat(fields.joined("Via")).contains("1.0 first, 1.1 corral");
        assertThat(fields.all("X-Forwarded-For")).containsExactly("127.0.0.1");
        assertThat(fields.all("X-Forwarded-Host")).containsExactly("client.example");
        assertThat(fields.all("X-Forwarded-Proto")).containsExactly("http");
        assertThat(fields.all("Forwarded")).containsExactly("for=127.0.0.1;host=client.example;proto=http");
    }

    @Test
    void viaNamesTheVersionTheClientSpoke() throws IOException {
        String path = fleet.path("old");
        try (Client client = fleet.a.connect()) {
            client.send("POST " + path + " HTTP/1.0\r\nHost: client.example\r\nContent-Length: 2\r\n\r\nhi").read();
        }

        assertThat(fleet.origin.last(path).field("Via")).isEqualTo("1.0 corral");
    }

    /** An answer that depended on one of these would be given to others. */
    @Test
    void aSharedFetchHasNothingThatIsNotInTheKey() throws IOException {
        String path = fleet.path("shared");

        fleet.a.get(path, "X-Forwarded-Host", "evil.example", "X-Original-URL", "/admin", "X-HTTP-Method-Override",
                "DELETE", "X-Host", "evil.example", "Forwarded", "host=evil.example", "Range", "bytes=0-1",
                "If-None-Match", "\"x\"", "X-Real", "kept");

        Fields fields = fleet.origin.last(path).fields();
        assertThat(names(fields)).doesNotContain("x-forwarded-host", "x-forwarded-proto", "x-original-url",
                "x-http-method-override", "x-host", "range", "if-none-match", "x-forwarded-for", "forwarded")
                .contains("x-real");
        assertThat(fields.all("Host")).containsExactly(fleet.origin.authority());
    }

    @Test
    void theHostIsTheRoutesChoice() throws IOException {
        for (String method : List.of("GET", "POST")) {
            String origins = fleet.path("host");
            fleet.a.ask(method, origins);
            assertThat(fleet.origin.last(origins).fields().all("Host")).containsExactly(fleet.origin.authority());

            String clients = fleet.path("host-of-client", "host");
            fleet.a.ask(method, clients);
            assertThat(fleet.origin.last(clients).fields().all("Host")).containsExactly("client.example");

            String literal = fleet.path("host-of-shop", "host");
            fleet.a.ask(method, literal);
            assertThat(fleet.origin.last(literal).fields().all("Host")).containsExactly("shop.example:8080");
        }
    }

    @Test
    void whereTheClientsHostCountsItMakesAnotherResource() throws IOException {
        String path = fleet.path("host-of-client", "hosts");
        fleet.origin.on(path,
                exchange -> exchange.answer(200, exchange.request.field("Host"), "Cache-Control", "max-age=60"));

        for (int round = 0; round < 2; round++) {
            assertThat(fleet.a.get(path, "Host", "a.example").text()).isEqualTo("a.example");
            assertThat(fleet.a.get(path, "Host", "b.example:81").text()).isEqualTo("b.example:81");
            assertThat(fleet.a.get(path, "Host", "A.EXAMPLE").text()).isEqualToIgnoringCase("a.example");
        }

        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    @Test
    void whereTheProxyBeforeIsTrustedItsWordCounts() throws IOException {
        String path = fleet.path("trusting", "told");
        fleet.origin.on(path,
                exchange -> exchange.answer(200, exchange.request.field("Host"), "Cache-Control", "max-age=60"));

        for (int round = 0; round < 2; round++) {
            assertThat(fleet.a.get(path, "X-Forwarded-Host", "a.example", "X-Forwarded-Proto", "https",
                    "X-Forwarded-For", "1.2.3.4").text()).isEqualTo("a.example");
            assertThat(fleet.a.get(path, "X-Forwarded-Host", "b.example").text()).isEqualTo("b.example");
            assertThat(fleet.a.get(path, "X-Forwarded-Host", "a.example").text()).isEqualTo("a.example");
        }

        // https and http are two resources of one host.
        assertThat(fleet.origin.count(path)).isEqualTo(3);
        Fields first = fleet.origin.received(path).getFirst().fields();
        assertThat(first.has("X-Forwarded-For")).isFalse();
        assertThat(first.joined("X-Forwarded-Proto")).contains("https");
        assertThat(first.joined("X-Forwarded-Host")).contains("a.example");
    }

    private static List<String> names(Fields fields) {
        return fields.lines().stream().map(field -> field.name().toLowerCase(Locale.ROOT)).toList();
    }
}
