package dev.corral.http;

import dev.corral.http.Forwarding.From;
import dev.corral.http.Forwarding.Rules;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

class ForwardingTest {

    private static final From FROM = new From("192.0.2.7", "https", "shop.example", "1.1");
    private static final Rules TRUSTING = new Rules("corral", true, true, RequestHeaderPolicy.DEFAULT);

    private static Fields sent(String request, Rules rules, boolean shared) {
        return shared
                ? Forwarding.toOriginShared(Given.fields(request), FROM, rules, List.of())
                : Forwarding.toOrigin(Given.fields(request), FROM, rules);
    }

    @Test
    void aRequestOfOneClientGoesOnAsItIsButForTheConnectionsFields() {
        Fields sent = sent("Accept: a | Cookie: b | Authorization: c | Range: bytes=0-1 | If-None-Match: \"d\""
                + " | Connection: close, X-Hop | X-Hop: 1 | Keep-Alive: 5 | TE: trailers | Trailer: x"
                + " | Transfer-Encoding: chunked | Upgrade: h2c | HTTP2-Settings: x | Proxy-Connection: close"
                + " | Proxy-Authorization: x | X-Original-URL: /y | Content-Type: text/plain", Rules.DEFAULT, false);

        assertThat(sent).isEqualTo(Given.fields("Accept: a | Cookie: b | Authorization: c | Range: bytes=0-1"
                + " | If-None-Match: \"d\" | X-Original-URL: /y | Content-Type: text/plain | Via: 1.1 corral"
                + " | X-Forwarded-For: 192.0.2.7 | X-Forwarded-Proto: https | X-Forwarded-Host: shop.example"
                + " | Forwarded: for=192.0.2.7;host=shop.example;proto=https"));
    }

    @Test
    void aSharedFetchHasNothingOfOneClientThatIsNotInTheKey() {
        Fields sent = sent("Accept: a | Range: bytes=0-1 | If-Range: \"d\" | If-None-Match: \"d\" | If-Match: \"d\""
                + " | If-Modified-Since: {0} | If-Unmodified-Since: {0} | Content-Type: a/b | Content-Length: 0"
                + " | Expect: 100-continue | X-Forwarded-Host: evil | X-Forwarded-Proto: http | X-Forwarded-For: 1.2.3.4"
                + " | Forwarded: host=evil", Rules.DEFAULT, true);

        assertThat(sent).isEqualTo(Given.fields("Accept: a | Via: 1.1 corral | X-Forwarded-Proto: https"
                + " | Forwarded: proto=https"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"X-Original-URL", "x-rewrite-url", "X-HTTP-Method-Override", "X-HTTP-Method",
            "X-Method-Override", "X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme",
            "X-Host", "X-Original-Host", "Front-End-Https", "Proxy", "X-Middleware-Subrequest"})
    void whatOriginsReflectDoesNotReachThemOnASharedFetch(String name) {
        assertThat(sent(name + ": x", Rules.DEFAULT, true).has(name)).isFalse();
        assertThat(sent(name + ": x", Rules.DEFAULT, false).has(name)).isTrue();
        assertThat(sent(name + ": x", keeping(name), true).has(name)).isTrue();
    }

    private static Rules keeping(String name) {
        return new Rules("corral", false, false, new RequestHeaderPolicy(RequestHeaderPolicy.Mode.FORWARD, Set.of(),
                Set.of(name), Set.of()));
    }

    @Test
    void theHostIsToldOnASharedFetchWhereItIsInTheKey() {
        Fields sent = sent("", new Rules("c", false, true, RequestHeaderPolicy.DEFAULT), true);

        assertThat(sent.first("X-Forwarded-Host")).contains("shop.example");
        assertThat(sent.first("Forwarded")).contains("host=shop.example;proto=https");
    }

    @Test
    void whatATrustedProxySaysIsAddedTo() {
        Fields sent = sent("Via: 1.0 lb | X-Forwarded-For: 10.1.1.1 | X-Forwarded-For: 10.2.2.2"
                + " | Forwarded: for=\"[2001:db8::1]:4711\" | X-Forwarded-Host: shop.example", TRUSTING, false);

        assertThat(sent.all("Via")).containsExactly("1.0 lb", "1.1 corral");
        assertThat(sent.all("X-Forwarded-For")).containsExactly("10.1.1.1, 10.2.2.2, 192.0.2.7");
        assertThat(sent.all("Forwarded"))
                .containsExactly("for=\"[2001:db8::1]:4711\", for=192.0.2.7;host=shop.example;proto=https");
        assertThat(sent.all("X-Forwarded-Host")).containsExactly("shop.example");
    }

    @Test
    void aTrustedProxyThatSpeaksOnlyOneOfTheTwoIsTranslated() {
        assertThat(sent("X-Forwarded-For: 10.1.1.1, 2001:db8::1", TRUSTING, false).all("Forwarded")).containsExactly(
                "for=10.1.1.1, for=\"[2001:db8::1]\", for=192.0.2.7;host=shop.example;proto=https");
        assertThat(sent("Forwarded: for=10.1.1.1;proto=http, For=\"[2001:db8::1]\"", TRUSTING, false)
                .all("X-Forwarded-For")).containsExactly("10.1.1.1, 2001:db8::1, 192.0.2.7");
    }

    @Test
    void anIpv6ClientIsWrittenAsEachFieldWantsIt() {
        Fields sent = Forwarding.toOrigin(Fields.NONE, new From("fe80::1%eth0", "http", "[::1]:8080", "2"),
                Rules.DEFAULT);

        assertThat(sent.first("X-Forwarded-For")).contains("fe80::1");
        assertThat(sent.first("Forwarded")).contains("for=\"[fe80::1]\";host=\"[::1]:8080\";proto=http");
        assertThat(sent.first("Via")).contains("2 corral");
        assertThat(Forwarding.toOrigin(Fields.NONE, new From("", "http", "", "1.0"), Rules.DEFAULT)
                .first("Forwarded")).contains("for=unknown;proto=http");
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
    void whatTheClientUsedIsAsTheTrustedProxySawIt(String request, String scheme, String host) {
        Fields fields = Given.fields(request.replace("^", " | "));

        assertThat(Forwarding.seen(fields, FROM, TRUSTING)).isEqualTo(new From("192.0.2.7", scheme, host, "1.1"));
        assertThat(Forwarding.seen(fields, FROM, Rules.DEFAULT)).isEqualTo(FROM);
    }

    @Test
    void connectionCannotNameWhatIsForAll() {
        assertThat(Forwarding
                .fromOrigin(Given.fields("Connection: Vary, Cache-Control, X | Vary: A | Cache-Control: private"
                        + " | X: 1")))
                .isEqualTo(Given.fields("Vary: A | Cache-Control: private"));
        assertThat(Given.get("Connection: Authorization, Cookie | Authorization: a | Cookie: b"))
                .matches(asked -> asked.authorized() && asked.cookied());
    }

    @Test
    void anAnswerLosesTheConnectionsFields() {
        assertThat(Forwarding.fromOrigin(Given.fields("A: 1 | connection: x-hop,b | X-Hop: 1 | B: 2 | Trailer: c"
                + " | Proxy-Authenticate: d | Proxy-Authentication-Info: e | Set-Cookie: f | Upgrade: g")))
                .isEqualTo(Given.fields("A: 1 | Set-Cookie: f"));
    }
}
