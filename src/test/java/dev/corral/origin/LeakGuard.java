package dev.corral.origin;

import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.util.ResourceLeakDetector;
import io.netty.util.ResourceLeakDetector.LeakListener;
import java.lang.ref.ReferenceQueue;
import java.lang.ref.WeakReference;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

import static org.assertj.core.api.Assertions.assertThat;

/** Fails a test class that leaks a Netty buffer. Leak detection runs at the paranoid level: every buffer is tracked. */
final class LeakGuard implements BeforeAllCallback, AfterAllCallback {

    private static final List<String> LEAKS = new CopyOnWriteArrayList<>();

    private static final LeakListener LISTENER = new LeakListener() {
        @Override
        public void onLeak(String resourceType, String records) {
            LEAKS.add(resourceType + records);
        }
    };

    @Override
    public void beforeAll(ExtensionContext context) {
        enable();
    }

    @Override
    public void afterAll(ExtensionContext context) {
        List<String> leaks = detectedLeaks();
        if (!leaks.isEmpty()) {
            throw new AssertionError(leaks.size() + " buffers leaked, the first: " + leaks.getFirst());
        }
    }

    static void enable() {
        ResourceLeakDetector.setLevel(ResourceLeakDetector.Level.PARANOID);
        ByteBufUtil.setLeakListener(LISTENER);
    }

    /** The leaks since the last call. Netty detects a leak through the garbage collector and reports it at the next allocation. */
    static List<String> detectedLeaks() {
        collectGarbage();
        collectGarbage();
        for (int i = 0; i < 100; i++) {
            PooledByteBufAllocator.DEFAULT.buffer(16).release();
        }
        List<String> leaks = List.copyOf(LEAKS);
        LEAKS.clear();
        return leaks;
    }

    /** Runs the collector and waits until one reference is enqueued; objects that died before it are then enqueued too. */
    private static void collectGarbage() {
        var queue = new ReferenceQueue<Object>();
        var canary = new WeakReference<>(new Object(), queue);
        System.gc();
        try {
            assertThat(queue.remove(10_000)).as("the collector ran").isSameAs(canary);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }
}
