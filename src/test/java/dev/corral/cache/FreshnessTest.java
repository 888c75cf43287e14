package dev.corral.cache;

import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class FreshnessTest {

    private static Freshness freshness(String response, Instant requestTime, Instant responseTime) {
        return ((Storability.Store) Storability.decide(CacheFixtures.getRequest(""), CacheFixtures.okResponse(response),
                CachePolicy.DEFAULT, requestTime, responseTime))
                .freshness();
    }

    @ParameterizedTest(name = "{0}, {1} s response delay: {2} ({3})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "Date: {0}                | 0 | 0    | RFC 9111 4.2.3",
            "Date: {0}                | 2 | 2    | response_delay",
            "Date: {0}^Age: 30        | 2 | 32   | corrected_age_value",
            "Date: {-40}^Age: 30      | 2 | 42   | apparent_age is larger",
            "Date: {-10}^Age: 30      | 2 | 32   | apparent_age is smaller",
            "Date: {100}^Age: 30      | 2 | 32   | a fast clock makes no negative age",
            "Date: {100}              | 0 | 0    | a fast clock makes no negative age",
            "Date: nonsense^Age: 3    | 0 | 3    | 9110 6.6.1",
            "Age: 2147483648          | 0 | 2147483648 | 1.2.2",
            "Age: 99999999999999999   | 0 | 2147483648 | 1.2.2",
            "Age: x^Age: 30           | 0 | 0    | 5.1: the first line",
            "Age:                     | 0 | 0    | 5.1",
    })
    void initialAgeIsTheLargerOfApparentAndCorrectedAge(String response, long delay, long age, String section) {
        Freshness freshness = freshness(response.replace("^", " | ") + " | Cache-Control: max-age=60",
                CacheFixtures.NOW,
                CacheFixtures.secondsLater(delay));

        assertThat(freshness.initialAge()).isEqualTo(Duration.ofSeconds(age));
        assertThat(freshness.age(CacheFixtures.secondsLater(delay + 5))).isEqualTo(Duration.ofSeconds(age + 5));
    }

    @Test
    void ageDoesNotDecreaseWhenTheClockGoesBack() {
        Freshness freshness = CacheFixtures.freshness("Cache-Control: max-age=60 | Age: 10");

        assertThat(freshness.age(CacheFixtures.secondsLater(-1_000))).isEqualTo(Duration.ofSeconds(10));
        assertThat(freshness("Cache-Control: max-age=60", CacheFixtures.secondsLater(5), CacheFixtures.NOW)
                .responseDelay()).isZero();
    }

    @Test
    void responseIsFreshUntilItsAgeReachesItsLifetime() {
        Freshness freshness = CacheFixtures.freshness("Cache-Control: max-age=60");

        assertThat(freshness.isFresh(CacheFixtures.secondsLater(59))).isTrue();
        assertThat(freshness.isFresh(CacheFixtures.secondsLater(60).minusNanos(1))).isTrue();
        assertThat(freshness.isFresh(CacheFixtures.secondsLater(60))).isFalse();
        assertThat(freshness.ttl(CacheFixtures.secondsLater(61))).isEqualTo(Duration.ofSeconds(-1));
    }

    @ParameterizedTest(name = "{0}: {1} s")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "Cache-Control: max-age=60                                          | 660   | ten minutes for an unreachable origin",
            "Cache-Control: max-age=60, must-revalidate                         | 60    | none when stale",
            "Cache-Control: max-age=60, must-revalidate^Age: 20                 | 40    | the remaining lifetime",
            "Cache-Control: max-age=60, must-revalidate^ETag: x                 | 660   | for revalidation",
            "Cache-Control: max-age=3600, must-revalidate^ETag: x               | 7200  | for revalidation",
            "Cache-Control: max-age=60, stale-while-revalidate=7200             | 7260  | RFC 5861 3",
            "Cache-Control: max-age=60, stale-if-error=7200                     | 7260  | RFC 5861 4",
            "Cache-Control: no-cache                                            | 3     | for waiting requests",
            "Cache-Control: no-cache, max-age=60                                | 3     | for waiting requests",
            "Cache-Control: no-cache^ETag: x                                    | 600   | for revalidation",
            "Cache-Control: s-maxage=60                                         | 60    | implies proxy-revalidate",
            "Cache-Control: max-age=31536000                                    | 86400 | the route's max-ttl",
            "Cache-Control: max-age=1, must-revalidate                          | 3     | for waiting requests",
    })
    void retentionLastsAsLongAsTheResponseIsUsable(String response, long seconds, String why) {
        assertThat(CacheFixtures.freshness(response.replace("^", " | ")).retention())
                .isEqualTo(Duration.ofSeconds(seconds));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "max-age=60                                                          | 5 | 7 | 600 | the route's defaults",
            "max-age=60, stale-while-revalidate=1, stale-if-error=2              | 1 | 2 | 600 | the response takes precedence",
            "max-age=60, stale-while-revalidate=0, stale-if-error=0              | 0 | 0 | 600 | the response takes precedence",
            "max-age=60, stale-if-error=900                                      | 5 | 900 | 900 | an unreachable origin is an error",
            "max-age=60, stale-while-revalidate=x, stale-if-error=-1             | 0 | 0 | 600 | invalid permits nothing",
            "max-age=60, must-revalidate, stale-while-revalidate=1               | 0 | 0 | 0 | 9111 5.2.2.2",
            "max-age=60, proxy-revalidate, stale-if-error=1                      | 0 | 0 | 0 | 9111 5.2.2.8",
            "s-maxage=60, stale-while-revalidate=1                               | 0 | 0 | 0 | 9111 5.2.2.10",
            "no-cache, stale-while-revalidate=1                                  | 0 | 0 | 0 | 9111 5.2.2.4",
    })
    void staleWindowsAreZeroWhereForbidden(String directives, long whileRevalidate, long ifError, long ifUnreachable,
            String why) {
        CachePolicy policy = CachePolicy.builder()
                .staleWhileRevalidate(Duration.ofSeconds(5))
                .staleIfError(Duration.ofSeconds(7))
                .build();
        Freshness freshness = CacheFixtures.storedResponse("", "Cache-Control: " + directives, policy, "").freshness();

        assertThat(freshness.staleWhileRevalidate()).isEqualTo(Duration.ofSeconds(whileRevalidate));
        assertThat(freshness.staleIfError()).isEqualTo(Duration.ofSeconds(ifError));
        assertThat(freshness.staleIfUnreachable()).isEqualTo(Duration.ofSeconds(ifUnreachable));
    }

    @Test
    void responseStaleWindowsApplyBesideSMaxageWhenRouteAllows() {
        CachePolicy policy = CachePolicy.builder()
                .allowStaleWithSharedMaxAge(true)
                .staleIfError(Duration.ofSeconds(9))
                .build();

        Freshness withSharedMaxAge = CacheFixtures
                .storedResponse("", "Cache-Control: s-maxage=60, stale-while-revalidate=5", policy, "")
                .freshness();
        Freshness withMustRevalidate = CacheFixtures
                .storedResponse("", "Cache-Control: s-maxage=60, must-revalidate, stale-while-revalidate=5", policy,
                        "")
                .freshness();

        assertThat(withSharedMaxAge.staleWhileRevalidate()).isEqualTo(Duration.ofSeconds(5));
        assertThat(withSharedMaxAge.staleIfError()).isZero();
        assertThat(withSharedMaxAge.staleIfUnreachable()).isZero();
        assertThat(withMustRevalidate.staleWhileRevalidate()).isZero();
    }

    @Test
    void storedErrorHasNoStaleIfErrorWindow() {
        var decision = (Storability.Store) CacheFixtures.storability(CacheFixtures.getRequest(""),
                new ResponseHead(503, CacheFixtures.headerFields("Cache-Control: max-age=5, stale-if-error=60")),
                CachePolicy.DEFAULT);

        assertThat(decision.freshness().staleIfError()).isZero();
        assertThat(decision.freshness().staleIfUnreachable()).isZero();
    }

    @Test
    void softPurgeEndsFreshnessAndKeepsStaleWindows() {
        Freshness freshness = CacheFixtures.freshness("Cache-Control: max-age=60, stale-if-error=30");

        Freshness purged = freshness.staleAsOf(CacheFixtures.secondsLater(10));

        assertThat(purged.isFresh(CacheFixtures.secondsLater(10))).isFalse();
        assertThat(purged.isStaleWithin(purged.staleIfError(), CacheFixtures.secondsLater(40))).isTrue();
        assertThat(purged.isStaleWithin(purged.staleIfError(), CacheFixtures.secondsLater(41))).isFalse();
        assertThat(purged.retention()).isEqualTo(freshness.retention());
        assertThat(freshness.staleAsOf(CacheFixtures.secondsLater(100))).isEqualTo(freshness);
    }
}
