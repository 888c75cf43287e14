package dev.corral.origin;

import io.netty.buffer.PooledByteBufAllocator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(30)
class LeakGuardTest {

    @Test
    void lostBufferIsDetected() {
        LeakGuard.enable();
        LeakGuard.detectedLeaks();

        loseBuffer();

        assertThat(LeakGuard.detectedLeaks()).hasSize(1);
    }

    private static void loseBuffer() {
        PooledByteBufAllocator.DEFAULT.buffer(16).writeByte(1);
    }
}
