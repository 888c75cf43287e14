package dev.corral.origin;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(30)
class OriginAddressSelectorTest {

    private static final SocketAddress ONE = InetSocketAddress.createUnresolved("one", 80);
    private static final SocketAddress TWO = InetSocketAddress.createUnresolved("two", 80);
    private static final SocketAddress THREE = InetSocketAddress.createUnresolved("three", 80);
    private static final List<SocketAddress> ALL = List.of(ONE, TWO, THREE);

    private final AtomicLong now = new AtomicLong(Long.MAX_VALUE - 5);
    private final OriginAddressSelector addresses = new OriginAddressSelector(Duration.ofSeconds(2), now::get);

    private void advance(Duration time) {
        now.addAndGet(time.toNanos());
    }

    @Test
    void failedAddressIsTriedLastUntilReached() {
        assertThat(addresses.order(ALL)).containsExactly(ONE, TWO, THREE);

        addresses.onConnectFailed(ONE);
        assertThat(addresses.order(ALL)).containsExactly(TWO, THREE, ONE);
        addresses.onConnectFailed(TWO);
        assertThat(addresses.order(ALL)).containsExactly(THREE, ONE, TWO);

        addresses.onConnected(ONE);
        assertThat(addresses.order(ALL)).containsExactly(ONE, THREE, TWO);
    }

    @Test
    void failedAddressIsRetriedOnceAfterTheBackoff() {
        addresses.onConnectFailed(ONE);
        advance(Duration.ofMillis(9_999));
        assertThat(addresses.order(ALL)).containsExactly(TWO, THREE, ONE);

        advance(Duration.ofMillis(2));
        assertThat(addresses.order(ALL)).containsExactly(ONE, TWO, THREE);
        assertThat(addresses.order(ALL)).containsExactly(TWO, THREE, ONE);
    }

    @Test
    void allAddressesAreTriedWhenAllHaveFailed() {
        ALL.forEach(addresses::onConnectFailed);

        assertThat(addresses.order(ALL)).containsExactly(ONE, TWO, THREE);
    }

    @Test
    void connectTimeoutIsDividedAmongAddresses() {
        assertThat(addresses.connectTimeoutMillis()).isEqualTo(2_000);
        addresses.order(List.of(ONE));
        assertThat(addresses.connectTimeoutMillis()).isEqualTo(2_000);
        addresses.order(ALL);
        assertThat(addresses.connectTimeoutMillis()).isEqualTo(666);
        addresses.order(List.of(ONE, TWO, THREE, ONE, TWO, THREE));
        assertThat(addresses.connectTimeoutMillis()).isEqualTo(500);
    }

    @Test
    void shortConnectTimeoutIsNotExceeded() {
        var hasty = new OriginAddressSelector(Duration.ofMillis(150), now::get);
        hasty.order(ALL);

        assertThat(hasty.connectTimeoutMillis()).isEqualTo(150);
    }

    @Test
    void rememberedFailuresAreBounded() {
        for (int i = 0; i < 100_000; i++) {
            addresses.onConnectFailed(InetSocketAddress.createUnresolved("n" + i, 80));
        }
        addresses.onConnectFailed(ONE);
        assertThat(addresses.order(ALL)).containsExactly(TWO, THREE, ONE);
    }
}
