package dev.corral.testkit;

import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import reactor.blockhound.BlockHound;
import reactor.blockhound.BlockingMethod;
import reactor.blockhound.BlockingOperationError;
import reactor.blockhound.integration.BlockHoundIntegration;

/**
 * Fails the test during which a non-blocking thread was blocked: Reactor's parallel and single threads, and the event loops of Reactor
 * Netty, Lettuce and Redisson. BlockHound and JUnit find this class through META-INF/services.
 *
 * <p>BlockHound throws at the blocking call, but an event loop logs exceptions of handlers and continues, so the test may still pass.
 * Therefore each call is kept until the end of the test. A call between two tests fails the next one.
 */
public final class EventLoopGuard implements BlockHoundIntegration, AfterEachCallback, AfterAllCallback {

    // Allowed, because a pool whose threads may not wait for work would loop.
    private static final int MAX_RECORDED_CALLS = 20;
    private static final Queue<Call> CALLS = new ConcurrentLinkedQueue<>();

    /** Where a thread blocked. */
    record Call(String thread, BlockingOperationError error) {

        /** All of it: a summary of a build shows the message of a failure and not what it suppresses. */
        @Override
        public String toString() {
            return thread + ": " + error.getMessage() + Stream.of(error.getStackTrace())
                    .map(frame -> "\n\tat " + frame)
                    .collect(Collectors.joining());
        }
    }

    @Override
    public void applyTo(BlockHound.Builder builder) {
        builder.blockingMethodCallback(EventLoopGuard::report);
        // Redisson's pool creates its threads with Netty's factory, so they look like event loops. They may wait for work.
        builder.allowBlockingCallsInside("java.util.concurrent.ThreadPoolExecutor", "getTask");
        // Reactor's timers are in a queue under a briefly held lock. BlockHound's integration allows adding a timer, and removing all but the
        // periodic ones.
        builder.allowBlockingCallsInside("java.util.concurrent.ScheduledThreadPoolExecutor$DelayedWorkQueue", "remove");
        // A Lettuce connection counts its writers under a lock that it holds briefly.
        builder.allowBlockingCallsInside("io.lettuce.core.protocol.SharedLock", "incrementWriters");
        builder.allowBlockingCallsInside("io.lettuce.core.protocol.SharedLock", "doExclusive");
        // It reads the length of its bounded queue in the same way.
        builder.allowBlockingCallsInside("io.lettuce.core.protocol.DefaultEndpoint", "validateWrite");
        // Redisson guards its lists of connections and listeners in the same way.
        builder.allowBlockingCallsInside("org.redisson.misc.WrappedLock", "execute");
        // Logback's queue too: an event loop adds a line, or drops it if the queue is full.
        builder.allowBlockingCallsInside("ch.qos.logback.core.AsyncAppenderBase", "append");
        // For each new Sentinel connection it reads a map of methods under a briefly held lock.
        builder.allowBlockingCallsInside("io.lettuce.core.internal.AbstractInvocationHandler$MethodTranslator", "of");
        // A Cluster's client takes a lock, for some instructions, for each connection to a node that it has opened: each puts itself
        // into the client's table.
        builder.allowBlockingCallsInside(
                "io.lettuce.core.cluster.PooledClusterConnectionProvider$NodeConnectionPostProcessor",
                "lambda$apply$4");
        builder.allowBlockingCallsInside("io.lettuce.core.cluster.PooledClusterConnectionProvider",
                "lambda$getWriteConnection$0");
        // Netty's allocator makes more magazines when threads compete for them, a few times in the life of a JVM, and takes the lock
        // of each old one for that. A thread that holds such a lock takes one buffer out of the magazine; none waits for it.
        builder.allowBlockingCallsInside("io.netty.buffer.AdaptivePoolingAllocator$Magazine", "free");
    }

    private static void report(BlockingMethod method) {
        var call = new BlockingOperationError(method);
        if (CALLS.size() < MAX_RECORDED_CALLS) {
            CALLS.add(new Call(Thread.currentThread().getName(), call));
        }
        throw call;
    }

    /** What blocked since the last time this was asked; the test that asks has dealt with it. */
    static List<Call> drain() {
        return Stream.generate(CALLS::poll).takeWhile(call -> call != null).toList();
    }

    @Override
    public void afterEach(ExtensionContext context) {
        failOnBlockingCalls();
    }

    @Override
    public void afterAll(ExtensionContext context) {
        failOnBlockingCalls();
    }

    static void failOnBlockingCalls() {
        List<Call> calls = drain();
        if (!calls.isEmpty()) {
            throw new AssertionError(calls.size() + " blocking call(s) on threads that must not block\n"
                    + calls.stream().map(Call::toString).collect(Collectors.joining("\n")));
        }
    }
}
