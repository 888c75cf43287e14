package dev.corral.cache;

import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** How long a failing origin is left alone. */
class StaleOnErrorTest {

    @ParameterizedTest(name = "after {0} failures before: {1} s")
    @CsvSource({"0,1", "1,2", "2,4", "3,8", "4,16", "5,30", "6,30", "62,30", "63,30", "1000000,30"})
    void backoffDoublesUpToThirtySeconds(int before, long seconds) {
        var failure = new FailedFill(CacheFixtures.KEY, "origin-unreachable", 502, Optional.empty(), Optional.empty(),
                1);

        var ailing = StaleOnError.afterFailure(CacheFixtures.storedResponse("Cache-Control: max-age=0"), before,
                failure, false, CacheFixtures.NOW);

        assertThat(ailing.failureCount()).isEqualTo(before + 1);
        assertThat(Duration.between(CacheFixtures.NOW, ailing.retryAt())).isEqualTo(Duration.ofSeconds(seconds));
        assertThat(ailing.isBackedOff(ailing.retryAt().minusMillis(1))).isTrue();
        assertThat(ailing.isBackedOff(ailing.retryAt())).isFalse();
    }
}
