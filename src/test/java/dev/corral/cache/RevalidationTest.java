package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.HttpDate;
import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class RevalidationTest {

    private static final String ORIGIN_RESPONSE = "Cache-Control: max-age=60 | ETag: \"v1\" | Last-Modified: {-100} | Date: {0}"
            + " | Content-Type: text/plain | Cache-Tag: a | X-Any: 1 | X-Old: 1";

    private static Optional<StoredResponse> freshen(String response, String request, String notModified) {
        return Revalidation.freshen(CacheFixtures.storedResponse(response),
                new ResponseHead(304, CacheFixtures.headerFields(notModified.replace("^", " | "))),
                CacheFixtures.getRequest(request), CachePolicy.DEFAULT, CacheFixtures.secondsLater(100),
                CacheFixtures.secondsLater(101), 42);
    }

    @Test
    void revalidationSendsBothValidators() {
        assertThat(Revalidation.conditionalFields(CacheFixtures.storedResponse(ORIGIN_RESPONSE)))
                .isEqualTo(CacheFixtures.headerFields("If-None-Match: \"v1\" | If-Modified-Since: {-100}"));
        assertThat(Revalidation
                .conditionalFields(CacheFixtures.storedResponse("Last-Modified: {-100} | Cache-Control: max-age=1")))
                .isEqualTo(CacheFixtures.headerFields("If-Modified-Since: {-100}"));
        assertThat(Revalidation.conditionalFields(CacheFixtures.storedResponse("Cache-Control: max-age=60")))
                .isEqualTo(HeaderFields.EMPTY);
        assertThat(Revalidation.isPossible(CacheFixtures.storedResponse("Cache-Control: max-age=60"))).isFalse();
    }

    @Test
    void storedErrorIsNotRevalidated() {
        var decision = (Storability.Store) CacheFixtures.storability(CacheFixtures.getRequest(""),
                new ResponseHead(404, CacheFixtures.headerFields(ORIGIN_RESPONSE)), CachePolicy.DEFAULT);
        StoredResponse stored = StoredResponse.of(CacheFixtures.KEY, CacheFixtures.getRequest(""), decision,
                CachePolicy.DEFAULT, 1, Body.EMPTY);

        assertThat(Revalidation.isPossible(stored)).isFalse();
        assertThat(Revalidation.conditionalFields(stored)).isEqualTo(HeaderFields.EMPTY);
    }

    @Test
    void notModifiedUpdatesFieldsButNotBodyMetadata() {
        StoredResponse freshened = freshen(ORIGIN_RESPONSE, "",
                "ETag: \"v1\"^Cache-Control: max-age=90^X-Any: 2^X-Any: 3^X-New: 4^Age: 10"
                        + "^Content-Type: text/html^Content-Length: 0^Content-Encoding: gzip^Content-Range: bytes 0-1/2"
                        + "^Content-MD5: x^Connection: X-Hop^X-Hop: 1^Transfer-Encoding: chunked^Date: {101}")
                .orElseThrow();

        assertThat(freshened.head())
                .isEqualTo(CacheFixtures.okResponse("Last-Modified: {-100} | Content-Type: text/plain | X-Old: 1"
                        + " | ETag: \"v1\" | Cache-Control: max-age=90 | X-Any: 2 | X-Any: 3 | X-New: 4 | Date: {101}"));
        assertThat(freshened.body()).isEqualTo(CacheFixtures.storedResponse(ORIGIN_RESPONSE).body());
        assertThat(freshened.purgePosition()).isEqualTo(42);
        assertThat(freshened.tags()).containsExactly("a");
        assertThat(freshened.freshness().responseTime()).isEqualTo(CacheFixtures.secondsLater(101));
        assertThat(freshened.freshness().lifetime()).isEqualTo(Duration.ofSeconds(90));
        assertThat(freshened.freshness().initialAge()).isEqualTo(Duration.ofSeconds(11));
    }

    @Test
    void weakenedEntityTagStaysWeak() {
        StoredResponse freshened = freshen("Cache-Control: max-age=60 | ETag: W/\"v1\"", "", "ETag: \"v1\"")
                .orElseThrow();

        assertThat(freshened.head().fields().values("ETag")).containsExactly("W/\"v1\"");
        assertThat(freshen("Cache-Control: max-age=60 | ETag: \"v1\"", "", "ETag: W/\"v1\"").orElseThrow()
                .head()
                .fields()
                .values("ETag")).containsExactly("W/\"v1\"");
    }

    @Test
    void notModifiedWithoutDateGetsTheCurrentDate() {
        StoredResponse freshened = freshen(ORIGIN_RESPONSE, "", "").orElseThrow();

        assertThat(freshened.head().fields().values("Date"))
                .containsExactly(HttpDate.format(CacheFixtures.secondsLater(101)));
        assertThat(freshened.freshness().isFresh(CacheFixtures.secondsLater(159))).isTrue();
    }

    @Test
    void notModifiedMayChangeTagsAndVary() {
        StoredResponse freshened = freshen(ORIGIN_RESPONSE, "Accept: text/*", "Cache-Tag: b, c^Vary: Accept")
                .orElseThrow();

        assertThat(freshened.tags()).containsExactly("b", "c");
        assertThat(freshened.selectingFields()).isEqualTo(HeaderFields.of("accept", "text/*"));
    }

    @ParameterizedTest(name = "{0}: {1} ({2})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "ETag: \"v1\"                          | true  | 9111 4.3.4",
            "ETag: W/\"v1\"                        | true  | 9111 4.3.4: weak comparison",
            "ETag: \"v2\"                          | false | 9111 4.3.4: another response",
            "Last-Modified: {-100}                 | true  | 9111 4.3.4",
            "Last-Modified: {-50}                  | false | 9111 4.3.4: another response",
            "ETag: \"v1\"^Last-Modified: {-50}     | true  | 9110 8.8: the strong validator decides",
            "X: 1                                  | true  | it responds to the conditions",
            "Cache-Control: no-store               | false | no longer shareable",
            "Cache-Control: private                | false | no longer shareable",
            "Set-Cookie: a=b                       | false | no longer shareable",
            "Vary: *                               | false | no longer shareable",
    })
    void mismatchedOrUnshareableNotModifiedFreshensNothing(String notModified, boolean freshened, String section) {
        assertThat(freshen(ORIGIN_RESPONSE, "", notModified).isPresent()).isEqualTo(freshened);
    }

    @Test
    void notModifiedForAuthorizationNeedsExplicitPermission() {
        String withoutFreshness = "ETag: \"v1\" | Cache-Control: no-cache";

        assertThat(freshen(withoutFreshness, "Cookie: a=b", "ETag: \"v1\"")).isPresent();
        assertThat(freshen(withoutFreshness, "Authorization: x", "ETag: \"v1\"")).isEmpty();
        assertThat(freshen(withoutFreshness, "Authorization: x", "ETag: \"v1\"^Cache-Control: public, no-cache"))
                .isPresent();
    }

    @Test
    void onlyNotModifiedFreshens() {
        assertThat(Revalidation.freshen(CacheFixtures.storedResponse(ORIGIN_RESPONSE), CacheFixtures.okResponse(""),
                CacheFixtures.getRequest(""), CachePolicy.DEFAULT, CacheFixtures.NOW,
                CacheFixtures.NOW, 1)).isEmpty();
    }

    @Test
    void tagsAreSplitByTheSeparatorOfTheirField() {
        CachePolicy policy = CachePolicy.builder()
                .stripTags(false)
                .tagFields(List.of("Cache-Tag", "Surrogate-Key", "xkey"))
                .build();
        StoredResponse stored = CacheFixtures.storedResponse("",
                "Cache-Control: max-age=1 | Cache-Tag: a b, c,,a b | Surrogate-Key: d  e\tc"
                        + " | XKEY: f",
                policy, "");

        assertThat(stored.tags()).containsExactly("a b", "c", "d", "e", "f");
        assertThat(stored.head().fields().has("Cache-Tag")).isTrue();
        assertThat(SurrogateTags.strip(CacheFixtures.headerFields("surrogate-key: a | A: b"), CachePolicy.DEFAULT))
                .isEqualTo(HeaderFields.of("A", "b"));
    }
}
