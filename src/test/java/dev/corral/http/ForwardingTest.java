package dev.corral.http;

import dev.corral.cache.CacheFixtures;
import dev.corral.http.Forwarding.ClientConnection;
import dev.corral.http.Forwarding.ForwardingRules;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

class ForwardingTest {

    private static final ClientConnection CLIENT_CONNECTION = new ClientConnection("192.0.2.7", "https", "shop.example",
            "1.1");
    private static final ForwardingRules TRUSTING_RULES = new ForwardingRules("corral", true, true,
            RequestHeaderPolicy.DEFAULT);

    private static final ForwardingRules DEFAULT_RULES = new ForwardingRules("corral", false, false,
            RequestHeaderPolicy.DEFAULT);

    private static HeaderFields forwarded(String request, ForwardingRules rules, boolean shared) {
        return shared
                ? Forwarding.sharedRequestFields(CacheFixtures.headerFields(request), CLIENT_CONNECTION, rules,
                        List.of())
                : Forwarding.passRequestFields(CacheFixtures.headerFields(request), CLIENT_CONNECTION, rules);
    }

    @Test
    void passRequestIsForwardedWithoutHopByHopFields() {
        HeaderFields sent = forwarded(
                "Accept: a | Cookie: b | Authorization: c | Range: bytes=0-1 | If-None-Match: \"d\""
                        + " | Connection: close, X-Hop | X-Hop: 1 | Keep-Alive: 5 | TE: trailers | Trailer: x"
                        + " | Transfer-Encoding: chunked | Upgrade: h2c | HTTP2-Settings: x | Proxy-Connection: close"
                        + " | Proxy-Authorization: x | X-Original-URL: /y | Content-Type: text/plain",
                DEFAULT_RULES, false);

        assertThat(sent)
                .isEqualTo(CacheFixtures.headerFields("Accept: a | Cookie: b | Authorization: c | Range: bytes=0-1"
                        + " | If-None-Match: \"d\" | X-Original-URL: /y | Content-Type: text/plain | Via: 1.1 corral"
                        + " | X-Forwarded-For: 192.0.2.7 | X-Forwarded-Proto: https | X-Forwarded-Host: shop.example"
                        + " | Forwarded: for=192.0.2.7;host=shop.example;proto=https"));
    }

