package dev.corral.http;

import dev.corral.cache.CacheFixtures;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class RequestBypassTest {

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
}
