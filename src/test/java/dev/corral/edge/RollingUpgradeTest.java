package dev.corral.edge;

import dev.corral.http.Entry;
import dev.corral.http.EntryFormat;
import dev.corral.http.OtherRelease;
import dev.corral.tier.Codec;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.springframework.boot.test.context.TestConfiguration;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Primary;

import static org.assertj.core.api.Assertions.assertThat;

/** Replicas whose releases write entries differently share one cache: no request to the origin is due to the difference. */
@EdgeTest
class RollingUpgradeTest {

    /** A release that writes fields this one does not know. */
    @TestConfiguration(proxyBeanMethods = false)
    static class Newer {

        @Bean
        @Primary
        Codec<Entry> newerCodec() {
            return new Codec<>() {
                @Override
                public byte[] encode(Entry entry) {
                    return OtherRelease.newer(EntryFormat.encode(entry));
                }

                @Override
                public Optional<Entry> decode(ByteBuffer bytes) {
                    return EntryFormat.decode(bytes);
                }
            };
        }
    }

    /** A release that does not write the fields that came later. */
    @TestConfiguration(proxyBeanMethods = false)
    static class Older {

        @Bean
        @Primary
        Codec<Entry> olderCodec() {
            return new Codec<>() {
                @Override
                public byte[] encode(Entry entry) {
                    return OtherRelease.older(EntryFormat.encode(entry));
                }

                @Override
                public Optional<Entry> decode(ByteBuffer bytes) {
                    return EntryFormat.decode(bytes);
                }
            };
        }
    }

    private final Fleet fleet;

    RollingUpgradeTest(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void replicasOfThreeReleasesFetchAKeyOnce() throws Exception {
        try (Replica newer = fleet.guest("newer", Newer.class); Replica older = fleet.guest("older", Older.class)) {
            List<Replica> releases = List.of(fleet.a, newer, older);
            for (Replica writer : releases) {
                String path = fleet.path("upgrade");
                fleet.origin.on(path,
                        exchange -> exchange.answer(200, "x", "Vary", "Accept-Language", "Cache-Control",
                                "max-age=600"));

                assertThat(writer.store(path, "Accept-Language", "en").text()).isEqualTo("x");

                for (int round = 0; round < 3; round++) {
                    for (Replica reader : releases) {
                        assertThat(reader.get(path, "Accept-Language", "en").hit()).isTrue();
                    }
                }
                assertThat(fleet.origin.count(path)).isEqualTo(1);
            }
        }
    }
}
