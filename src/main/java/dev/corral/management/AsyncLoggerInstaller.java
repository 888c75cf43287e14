package dev.corral.management;

import ch.qos.logback.classic.AsyncAppender;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.Appender;
import java.util.Iterator;
import org.slf4j.LoggerFactory;

/**
 * Lets one logger's lines be written by a thread of their own: its callers are event loops, and a console or a disk may be slow.
 */
public final class AsyncLoggerInstaller {

    /** Lines that wait at most, some hundred bytes each. What is more is dropped: a line is worth less than a request. */
    private static final int QUEUE_SIZE = 8_192;

    private AsyncLoggerInstaller() {}

    /**
     * Puts a bounded queue between that logger and where all lines go. A logger that has appenders of its own, from a Logback
     * configuration, is left as it is.
     */
    public static void install(String name) {
        if (!(LoggerFactory.getILoggerFactory() instanceof LoggerContext context)) {
            return;
        }
        Logger logger = context.getLogger(name);
        if (logger.iteratorForAppenders().hasNext()) {
            return;
        }
        // A queue takes one appender only.
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
        // All levels alike: the lines are all of one.
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
