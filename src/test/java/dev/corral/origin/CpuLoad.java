package dev.corral.origin;

import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;

/** Keeps every processor busy, so that assertions are checked on an overloaded machine. */
final class CpuLoad {

    private CpuLoad() {}

    /** The result of the computation, so that it is not optimized away. */
    static <T> T during(Callable<T> work) throws Exception {
        var over = new AtomicBoolean();
        for (int i = 0; i < Runtime.getRuntime().availableProcessors(); i++) {
            Thread.ofPlatform().daemon().start(() -> {
                while (!over.get()) {
                    Thread.onSpinWait();
                }
            });
        }
        try {
            return work.call();
        } finally {
            over.set(true);
        }
    }
}
