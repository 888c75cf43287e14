package dev.corral.http;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class ReplyTest {

    private static final String ANSWER = "Cache-Control: max-age=60 | ETag: \"v1\" | Last-Modified: {-100} | Date: {0}"
            + " | Content-Type: text/plain | Vary: Accept | Content-Language: en | X-Any: 1";

    private static Reply reply(String method, String request, String answer) {
        return Reply.of(Asked.parse(method, Given.fields(request.replace("^", " | "))), Given.stored(answer),
                Given.in(5), Policy.DEFAULT);
    }

    private static Reply get(String request) {
        return reply("GET", request, ANSWER);
    }

    @ParameterizedTest(name = "{0}: {1} {2} ({3})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "Range: bytes=0-0                         | 206 | 0          | 9110 14.1.2",
            "Range: bytes=2-4                         | 206 | 234        | 9110 14.1.2",
            "Range: BYTES = 2-4                       | 206 | 234        | a unit has no case",
            "Range: bytes=7-                          | 206 | 789        | 9110 14.1.2",
            "Range: bytes=7-99                        | 206 | 789        | cut to the end",
            "Range: bytes=7-99999999999999999999      | 206 | 789        | no overflow",
            "Range: bytes=-3                          | 206 | 789        | the last ones",
            "Range: bytes=-99                         | 206 | 0123456789 | 9110 14.1.2: all of it",
            "Range: bytes=0-,99-                      | 206 | 0123456789 | the one that can be had",
            "Range: bytes=10-                         | 416 | ``         | 9110 15.5.17",
            "Range: bytes=-0                          | 416 | ``         | 9110 14.1.2",
            "Range: bytes=99-,50-60                   | 416 | ``         | none can be had",
            "Range: bytes=4-2                         | 200 | 0123456789 | 9110 14.1.1: malformed",
            "Range: bytes=a-b                         | 200 | 0123456789 | malformed",
            "Range: bytes=--1                         | 200 | 0123456789 | malformed",
            "Range: bytes=-                           | 200 | 0123456789 | malformed",
            "Range: bytes=                            | 200 | 0123456789 | malformed",
            "Range: bytes=1-2,x                       | 200 | 0123456789 | one malformed spoils all",
            "Range: bytes 1-2                         | 200 | 0123456789 | malformed",
            "Range: lines=1-2                         | 200 | 0123456789 | unknown unit",
            "Range: bytes=1-2^Range: bytes=3-4        | 200 | 0123456789 | 9110 5.3: not twice",
            "Range: bytes=0-7,1-8                     | 200 | 0123456789 | 9110 14.2: overlapping, more than there is",
            "Range: bytes=2-4^If-Range: \"v1\"        | 206 | 234        | 9110 13.1.5",
            "Range: bytes=2-4^If-Range: \"v2\"        | 200 | 0123456789 | 9110 13.1.5",
            "Range: bytes=2-4^If-Range: W/\"v1\"      | 200 | 0123456789 | 9110 13.1.5: strong only",
            "Range: bytes=2-4^If-Range: {-100}        | 206 | 234        | 9110 13.1.5",
            "Range: bytes=2-4^If-Range: {-99}         | 200 | 0123456789 | 9110 13.1.5: exactly",
            "Range: bytes=2-4^If-Range: soon          | 200 | 0123456789 | 9110 13.1.5",
            "If-None-Match: \"v1\"^Range: bytes=2-4   | 304 | ``         | 9110 13.2.2: conditions first",
            "If-None-Match: \"v2\"^Range: bytes=2-4   | 206 | 234        | 9110 13.2.2",
            "If-None-Match: *                         | 304 | ``         | 9110 13.1.2",
            "If-None-Match: W/\"v1\"                  | 304 | ``         | 9110 8.8.3.2: weak comparison",
            "If-None-Match: \"a,b\", \"v1\"           | 304 | ``         | a comma in a tag",
            "If-None-Match: \"a\\\", \"v1\"           | 304 | ``         | a backslash in a tag",
            "If-None-Match: \"v1                      | 200 | 0123456789 | not that tag",
            "If-None-Match: v1                        | 200 | 0123456789 | not that tag",
            "If-None-Match: \"x\"^If-None-Match: \"v1\" | 304 | ``       | two lines",
            "If-None-Match: \"x\"^If-Modified-Since: {0} | 200 | 0123456789 | 9110 13.2.2",
            "If-Modified-Since: {-100}                | 304 | ``         | 9110 13.1.3",
            "If-Modified-Since: {-101}                | 200 | 0123456789 | 9110 13.1.3",
            "If-Modified-Since: yesterday             | 200 | 0123456789 | 9110 13.1.3: ignored",
            "If-Modified-Since: {0}^If-Modified-Since: {0} | 200 | 0123456789 | 9110 13.1.3: no list",
            "If-Unmodified-Since: {-500}              | 200 | 0123456789 | 9111 4.3.2: not a cache's",
    })
    void aStoredAnswerIsFittedToTheRequest(String request, int status, String body, String section) {
        Reply reply = get(request);

        assertThat(reply.status()).isEqualTo(status);
        assertThat(Given.text(reply)).isEqualTo(body);
        if (status != 304) {
            assertThat(Given.all(reply, "Content-Length")).containsExactly(Integer.toString(body.length()));
        }
    }

    @Test
    void aPartIsASliceOfTheStoredBody() {
        Stored stored = Given.stored(ANSWER);

        Reply reply = Reply.of(Given.get("Range: bytes=2-4"), stored, Given.NOW, Policy.DEFAULT);

        assertThat(reply.body()).singleElement().satisfies(slice -> {
            assertThat(slice.body()).isSameAs(stored.body());
            assertThat(slice.offset()).isEqualTo(2);
        });
        assertThat(Given.all(reply, "Content-Range")).containsExactly("bytes 2-4/10");
    }

    @Test
    void aWholeAnswerHasItsAgeAndItsLength() {
        assertThat(get("").fields()).isEqualTo(Given.fields(ANSWER + " | Age: 5 | Content-Length: 10"));
    }

    @Test
    void aHeadIsAllButTheBody() {
        Reply head = reply("HEAD", "Range: bytes=0-1", ANSWER);

        assertThat(head.status()).isEqualTo(200);
        assertThat(head.body()).isEmpty();
        assertThat(head.fields()).isEqualTo(get("").fields());
        assertThat(reply("HEAD", "If-None-Match: \"v1\"", ANSWER).status()).isEqualTo(304);
    }

    @Test
    void a304HasWhatUpdatesACacheAndNothingOfTheBody() {
        assertThat(get("If-None-Match: \"v1\"").fields()).isEqualTo(Given.fields("Cache-Control: max-age=60"
                + " | ETag: \"v1\" | Date: {0} | Vary: Accept | X-Any: 1 | Age: 5"));
        assertThat(reply("GET", "If-Modified-Since: {0}", "Cache-Control: max-age=60 | Last-Modified: {-100}").fields()
                .has("Last-Modified")).isTrue();
    }

    @Test
    void a416IsForThisRequestOnly() {
        assertThat(get("Range: bytes=99-").fields()).isEqualTo(Given.fields("Date: {0} | Vary: Accept | X-Any: 1"
                + " | Content-Range: bytes */10 | Cache-Control: no-store | Content-Length: 0"));
    }

    @Test
    void severalPartsAreOneMultipartBody() {
        Stored stored = Given.stored(ANSWER);
        Reply reply = Reply.of(Given.get("Range: bytes=0-1, -2"), stored, Given.NOW, Policy.DEFAULT);
        String type = Given.all(reply, "Content-Type").getFirst();
        String boundary = type.substring("multipart/byteranges; boundary=".length());

        String text = "--" + boundary + "\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--"
                + boundary + "\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--" + boundary
                + "--\r\n";
        assertThat(reply.status()).isEqualTo(206);
        assertThat(Given.text(reply)).isEqualTo(text);
        assertThat(Given.all(reply, "Content-Length")).containsExactly(Integer.toString(text.length()));
        assertThat(reply.fields().has("Content-Range")).isFalse();
        assertThat(reply.body().get(1).body()).isSameAs(stored.body());
        assertThat(boundary).matches("[0-9a-z-]{1,70}");
    }

    @Test
    void moreThanSixteenRangesGetTheWhole() {
        assertThat(get("Range: bytes=" + ranges(10)).status()).isEqualTo(206);
        assertThat(get("Range: bytes=" + ranges(10) + ",99-,99-,99-,99-,99-,99-").status()).isEqualTo(206);
        assertThat(get("Range: bytes=" + ranges(10) + ",99-,99-,99-,99-,99-,99-,99-").status()).isEqualTo(200);
    }

    private static String ranges(int number) {
        return IntStream.range(0, number).mapToObj(n -> n + "-" + n).collect(Collectors.joining(","));
    }

    @Test
    void conditionsAndRangesAreAboutA200Only() {
        var storing = (Storing.Share) Given.storing(Given.get(""), new Head(404, Given.fields(ANSWER)), Policy.DEFAULT);
        Stored stored = Stored.of(Given.KEY, Given.get(""), storing, Policy.DEFAULT, 1, Body.of(new byte[5]));

        for (String request : List.of("If-None-Match: \"v1\"", "If-None-Match: *", "Range: bytes=0-1")) {
            assertThat(Reply.of(Given.get(request), stored, Given.NOW, Policy.DEFAULT).status()).isEqualTo(404);
        }
    }

    @Test
    void a204HasNoLength() {
        Reply reply = Reply.of(Given.get(""), new Head(204, Fields.of("Content-Length", "0")), Body.EMPTY, Given.NOW,
                Policy.DEFAULT);

        assertThat(reply).isEqualTo(new Reply(204, Fields.NONE, List.of()));
    }

    @Test
    void anAnswerThatIsNotStoredIsFittedToo() {
        Head head = Given.ok("Cache-Control: private | ETag: \"v1\" | Connection: X-Hop | X-Hop: 1 | Cache-Tag: a"
                + " | Content-Length: 99");
        Body body = Body.of(new byte[]{'a', 'b', 'c'});

        Reply whole = Reply.of(Given.get(""), head, body, Given.NOW, Policy.DEFAULT);

        assertThat(whole.fields()).isEqualTo(Given.fields("Cache-Control: private | ETag: \"v1\" | Content-Length: 3"));
        assertThat(Reply.of(Given.get("If-None-Match: \"v1\""), head, body, Given.NOW, Policy.DEFAULT).status())
                .isEqualTo(304);
        assertThat(Given.text(Reply.of(Given.get("Range: bytes=1-1"), head, body, Given.NOW, Policy.DEFAULT)))
                .isEqualTo("b");
    }

    @Test
    void surrogateControlStaysHereWhereItIsHonoured() {
        Policy policy = Policy.builder().surrogateControl(true).build();
        Stored stored = Given.stored("", "Surrogate-Control: max-age=60", policy, "");

        assertThat(Reply.of(Given.get(""), stored, Given.NOW, policy).fields().has("Surrogate-Control")).isFalse();
        assertThat(stored.head().fields().has("Surrogate-Control")).isTrue();
    }
}
