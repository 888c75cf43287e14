package dev.corral.cache;

import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class StorabilityTest {

    private static final CachePolicy DEFAULT = CachePolicy.DEFAULT;

    private static Storability decide(String request, int status, String response) {
        return CacheFixtures.storability(CacheFixtures.getRequest(request),
                new ResponseHead(status, CacheFixtures.headerFields(response)), DEFAULT);
    }

    @ParameterizedTest(name = "{2} to {0}: {3} ({4})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            // request | status | response | reason | section
            "``                          | 200 | Cache-Control: private, max-age=60             | private       | 9111 5.2.2.7",
            "``                          | 200 | Cache-Control: no-store                        | no-store      | 9111 5.2.2.5",
            "``                          | 200 | Cache-Control: max-age=60^Set-Cookie: a=b      | set-cookie    | 9111 7.3",
            "``                          | 200 | Cache-Control: max-age=60^Vary: *              | vary-star     | 9111 4.1",
            "``                          | 200 | Cache-Control: max-age=60^Vary: a b            | vary-star     | 9110 12.5.5",
            "Authorization: x            | 200 | Cache-Control: max-age=60                      | authorization | 9111 3.5",
            "Authorization: x            | 200 | Cache-Control: max-age=60, proxy-revalidate    | authorization | 9111 3.5",
            "Authorization: x            | 200 | Cache-Control: s-maxage=x                      | authorization | 9111 3.5",
            "Authorization: x            | 200 | Cache-Control: private, public, s-maxage=9     | private       | 9111 5.2.2.7",
            "``                          | 302 | Location: /                                    | status        | 9111 3",
            "``                          | 403 | Last-Modified: {-86400}                        | status        | 9111 4.2.2",
            "``                          | 428 | Cache-Control: max-age=60                      | status        | 6585 3",
            "``                          | 431 | Cache-Control: max-age=60                      | status        | 6585 5",
            "``                          | 299 | Cache-Control: max-age=60, must-understand     | not-understood| 9111 5.2.2.3",
            "``                          | 200 | Content-Type: text/event-stream                | stream        | may never end",
            "``                          | 200 | Content-Type: Text/Event-Stream;x=1^Cache-Control: max-age=9 | stream | may never end",
            "``                          | 200 | Content-Type: application/grpc+proto           | stream        | may never end",
            "``                          | 200 | X-Accel-Buffering: NO^Cache-Control: max-age=9 | stream        | may never end",
            "Cookie: a=b                 | 200 | ETag: `1`                                      | cookie        | explicit freshness only",
            "Cookie: a=b                 | 200 | Cache-Control: no-cache                        | cookie        | explicit freshness only",
            "Cookie: a=b                 | 200 | Cache-Control: max-age=0                       | cookie        | explicit freshness only",
            "Cookie: a=b                 | 200 | Cache-Control: max-age=60^Age: 60              | cookie        | explicit freshness only",
            "Cookie: a=b                 | 200 | Last-Modified: {-86400}                        | cookie        | heuristics permit nothing",
            "Cookie: a=b                 | 200 | Last-Modified: {-86400}^ETag: `1`              | cookie        | heuristics permit nothing",
            "Cookie: a=b                 | 404 | Last-Modified: {-86400}                        | cookie        | heuristics permit nothing",
            "Cookie: a=b                 | 301 | Last-Modified: {-86400}^Location: /joe         | cookie        | heuristics permit nothing",
            "X-Api-Key: a                | 200 | Last-Modified: {-86400}                        | cookie        | a credential",
            "x_auth_token: a             | 200 | Last-Modified: {-86400}                        | cookie        | a credential",
            "X-Forwarded-User: joe       | 200 | ETag: `1`                                      | cookie        | a credential",
            "Ocp-Apim-Subscription-Key: a| 200 | Last-Modified: {-86400}                        | cookie        | a credential",
            "X-Tenant-Id: a              | 200 | Last-Modified: {-86400}                        | cookie        | identifies a tenant",
            "Authorization: x            | 200 | Last-Modified: {-86400}                        | authorization | 9111 3.5",
    })
    void unshareableResponseLeavesHitForMissMarker(String request, int status, String response, String reason,
            String section) {
        assertThat(decide(request, status, response.replace("^", " | ")))
                .isEqualTo(new Storability.DoNotStore(reason.trim(), true));
    }

    @ParameterizedTest(name = "{1} to {0}: {3} ({4})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "``                          | 103 | Cache-Control: max-age=60      | interim          | 9111 3",
            "``                          | 206 | Cache-Control: max-age=60      | partial          | 9111 3",
            "``                          | 304 | Cache-Control: max-age=60      | not-modified     | 9111 3",
            "Cache-Control: no-store     | 200 | Cache-Control: max-age=60      | request-no-store | 9111 5.2.1.5",
            "Content-Length: 3           | 200 | Cache-Control: max-age=60      | method           | 9110 9.3.1",
    })
    void requestSpecificRestrictionLeavesNoMarker(String request, int status, String response, String reason,
            String section) {
        assertThat(decide(request, status, response)).isEqualTo(new Storability.DoNotStore(reason, false));
    }

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "500 | ``                                              | server-error      | true",
            "503 | Retry-After: 1                                  | server-error      | true",
            "503 | Cache-Control: max-age=0                        | server-error      | true",
            "503 | Cache-Control: max-age=60^Age: 60               | server-error      | true",
            "503 | Cache-Control: max-age=60, no-cache             | server-error      | true",
            "502 | Last-Modified: {-86400}                         | server-error      | true",
            "500 | Cache-Control: no-store                         | server-error      | false",
            "500 | Cache-Control: private, max-age=60              | server-error      | false",
            "500 | Cache-Control: max-age=60^Set-Cookie: a=b       | server-error      | false",
            "500 | Vary: *                                         | server-error      | false",
            "511 | Cache-Control: max-age=60                       | server-error      | false",
            "429 | Cache-Control: max-age=60                       | too-many-requests | false",
            "999 | ``                                              | server-error      | true",
    })
    void errorResponseIsAFailureAndIsNotStored(int status, String response, String reason, boolean shareable) {
        assertThat(decide("", status, response.replace("^", " | ")))
                .isEqualTo(new Storability.FailFill(reason, shareable));
    }

    @Test
    void errorForCookieRequestIsSharedOnlyWhenPublic() {
        assertThat(decide("Cookie: a=b", 500, "")).isEqualTo(new Storability.FailFill("server-error", false));
        assertThat(decide("Cookie: a=b", 500, "Cache-Control: public"))
                .isEqualTo(new Storability.FailFill("server-error", true));
    }

    @ParameterizedTest(name = "{1} to {0} ({4})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "``               | 200 | ``                                                          | 0     | like max-age=0",
            "``               | 200 | Cache-Control: no-cache, max-age=60                         | 60    | 9111 5.2.2.4",
            "``               | 200 | X-Accel-Buffering: yes^Content-Type: application/json       | 0     | not a stream",
            "``               | 404 | ``                                                          | 0     | 9110 15.1",
            "``               | 302 | Cache-Control: public                                       | 0     | 9111 3",
            "``               | 403 | Cache-Control: max-age=5                                    | 5     | 9111 3",
            "``               | 503 | Cache-Control: max-age=5                                    | 5     | 9111 3",
            "``               | 200 | Expires: {60}^Date: {0}                                     | 60    | 9111 5.3",
            "``               | 200 | Expires: {60}                                               | 60    | 9110 6.6.1: no Date means now",
            "``               | 200 | Expires: {60}^Expires: {60}^Date: {0}                       | 60    | 9111 4.2.1: two equal values",
            "``               | 200 | Last-Modified: {-86400}^Date: {0}                           | 8640  | 9111 4.2.2",
            "``               | 200 | Last-Modified: {-31536000}^Date: {0}                        | 86400 | 9111 4.2.2: capped",
            "``               | 200 | Last-Modified: {100}^Date: {0}                              | 0     | 9111 4.2.2: in the future",
            "``               | 200 | Last-Modified: {-86400}^Cache-Control: max-age=0            | 0     | 9111 4.2.2: only if not stated",
            "Cookie: a=b      | 200 | Cache-Control: max-age=60                                   | 60    | 9111 3",
            "Cookie: a=b      | 200 | Cache-Control: public^Last-Modified: {-86400}^Date: {0}     | 8640  | 9111 5.2.2.9",
            "Cookie: a=b      | 200 | Expires: {60}^Date: {0}                                     | 60    | 9111 5.3: explicit",
            "Authorization: x | 200 | Cache-Control: must-revalidate^Last-Modified: {-86400}      | 0     | 9111 3.5, no heuristics",
            "User-Agent: x    | 200 | Last-Modified: {-86400}^Date: {0}                           | 8640  | 9111 4.2.2",
            "Sec-Fetch-User: x| 200 | Last-Modified: {-86400}^Date: {0}                           | 8640  | 9111 4.2.2",
            "Cookie: a=b      | 200 | Cache-Control: public, no-cache                             | 0     | 9111 5.2.2.9",
            "Authorization: x | 200 | Cache-Control: public                                       | 0     | 9111 3.5",
            "Authorization: x | 200 | Cache-Control: must-revalidate, max-age=60                  | 60    | 9111 3.5",
            "Authorization: x | 200 | Cache-Control: s-maxage=60                                  | 60    | 9111 3.5",
            "``               | 200 | Cache-Control: private^CDN-Cache-Control: max-age=60        | 60    | 9213 2.2",
            "``               | 200 | CDN-Cache-Control: public^Expires: {60}                     | 0     | 9213 2.2: Expires is ignored",
            "``               | 200 | Surrogate-Control: max-age=60^Cache-Control: max-age=5      | 5     | off by default",
    })
    void permittedResponseIsStoredWithItsLifetime(String request, int status, String response, long lifetime,
            String section) {
        assertThat(decide(request, status, response.replace("^", " | "))).isInstanceOfSatisfying(
                Storability.Store.class,
                decision -> assertThat(decision.freshness().lifetime()).isEqualTo(Duration.ofSeconds(lifetime)));
    }

    @Test
    void surrogateControlRanksBetweenTargetedFieldsAndCacheControl() {
        CachePolicy policy = CachePolicy.builder().surrogateControl(true).build();

        assertThat(lifetime("Surrogate-Control: max-age=60 | Cache-Control: private, max-age=5", policy))
                .isEqualTo(Duration.ofSeconds(60));
        assertThat(lifetime("Surrogate-Control: max-age=60+30, content=\"ESI/1.0\"", policy))
                .isEqualTo(Duration.ofSeconds(60));
        assertThat(lifetime("Surrogate-Control: max-age=60 | CDN-Cache-Control: max-age=7", policy))
                .isEqualTo(Duration.ofSeconds(7));
        assertThat(CacheFixtures.storability(CacheFixtures.getRequest(""),
                CacheFixtures.okResponse("Surrogate-Control: no-store | Cache-Control: max-age=60"),
                policy)).isEqualTo(new Storability.DoNotStore("no-store", true));
    }

    @Test
    void firstPresentTargetedFieldWins() {
        CachePolicy policy = CachePolicy.builder()
                .targetedFields(java.util.List.of("Corral-Cache-Control", "CDN-Cache-Control"))
                .build();

        assertThat(lifetime("CDN-Cache-Control: max-age=5 | Corral-Cache-Control: max-age=9", policy))
                .isEqualTo(Duration.ofSeconds(9));
        assertThat(lifetime("CDN-Cache-Control: max-age=5 | Corral-Cache-Control: &", policy))
                .isEqualTo(Duration.ofSeconds(5));
    }

    private static Duration lifetime(String response, CachePolicy policy) {
        return ((Storability.Store) CacheFixtures.storability(CacheFixtures.getRequest(""),
                CacheFixtures.okResponse(response), policy)).freshness().lifetime();
    }

    @Test
    void routePolicyMayStoreWhatIsWithheldByDefault() {
        CachePolicy policy = CachePolicy.builder().storeSetCookie(true).coalesceWithCookies(true).build();

        assertThat(CacheFixtures.storability(CacheFixtures.getRequest("Cookie: a=b"),
                CacheFixtures.okResponse("Set-Cookie: c=d"), policy))
                .isInstanceOf(Storability.Store.class);
        assertThat(CacheFixtures.storability(CacheFixtures.getRequest(""),
                CacheFixtures.okResponse("Last-Modified: {-86400}"),
                CachePolicy.builder().heuristicFreshness(false).build()))
                .isInstanceOfSatisfying(Storability.Store.class,
                        decision -> assertThat(decision.freshness().lifetime()).isZero());
        assertThat(CacheFixtures.storability(CacheFixtures.getRequest("Cache-Control: no-store"),
                CacheFixtures.okResponse("Cache-Control: max-age=60"),
                CachePolicy.builder().honorClientDirectives(false).build())).isInstanceOf(Storability.Store.class);
    }

    @Test
    void responseWithTooManyTagsIsNotStored() {
        String tags = IntStream.range(0, 1_001).mapToObj(Integer::toString).collect(Collectors.joining(","));

        assertThat(decide("", 200, "Cache-Control: max-age=60 | Cache-Tag: " + tags))
                .isEqualTo(new Storability.DoNotStore("tags", true));
        assertThat(decide("", 200, "Cache-Control: max-age=60 | Cache-Tag: " + "x".repeat(1_025)))
                .isEqualTo(new Storability.DoNotStore("tags", true));
        assertThat(decide("", 200, "Cache-Control: max-age=60 | Cache-Tag: " + "x".repeat(1_024)))
                .isInstanceOf(Storability.Store.class);
    }

    @Test
    void hopByHopAndTagFieldsAreNotStored() {
        ResponseHead storedHead = ((Storability.Store) decide("", 200,
                "Cache-Control: max-age=60 | Connection: X-Hop | X-Hop: 1"
                        + " | Keep-Alive: 5 | Transfer-Encoding: chunked | Age: 7 | Content-Length: 3 | Cache-Tag: a"
                        + " | Surrogate-Key: b | X-Any: 1 | CDN-Cache-Control: max-age=9"))
                .head();

        assertThat(storedHead).isEqualTo(
                CacheFixtures.okResponse("Cache-Control: max-age=60 | X-Any: 1 | CDN-Cache-Control: max-age=9"
                        + " | Date: {0}"));
    }

    @Test
    void postResponseIsStoredOnlyWithFreshnessAndContentLocation() {
        RequestHead post = RequestHead.parse("POST", CacheFixtures.headerFields("Content-Length: 5"));
        String cacheable = "Cache-Control: max-age=60 | Content-Location: " + CacheFixtures.KEY;

        assertThat(post(post, 200, cacheable)).isInstanceOf(Storability.Store.class);
        assertThat(post(post, 200, "Cache-Control: max-age=60")).isEqualTo(new Storability.DoNotStore("method", false));
        assertThat(post(post, 200, "Content-Location: " + CacheFixtures.KEY))
                .isEqualTo(new Storability.DoNotStore("method", false));
        assertThat(post(post, 200, cacheable + "0")).isEqualTo(new Storability.DoNotStore("method", false));
        assertThat(post(post, 201, cacheable)).isEqualTo(new Storability.DoNotStore("method", false));
        assertThat(post(post, 200, cacheable + " | Set-Cookie: a=b"))
                .isEqualTo(new Storability.DoNotStore("method", false));
        assertThat(post(RequestHead.parse("PUT", HeaderFields.EMPTY), 200, cacheable))
                .isEqualTo(new Storability.DoNotStore("method", false));
    }

    private static Storability post(RequestHead request, int status, String response) {
        return PostStorability.decide(request, CacheFixtures.KEY,
                new ResponseHead(status, CacheFixtures.headerFields(response)), DEFAULT, CacheFixtures.NOW,
                CacheFixtures.NOW);
    }
}
