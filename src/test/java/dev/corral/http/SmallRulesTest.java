package dev.corral.http;

import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** Cache-Status, invalidation, what is asked, the entry format, the policy. */
class SmallRulesTest {

    @Test
    void cacheStatusSaysWhatHappened() {
        assertThat(CacheStatus.hit().ttl(Duration.ofSeconds(30)).value()).isEqualTo("Corral; hit; ttl=30");
        assertThat(CacheStatus.hit().ttl(Duration.ofMillis(-1_500)).value()).isEqualTo("Corral; hit; ttl=-2");
        assertThat(CacheStatus.forwarded(CacheStatus.Forward.URI_MISS).status(200).stored().collapsed().value())
                .isEqualTo("Corral; fwd=uri-miss; fwd-status=200; stored; collapsed");
        assertThat(CacheStatus.forwarded(CacheStatus.Forward.BYPASS).detail("set-cookie").value())
                .isEqualTo("Corral; fwd=bypass; detail=set-cookie");
        assertThat(CacheStatus.forwarded(CacheStatus.Forward.STALE).detail("1 \"odd\"\u00e4").value())
                .isEqualTo("Corral; fwd=stale; detail=\"1 \\\"odd\\\"?\"");
    }

    @Test
    void ourPlaceInCacheStatusIsTheLast() {
        Fields fields = CacheStatus.hit().addedTo(Given.fields("Cache-Status: Far; hit, Mid; fwd=miss | A: 1"));

        assertThat(fields.joined("Cache-Status")).contains("Far; hit, Mid; fwd=miss, Corral; hit");
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
    void whatChangesThingsInvalidatesThem(String method, int status, String answer, String targets) {
        assertThat(String.join(" ", Invalidation.targets(method, "http://a/b/c",
                new Head(status, Given.fields(answer.replace("^", " | ")))))).isEqualTo(targets);
    }

    @Test
    void anOddTargetIsStillInvalidated() {
        assertThat(Invalidation.targets("POST", "http://a/b c|", Given.ok("Location: /d")))
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
    void whatOnlyTheOriginCanAnswerGoesThere(String method, String request, String reason) {
        assertThat(Asked.parse(method, Given.fields(request)).bypass().orElse("")).isEqualTo(reason);
    }

    @Test
    void anEntryIsReadFromAnyPartOfABuffer() {
        byte[] bytes = EntryFormat.encode(Given.stored("Cache-Control: max-age=60"));
        var buffer = java.nio.ByteBuffer.allocateDirect(bytes.length + 7).position(3).put(bytes).flip().position(3);

        assertThat(EntryFormat.decode(buffer)).contains(Given.stored("Cache-Control: max-age=60"));
        assertThat(buffer.position()).isEqualTo(3);
    }

    @Test
    void anErrorsWordsAreForTheSameVariantOnly() {
        var answer = new Failure.Answer(new Head(503, Fields.NONE), Fields.of("accept-language", "de"), Body.EMPTY);
        var failure = new Failure(Given.KEY, "server-error", 503, Optional.of(answer), Optional.empty(), 1);

        assertThat(failure.answerFor(Given.get("Accept-Language: DE"), Policy.DEFAULT)).contains(answer);
        assertThat(failure.answerFor(Given.get("Accept-Language: en"), Policy.DEFAULT)).isEmpty();
    }

    @Test
    void aPolicyRefusesNonsense() {
        assertThatThrownBy(() -> Policy.builder().maxLife(Duration.ZERO).build())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("PT0S");
        assertThatThrownBy(() -> Policy.builder().staleIfError(Duration.ofSeconds(-1)).build())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("stale-if-error");
        assertThatThrownBy(() -> Policy.builder().earlyRefreshBeta(Double.NaN).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(Policy.builder().build()).isEqualTo(Policy.DEFAULT);
    }
}
