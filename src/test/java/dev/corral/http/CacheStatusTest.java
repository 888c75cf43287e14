package dev.corral.http;

import dev.corral.cache.CacheFixtures;
import java.time.Duration;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class CacheStatusTest {

    @Test
    void cacheStatusIsFormattedAsRfc9211() {
        assertThat(CacheStatus.hit().withTtl(Duration.ofSeconds(30)).value()).isEqualTo("Corral; hit; ttl=30");
        assertThat(CacheStatus.hit().withTtl(Duration.ofMillis(-1_500)).value()).isEqualTo("Corral; hit; ttl=-2");
        assertThat(CacheStatus.forwarded(CacheStatus.ForwardReason.URI_MISS)
                .withForwardStatus(200)
                .withStored()
                .withCollapsed()
                .value())
                .isEqualTo("Corral; fwd=uri-miss; fwd-status=200; stored; collapsed");
        assertThat(CacheStatus.forwarded(CacheStatus.ForwardReason.BYPASS).withDetail("set-cookie").value())
                .isEqualTo("Corral; fwd=bypass; detail=set-cookie");
        assertThat(CacheStatus.forwarded(CacheStatus.ForwardReason.STALE).withDetail("1 \"odd\"\u00e4").value())
                .isEqualTo("Corral; fwd=stale; detail=\"1 \\\"odd\\\"?\"");
    }

    @Test
    void cacheStatusMemberIsAppendedLast() {
        HeaderFields fields = CacheStatus.hit()
                .appendTo(CacheFixtures.headerFields("Cache-Status: Far; hit, Mid; fwd=miss | A: 1"));

        assertThat(fields.combinedValue("Cache-Status")).contains("Far; hit, Mid; fwd=miss, Corral; hit");
    }
}
