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
 * Fails the test during which a thread that must not block did: Reactor's parallel and single threads, Reactor Netty's,
 * Lettuce's and Redisson's event loops. Both BlockHound and JUnit find this class by themselves (META-INF/services).
 *
 * <p>
 * BlockHound throws where it happens, but an event loop logs what a handler throws and goes on, and the test may well pass.
 * So each call is kept until the test is over. A call between two tests is held against the next.
 */
public final class EventLoopGuard implements BlockHoundIntegration, AfterEachCallback, AfterAllCallback {

    // A pool that cannot wait for work tries again without end.
    private static final int MAX_RECORDED_CALLS = 20;
    private static final Queue<BlockingOperationError> CALLS = new ConcurrentLinkedQueue<>();

    @Override
    public void applyTo(BlockHound.Builder builder) {
        builder.blockingMethodCallback(EventLoopGuard::report);
        // Redisson's own pool makes its threads by Netty's factory, so they pass for event loops: they may wait for work.
        builder.allowBlockingCallsInside("java.util.concurrent.ThreadPoolExecutor", "getTask");
        // Reactor's timers stand in a queue under a lock that is held for some instructions. It allows itself to put one there, and
        // to take out all but the periodic ones.
        builder.allowBlockingCallsInside("java.util.concurrent.ScheduledThreadPoolExecutor$DelayedWorkQueue", "remove");
        // A Lettuce connection counts its writers under a lock, which it holds for no longer than that.
        builder.allowBlockingCallsInside("io.lettuce.core.protocol.SharedLock", "incrementWriters");
        builder.allowBlockingCallsInside("io.lettuce.core.protocol.SharedLock", "doExclusive");
        // And asks how long its bounded queue is likewise.
        builder.allowBlockingCallsInside("io.lettuce.core.protocol.DefaultEndpoint", "validateWrite");
        // Redisson guards its lists of connections and listeners likewise.
        builder.allowBlockingCallsInside("org.redisson.misc.WrappedLock", "execute");
        // Logback's queue likewise: an event loop puts a line there, and drops it where there is no room.
        builder.allowBlockingCallsInside("ch.qos.logback.core.AsyncAppenderBase", "append");
        // For each new connection to a Sentinel it looks into a map of methods, under a lock that is held for as long as that takes.
        builder.allowBlockingCallsInside("io.lettuce.core.internal.AbstractInvocationHandler$MethodTranslator", "of");
    }

    private static void report(BlockingMethod method) {
        var call = new BlockingOperationError(method);
        if (CALLS.size() < MAX_RECORDED_CALLS) {
            CALLS.add(call);
        }
        throw call;
    }

    /** What blocked since the last time this was asked; the test that asks has dealt with it. */
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
