package dev.corral.testkit;

import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
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
    private static final Queue<BlockingOperationError> CALLS = new ConcurrentLinkedQueue<>();

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
    }

    private static void report(BlockingMethod method) {
        var call = new BlockingOperationError(method);
        if (CALLS.size() < MAX_RECORDED_CALLS) {
            CALLS.add(call);
        }
        throw call;
    }

    /** Returns the blocking calls since the last call and clears them. */
    static List<BlockingOperationError> drain() {
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
        List<BlockingOperationError> calls = drain();
        if (!calls.isEmpty()) {
            var failure = new AssertionError(calls.size() + " blocking call(s) on threads that must not block");
            calls.forEach(failure::addSuppressed);
            throw failure;
        }
    }
}
