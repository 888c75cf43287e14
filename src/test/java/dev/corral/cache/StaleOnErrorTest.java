package dev.corral.cache;

import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** The back-off of a failing origin. */
class StaleOnErrorTest {

    @ParameterizedTest(name = "after {0} earlier failures: {1} s")
    @CsvSource({"0,1", "1,2", "2,4", "3,8", "4,16", "5,30", "6,30", "62,30", "63,30", "1000000,30"})
    void backoffDoublesUpToThirtySeconds(int previousFailures, long seconds) {
        var failure = new FailedFill(CacheFixtures.KEY, "origin-unreachable", 502, Optional.empty(), Optional.empty(),
                1);

        var staleOnError = StaleOnError.afterFailure(CacheFixtures.storedResponse("Cache-Control: max-age=0"),
                previousFailures,
                failure, false, CacheFixtures.NOW);

        assertThat(staleOnError.failureCount()).isEqualTo(previousFailures + 1);
        assertThat(Duration.between(CacheFixtures.NOW, staleOnError.retryAt())).isEqualTo(Duration.ofSeconds(seconds));
        assertThat(staleOnError.isBackedOff(staleOnError.retryAt().minusMillis(1))).isTrue();
        assertThat(staleOnError.isBackedOff(staleOnError.retryAt())).isFalse();
    }
}
