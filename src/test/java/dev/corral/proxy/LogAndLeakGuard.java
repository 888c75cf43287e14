package dev.corral.proxy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.AppenderBase;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.util.ResourceLeakDetector;
import java.lang.ref.WeakReference;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.slf4j.LoggerFactory;

/**
 * Fails the test during which something was logged as a warning or an error (dropped errors among them), and the class in which
 * a Netty buffer was lost, with every buffer watched.
 */
final class LogAndLeakGuard implements BeforeEachCallback, AfterEachCallback, AfterAllCallback {

    private static final String APPENDER_NAME = "quiet";
    private static final Queue<ILoggingEvent> LOGGED = new ConcurrentLinkedQueue<>();
    private static final Queue<String> LEAKED = new ConcurrentLinkedQueue<>();

    private static final class WarningAppender extends AppenderBase<ILoggingEvent> {

        @Override
        protected void append(ILoggingEvent event) {
            if (event.getLevel().isGreaterOrEqual(Level.WARN)) {
                LOGGED.add(event);
            }
        }
    }

    private static final class LeakRecorder implements ResourceLeakDetector.LeakListener {

        @Override
        public void onLeak(String type, String records) {
            LEAKED.add(type + records);
        }
    }

    /** The application's start takes away what listened to the log before. */
    @Override
    public void beforeEach(ExtensionContext context) {
        ResourceLeakDetector.setLevel(ResourceLeakDetector.Level.PARANOID);
        ByteBufUtil.setLeakListener(new LeakRecorder());
        Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
        if (root.getAppender(APPENDER_NAME) == null) {
            var ear = new WarningAppender();
            ear.setName(APPENDER_NAME);
            ear.setContext(root.getLoggerContext());
            ear.start();
            root.addAppender(ear);
        }
    }

    @Override
    public void afterEach(ExtensionContext context) {
        List<String> said = drain(LOGGED).map(LogAndLeakGuard::text).toList();
        if (!said.isEmpty()) {
            throw new AssertionError("the log was not quiet:\n" + String.join("\n", said));
        }
    }

    @Override
    public void afterAll(ExtensionContext context) {
        // Netty learns of a loss from the collector, and tells at the next allocation.
        for (int round = 0; round < 3; round++) {
            collectGarbage();
            for (int i = 0; i < 100; i++) {
                PooledByteBufAllocator.DEFAULT.buffer(16).release();
            }
        }
        List<String> lost = drain(LEAKED).toList();
        if (!lost.isEmpty()) {
            throw new AssertionError(lost.size() + " buffers were lost, the first: " + lost.getFirst());
        }
    }

    /** The warnings and errors so far whose text has this: the test that takes them has expected them. */
    static List<String> takeLogged(String part) {
        List<ILoggingEvent> taken = LOGGED.stream().filter(event -> text(event).contains(part)).toList();
        LOGGED.removeAll(taken);
        return taken.stream().map(LogAndLeakGuard::text).toList();
    }

    private static <T> Stream<T> drain(Queue<T> queue) {
        return Stream.generate(queue::poll).takeWhile(one -> one != null);
    }

    private static String text(ILoggingEvent event) {
        String said = event.getLevel() + " " + event.getLoggerName() + " " + event.getFormattedMessage();
        return event.getThrowableProxy() == null
                ? said
                : said + "\n" + ThrowableProxyUtil.asString(event.getThrowableProxy());
    }

    private static void collectGarbage() {
        var canary = new WeakReference<>(new Object());
        while (canary.get() != null) {
            System.gc();
        }
    }
}
