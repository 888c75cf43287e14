package dev.corral.testkit;

import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import reactor.blockhound.BlockingOperationError;
import reactor.core.scheduler.Schedulers;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Named.named;

/** BlockHound is active in this JVM, on this JDK. The build runs this test with Surefire and with Failsafe. */
class BlockHoundTest {

    static Stream<Named<Callable<?>>> blockingCalls() {
        return Stream.of(
                named("sleep", BlockHoundTest::sleep),
                named("park", () -> new CountDownLatch(1).await(1, TimeUnit.MILLISECONDS)),
                named("wait", BlockHoundTest::waitOnAMonitor),
                named("read", BlockHoundTest::readAFile),
                named("fork", () -> new ProcessBuilder(javaCommand(), "-version").start()));
    }

    @ParameterizedTest
    @MethodSource("blockingCalls")
    void blockingCallOnReactorThreadIsRejected(Callable<?> call) {
        assertThatThrownBy(() -> onReactorThread(call)).hasRootCauseInstanceOf(BlockingOperationError.class);
        assertThat(EventLoopGuard.drain()).hasSize(1);
    }

    /** The event loops of Reactor Netty, Lettuce and Redisson are created by this factory or a subclass. */
    @ParameterizedTest
    @MethodSource("blockingCalls")
    void blockingCallOnNettyThreadIsRejected(Callable<?> call) {
        var factory = new DefaultThreadFactory("event-loop", true);

        assertThatThrownBy(() -> onThreadOf(factory, call)).hasRootCauseInstanceOf(BlockingOperationError.class);
        assertThat(EventLoopGuard.drain()).hasSize(1);
    }

    @ParameterizedTest
    @MethodSource("blockingCalls")
    void blockingCallOnOrdinaryThreadIsAllowed(Callable<?> call) {
        assertThatCode(() -> onThreadOf(Thread.ofPlatform().factory(), call)).doesNotThrowAnyException();
    }

    @Test
    void aCallWhoseErrorIsSwallowedStillFailsTheTestAndIsNamed() throws Exception {
        onReactorThread(() -> {
            try {
                return sleep();
            } catch (BlockingOperationError swallowed) {
                return 0;
            }
        });

        assertThatThrownBy(EventLoopGuard::failOnBlockingCalls)
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("1 blocking call")
                .hasMessageContaining("parallel-")
                .hasMessageContaining("Thread.sleep")
                .hasMessageContaining("at dev.corral.testkit.BlockHoundTest.sleep(BlockHoundTest.java:");
    }

    private static int sleep() throws InterruptedException {
        Thread.sleep(1);
        return 0;
    }

    @SuppressWarnings("WaitNotInLoop")
    private static int waitOnAMonitor() throws InterruptedException {
        var monitor = new Object();
        synchronized (monitor) {
            monitor.wait(1);
        }
        return 0;
    }

    private static int readAFile() throws IOException {
        try (var file = new FileInputStream(javaCommand())) {
            return file.read();
        }
    }

    private static String javaCommand() {
        return Path.of(System.getProperty("java.home"), "bin", "java").toString();
    }

    private static void onReactorThread(Callable<?> call) throws Exception {
        var task = new FutureTask<>(call);
        Schedulers.parallel().schedule(task);
        task.get();
    }

    private static void onThreadOf(ThreadFactory threads, Callable<?> call) throws Exception {
        var task = new FutureTask<>(call);
        threads.newThread(task).start();
        task.get();
    }
}
