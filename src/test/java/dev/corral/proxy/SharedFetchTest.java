package dev.corral.proxy;

import dev.corral.http.HeaderFields;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * What one client can put into a response that others get: nothing that is not in the cache key, or that the origin does not
 * declare. The origin here reflects and obeys whatever it is sent.
 */
@ProxyTest
class SharedFetchTest {

    private final FleetUnderTest fleet;

    SharedFetchTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** The response has the target and all fields in it. */
    private void reflectRequest(String path) {
        fleet.origin.on(path, exchange -> exchange.respond(200,
                exchange.request.target() + "\n" + exchange.request.fields().lines(), "Cache-Control", "max-age=600"));
    }

    private void assertHitOnBothReplicas(String target, String... fields) throws IOException {
        for (ReplicaUnderTest replica : fleet.replicas()) {
            assertThat(replica.get(target, fields).isHit()).as(target).isTrue();
        }
    }

    @ParameterizedTest(name = "{0}: ?{1} asks for ?{2}")
    @CsvSource(delimiter = '|', nullValues = "none", emptyValue = "", value = {
            "counted | utm_content=%3Cscript%3E       | none",
            "counted | utm%5fcontent=EVIL             | none",
            "counted | %75tm_source=EVIL&next=1       | next=1",
            "counted | utm_source=EVIL&next=1         | next=1",
            "counted | next=1&gclid=EVIL              | next=1",
            "counted | id=1&utm_content=x;id=2        | id=1",
            "counted | id=1&utm_content=x&id=3        | id=1&id=3",
            "counted | session=EVIL&sessionid=EVIL    | none",
            "counted | id=1&utm_a                     | id=1",
            "only    | id=1&EVIL=1                    | id=1",
            "only    | EVIL=1                         | none",
            "only    | EVIL                           | none",
            "only    | ID=EVIL&id=1                   | id=1",
            "only    | &id=1&&x;id=EVIL               | id=1",
    })
    void excludedQueryParameterDoesNotReachTheOrigin(String route, String query, String asked) throws IOException {
        String path = fleet.uniquePath(route, "page");
        reflectRequest(path);
        String plain = asked == null ? path : path + "?" + asked;

        assertThat(fleet.a.getAndStore(path + "?" + query).text()).startsWith(plain + "\n").doesNotContain("EVIL");

        assertThat(fleet.origin.receivedRequests(path)).singleElement()
                .satisfies(request -> assertThat(request.target()).isEqualTo(plain));
        assertHitOnBothReplicas(plain);
    }

    /** A request for one client only is that client's: nothing is left out of it. */
    @Test
    void excludedQueryParameterReachesTheOriginOnUnsharedRequest() throws IOException {
        String path = fleet.uniquePath("counted", "post");

        fleet.a.request("POST", path + "?utm_source=x&id=1", "Content-Length", "0");
        fleet.a.request("DELETE", path + "?utm_source=y&id=1");

        assertThat(fleet.origin.receivedRequests(path)).extracting(OriginStub.ReceivedRequest::target)
                .containsExactly(path + "?utm_source=x&id=1", path + "?utm_source=y&id=1");
    }

    /** Another spelling of one URI may be another resource to the origin: it has an entry of its own. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"?a=1&b=2 | ?b=2&a=1", "?a=~ | ?a=%7e", "?a=%2F | ?a=%2f", "/x | /%78",
            "/x | /y/../x", "/x | /./x"})
    void unusualUriSpellingHasASeparateEntry(String usual, String unusual) throws IOException {
        String path = fleet.uniquePath("spelled");
        for (String spelling : List.of(unusual, usual)) {
            String target = path + spelling;
            int query = target.indexOf('?');
            reflectRequest(query < 0 ? target : target.substring(0, query));

            assertThat(fleet.a.getAndStore(target).text()).startsWith(target + "\n");
        }
        assertHitOnBothReplicas(path + usual);
        assertHitOnBothReplicas(path + unusual);
    }

    @ParameterizedTest
    @ValueSource(strings = {"SHOP.example", "shop.example:80", "Shop.Example:80"})
    void equivalentHostIsNormalizedForTheOrigin(String host) throws IOException {
        String path = fleet.uniquePath("host-of-client", "host");
        reflectRequest(path);

        fleet.a.getAndStore(path, "Host", host);

        assertThat(fleet.origin.lastRequest(path).field("Host")).isEqualTo("shop.example");
        assertThat(fleet.origin.lastRequest(path).field("X-Forwarded-Host")).isEqualTo("shop.example");
        assertThat(fleet.origin.lastRequest(path).field("Forwarded")).isEqualTo("host=shop.example;proto=http");
        assertHitOnBothReplicas(path, "Host", "shop.example");
    }

    /** They are not equivalent, though an origin may think so. */
    @ParameterizedTest
    @ValueSource(strings = {"shop.example.", "shop.example:81", "shop.example:080", "shop.example:443",
            "www.shop.example"})
    void differentHostHasASeparateEntry(String host) throws IOException {
        String path = fleet.uniquePath("host-of-client", "host");
        reflectRequest(path);

        fleet.a.getAndStore(path, "Host", host);
        HttpProbe.ProbeResponse other = fleet.a.getAndStore(path, "Host", "shop.example");

        assertThat(other.isHit()).isFalse();
        assertThat(fleet.origin.receivedRequests(path)).extracting(request -> request.field("Host"))
                .containsExactly(host, "shop.example");
    }

