package dev.corral.http;

import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

/** How long a failing origin is left alone. */
class AilingTest {

    @ParameterizedTest(name = "after {0} failures before: {1} s")
    @CsvSource({"0,1", "1,2", "2,4", "3,8", "4,16", "5,30", "6,30", "62,30", "63,30", "1000000,30"})
    void thePauseDoublesUpToItsMost(int before, long seconds) {
        var failure = new Failure(Given.KEY, "origin-unreachable", 502, Optional.empty(), Optional.empty(), 1);

        var ailing = Ailing.after(Given.stored("Cache-Control: max-age=0"), before, failure, false, Given.NOW);

        assertThat(ailing.failures()).isEqualTo(before + 1);
        assertThat(Duration.between(Given.NOW, ailing.until())).isEqualTo(Duration.ofSeconds(seconds));
        assertThat(ailing.resting(ailing.until().minusMillis(1))).isTrue();
        assertThat(ailing.resting(ailing.until())).isFalse();
    }
}