    @Test
    void sharedFetchOmitsClientSpecificFields() {
        HeaderFields sent = forwarded(
                "Accept: a | Range: bytes=0-1 | If-Range: \"d\" | If-None-Match: \"d\" | If-Match: \"d\""
                        + " | If-Modified-Since: {0} | If-Unmodified-Since: {0} | Content-Type: a/b | Content-Length: 0"
                        + " | Expect: 100-continue | X-Forwarded-Host: evil | X-Forwarded-Proto: http | X-Forwarded-For: 1.2.3.4"
                        + " | Forwarded: host=evil",
                DEFAULT_RULES, true);

        assertThat(sent).isEqualTo(CacheFixtures.headerFields("Accept: a | Via: 1.1 corral | X-Forwarded-Proto: https"
                + " | Forwarded: proto=https"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"X-Original-URL", "x-rewrite-url", "X-HTTP-Method-Override", "X-HTTP-Method",
            "X-Method-Override", "X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme",
            "X-Host", "X-Original-Host", "Front-End-Https", "Proxy", "X-Middleware-Subrequest"})
    void sharedFetchOmitsFieldsThatOriginsReflectUnlessKept(String name) {
        assertThat(forwarded(name + ": x", DEFAULT_RULES, true).has(name)).isFalse();
        assertThat(forwarded(name + ": x", DEFAULT_RULES, false).has(name)).isTrue();
        assertThat(forwarded(name + ": x", rulesKeeping(name), true).has(name)).isTrue();
    }

    private static ForwardingRules rulesKeeping(String name) {
        return new ForwardingRules("corral", false, false,
                new RequestHeaderPolicy(RequestHeaderPolicy.Mode.FORWARD, Set.of(),
                        Set.of(name), Set.of()));
    }

    @Test
    void sharedFetchForwardsHostThatIsInTheKey() {
        HeaderFields sent = forwarded("", new ForwardingRules("c", false, true, RequestHeaderPolicy.DEFAULT), true);

        assertThat(sent.firstValue("X-Forwarded-Host")).contains("shop.example");
        assertThat(sent.firstValue("Forwarded")).contains("host=shop.example;proto=https");
    }

    @Test
    void trustedProxyForwardingFieldsAreAppendedTo() {
        HeaderFields sent = forwarded("Via: 1.0 lb | X-Forwarded-For: 10.1.1.1 | X-Forwarded-For: 10.2.2.2"
                + " | Forwarded: for=\"[2001:db8::1]:4711\" | X-Forwarded-Host: shop.example", TRUSTING_RULES, false);

        assertThat(sent.values("Via")).containsExactly("1.0 lb", "1.1 corral");
        assertThat(sent.values("X-Forwarded-For")).containsExactly("10.1.1.1, 10.2.2.2, 192.0.2.7");
        assertThat(sent.values("Forwarded"))
                .containsExactly("for=\"[2001:db8::1]:4711\", for=192.0.2.7;host=shop.example;proto=https");
        assertThat(sent.values("X-Forwarded-Host")).containsExactly("shop.example");
    }

    @Test
    void missingForwardedFieldIsDerivedFromTheOtherOne() {
        assertThat(forwarded("X-Forwarded-For: 10.1.1.1, 2001:db8::1", TRUSTING_RULES, false).values("Forwarded"))
                .containsExactly(
                        "for=10.1.1.1, for=\"[2001:db8::1]\", for=192.0.2.7;host=shop.example;proto=https");
        assertThat(forwarded("Forwarded: for=10.1.1.1;proto=http, For=\"[2001:db8::1]\"", TRUSTING_RULES, false)
                .values("X-Forwarded-For")).containsExactly("10.1.1.1, 2001:db8::1, 192.0.2.7");
    }

    @Test
    void ipv6ClientIsFormattedAsEachFieldRequires() {
        HeaderFields sent = Forwarding.passRequestFields(HeaderFields.EMPTY,
                new ClientConnection("fe80::1%eth0", "http", "[::1]:8080", "2"),
                DEFAULT_RULES);

        assertThat(sent.firstValue("X-Forwarded-For")).contains("fe80::1");
        assertThat(sent.firstValue("Forwarded")).contains("for=\"[fe80::1]\";host=\"[::1]:8080\";proto=http");
        assertThat(sent.firstValue("Via")).contains("2 corral");
        assertThat(Forwarding
                .passRequestFields(HeaderFields.EMPTY, new ClientConnection("", "http", "", "1.0"),
                        DEFAULT_RULES)
                .firstValue("Forwarded")).contains("for=unknown;proto=http");
    }

    @ParameterizedTest(name = "{0}: {1}://{2}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "``                                                        | https | shop.example",
            "X-Forwarded-Proto: HTTP^X-Forwarded-Host: a.example:81    | http  | a.example:81",
            "X-Forwarded-Proto: http, https^X-Forwarded-Host: a, b     | http  | a",
            "X-Forwarded-Proto: gopher^X-Forwarded-Host: a/b           | https | shop.example",
            "X-Forwarded-Host: a@b                                     | https | shop.example",
            "Forwarded: for=x; Host=\"b:8080\";proto=http, host=c      | http  | b:8080",
            "Forwarded: for=x^X-Forwarded-Host: a                      | https | shop.example",
    })
    void effectiveClientIsTakenFromTrustedProxyFields(String request, String scheme, String host) {
        HeaderFields fields = CacheFixtures.headerFields(request.replace("^", " | "));

        assertThat(Forwarding.effectiveClient(fields, CLIENT_CONNECTION, TRUSTING_RULES))
                .isEqualTo(new ClientConnection("192.0.2.7", scheme, host, "1.1"));
        assertThat(Forwarding.effectiveClient(fields, CLIENT_CONNECTION, DEFAULT_RULES))
                .isEqualTo(CLIENT_CONNECTION);
    }

    @Test
    void connectionOptionCannotRemoveCachingFields() {
        assertThat(Forwarding
                .endToEndResponseFields(CacheFixtures
                        .headerFields("Connection: Vary, Cache-Control, X | Vary: A | Cache-Control: private"
                                + " | X: 1")))
                .isEqualTo(CacheFixtures.headerFields("Vary: A | Cache-Control: private"));
        assertThat(CacheFixtures.getRequest("Connection: Authorization, Cookie | Authorization: a | Cookie: b"))
                .matches(request -> request.hasAuthorization() && request.hasCookieOrCredential());
    }

    @Test
    void responseHopByHopFieldsAreRemoved() {
        assertThat(Forwarding.endToEndResponseFields(
                CacheFixtures.headerFields("A: 1 | connection: x-hop,b | X-Hop: 1 | B: 2 | Trailer: c"
                        + " | Proxy-Authenticate: d | Proxy-Authentication-Info: e | Set-Cookie: f | Upgrade: g")))
                .isEqualTo(CacheFixtures.headerFields("A: 1 | Set-Cookie: f"));
    }
}
