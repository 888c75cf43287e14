package dev.corral.http;

import java.net.URI;
import java.util.Optional;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.CharRange;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

class RequestTargetTest {

    private static RequestTarget target(String text) {
        return RequestTarget.parse(text).orElseThrow();
    }

    @Test
    void targetIsSplitIntoPathAndQuery() {
        assertThat(target("/a?b?c")).isEqualTo(new RequestTarget("/a", Optional.of("b?c")));
        assertThat(target("/a?")).isEqualTo(new RequestTarget("/a", Optional.of("")));
        assertThat(target("//")).isEqualTo(new RequestTarget("//", Optional.empty()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "*", "a", "http://a/", "?a", "/a#b", "/a b", "/a\tb", "/a\0", "/\u007f", "/a?b#c",
            "/\u0100"})
    void targetWithoutPathOrWithIllegalCharactersIsRejected(String text) {
        assertThat(RequestTarget.parse(text)).isEmpty();
    }

    @ParameterizedTest(name = "{0} is {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '\0', value = {
            "/css?family=a:400%7Cb | /css?family=a:400%7Cb",
            "/[x]^`{}\"<>\\ | /%5Bx%5D%5E%60%7B%7D%22%3C%3E%5C",
            "/a?[x]^`{}\"<>\\ | /a?%5Bx%5D%5E%60%7B%7D%22%3C%3E%5C",
            "/%|/%25", "/%4|/%254", "/%zz%41|/%25zz%41", "/%u0041|/%25u0041", "/a?%&b=%4|/a?%25&b=%254",
            "/-._~!$&'()*+,;=:@|/-._~!$&'()*+,;=:@", "/a?b?c/d|/a?b?c/d"})
    void encodedTargetIsAUri(String text, String encoded) {
        assertThat(target(text).encoded()).isEqualTo(encoded);
        assertThat(URI.create("http://a" + encoded).getRawPath()).isNotEmpty();
    }

    /** Spring accepts the encoded form of every target. */
    @Property(tries = 5_000)
    void everyEncodedTargetIsAUri(@ForAll @StringLength(max = 20) @CharRange(from = '!', to = '\u00ff') String suffix) {
        RequestTarget.parse("/" + suffix).ifPresent(target -> {
            URI uri = URI.create("http://a" + target.encoded());

            assertThat(target.raw()).isEqualTo("/" + suffix);
            assertThat(uri.getRawPath()).startsWith("/");
            assertThat(uri.getRawQuery() != null).isEqualTo(target.query().isPresent());
            assertThat(target.interpretations()).allSatisfy(interpretation -> URI.create("http://a" + interpretation));
            target.isAmbiguous();
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"/..", "/../a", "/a/../..", "/based/../../admin", "/based/%2e%2e/%2e%2e/admin",
            "/based/%2E./.%2e/admin", "/based/..%2f..%2fadmin", "/assets/..%2Faccount", "/assets/x/..%2f..%2faccount",
            "/assets/%2e%2e%2faccount", "/assets/%2e%2e%2Faccount", "/assets/.%2E%5caccount", "/assets/..%5Caccount",
            "/assets/..\\account", "/assets\\..\\account", "/assets/..;/account", "/assets/..;a=b/account",
            "/assets/%2e%2e;/account", "/assets/..%3b/account", "/assets/.;/x", "/assets/.%2fx", "/assets/x%2f..",
            "/assets/x%2f../y", "/assets/%2f../y", "/assets//../account", "/a//b/../../x", "/assets/..%00/account",
            "/assets/..%20/account", "/assets/..%09", "/assets/%c0%ae%c0%ae/account", "/assets/..%c0%afaccount",
            "/%zz/../a", "/%/%2e%2e/a", "/a/%2e%2e/%2e%2e", "/./../a", "/a/./../../b"})
    void pathWithEvasiveDotSegmentsIsAmbiguous(String path) {
        assertThat(target(path).isAmbiguous()).isTrue();
    }

    @ParameterizedTest
    @ValueSource(strings = {"/", "/a", "/.", "/a/..", "/a/../b", "/a/./b/..", "/%2e/a", "/a/%2e%2E/b", "/.well-known/x",
            "/..a", "/a..", "/...", "/a/.../b", "/..a/..b", "/a%2Fb", "/a\\b", "/a;x=1/b;y", "/a;../b", "//a//b",
            "/a/b//", "/%", "/%zz", "/%25zz", "/%252e%252e%252fa", "/a%00b", "/\u00c3\u00a9", "/a.b%2fc.d",
            "/%c3%a9/../x", "/x/..?../../..%2f", "/a/v1..2/b"})
    void pathWithoutEvasiveDotSegmentsIsNotAmbiguous(String path) {
        assertThat(target(path).isAmbiguous()).isFalse();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"/a/../b|/b", "/a;x/b|/a;x/b,/a%3Bx/b", "/a%2fb|/a%2Fb,/a/b",
            "/a\\b|/a%5Cb,/a/b",
            "//a|//a,/a", "/a%5cb;c|/a%5Cb;c,/a%5Cb%3Bc,/a/b;c", "/%61|/a", "/{a}|/%7Ba%7D"})
    void readingsOfAPathCoverHowServersDecodeIt(String path, String interpretations) {
        assertThat(target(path).interpretations()).containsExactly(interpretations.split(",", -1));
    }
}
