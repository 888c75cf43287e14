package dev.corral.proxy;

import dev.corral.cache.Entry;
import dev.corral.cache.EntryCodec;
import dev.corral.cache.OtherReleaseEncoding;
import dev.corral.redis.ValueCodec;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.springframework.boot.test.context.TestConfiguration;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Primary;

import static org.assertj.core.api.Assertions.assertThat;

/** Replicas whose releases write entries differently share one cache: no request to the origin is due to the difference. */
@ProxyTest
class RollingUpgradeTest {

    /** A release that writes fields this one does not know. */
    @TestConfiguration(proxyBeanMethods = false)
    static class NewerReleaseConfiguration {

        @Bean
        @Primary
        ValueCodec<Entry> newerCodec() {
            return new ValueCodec<>() {
                @Override
                public byte[] encode(Entry entry) {
                    return OtherReleaseEncoding.asNewerRelease(EntryCodec.encode(entry));
                }

                @Override
                public Optional<Entry> decode(ByteBuffer bytes) {
                    return EntryCodec.decode(bytes);
                }
            };
        }
    }

    /** A release that does not write the fields that came later. */
    @TestConfiguration(proxyBeanMethods = false)
    static class OlderReleaseConfiguration {

        @Bean
        @Primary
        ValueCodec<Entry> olderCodec() {
            return new ValueCodec<>() {
                @Override
                public byte[] encode(Entry entry) {
                    return OtherReleaseEncoding.asOlderRelease(EntryCodec.encode(entry));
                }

                @Override
                public Optional<Entry> decode(ByteBuffer bytes) {
                    return EntryCodec.decode(bytes);
                }
            };
        }
    }

    private final FleetUnderTest fleet;

    RollingUpgradeTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @Test
    void replicasOfThreeReleasesFetchAKeyOnce() throws Exception {
        try (ReplicaUnderTest newer = fleet.startExtra("newer", NewerReleaseConfiguration.class);
                ReplicaUnderTest older = fleet.startExtra("older", OlderReleaseConfiguration.class)) {
            List<ReplicaUnderTest> releases = List.of(fleet.a, newer, older);
            for (ReplicaUnderTest writer : releases) {
                String path = fleet.uniquePath("upgrade");
                fleet.origin.on(path,
                        exchange -> exchange.respond(200, "x", "Vary", "Accept-Language", "Cache-Control",
                                "max-age=600"));

                assertThat(writer.getAndStore(path, "Accept-Language", "en").text()).isEqualTo("x");

                for (int round = 0; round < 3; round++) {
                    for (ReplicaUnderTest reader : releases) {
                        assertThat(reader.get(path, "Accept-Language", "en").isHit()).isTrue();
                    }
                }
                assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
            }
        }
    }
}