    @Test
    void percentEncodedHostIsRejected() throws IOException {
        String path = fleet.uniquePath("host-of-client", "host");

        assertThat(fleet.a.get(path, "Host", "sho%70.example").status()).isEqualTo(400);
        assertThat(fleet.a.get("http://sho%70.example" + path, "Host", "shop.example").status()).isEqualTo(400);
        assertThat(fleet.origin.requestCount(path)).isZero();
    }

    /** To many origins a hyphen and an underscore, or any other sign, are one (RFC 3875 section 4.1.18). */
    @ParameterizedTest
    @ValueSource(strings = {"X_Forwarded_Host", "X_Forwarded-Host", "x-forwarded_host", "X.Forwarded.Host",
            "X~Forwarded~Host", "X_Original_URL", "X_HTTP_Method_Override", "X_Forwarded_For", "X_Real_IP",
            "Accept_Language", "Accept_Encoding", "User_Agent", "X_Device", "_", "X_Unknown",
            "x-middleware-prefetch", "x-now-route-matches", "x-invoke-status", "X-Sendfile-Type", "X-Accel-Buffering",
            "X-Forwarded-Whatever", "X-Original-Whatever", "X-Rewrite-Whatever", "X-Middleware-Whatever",
            "X-Invoke-Whatever", "X-Now-Whatever", "X-Nextjs-Data", "X-Sendfile", "X-Accel-Redirect", "X-HTTP-Method",
            "X-HTTP-Whatever", "X-Method-Override", "X-Host", "X-Host-Override", "X-Real-IP", "CF-Connecting-IP",
            "Fastly-Client-IP", "X-Nuxt-No-SSR", "X-React-Router-SPA-Mode", "X-Astro-Path", "Via", "Forwarded",
            "X-Request-ID"})
    void steeringFieldDoesNotReachTheOrigin(String name) throws IOException {
        String path = fleet.uniquePath("steered");
        reflectRequest(path);

        assertThat(fleet.a.getAndStore(path, name, "EVIL").text()).doesNotContain("EVIL");
        assertHitOnBothReplicas(path);
    }

    /** Responses that depend on them say so, and must: an origin that does not see them cannot. */
    @ParameterizedTest
    @ValueSource(strings = {"Rsc", "Next-Router-State-Tree", "Next-Router-Prefetch", "Next-Url", "Cookie",
            "Authorization", "Accept", "Accept-Language", "User-Agent", "Origin", "Referer", "X-Unknown",
            "X-Requested-With"})
    void fieldThatTheOriginMustDeclareReachesIt(String name) throws IOException {
        String path = fleet.uniquePath("declared");
        fleet.origin.on(path, 200, "ok", "Cache-Control", "private");

        fleet.a.get(path, name, "it");

        assertThat(fleet.origin.lastRequest(path).field(name)).isEqualTo("it");
    }

    /** Of the connection's fields no second spelling goes on, on no request. */
    @ParameterizedTest
    @ValueSource(strings = {"GET", "POST"})
    void alternateSpellingOfProxyFieldIsDropped(String method) throws IOException {
        String path = fleet.uniquePath("second");

        fleet.a.request(method, path, "X_Forwarded_For", "6.6.6.6", "X_Forwarded_Host", "EVIL", "X_Forwarded_Proto",
                "EVIL", "Transfer_Encoding", "EVIL", "Proxy_Authorization", "EVIL", "Keep_Alive", "EVIL",
                "Content_Length", "666", "Connection", "X_Hop", "X-Hop", "EVIL");

        assertThat(fleet.origin.lastRequest(path).fields().lines().toString()).doesNotContain("EVIL", "6.6.6.6", "666");
    }

    /** Who is connected to us is nobody else's business: not on a fetch for all. */
    @Test
    void clientAddressIsForwardedOnUnsharedRequestOnly() throws IOException {
        String path = fleet.uniquePath("told", "address");

        fleet.a.get(path, "X-Forwarded-For", "1.2.3.4");
        fleet.a.request("POST", path, "X-Forwarded-For", "1.2.3.4", "Content-Length", "0");

        assertThat(fleet.origin.receivedRequests(path)).extracting(request -> request.field("X-Forwarded-For"))
                .containsExactly("", "1.2.3.4, 127.0.0.1");
    }

