package dev.corral.cache;

import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class VaryTest {

    private static final CachePolicy DEFAULT = CachePolicy.DEFAULT;

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "A: 1                               | ``",
            "Vary:                              | ``",
            "Vary: Foo                          | foo",
            "Vary: Foo, ,bar,FOO                | bar,foo",
            "Vary: Foo^Vary: Bar                | bar,foo",
    })
    void varyFieldNamesAreSortedAndLowercased(String response, String names) {
        ResponseHead head = CacheFixtures.okResponse(response.replace("^", " | "));

        assertThat(String.join(",", Vary.fieldNames(head))).isEqualTo(names);
        assertThat(Vary.isStar(head)).isFalse();
    }

    @ParameterizedTest(name = "{0}: {1} and {2} ({3})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "foo             | Foo: 1                              | foo: 1                          | case of the name",
            "foo             | Foo: 1, 2                           | Foo: 1,2                        | spaces around commas",
            "foo             | Foo: 1^Foo: 2                       | Foo: 1 ,\t2                     | lines are combined",
            "foo             | Foo: 1 , \"a,  b\"                  | Foo: 1,\"a,  b\"                | quoted strings are kept",
            "accept-encoding | Accept-Encoding: gzip, br           | Accept-Encoding: BR,gzip        | 9110 12.5.3",
            "accept-encoding | Accept-Encoding: gzip;q=1.0, br     | Accept-Encoding: br, gzip       | 9110 12.4.2",
            "accept-encoding | Accept-Encoding: gzip;q=0.50        | Accept-Encoding: gzip; Q=0.5    | 9110 12.4.2",
            "accept-encoding | Accept-Encoding: br, gzip;q=0.5     | Accept-Encoding: gzip;q=0.5, br | sorted by weight",
            "accept-language | Accept-Language: en, de             | Accept-Language: de,EN          | 9110 12.5.4",
            "accept-language | Accept-Language: de-CH, de;q=.5     | Accept-Language: de-CH,de;q=.5  | malformed: unchanged",
            "accept-language | Accept-Language: de;q=1., en;q=0.   | Accept-Language: de,en;q=0.000  | 9110 12.4.2",
            "cookie          | Cookie: a=1^Cookie: b=2             | Cookie: a=1; b=2                | 9113 8.2.3",
    })
    void equivalentRequestsSelectTheSameVariant(String name, String first, String second, String why) {
        assertThat(selecting(name, first)).isEqualTo(selecting(name, second));
    }

    @ParameterizedTest(name = "{0}: {1} and {2} ({3})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "foo             | Foo: 1                        | Foo: 2                        | value",
            "foo             | Foo: a                        | Foo: A                        | case of the value",
            "foo             | Foo: 1, 2                     | Foo: 2, 1                     | order in an unknown field",
            "foo             | Foo: 1  2                     | Foo: 1 2                      | spaces inside a member",
            "foo             | Foo: \"a,b\"                  | Foo: \"a, b\"                 | spaces in quotes",
            "foo             | Foo:                          | Bar:                          | empty is not absent",
            "foo             | Foo: 1,,2                     | Foo: 1,2                      | empty members",
            "cookie          | Cookie: a=1, 2                | Cookie: a=1,2                 | a cookie is not a list",
            "user-agent      | User-Agent: X (a, b)          | User-Agent: X (a,b)           | not a list",
            "accept-encoding | Accept-Encoding: gzip;q=0     | Accept-Encoding: gzip         | 9110 12.4.2: not acceptable",
            "accept-encoding | Accept-Encoding: gzip;q=0.5, br | Accept-Encoding: br;q=0.5, gzip | weights",
            "accept-encoding | Accept-Encoding:              | A: b                          | 9110 12.5.3: empty is identity",
            "accept-language | Accept-Language: de;q=500     | Accept-Language: de;q=0.5     | malformed",
            "accept-language | Accept-Language: de;q=1.001   | Accept-Language: de           | malformed",
            "accept-language | Accept-Language: de;q=0.5;x   | Accept-Language: de;q=0.5     | malformed",
            "accept-language | Accept-Language: de           | Accept-Language: de-CH        | range",
    })
    void differentRequestsSelectDifferentVariants(String name, String first, String second, String why) {
        assertThat(selecting(name, first)).isNotEqualTo(selecting(name, second));
        assertThat(Vary.variantText(selecting(name, first))).isNotEqualTo(Vary.variantText(selecting(name, second)));
    }

    private static HeaderFields selecting(String name, String request) {
        return Vary.selectingFields(List.of(name), CacheFixtures.headerFields(request.replace("^", " | ")), DEFAULT);
    }

    @Test
    void normalizationCanBeDisabled() {
        CachePolicy off = CachePolicy.builder().normalizeAcceptEncoding(false).normalizeAcceptLanguage(false).build();
        List<String> names = List.of("accept-encoding", "accept-language");

        assertThat(Vary.selectingFields(names,
                CacheFixtures.headerFields("Accept-Encoding: gzip, br | Accept-Language: EN , de"), off))
                .isEqualTo(CacheFixtures.headerFields("accept-encoding: gzip,br | accept-language: EN,de"));
    }

    @Test
    void absentSelectingFieldIsRecordedAsAbsent() {
        assertThat(selecting("foo", "A: 1").lines())
                .containsExactly(new HeaderFields.FieldLine("foo", Vary.ABSENT_VALUE));
        assertThat(Vary.selectingFields(List.of(), CacheFixtures.headerFields("A: 1"), DEFAULT))
                .isEqualTo(HeaderFields.EMPTY);
    }

    @Test
    void differentSelectionsHaveDifferentText() {
        String first = Vary.variantText(HeaderFields.of("a", "1\nb:1:2"));
        String second = Vary.variantText(HeaderFields.of("a", "1", "b", "2"));

        assertThat(first).isNotEqualTo(second);
    }

    @Test
    void fieldNamedInConnectionIsNotSelecting() {
        StoredResponse stored = CacheFixtures.storedResponse("Connection: Accept-Language | Accept-Language: de",
                "Cache-Control: max-age=60 | Vary: Accept-Language", DEFAULT, "");

        assertThat(Vary.matches(stored, CacheFixtures.getRequest("Accept-Language: de"), DEFAULT)).isFalse();
        assertThat(Vary.matches(stored, CacheFixtures.getRequest(""), DEFAULT)).isTrue();
    }
}
