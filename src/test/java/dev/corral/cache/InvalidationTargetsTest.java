package dev.corral.cache;

import dev.corral.http.ResponseHead;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class InvalidationTargetsTest {

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
    void unsafeRequestInvalidatesTargetAndLocations(String method, int status, String response, String targets) {
        assertThat(String.join(" ", Invalidation.targets(method, "http://a/b/c",
                new ResponseHead(status, CacheFixtures.headerFields(response.replace("^", " | "))))))
                .isEqualTo(targets);
    }

    @Test
    void targetThatIsNoUriIsInvalidated() {
        assertThat(Invalidation.targets("POST", "http://a/b c|", CacheFixtures.okResponse("Location: /d")))
                .containsExactly("http://a/b c|");
    }
}
