package dev.corral.cache;

import java.time.Duration;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

class CachePolicyTest {

    @Test
    void invalidPolicyIsRejected() {
        assertThatThrownBy(() -> CachePolicy.builder().maxTtl(Duration.ZERO).build())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("PT0S");
        assertThatThrownBy(() -> CachePolicy.builder().staleIfError(Duration.ofSeconds(-1)).build())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("stale-if-error");
        assertThatThrownBy(() -> CachePolicy.builder().earlyRefreshBeta(Double.NaN).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(CachePolicy.builder().build()).isEqualTo(CachePolicy.DEFAULT);
    }
}
