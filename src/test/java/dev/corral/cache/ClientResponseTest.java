package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class ClientResponseTest {

    private static final String ORIGIN_RESPONSE = "Cache-Control: max-age=60 | ETag: \"v1\" | Last-Modified: {-100} | Date: {0}"
            + " | Content-Type: text/plain | Vary: Accept | Content-Language: en | X-Any: 1";

    private static ClientResponse response(String method, String request, String response) {
        return ClientResponse.of(RequestHead.parse(method, CacheFixtures.headerFields(request.replace("^", " | "))),
                CacheFixtures.storedResponse(response),
                CacheFixtures.secondsLater(5), CachePolicy.DEFAULT);
    }

    private static ClientResponse get(String request) {
        return response("GET", request, ORIGIN_RESPONSE);
    }

    @ParameterizedTest(name = "{0}: {1} {2} ({3})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "Range: bytes=0-0                         | 206 | 0          | 9110 14.1.2",
            "Range: bytes=2-4                         | 206 | 234        | 9110 14.1.2",
            "Range: BYTES = 2-4                       | 206 | 234        | units are case-insensitive",
            "Range: bytes=7-                          | 206 | 789        | 9110 14.1.2",
            "Range: bytes=7-99                        | 206 | 789        | clipped to the end",
            "Range: bytes=7-99999999999999999999      | 206 | 789        | no overflow",
            "Range: bytes=-3                          | 206 | 789        | suffix",
            "Range: bytes=-99                         | 206 | 0123456789 | 9110 14.1.2: the full body",
            "Range: bytes=0-,99-                      | 206 | 0123456789 | the satisfiable range",
            "Range: bytes=10-                         | 416 | ``         | 9110 15.5.17",
            "Range: bytes=-0                          | 416 | ``         | 9110 14.1.2",
            "Range: bytes=99-,50-60                   | 416 | ``         | none is satisfiable",
            "Range: bytes=4-2                         | 200 | 0123456789 | 9110 14.1.1: malformed",
            "Range: bytes=a-b                         | 200 | 0123456789 | malformed",
            "Range: bytes=--1                         | 200 | 0123456789 | malformed",
            "Range: bytes=-                           | 200 | 0123456789 | malformed",
            "Range: bytes=                            | 200 | 0123456789 | malformed",
            "Range: bytes=1-2,x                       | 200 | 0123456789 | one malformed range invalidates all",
            "Range: bytes 1-2                         | 200 | 0123456789 | malformed",
            "Range: lines=1-2                         | 200 | 0123456789 | unknown unit",
            "Range: bytes=1-2^Range: bytes=3-4        | 200 | 0123456789 | 9110 5.3: repeated field",
            "Range: bytes=0-7,1-8                     | 200 | 0123456789 | 9110 14.2: overlapping, more than the body",
            "Range: bytes=2-4^If-Range: \"v1\"        | 206 | 234        | 9110 13.1.5",
            "Range: bytes=2-4^If-Range: \"v2\"        | 200 | 0123456789 | 9110 13.1.5",
            "Range: bytes=2-4^If-Range: W/\"v1\"      | 200 | 0123456789 | 9110 13.1.5: strong only",
            "Range: bytes=2-4^If-Range: {-100}        | 206 | 234        | 9110 13.1.5",
            "Range: bytes=2-4^If-Range: {-99}         | 200 | 0123456789 | 9110 13.1.5: exact match only",
            "Range: bytes=2-4^If-Range: soon          | 200 | 0123456789 | 9110 13.1.5",
            "If-None-Match: \"v1\"^Range: bytes=2-4   | 304 | ``         | 9110 13.2.2: conditions first",
            "If-None-Match: \"v2\"^Range: bytes=2-4   | 206 | 234        | 9110 13.2.2",
            "If-None-Match: *                         | 304 | ``         | 9110 13.1.2",
            "If-None-Match: W/\"v1\"                  | 304 | ``         | 9110 8.8.3.2: weak comparison",
            "If-None-Match: \"a,b\", \"v1\"           | 304 | ``         | a comma in a tag",
            "If-None-Match: \"a\\\", \"v1\"           | 304 | ``         | a backslash in a tag",
            "If-None-Match: \"v1                      | 200 | 0123456789 | another tag",
            "If-None-Match: v1                        | 200 | 0123456789 | another tag",
            "If-None-Match: \"x\"^If-None-Match: \"v1\" | 304 | ``       | two lines",
            "If-None-Match: \"x\"^If-Modified-Since: {0} | 200 | 0123456789 | 9110 13.2.2",
            "If-Modified-Since: {-100}                | 304 | ``         | 9110 13.1.3",
            "If-Modified-Since: {-101}                | 200 | 0123456789 | 9110 13.1.3",
            "If-Modified-Since: yesterday             | 200 | 0123456789 | 9110 13.1.3: ignored",
            "If-Modified-Since: {0}^If-Modified-Since: {0} | 200 | 0123456789 | 9110 13.1.3: not a list",
            "If-Unmodified-Since: {-500}              | 200 | 0123456789 | 9111 4.3.2: for the origin only",
    })
    void storedResponseHonorsConditionsAndRanges(String request, int status, String body, String section) {
        ClientResponse response = get(request);

        assertThat(response.status()).isEqualTo(status);
        assertThat(CacheFixtures.bodyText(response)).isEqualTo(body);
        if (status != 304) {
            assertThat(CacheFixtures.fieldValues(response, "Content-Length"))
                    .containsExactly(Integer.toString(body.length()));
        }
    }

    @Test
    void rangeResponseIsASliceOfTheStoredBody() {
        StoredResponse stored = CacheFixtures.storedResponse(ORIGIN_RESPONSE);

        ClientResponse response = ClientResponse.of(CacheFixtures.getRequest("Range: bytes=2-4"), stored,
                CacheFixtures.NOW, CachePolicy.DEFAULT);

        assertThat(response.body()).singleElement().satisfies(slice -> {
            assertThat(slice.body()).isSameAs(stored.body());
            assertThat(slice.offset()).isEqualTo(2);
        });
        assertThat(CacheFixtures.fieldValues(response, "Content-Range")).containsExactly("bytes 2-4/10");
    }

    @Test
    void fullResponseHasAgeAndContentLength() {
        assertThat(get("").fields())
                .isEqualTo(CacheFixtures.headerFields(ORIGIN_RESPONSE + " | Age: 5 | Content-Length: 10"));
    }

    @Test
    void headResponseHasAllFieldsOfGetAndNoBody() {
        ClientResponse head = response("HEAD", "Range: bytes=0-1", ORIGIN_RESPONSE);

        assertThat(head.status()).isEqualTo(200);
        assertThat(head.body()).isEmpty();
        assertThat(head.fields()).isEqualTo(get("").fields());
        assertThat(response("HEAD", "If-None-Match: \"v1\"", ORIGIN_RESPONSE).status()).isEqualTo(304);
    }

    @Test
    void notModifiedResponseOmitsRepresentationMetadata() {
        assertThat(get("If-None-Match: \"v1\"").fields())
                .isEqualTo(CacheFixtures.headerFields("Cache-Control: max-age=60"
                        + " | ETag: \"v1\" | Date: {0} | Vary: Accept | X-Any: 1 | Age: 5"));
        assertThat(
                response("GET", "If-Modified-Since: {0}", "Cache-Control: max-age=60 | Last-Modified: {-100}").fields()
                        .has("Last-Modified"))
                .isTrue();
    }

    @Test
    void rangeNotSatisfiableResponseIsNoStore() {
        assertThat(get("Range: bytes=99-").fields())
                .isEqualTo(CacheFixtures.headerFields("Date: {0} | Vary: Accept | X-Any: 1"
                        + " | Content-Range: bytes */10 | Cache-Control: no-store | Content-Length: 0"));
    }

    @Test
    void multipleRangesAreOneMultipartBody() {
        StoredResponse stored = CacheFixtures.storedResponse(ORIGIN_RESPONSE);
        ClientResponse response = ClientResponse.of(CacheFixtures.getRequest("Range: bytes=0-1, -2"), stored,
                CacheFixtures.NOW, CachePolicy.DEFAULT);
        String type = CacheFixtures.fieldValues(response, "Content-Type").getFirst();
        String boundary = type.substring("multipart/byteranges; boundary=".length());

        String text = "--" + boundary + "\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--"
                + boundary + "\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--" + boundary
                + "--\r\n";
        assertThat(response.status()).isEqualTo(206);
        assertThat(CacheFixtures.bodyText(response)).isEqualTo(text);
        assertThat(CacheFixtures.fieldValues(response, "Content-Length"))
                .containsExactly(Integer.toString(text.length()));
        assertThat(response.fields().has("Content-Range")).isFalse();
        assertThat(response.body().get(1).body()).isSameAs(stored.body());
        assertThat(boundary).matches("[0-9a-z-]{1,70}");
    }

    @Test
    void moreThanSixteenRangesGetTheFullResponse() {
        assertThat(get("Range: bytes=" + ranges(10)).status()).isEqualTo(206);
        assertThat(get("Range: bytes=" + ranges(10) + ",99-,99-,99-,99-,99-,99-").status()).isEqualTo(206);
        assertThat(get("Range: bytes=" + ranges(10) + ",99-,99-,99-,99-,99-,99-,99-").status()).isEqualTo(200);
    }

    private static String ranges(int number) {
        return IntStream.range(0, number).mapToObj(n -> n + "-" + n).collect(Collectors.joining(","));
    }

    @Test
    void conditionsAndRangesApplyToStatus200Only() {
        var decision = (Storability.Store) CacheFixtures.storability(CacheFixtures.getRequest(""),
                new ResponseHead(404, CacheFixtures.headerFields(ORIGIN_RESPONSE)), CachePolicy.DEFAULT);
        StoredResponse stored = StoredResponse.of(CacheFixtures.KEY, CacheFixtures.getRequest(""), decision,
                CachePolicy.DEFAULT, 1, Body.of(new byte[5]));

        for (String request : List.of("If-None-Match: \"v1\"", "If-None-Match: *", "Range: bytes=0-1")) {
            assertThat(
                    ClientResponse.of(CacheFixtures.getRequest(request), stored, CacheFixtures.NOW, CachePolicy.DEFAULT)
                            .status())
                    .isEqualTo(404);
        }
    }

    @Test
    void noContentResponseHasNoContentLength() {
        ClientResponse response = ClientResponse.of(CacheFixtures.getRequest(""),
                new ResponseHead(204, HeaderFields.of("Content-Length", "0")), Body.EMPTY, CacheFixtures.NOW,
                CachePolicy.DEFAULT);

        assertThat(response).isEqualTo(new ClientResponse(204, HeaderFields.EMPTY, List.of()));
    }

    @Test
    void unstoredResponseHonorsConditionsAndRanges() {
        ResponseHead head = CacheFixtures
                .okResponse("Cache-Control: private | ETag: \"v1\" | Connection: X-Hop | X-Hop: 1 | Cache-Tag: a"
                        + " | Content-Length: 99");
        Body body = Body.of(new byte[]{'a', 'b', 'c'});

        ClientResponse fullResponse = ClientResponse.of(CacheFixtures.getRequest(""), head, body, CacheFixtures.NOW,
                CachePolicy.DEFAULT);

        assertThat(fullResponse.fields())
                .isEqualTo(CacheFixtures.headerFields("Cache-Control: private | ETag: \"v1\" | Content-Length: 3"));
        assertThat(
                ClientResponse
                        .of(CacheFixtures.getRequest("If-None-Match: \"v1\""), head, body, CacheFixtures.NOW,
                                CachePolicy.DEFAULT)
                        .status())
                .isEqualTo(304);
        assertThat(CacheFixtures.bodyText(ClientResponse.of(CacheFixtures.getRequest("Range: bytes=1-1"), head, body,
                CacheFixtures.NOW, CachePolicy.DEFAULT)))
                .isEqualTo("b");
    }

    @Test
    void surrogateControlIsRemovedWhereHonored() {
        CachePolicy policy = CachePolicy.builder().surrogateControl(true).build();
        StoredResponse stored = CacheFixtures.storedResponse("", "Surrogate-Control: max-age=60", policy, "");

        assertThat(ClientResponse.of(CacheFixtures.getRequest(""), stored, CacheFixtures.NOW, policy)
                .fields()
                .has("Surrogate-Control")).isFalse();
        assertThat(stored.head().fields().has("Surrogate-Control")).isTrue();
    }
}
