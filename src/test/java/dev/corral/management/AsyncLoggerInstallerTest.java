package dev.corral.management;

import ch.qos.logback.classic.AsyncAppender;
import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.Appender;
import ch.qos.logback.core.AppenderBase;
import ch.qos.logback.core.read.ListAppender;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.slf4j.LoggerFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

@Timeout(30)
final class AsyncLoggerInstallerTest {

    private static final String NAME = "test.aside";

    private final Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    private final Logger logger = (Logger) LoggerFactory.getLogger(NAME);

    /** A disk that blocks each write until it is released. */
    private static final class BlockedAppender extends AppenderBase<ILoggingEvent> {

        private final CountDownLatch gate = new CountDownLatch(1);
        private final AtomicInteger written = new AtomicInteger();

        @Override
        protected void append(ILoggingEvent event) {
            if (event.getLoggerName().equals(NAME)) {
                try {
                    gate.await();
                } catch (InterruptedException stopped) {
                    Thread.currentThread().interrupt();
                }
                written.incrementAndGet();
            }
        }
    }

    private final List<Appender<ILoggingEvent>> previousAppenders = appendersOf(root);

    @BeforeEach
    void detachConsole() {
        previousAppenders.forEach(root::detachAppender);
        logger.setLevel(Level.INFO);
    }

    @AfterEach
    void restore() {
        appendersOf(root).forEach(root::detachAppender);
        previousAppenders.forEach(root::addAppender);
        logger.detachAndStopAllAppenders();
        logger.setAdditive(true);
        logger.setLevel(null);
    }

    @Test
    void blockedAppenderDoesNotDelayLogging() throws InterruptedException {
        var stuck = new BlockedAppender();
        start(stuck, "stuck");
        root.addAppender(stuck);
        AsyncLoggerInstaller.install(NAME);

        var writer = Thread.ofPlatform().start(() -> {
            for (int i = 0; i < 20_000; i++) {
                logger.info("line {}", i);
            }
        });

        assertThat(writer.join(Duration.ofSeconds(15))).as("wrote while the disk was stuck").isTrue();
        assertThat(stuck.written).hasValue(0);
        stuck.gate.countDown();
        // The lines in the queue, and the one the writer was writing.
        await().atMost(10, TimeUnit.SECONDS).until(() -> stuck.written.get() >= 8_192);
        assertThat(stuck.written.get()).isLessThan(20_000);
    }

    @Test
    void loggerWithOwnAppendersIsUnchanged() {
        var appender = new ListAppender<ILoggingEvent>();
        start(appender, "own");
        logger.addAppender(appender);

        AsyncLoggerInstaller.install(NAME);

        assertThat(appenders()).containsExactly(appender);
        assertThat(logger.isAdditive()).isTrue();
    }

    @Test
    void installingTwiceWrapsEachAppenderOnce() {
        for (String name : List.of("console", "file")) {
            var appender = new ListAppender<ILoggingEvent>();
            start(appender, name);
            root.addAppender(appender);
        }
        AsyncLoggerInstaller.install(NAME);
        AsyncLoggerInstaller.install(NAME);

        assertThat(appenders()).hasSize(2)
                .allSatisfy(appender -> assertThat(appender).isInstanceOf(AsyncAppender.class));
        assertThat(logger.isAdditive()).isFalse();
    }

    private void start(AppenderBase<ILoggingEvent> appender, String name) {
        appender.setName(name);
        appender.setContext(root.getLoggerContext());
        appender.start();
    }

    private List<Appender<ILoggingEvent>> appenders() {
        return appendersOf(logger);
    }

    private static List<Appender<ILoggingEvent>> appendersOf(Logger logger) {
        var all = new ArrayList<Appender<ILoggingEvent>>();
        logger.iteratorForAppenders().forEachRemaining(all::add);
        return all;
    }
}
