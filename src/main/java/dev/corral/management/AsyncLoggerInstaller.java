package dev.corral.management;

import ch.qos.logback.classic.AsyncAppender;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.Appender;
import java.util.Iterator;
import org.slf4j.LoggerFactory;

/**
 * Makes one logger asynchronous: a separate thread writes its lines, because its callers are event loops and a console or a disk
 * may be slow.
 */
public final class AsyncLoggerInstaller {

    /** In lines of some hundred bytes. When the queue is full, lines are dropped: a log line is worth less than a request. */
    private static final int QUEUE_SIZE = 8_192;

    private AsyncLoggerInstaller() {}

    /**
     * Puts a bounded queue between the logger and the root logger's appenders. A logger with its own appenders, from a Logback
     * configuration, is not changed.
     */
    public static void install(String name) {
        if (!(LoggerFactory.getILoggerFactory() instanceof LoggerContext context)) {
            return;
        }
        Logger logger = context.getLogger(name);
        if (logger.iteratorForAppenders().hasNext()) {
            return;
        }
        // An AsyncAppender takes one appender only.
        rootAppenders(context)
                .forEachRemaining(appender -> logger.addAppender(newAsyncAppender(name, appender, context)));
        logger.setAdditive(false);
    }

    private static AsyncAppender newAsyncAppender(String name, Appender<ILoggingEvent> appender,
            LoggerContext context) {
        var queue = new AsyncAppender();
        queue.setContext(context);
        queue.setName(name + ":" + appender.getName());
        queue.setQueueSize(QUEUE_SIZE);
        // No level is preferred when the queue is nearly full: all lines of this logger have the same level.
        queue.setDiscardingThreshold(0);
        queue.setNeverBlock(true);
        queue.addAppender(appender);
        queue.start();
        return queue;
    }

    private static Iterator<Appender<ILoggingEvent>> rootAppenders(LoggerContext context) {
        return context.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME).iteratorForAppenders();
    }
}
