package dev.corral.cache;

import dev.corral.cache.CacheKey.QueryRule;
import dev.corral.http.UriSyntax;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class CacheKeyTest {

    private static String key(String target, QueryRule rule) {
        int query = target.indexOf('?');
        return CacheKey.of("http", "shop.example", query < 0 ? target : target.substring(0, query),
                query < 0 ? Optional.empty() : Optional.of(target.substring(query + 1)), rule, List.of());
    }

    private static String key(String target) {
        return key(target, QueryRule.ALL_PARAMETERS);
    }

    @ParameterizedTest(name = "{0} is {1} ({2})")
    @CsvSource(delimiter = '|', value = {
            "/a                | /a              | unchanged",
            "/%41%2d%7e        | /A-~            | 3986 6.2.2.2: unreserved",
            "/%2fx%3A          | /%2Fx%3A        | 3986 6.2.2.1: case of hex digits",
            "/a/./b            | /a/b            | 3986 6.2.2.3",
            "/a/../b           | /b              | 3986 6.2.2.3",
            "/a/%2E%2e/b       | /b              | 3986 6.2.2.2, then 6.2.2.3",
            "/../../b          | /b              | 3986 5.2.4: not above the root",
            "/a/..             | /               | 3986 5.2.4",
            "/a/b/.            | /a/b/           | 3986 5.2.4",
            "/a//../b          | /a/b            | 3986 5.2.4: an empty segment counts",
            "/a/..b/.c/...     | /a/..b/.c/...   | no dot segments",
            "/a?b=2&a=1        | /a?a=1&b=2      | order of parameters",
            "/a?b=2&a=1&b=1    | /a?a=1&b=2&b=1  | the order of values is kept",
            "/a?%62=%7e        | /a?b=~          | 3986 6.2.2.2",
            "/a?               | /a?             | an empty query is kept",
            "/a?b&b=           | /a?b&b=         | without value and with empty value",
            "/%zz%4            | /%zz%4          | not an encoding: unchanged",
            "/a b              | /a%20b          | a URI contains no space",
    })
    void equivalentTargetsHaveTheSameKey(String target, String normal, String section) {
        assertThat(key(target)).isEqualTo("http://shop.example" + normal);
    }

    @ParameterizedTest(name = "{0} is not {1}")
    @CsvSource(delimiter = '|', value = {
            "/a          | /A",
            "/a          | /a/",
            "/a/b        | /a%2Fb",
            "/a          | /a?",
            "/a?b        | /a?b=",
            "/a?b=1      | /a?b=1&b=1",
            "/a?b=1&b=2  | /a?b=2&b=1",
            "/a?b=+      | /a?b=%20",
            "/a?b=%26c=1 | /a?b=&c=1",
            "/a%3Fb=1    | /a?b=1",
            "/a;b=1      | /a",
            "/a//b       | /a/b",
            "/a%zz       | /a%25zz",
            "/a%00       | /a",
            "/%E4        | /%C3%A4",
    })
    void differentTargetsHaveDifferentKeys(String first, String second) {
        assertThat(key(first)).isNotEqualTo(key(second));
    }

    @Test
    void authorityIsNormalizedAndCannotExtendIntoThePath() {
        assertThat(keyOfAuthority("HTTP", "Shop.Example:80", "/")).isEqualTo("http://shop.example/");
        assertThat(keyOfAuthority("https", "shop.example:443", "/")).isEqualTo("https://shop.example/");
        assertThat(keyOfAuthority("https", "shop.example:80", "/")).isEqualTo("https://shop.example:80/");
        assertThat(keyOfAuthority("http", "[::1]:80", "")).isEqualTo("http://[::1]/");
        assertThat(keyOfAuthority("http", "shop.example:", "/")).isEqualTo("http://shop.example/");
        assertThat(keyOfAuthority("http", "shop.example/a", "/b"))
                .isNotEqualTo(keyOfAuthority("http", "shop.example", "/a/b"));
        assertThat(keyOfAuthority("http", "shop.example?a", "/b")).isNotEqualTo(key("?a/b"));
    }

    private static String keyOfAuthority(String scheme, String authority, String path) {
        return CacheKey.of(scheme, authority, path, Optional.empty(), QueryRule.ALL_PARAMETERS, List.of());
    }

    @Test
    void routeKeyPartsCannotBeMistakenForAUri() {
        String keyWithParts = CacheKey.of("http", "a", "/", Optional.empty(), QueryRule.ALL_PARAMETERS,
                List.of("x\ny", "z"));

        assertThat(keyWithParts).isEqualTo("http://a/\nx%0Ay\nz");
        assertThat(CacheKey.of("http", "a", "/", Optional.empty(), QueryRule.ALL_PARAMETERS, List.of("%41")))
                .isEqualTo("http://a/\n%2541");
        assertThat(keyOfAuthority("http", "a", "/\nx")).doesNotContain("\n");
    }

    @Test
    void queryRuleSelectsParametersInKey() {
        var campaign = new QueryRule(List.of(), List.of("utm", "session*"));
        var only = new QueryRule(List.of("id", "page"), List.of("page"));

        assertThat(key("/a?utm_source=x&id=1&gclid=2&sessionid=3&utm%5fcampaign=y", campaign))
                .isEqualTo("http://shop.example/a?id=1");
        assertThat(key("/a?utm_source=x", campaign)).isEqualTo("http://shop.example/a");
        assertThat(key("/a?utm=1&autm_x=1", campaign)).isEqualTo("http://shop.example/a?autm_x=1&utm=1");
        assertThat(key("/a?page=2&id=1&x=3&%69d=2", only)).isEqualTo("http://shop.example/a?id=1&id=2");
    }

    @Test
    void sharedFetchTargetOmitsExcludedQueryParameters() {
        var campaign = new QueryRule(List.of(), List.of("utm"));

        assertThat(CacheKey.sharedFetchTarget("/a/%2e%2e/%62", Optional.of("z=1&utm_x=<script>&a=2"), campaign))
                .isEqualTo("/a/%2e%2e/%62?z=1&a=2");
        assertThat(CacheKey.sharedFetchTarget("/a", Optional.of("id=1&utm_x=y;id=2&%75tm_y=1"), campaign))
                .isEqualTo("/a?id=1");
        assertThat(CacheKey.sharedFetchTarget("/a", Optional.of("utm_x=y"), campaign)).isEqualTo("/a");
        assertThat(CacheKey.sharedFetchTarget("/a", Optional.of("b=2&a=1"), QueryRule.ALL_PARAMETERS))
                .isEqualTo("/a?b=2&a=1");
        assertThat(CacheKey.sharedFetchTarget("/a", Optional.of("b=2&a=1&%61=0"),
                new QueryRule(List.of(), List.of(), true)))
                .isEqualTo("/a?a=1&%61=0&b=2");
        assertThat(CacheKey.sharedFetchTarget("", Optional.empty(), QueryRule.ALL_PARAMETERS)).isEqualTo("/");
        assertThat(UriSyntax.normalizePath("/public/../admin")).isEqualTo("/admin");
    }

    @Provide
    Arbitrary<String> target() {
        return Arbitraries
                .of("/", ".", "..", "%2e", "%2F", "%2f", "%", "%4", "%41", "%e4", "a", "A", "&", "=", "?", "+",
                        "%20", " ", "\n", "#", "\u00e4", ";", "%3d", "%26")
                .list()
                .ofMaxSize(12)
                .map(parts -> "/" + String.join("", parts));
    }

    /** RFC 3986 section 6.2.2: after the malformed segment is removed, the result is the same as without it. */
    @ParameterizedTest
    @CsvSource({"/%/..///%2e, ///", "'/%#  A/../%2f&%26 ', /%2F&%26%20", "/%/../%41, /A", "/a/%/../%2e%2e/b, /b",
            "/%/%41, /%/%41"})
    void malformedSegmentRemovedByDotsDoesNotAffectTheKey(String target, String normal) {
        assertThat(key(target)).isEqualTo("http://shop.example" + normal);
    }

    @Property(tries = 3_000, edgeCases = EdgeCasesMode.NONE)
    void keyIsInNormalFormAndItsFetchTargetHasTheSameKey(@ForAll("target") String target) {
        String key = key(target);
        int query = target.indexOf('?');
        String fetchTarget = CacheKey.sharedFetchTarget(query < 0 ? target : target.substring(0, query),
                query < 0 ? Optional.empty() : Optional.of(target.substring(query + 1)), QueryRule.ALL_PARAMETERS);

        assertThat(key(key.substring("http://shop.example".length()))).isEqualTo(key);
        assertThat(key(fetchTarget)).isEqualTo(key);
    }

    @Property(tries = 20_000, edgeCases = EdgeCasesMode.NONE)
    void sameKeyImpliesEquivalentTargets(@ForAll("short") String first, @ForAll("short") String second) {
        if (key(first).equals(key(second))) {
            assertThat(referenceNormalForm(first)).isEqualTo(referenceNormalForm(second));
        }
    }

    @Provide("short")
    Arbitrary<String> shortTarget() {
        return Arbitraries.of("/", "%2F", "%2f", "%", "%4", "%41", "A", "a", "&", "=", "?", "%26", "%3d", "%3D")
                .list()
                .ofMaxSize(4)
                .map(parts -> "/" + String.join("", parts));
    }

    private static final Pattern ESCAPE = Pattern.compile("%([0-9A-Fa-f]{2})");

    /** Path and parameters as RFC 3986 compares them, computed by regular expressions. The inputs have no dot segments. */
    private static String referenceNormalForm(String target) {
        String[] parts = target.split("\\?", 2);
        String query = parts.length == 1
                ? ""
                : "?" + Stream.of(parts[1].split("&", -1))
                        .map(CacheKeyTest::decodeUnreserved)
                        .sorted(Comparator.comparing(parameter -> parameter.split("=", 2)[0]))
                        .toList();
        return decodeUnreserved(parts[0]) + query;
    }

    private static String decodeUnreserved(String text) {
        return text.replaceAll("%[0-9A-Fa-f]{2}", "").contains("%")
                ? text
                : ESCAPE.matcher(text).replaceAll(escape -> normalizeEscape(escape.group(1)));
    }

    /** RFC 3986 section 6.2.2: an escaped letter or digit is that letter or digit; any other escape is in upper case. */
    private static String normalizeEscape(String hex) {
        String character = Character.toString(Integer.parseInt(hex, 16));
        return character.matches("[A-Za-z0-9._~-]") ? character : "%" + hex.toUpperCase(Locale.ROOT);
    }
}
