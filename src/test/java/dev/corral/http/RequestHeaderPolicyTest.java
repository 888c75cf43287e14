package dev.corral.http;

import dev.corral.http.RequestHeaderPolicy.Mode;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

class RequestHeaderPolicyTest {

    private static final RequestHeaderPolicy STRICT = new RequestHeaderPolicy(Mode.STRICT, Set.of("X-Keyed"),
            Set.of("X-Kept", "X-Forwarded-Port"), Set.of("Referer"));

    @ParameterizedTest
    @CsvSource({"X-Forwarded-Host, x-forwarded-host", "x_forwarded.HOST, x-forwarded-host", "a, a", "A1-, a1-", "_, -",
            "X!#$%&'*+-.^_`|~Y, x---------------y"})
    void fieldNamesAreComparedInTheirCgiForm(String name, String canonicalName) {
        assertThat(RequestHeaderPolicy.canonicalName(name)).isEqualTo(canonicalName);
    }

    @ParameterizedTest
    @ValueSource(strings = {"X-Forwarded-Host", "x_forwarded_host", "X-Forwarded", "X-Original-URL", "X-Rewrite-URL",
            "x-middleware-subrequest", "x-invoke-path", "x-now-route-matches", "x-nextjs-data", "X-Sendfile",
            "X-Accel-Redirect", "X-HTTP-Method", "X-Host", "X-Forwarded-Authority", "X-Original-Author",
            "X_Forwarded_User", "X-Real-IP", "Via", "forwarded", "traceparent", "cf-visitor",
            "CloudFront-Forwarded-Proto", "User_Agent", "X.Y"})
    void originSteeringFieldIsWithheldInEveryMode(String name) {
        for (Mode mode : Mode.values()) {
            var policy = new RequestHeaderPolicy(mode, Set.of(), Set.of(), Set.of());
            assertThat(policy.isForwarded(name, List.of())).isFalse();
            assertThat(policy.isForwarded(name, List.of(name.toLowerCase(java.util.Locale.ROOT)))).isFalse();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"Cookie", "Authorization", "Accept", "Accept-Language", "User-Agent", "Origin", "Referer",
            "Rsc", "Next-Router-State-Tree", "X-Api-Key", "X-Forwarded-User", "X-Forwarded-Client-Cert",
            "Cf-Access-Jwt-Assertion", "X-Realm", "X-Unknown", "X-Hosting", "Sec-CH-UA"})
    void otherRequestFieldIsForwardedByDefault(String name) {
        assertThat(RequestHeaderPolicy.DEFAULT.isForwarded(name, List.of())).isEqualTo(!name.equals("X-Hosting"));
    }

    @ParameterizedTest
    @CsvSource({"Accept,true", "Cookie,true", "Authorization,true", "Sec-CH-UA-Mobile,true", "Sec-Fetch-Site,true",
            "Sec-GPC,true", "X-Keyed,true", "x-kept,true", "X-Forwarded-Port,true", "X_Kept,false",
            "X_Forwarded_Port,false",
            "Referer,false", "Rsc,false", "X-Api-Key,false", "X-Forwarded-User,false", "X-Unknown,false",
            "Sec-WebSocket-Key,false"})
    void strictModeForwardsStandardAndConfiguredFieldsOnly(String name, boolean forwarded) {
        assertThat(STRICT.isForwarded(name, List.of())).isEqualTo(forwarded);
    }

    @Test
    void strictModeForwardsFieldsNamedByVary() {
        assertThat(STRICT.isForwarded("Rsc", List.of("accept", "rsc"))).isTrue();
        assertThat(STRICT.isForwarded("X-Unknown", List.of("rsc"))).isFalse();
        assertThat(STRICT.isForwarded("X-Forwarded-Host", List.of("x-forwarded-host"))).isFalse();
    }

    @Test
    void keptOrKeyedFieldMatchesItsExactSpellingOnly() {
        var policy = new RequestHeaderPolicy(Mode.FORWARD, Set.of("X_Device"), Set.of("X-Real-IP"),
                Set.of("X_Removed"));

        assertThat(policy.isWithheld("x_device")).isFalse();
        assertThat(policy.isWithheld("X-Device")).isFalse();
        assertThat(policy.isWithheld("x-real-ip")).isFalse();
        assertThat(policy.isWithheld("X_Real_IP")).isTrue();
        assertThat(policy.isWithheld("X-Removed")).isTrue();
    }
}
