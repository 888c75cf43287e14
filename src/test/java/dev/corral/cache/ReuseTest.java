package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.RequestHead;
import java.time.Duration;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class ReuseTest {

    private static String decide(String request, String response, long secondsAfter) {
        return decide(request, response, secondsAfter, CachePolicy.DEFAULT);
    }

    private static String decide(String request, String response, long secondsAfter, CachePolicy policy) {
        StoredResponse stored = CacheFixtures.storedResponse("", "Cache-Control: " + response, policy, "");
        return switch (Reuse.decide(CacheFixtures.getRequest(request), stored, policy,
                CacheFixtures.secondsLater(secondsAfter))) {
            case Reuse.Serve(boolean stale) -> stale ? "stale" : "serve";
            case Reuse.ServeAndRefresh(boolean stale) -> stale ? "stale+refresh" : "refresh";
            case Reuse.Validate(Reuse.StaleFallback fallback) -> "validate"
                    + (fallback.allowedOnError() ? "+error" : "")
                    + (fallback.allowedWhenUnreachable() ? "+unreachable" : "");
            case Reuse.Unsatisfiable ignored -> "refuse";
        };
    }

    @ParameterizedTest(name = "{1} secondsAfter {2} s, request {0}: {3} ({4})")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            // The lifetime, and one second more.
            "``                                       | max-age=60                            | 59  | serve                      | 4.2",
            "``                                       | max-age=60                            | 60  | validate+unreachable       | 4.2",
            "``                                       | max-age=60                            | 660 | validate+unreachable       | 4.2.4: ten minutes",
            "``                                       | max-age=60                            | 661 | validate                   | 4.2.4: ten minutes",
            "``                                       | max-age=60, must-revalidate           | 60  | validate                   | 5.2.2.2",
            "``                                       | max-age=60, proxy-revalidate          | 60  | validate                   | 5.2.2.8",
            "``                                       | max-age=60, no-cache                  | 1   | validate                   | 5.2.2.4",
            "``                                       | s-maxage=60                           | 60  | validate                   | 5.2.2.10",
            "``                                       | s-maxage=60, stale-while-revalidate=9 | 60  | validate                   | 5.2.2.10",
            // Stale windows.
            "``                                       | max-age=60, stale-while-revalidate=9  | 60  | stale+refresh              | 5861 3",
            "``                                       | max-age=60, stale-while-revalidate=9  | 69  | stale+refresh              | 5861 3",
            "``                                       | max-age=60, stale-while-revalidate=9  | 70  | validate+unreachable       | 5861 3",
            "``                                       | max-age=60, stale-while-revalidate=0  | 60  | validate+unreachable       | 5861 3",
            "``                                       | max-age=60, stale-if-error=9          | 69  | validate+error+unreachable | 5861 4",
            "``                                       | max-age=60, stale-if-error=9          | 70  | validate+unreachable       | 5861 4",
            "``                                       | max-age=60, stale-if-error=900        | 960 | validate+error+unreachable | 5861 4",
            "``                                       | max-age=60, stale-if-error=900        | 961 | validate                   | 5861 4",
            // Request directives.
            "Cache-Control: no-cache                  | max-age=60                            | 1   | validate+error+unreachable | 5.2.1.4",
            "Cache-Control: no-cache                  | max-age=60, immutable                 | 1   | validate+error+unreachable | 8246 2: a forced reload",
            "Cache-Control: no-cache                  | max-age=60, must-revalidate           | 1   | validate+error+unreachable | 5.2.1.4: still fresh",
            "Pragma: no-cache                         | max-age=60                            | 1   | validate+error+unreachable | 5.4",
            "Pragma: no-cache^Cache-Control: x        | max-age=60                            | 1   | serve                      | 5.4",
            "Cache-Control: no-store                  | max-age=60                            | 1   | serve                      | 5.2.1.5",
            "Cache-Control: unheard-of                | max-age=60                            | 1   | serve                      | 5.2.3",
            "Cache-Control: max-age=10                | max-age=60                            | 10  | serve                      | 5.2.1.1",
            "Cache-Control: max-age=10                | max-age=60                            | 11  | validate+error+unreachable | 5.2.1.1",
            "Cache-Control: max-age=0                 | max-age=60, immutable                 | 11  | serve                      | 8246 2",
            "Cache-Control: max-age=0                 | max-age=60, immutable                 | 60  | validate+unreachable       | 8246 2",
            "Cache-Control: max-age=99                | max-age=60, stale-while-revalidate=9  | 61  | validate+unreachable       | 5.2.1.1: no stale response",
            "Cache-Control: min-fresh=20              | max-age=60                            | 40  | serve                      | 5.2.1.3",
            "Cache-Control: min-fresh=20              | max-age=60                            | 41  | validate+error+unreachable | 5.2.1.3",
            "Cache-Control: max-stale=20              | max-age=60                            | 80  | stale                      | 5.2.1.2",
            "Cache-Control: max-stale=20              | max-age=60                            | 81  | validate+unreachable       | 5.2.1.2",
            "Cache-Control: max-stale=5               | max-age=60, stale-while-revalidate=99 | 66  | validate+unreachable       | 5.2.1.2",
            "Cache-Control: max-stale                 | max-age=60                            | 600 | stale                      | 5.2.1.2",
            "Cache-Control: max-stale                 | max-age=60, must-revalidate           | 61  | validate                   | 5.2.2.2",
            "Cache-Control: max-stale                 | s-maxage=60                           | 61  | validate                   | 5.2.2.10",
            "Cache-Control: max-stale                 | no-cache                              | 1   | validate                   | 5.2.2.4",
            "Cache-Control: max-stale, max-age=10     | max-age=60                            | 11  | validate+error+unreachable | 5.2.1.1",
            "Cache-Control: only-if-cached            | max-age=60                            | 1   | serve                      | 5.2.1.7",
            "Cache-Control: only-if-cached            | max-age=60                            | 60  | refuse                     | 5.2.1.7",
            "Cache-Control: only-if-cached            | max-age=60, stale-while-revalidate=9  | 61  | refuse                     | 5.2.1.7",
            "Cache-Control: only-if-cached, max-stale | max-age=60                            | 61  | stale                      | 5.2.1.7",
            "Cache-Control: stale-if-error=9          | max-age=60                            | 69  | validate+error+unreachable | 5861 4",
            "Cache-Control: stale-if-error=9          | max-age=60                            | 70  | validate+unreachable       | 5861 4",
            "Cache-Control: stale-if-error=9          | max-age=60, must-revalidate           | 61  | validate                   | 5.2.2.2",
    })
    void reuseFollowsResponseAndRequestDirectives(String request, String response, long secondsAfter, String decision,
            String section) {
        assertThat(decide(request.replace("^", " | "), response, secondsAfter)).isEqualTo(decision);
    }

    @Test
    void clientReloadIsIgnoredWhenRouteDoesNotHonorIt() {
        CachePolicy policy = CachePolicy.builder().honorClientDirectives(false).build();

        for (String reload : new String[]{"Cache-Control: no-cache", "Cache-Control: max-age=0",
                "Cache-Control: min-fresh=99", "Pragma: no-cache"}) {
            assertThat(decide(reload, "max-age=60", 10, policy)).isEqualTo("serve");
        }
        assertThat(decide("Cache-Control: max-stale=9", "max-age=60", 69, policy)).isEqualTo("stale");
    }

    @Test
    void earlyRefreshIsLikelierNearExpiryAndAfterSlowFetches() {
        CachePolicy policy = CachePolicy.builder().earlyRefreshBeta(1.0).build();
        RequestHead get = CacheFixtures.getRequest("");
        var decision = (Storability.Store) Storability.decide(get,
                CacheFixtures.okResponse("Cache-Control: max-age=60"),
                policy, CacheFixtures.secondsLater(-2),
                CacheFixtures.NOW);
        StoredResponse stored = StoredResponse.of(CacheFixtures.KEY, get, decision, policy, 1, Body.EMPTY);

        // The fetch took 2 s, which is also the initial age, so the response expires in 58 s. Refresh if -2 * ln(r) >= ttl.
        assertThat(Reuse.decide(get, stored, policy, CacheFixtures.secondsLater(57), Math.exp(-0.49)))
                .isInstanceOf(Reuse.Serve.class);
        assertThat(Reuse.decide(get, stored, policy, CacheFixtures.secondsLater(57), Math.exp(-0.51)))
                .isEqualTo(new Reuse.ServeAndRefresh(false));
        assertThat(stored.freshness().age(CacheFixtures.secondsLater(57))).isEqualTo(Duration.ofSeconds(59));
        assertThat(Reuse.decide(get, stored, policy, CacheFixtures.secondsLater(48), Math.exp(-0.51)))
                .isInstanceOf(Reuse.Serve.class);
        assertThat(Reuse.decide(get, stored, policy, CacheFixtures.secondsLater(57))).isInstanceOf(Reuse.Serve.class);
        assertThat(Reuse.decide(get, stored, CachePolicy.DEFAULT, CacheFixtures.secondsLater(57), 1e-9))
                .isInstanceOf(Reuse.Serve.class);
        assertThat(Reuse.decide(CacheFixtures.getRequest("Cache-Control: only-if-cached"), stored, policy,
                CacheFixtures.secondsLater(57), 1e-9))
                .isInstanceOf(Reuse.Serve.class);
    }

    @ParameterizedTest(name = "{1} for a waiter with {0}: {2}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "``                          | max-age=60          | true",
            "``                          | max-age=0           | true",
            "``                          | no-cache            | true",
            "Cache-Control: no-cache     | max-age=60          | true",
            "Cache-Control: max-age=0    | max-age=0           | true",
            "Cache-Control: no-store     | max-age=0           | true",
            "Cookie: a=b                 | max-age=60          | true",
            "Cookie: a=b                 | max-age=0           | false",
            "Cookie: a=b                 | no-cache            | false",
            "Cookie: a=b                 | no-cache, max-age=9 | false",
            "Cookie: a=b                 | no-cache, public    | true",
            "Authorization: x            | max-age=60          | true",
            "Authorization: x            | max-age=0           | false",
            "Authorization: x            | s-maxage=0          | false",
            "Authorization: x            | max-age=0, public   | true",
    })
    void waiterSharesResponseUnlessItIsForASession(String request, String response, boolean shared) {
        assertThat(Reuse.maySatisfyWaiter(CacheFixtures.getRequest(request),
                CacheFixtures.storedResponse("Cache-Control: " + response),
                CachePolicy.DEFAULT, CacheFixtures.secondsLater(-1), CacheFixtures.secondsLater(1))).isEqualTo(shared);
    }

    /** RFC 9111 section 4: the response was received before the request. */
    @ParameterizedTest(name = "{0}, {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "``                       | max-age=0",
            "``                       | no-cache",
            "``                       | max-age=0, public",
            "Cache-Control: no-cache  | max-age=60",
    })
    void laterRequestDoesNotShareUnreusableResponse(String request, String response) {
        StoredResponse stored = CacheFixtures.storedResponse("Cache-Control: " + response);
        for (long delayMillis : new long[]{0, Reuse.MAX_CLOCK_DIFFERENCE.toMillis()}) {
            assertThat(Reuse.maySatisfyWaiter(CacheFixtures.getRequest(request), stored, CachePolicy.DEFAULT,
                    CacheFixtures.NOW.plusMillis(delayMillis),
                    CacheFixtures.secondsLater(1))).isTrue();
        }
        assertThat(Reuse.maySatisfyWaiter(CacheFixtures.getRequest(request), stored, CachePolicy.DEFAULT,
                CacheFixtures.NOW.plusMillis(Reuse.MAX_CLOCK_DIFFERENCE.toMillis() + 1), CacheFixtures.secondsLater(1)))
                .isFalse();
    }

    @Test
    void staleIfErrorCoversItsStatusesAndUnknownOnes() {
        assertThat(IntStream.of(500, 502, 503, 504, 520, 599, 999)).allMatch(Reuse::isStaleIfErrorStatus);
        assertThat(IntStream.of(200, 304, 404, 429, 499, 501, 505, 511)).noneMatch(Reuse::isStaleIfErrorStatus);
    }
}
