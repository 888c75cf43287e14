package dev.corral.origin;

import io.netty.buffer.PooledByteBufAllocator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(30)
class LeakFreeTest {

    @Test
    void theNetCatchesALeak() {
        LeakFree.watch();
        LeakFree.leaks();

        lose();

        assertThat(LeakFree.leaks()).hasSize(1);
    }

    private static void lose() {
        PooledByteBufAllocator.DEFAULT.buffer(16).writeByte(1);
    }
}
