package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import java.util.Optional;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class FailedFillTest {

    @Test
    void failureResponseIsForTheSameVariantOnly() {
        var errorResponse = new FailedFill.OriginErrorResponse(new ResponseHead(503, HeaderFields.EMPTY),
                HeaderFields.of("accept-language", "de"), Body.EMPTY);
        var failure = new FailedFill(CacheFixtures.KEY, "server-error", 503, Optional.of(errorResponse),
                Optional.empty(), 1);

        assertThat(failure.errorResponseFor(CacheFixtures.getRequest("Accept-Language: DE"), CachePolicy.DEFAULT))
                .contains(errorResponse);
        assertThat(failure.errorResponseFor(CacheFixtures.getRequest("Accept-Language: en"), CachePolicy.DEFAULT))
                .isEmpty();
    }
}
