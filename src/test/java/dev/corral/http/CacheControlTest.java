package dev.corral.http;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

class CacheControlTest {

    private static CacheControl parse(String line) {
        return CacheControl.parse(List.of(line));
    }

    @ParameterizedTest(name = "{0} ({2})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "max-age=60                       | 60         | 9111 5.2.2.1",
            "MAX-AGE=60                       | 60         | 9111 5.2: any case",
            "max-age=\"60\"                   | 60         | 9111 5.2: token or quoted-string",
            "max-age=\"6\\0\"                 | 60         | 9110 5.6.4: quoted pair",
            "max-age=0060                     | 60         | 9111 1.2.2",
            "max-age=2147483648               | 2147483648 | 9111 1.2.2",
            "max-age=99999999999999999999999  | 2147483648 | 9111 1.2.2: saturates, does not overflow",
            "max-age=-1                       | 0          | 9111 4.2.1: invalid is stale",
            "max-age=+1                       | 0          | 9111 1.2.2: digits only",
            "max-age=1.5                      | 0          | 9111 1.2.2",
            "max-age=1e3                      | 0          | 9111 1.2.2",
            "max-age=0x10                     | 0          | 9111 1.2.2",
            "max-age                          | 0          | 9111 5.2.2.1: needs an argument",
            "max-age=                         | 0          | 9111 5.2",
            "max-age=\"60                     | 0          | 9110 5.6.4: never closed",
            "max-age =60                      | 0          | 9111 5.2: no space before",
            "max-age= 60                      | 0          | 9111 5.2: no space after",
            "max-age=60 60                    | 0          | 9111 5.2",
            "max-age=60;a=b                   | 0          | 9111 5.2",
            "max-age=60, max-age=10           | 10         | 9111 4.2.1: two different values",
            "max-age=10, max-age=60           | 10         | 9111 4.2.1",
            "max-age=60, max-age=x            | 0          | 9111 4.2.1",
            ",, ,max-age=60,                  | 60         | 9110 5.6.1.2: empty members",
            "a=\"x, max-age=1\", max-age=60   | 60         | 9110 5.6.4: a comma in quotes",
            "a=\"\\\", max-age=1\", max-age=60 | 60        | 9110 5.6.4: a quote in quotes",
    })
    void maxAgeIsParsedAsDeltaSecondsOrZero(String line, long seconds, String section) {
        assertThat(parse(line).maxAge()).contains(Duration.ofSeconds(seconds));
    }

    @ParameterizedTest
    @ValueSource(strings = {"no-store", "No-Store", "max-age=1, no-store", "a=\"b, no-store", "a=\"b\" c, no-store",
            "no-store=\"x\"", "no-store =", "=, no-store", "a b, no-store", "no-store;", "\tno-store\t", "@, no-store",
            "max-age=\"1,no-store", "public; no-store", "max-age=60 no-store", "public no-store; max-age=60",
            "a/b/no-store"})
    void noStoreIsFoundDespiteSyntaxErrors(String line) {
        assertThat(parse(line).noStore()).isTrue();
    }

    @ParameterizedTest
    @ValueSource(strings = {"a=\"no-store\"", "a=\"x, no-store, y\"", "no-storage", "x-no-store", "a=no-store",
            "'no-store'"})
    void noStoreLookalikesAreIgnored(String line) {
        assertThat(parse(line).noStore()).isFalse();
    }

    @Test
    void malformedDirectivesRestrictButNeverPermit() {
        CacheControl cacheControl = parse("public; max-age=60; immutable, s-maxage=5; x, must-understand no-cache");

        assertThat(cacheControl.isPublic()).isFalse();
        assertThat(cacheControl.immutable()).isFalse();
        assertThat(cacheControl.mustUnderstand()).isFalse();
        assertThat(cacheControl.noCache()).isTrue();
        assertThat(cacheControl.maxAge()).contains(Duration.ZERO);
        assertThat(cacheControl.sharedMaxAge()).contains(Duration.ZERO);
        assertThat(parse("x y, max-age=60").maxAge()).contains(Duration.ofMinutes(1));
    }

    @Test
    void qualifiedDirectiveAppliesToTheWholeResponse() {
        assertThat(parse("no-cache=\"set-cookie\"").noCache()).isTrue();
        assertThat(parse("private=\"x-a, x-b\"").isPrivate()).isTrue();
    }

    @Test
    void maxStaleWithoutValueIsUnlimitedAndInvalidIsAbsent() {
        assertThat(parse("max-stale").maxStale()).contains(CacheControl.MAX_DELTA_SECONDS);
        assertThat(parse("max-stale=60").maxStale()).contains(Duration.ofMinutes(1));
        assertThat(parse("max-stale=x").maxStale()).isEmpty();
        assertThat(parse("max-stale, max-stale=5").maxStale()).contains(Duration.ofSeconds(5));
        assertThat(parse("min-fresh=5, min-fresh=60").minFresh()).contains(Duration.ofMinutes(1));
    }

    @ParameterizedTest(name = "{0} ({2})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', nullValues = "-", value = {
            "max-age=60                 | 60 | 9213 2.1",
            "max-age=60;x=1, no-cache   | 60 | 9213 2.1: parameters are ignored",
            "max-age=60.0               | 0  | 9111 4.2.1: not an integer",
            "max-age=\"60\"             | 0  | 9111 4.2.1: a string is not a number",
            "max-age=-60                | 0  | 9111 4.2.1",
            "max-age                    | 0  | 9111 4.2.1",
            "max-age=999999999999999    | 2147483648 | 9111 1.2.2",
            "max-age=1, max-age=60      | 60 | 9651 3.2: the last one wins",
            "MAX-AGE=60                 | -  | 9651 3.2: keys are lower-case, so the field is ignored",
            "max-age=60,                | -  | 9651 4.2.2: no trailing comma",
            "max-age=60 no-store        | -  | 9651 4.2.2",
            "max-age=60, &&&            | -  | 9651 4.2.2",
            "`                         `| -  | 9213 2.1: an empty field is ignored",
    })
    void targetedFieldIsParsedAsDictionaryOrIgnored(String line, Long seconds, String section) {
        Optional<CacheControl> targeted = CacheControl.parseTargeted(List.of(line));

        assertThat(targeted.isPresent()).isEqualTo(seconds != null);
        targeted.ifPresent(cacheControl -> assertThat(cacheControl.maxAge()).contains(Duration.ofSeconds(seconds)));
    }

    @Test
    void falseTargetedDirectiveIsNotSet() {
        assertThat(CacheControl.parseTargeted(List.of("no-store=?0, private")).orElseThrow())
                .matches(cacheControl -> !cacheControl.noStore() && cacheControl.isPrivate());
        assertThat(CacheControl.parseTargeted(List.of())).isEmpty();
    }
}
