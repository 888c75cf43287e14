package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.CacheStatus;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** Cache-Status, invalidation, what is asked, the entry format, the policy. */
class CacheRulesTest {

    @Test
    void cacheStatusIsFormattedAsRfc9211() {
        assertThat(CacheStatus.hit().withTtl(Duration.ofSeconds(30)).value()).isEqualTo("Corral; hit; ttl=30");
        assertThat(CacheStatus.hit().withTtl(Duration.ofMillis(-1_500)).value()).isEqualTo("Corral; hit; ttl=-2");
        assertThat(CacheStatus.forwarded(CacheStatus.ForwardReason.URI_MISS)
                .withForwardStatus(200)
                .withStored()
                .withCollapsed()
                .value())
                .isEqualTo("Corral; fwd=uri-miss; fwd-status=200; stored; collapsed");
        assertThat(CacheStatus.forwarded(CacheStatus.ForwardReason.BYPASS).withDetail("set-cookie").value())
                .isEqualTo("Corral; fwd=bypass; detail=set-cookie");
        assertThat(CacheStatus.forwarded(CacheStatus.ForwardReason.STALE).withDetail("1 \"odd\"\u00e4").value())
                .isEqualTo("Corral; fwd=stale; detail=\"1 \\\"odd\\\"?\"");
    }

    @Test
    void cacheStatusMemberIsAppendedLast() {
        HeaderFields fields = CacheStatus.hit()
                .appendTo(CacheFixtures.headerFields("Cache-Status: Far; hit, Mid; fwd=miss | A: 1"));

        assertThat(fields.combinedValue("Cache-Status")).contains("Far; hit, Mid; fwd=miss, Corral; hit");
    }

    @ParameterizedTest(name = "{0} {1} {2}: {3}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "POST     | 200 | ``                                          | http://a/b/c",
            "POST     | 302 | ``                                          | http://a/b/c",
            "POST     | 400 | Location: d                                 | ``",
            "POST     | 500 | Location: d                                 | ``",
            "GET      | 200 | Location: d                                 | ``",
            "HEAD     | 200 | ``                                          | ``",
            "OPTIONS  | 200 | ``                                          | ``",
            "get      | 200 | ``                                          | http://a/b/c",
            "M-SEARCH | 200 | ``                                          | http://a/b/c",
            "PATCH    | 204 | ``                                          | http://a/b/c",
            "PUT      | 201 | Location: d                                 | http://a/b/c http://a/b/d",
            "PUT      | 201 | Location: /d#e^Content-Location: ../f       | http://a/b/c http://a/d http://a/f",
            "PUT      | 200 | Content-Location: ?x=1                      | http://a/b/c http://a/b/c?x=1",
            "PUT      | 200 | Content-Location: ``                        | http://a/b/c",
            "PUT      | 200 | Location: HTTP://A:80/d                     | http://a/b/c HTTP://A:80/d",
            "PUT      | 200 | Location: https://a/d                       | http://a/b/c",
            "PUT      | 200 | Location: http://a:81/d                     | http://a/b/c",
            "PUT      | 200 | Location: //other/d                         | http://a/b/c",
            "PUT      | 200 | Location: ht!tp:::^Content-Location: a b    | http://a/b/c",
            "PUT      | 200 | Location: mailto:x@y                        | http://a/b/c",
    })
    void unsafeRequestInvalidatesTargetAndLocations(String method, int status, String answer, String targets) {
        assertThat(String.join(" ", Invalidation.targets(method, "http://a/b/c",
                new ResponseHead(status, CacheFixtures.headerFields(answer.replace("^", " | ")))))).isEqualTo(targets);
    }

    @Test
    void targetThatIsNoUriIsInvalidated() {
        assertThat(Invalidation.targets("POST", "http://a/b c|", CacheFixtures.okResponse("Location: /d")))
                .containsExactly("http://a/b c|");
    }

    @ParameterizedTest(name = "{0} {1}: {2}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "GET  | ``                             | ``",
            "HEAD | Content-Length: 0              | ``",
            "POST | ``                             | method",
            "get  | ``                             | method",
            "GET  | Content-Length: 1              | body",
            "GET  | Transfer-Encoding: chunked     | body",
            "GET  | If-Match: \"a\"                | precondition",
            "GET  | If-Unmodified-Since: {0}       | precondition",
            "GET  | If-None-Match: \"a\"           | ``",
            "GET  | Range: bytes=0-1               | ``",
    })
    void uncacheableRequestHasBypassReason(String method, String request, String reason) {
        assertThat(RequestHead.parse(method, CacheFixtures.headerFields(request)).bypassReason().orElse(""))
                .isEqualTo(reason);
    }

    @Test
    void entryIsDecodedFromAnOffsetOfABuffer() {
        byte[] bytes = EntryCodec.encode(CacheFixtures.storedResponse("Cache-Control: max-age=60"));
        var buffer = java.nio.ByteBuffer.allocateDirect(bytes.length + 7).position(3).put(bytes).flip().position(3);

        assertThat(EntryCodec.decode(buffer)).contains(CacheFixtures.storedResponse("Cache-Control: max-age=60"));
        assertThat(buffer.position()).isEqualTo(3);
    }

    @Test
    void failureResponseIsForTheSameVariantOnly() {
        var answer = new FailedFill.OriginErrorResponse(new ResponseHead(503, HeaderFields.EMPTY),
                HeaderFields.of("accept-language", "de"), Body.EMPTY);
        var failure = new FailedFill(CacheFixtures.KEY, "server-error", 503, Optional.of(answer), Optional.empty(), 1);

        assertThat(failure.errorResponseFor(CacheFixtures.getRequest("Accept-Language: DE"), CachePolicy.DEFAULT))
                .contains(answer);
        assertThat(failure.errorResponseFor(CacheFixtures.getRequest("Accept-Language: en"), CachePolicy.DEFAULT))
                .isEmpty();
    }

    @Test
    void invalidPolicyIsRejected() {
        assertThatThrownBy(() -> CachePolicy.builder().maxTtl(Duration.ZERO).build())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("PT0S");
        assertThatThrownBy(() -> CachePolicy.builder().staleIfError(Duration.ofSeconds(-1)).build())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("stale-if-error");
        assertThatThrownBy(() -> CachePolicy.builder().earlyRefreshBeta(Double.NaN).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(CachePolicy.builder().build()).isEqualTo(CachePolicy.DEFAULT);
    }
}