    /** A redirection to https must not be what https clients get. */
    @Test
    void trustedSchemeIsForwardedAndPartOfTheCacheKey() throws IOException {
        for (String route : List.of("told", "trusting")) {
            String path = fleet.uniquePath(route, "secure");
            fleet.origin.on(path, exchange -> {
                if (exchange.request.field("X-Forwarded-Proto").equals("https")) {
                    exchange.respond(200, "secure " + exchange.request.field("Forwarded"), "Cache-Control",
                            "max-age=600");
                } else {
                    exchange.respond(301, "", "Location", "https://client.example" + path, "Cache-Control",
                            "max-age=600");
                }
            });
            fleet.a.getAndStore(path);
            fleet.a.getAndStore(path, "X-Forwarded-Proto", "https");

            for (ReplicaUnderTest replica : fleet.replicas()) {
                HttpProbe.ProbeResponse plain = replica.get(path);
                HttpProbe.ProbeResponse secure = replica.get(path, "X-Forwarded-Proto", "https");
                HttpProbe.ProbeResponse element = replica.get(path, "Forwarded", "for=1.2.3.4;proto=https");

                assertThat(plain.status()).isEqualTo(301);
                assertThat(secure.text()).startsWith("secure ").endsWith("proto=https");
                assertThat(element.text()).isEqualTo(secure.text());
                assertThat(List.of(plain.isHit(), secure.isHit(), element.isHit())).containsOnly(true);
            }
            assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
        }
    }

    /** Whoever is not trusted changes neither the key nor what the origin is told. */
    @Test
    void untrustedSchemeIsNeitherForwardedNorPartOfTheCacheKey() throws IOException {
        String path = fleet.uniquePath("untrusted");
        reflectRequest(path);

        assertThat(fleet.a.getAndStore(path, "X-Forwarded-Proto", "https", "Forwarded", "proto=https").text())
                .doesNotContain("https");
        assertHitOnBothReplicas(path);
    }

    // ---- request-headers.mode: strict

    @Test
    void strictSharedFetchForwardsKnownFieldsOnly() throws IOException {
        String path = fleet.uniquePath("strict", "known");
        fleet.origin.on(path, 200, "ok", "Cache-Control", "max-age=600");

        fleet.a.get(path, "Accept", "a", "Cookie", "b=1", "Authorization", "c", "User-Agent", "d", "Origin", "http://e",
                "Referer", "http://f", "Sec-CH-UA", "g", "Sec-Fetch-Mode", "h", "X-Kept", "i", "X-Keyed", "j",
                "X-Unknown", "EVIL", "Rsc", "EVIL", "X_Kept", "EVIL", "X-Forwarded-Host", "EVIL");

        // The one that follows is in the client's own words, for it alone: the response to the first was not to be shared.
        HeaderFields fields = fleet.origin.receivedRequests(path).getFirst().fields();
        assertThat(fields.lines().toString()).doesNotContain("EVIL");
        assertThat(fields.lines()).extracting(field -> field.name().toLowerCase(Locale.ROOT))
                .contains("accept", "cookie", "authorization", "user-agent", "origin", "referer", "sec-ch-ua",
                        "sec-fetch-mode", "x-kept", "x-keyed");
    }

    @Test
    void strictUnsharedRequestForwardsAllFields() throws IOException {
        String path = fleet.uniquePath("strict", "private");
        fleet.origin.on(path, exchange -> exchange.respond(200, "for " + exchange.request.field("X-Api-Key"),
                "Cache-Control", "private"));

        for (int round = 0; round < 2; round++) {
            assertThat(fleet.a.get(path, "X-Api-Key", "one").text()).isEqualTo("for one");
            assertThat(fleet.b.get(path, "X-Api-Key", "two").text()).isEqualTo("for two");
            assertThat(fleet.b.get(path).text()).isEqualTo("for ");
        }
        fleet.a.request("POST", path, "X-Api-Key", "one", "Content-Length", "0");
        assertThat(fleet.origin.lastRequest(path).field("X-Api-Key")).isEqualTo("one");
    }

    /** What {@code Vary} names is carried by the fetches for its variants, whoever comes first. */
    @Test
    void strictSharedFetchForwardsFieldsNamedByVary() throws IOException {
        String path = fleet.uniquePath("strict", "varying");
        fleet.origin.on(path, exchange -> exchange.respond(200, "colour " + exchange.request.field("X-Colour"),
                "Cache-Control", "max-age=600", "Vary", "X-Colour"));

        for (int round = 0; round < 2; round++) {
            for (ReplicaUnderTest replica : fleet.replicas()) {
                assertThat(replica.getAndStore(path, "X-Colour", "red").text()).isEqualTo("colour red");
                assertThat(replica.getAndStore(path, "X-Colour", "blue").text()).isEqualTo("colour blue");
                assertThat(replica.getAndStore(path).text()).isEqualTo("colour ");
            }
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(3);
    }
}
