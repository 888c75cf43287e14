package dev.corral.http;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class ValidationTest {

    private static final String ANSWER = "Cache-Control: max-age=60 | ETag: \"v1\" | Last-Modified: {-100} | Date: {0}"
            + " | Content-Type: text/plain | Cache-Tag: a | X-Any: 1 | X-Old: 1";

    private static Optional<Stored> freshen(String answer, String request, String notModified) {
        return Validation.freshen(Given.stored(answer), new Head(304, Given.fields(notModified.replace("^", " | "))),
                Given.get(request), Policy.DEFAULT, Given.in(100), Given.in(101), 42);
    }

    @Test
    void bothValidatorsAreSent() {
        assertThat(Validation.conditions(Given.stored(ANSWER)))
                .isEqualTo(Given.fields("If-None-Match: \"v1\" | If-Modified-Since: {-100}"));
        assertThat(Validation.conditions(Given.stored("Last-Modified: {-100} | Cache-Control: max-age=1")))
                .isEqualTo(Given.fields("If-Modified-Since: {-100}"));
        assertThat(Validation.conditions(Given.stored("Cache-Control: max-age=60"))).isEqualTo(Fields.NONE);
        assertThat(Validation.possible(Given.stored("Cache-Control: max-age=60"))).isFalse();
    }

    @Test
    void anErrorIsFetchedAnew() {
        var storing = (Storing.Share) Given.storing(Given.get(""), new Head(404, Given.fields(ANSWER)), Policy.DEFAULT);
        Stored stored = Stored.of(Given.KEY, Given.get(""), storing, Policy.DEFAULT, 1, Body.EMPTY);

        assertThat(Validation.possible(stored)).isFalse();
        assertThat(Validation.conditions(stored)).isEqualTo(Fields.NONE);
    }

    @Test
    void a304UpdatesTheFieldsButNotWhatDescribesTheBody() {
        Stored fresh = freshen(ANSWER, "", "ETag: \"v1\"^Cache-Control: max-age=90^X-Any: 2^X-Any: 3^X-New: 4^Age: 10"
                + "^Content-Type: text/html^Content-Length: 0^Content-Encoding: gzip^Content-Range: bytes 0-1/2"
                + "^Content-MD5: x^Connection: X-Hop^X-Hop: 1^Transfer-Encoding: chunked^Date: {101}").orElseThrow();

        assertThat(fresh.head()).isEqualTo(Given.ok("Last-Modified: {-100} | Content-Type: text/plain | X-Old: 1"
                + " | ETag: \"v1\" | Cache-Control: max-age=90 | X-Any: 2 | X-Any: 3 | X-New: 4 | Date: {101}"));
        assertThat(fresh.body()).isEqualTo(Given.stored(ANSWER).body());
        assertThat(fresh.position()).isEqualTo(42);
        assertThat(fresh.tags()).containsExactly("a");
        assertThat(fresh.terms().at()).isEqualTo(Given.in(101));
        assertThat(fresh.terms().lifetime()).isEqualTo(Duration.ofSeconds(90));
        assertThat(fresh.terms().initialAge()).isEqualTo(Duration.ofSeconds(11));
    }

    @Test
    void aTagThatTheServerWeakenedStaysWeak() {
        Stored fresh = freshen("Cache-Control: max-age=60 | ETag: W/\"v1\"", "", "ETag: \"v1\"").orElseThrow();

        assertThat(fresh.head().fields().all("ETag")).containsExactly("W/\"v1\"");
        assertThat(freshen("Cache-Control: max-age=60 | ETag: \"v1\"", "", "ETag: W/\"v1\"").orElseThrow()
                .head()
                .fields()
                .all("ETag")).containsExactly("W/\"v1\"");
    }

    @Test
    void a304WithoutADateIsFromNow() {
        Stored fresh = freshen(ANSWER, "", "").orElseThrow();

        assertThat(fresh.head().fields().all("Date")).containsExactly(HttpDate.format(Given.in(101)));
        assertThat(fresh.terms().fresh(Given.in(159))).isTrue();
    }

    @Test
    void a304MayChangeTheTagsAndVary() {
        Stored fresh = freshen(ANSWER, "Accept: text/*", "Cache-Tag: b, c^Vary: Accept").orElseThrow();

        assertThat(fresh.tags()).containsExactly("b", "c");
        assertThat(fresh.selecting()).isEqualTo(Fields.of("accept", "text/*"));
    }

    @ParameterizedTest(name = "{0}: {1} ({2})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "ETag: \"v1\"                          | true  | 9111 4.3.4",
            "ETag: W/\"v1\"                        | true  | 9111 4.3.4: weak comparison",
            "ETag: \"v2\"                          | false | 9111 4.3.4: another answer",
            "Last-Modified: {-100}                 | true  | 9111 4.3.4",
            "Last-Modified: {-50}                  | false | 9111 4.3.4: another answer",
            "ETag: \"v1\"^Last-Modified: {-50}     | true  | 9110 8.8: the strong one decides",
            "X: 1                                  | true  | it answers our conditions",
            "Cache-Control: no-store               | false | no longer for others",
            "Cache-Control: private                | false | no longer for others",
            "Set-Cookie: a=b                       | false | no longer for others",
            "Vary: *                               | false | no longer for others",
    })
    void a304OfAnotherAnswerOrForOneRequestFreshensNothing(String notModified, boolean freshened, String section) {
        assertThat(freshen(ANSWER, "", notModified).isPresent()).isEqualTo(freshened);
    }

    @Test
    void a304ToACookieFreshensButToAuthorizationNeedsTheOriginsWord() {
        String unstated = "ETag: \"v1\" | Cache-Control: no-cache";

        assertThat(freshen(unstated, "Cookie: a=b", "ETag: \"v1\"")).isPresent();
        assertThat(freshen(unstated, "Authorization: x", "ETag: \"v1\"")).isEmpty();
        assertThat(freshen(unstated, "Authorization: x", "ETag: \"v1\"^Cache-Control: public, no-cache")).isPresent();
    }

    @Test
    void onlyA304Freshens() {
        assertThat(Validation.freshen(Given.stored(ANSWER), Given.ok(""), Given.get(""), Policy.DEFAULT, Given.NOW,
                Given.NOW, 1)).isEmpty();
    }

    @Test
    void tagsAreSplitByTheFieldThatCarriesThem() {
        Policy shown = Policy.builder()
                .hideTags(false)
                .tagFields(List.of("Cache-Tag", "Surrogate-Key", "xkey"))
                .build();
        Stored stored = Given.stored("", "Cache-Control: max-age=1 | Cache-Tag: a b, c,,a b | Surrogate-Key: d  e\tc"
                + " | XKEY: f", shown, "");

        assertThat(stored.tags()).containsExactly("a b", "c", "d", "e", "f");
        assertThat(stored.head().fields().has("Cache-Tag")).isTrue();
        assertThat(Tags.hidden(Given.fields("surrogate-key: a | A: b"), Policy.DEFAULT)).isEqualTo(Fields.of("A", "b"));
    }
}
