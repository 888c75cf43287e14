package dev.corral.testkit;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.LoggerFactory;

/** Captures the audit log. Create it after the replica, whose start resets the logging system. */
public final class AuditLogCapture implements AutoCloseable {

    private final Logger logger = (Logger) LoggerFactory.getLogger("corral.audit");
    private final ListAppender<ILoggingEvent> lines = new ListAppender<>();

    public AuditLogCapture() {
        lines.setContext(logger.getLoggerContext());
        lines.start();
        logger.addAppender(lines);
        // The test configuration logs less than the default.
        logger.setLevel(Level.INFO);
    }

    public List<String> lines() {
        return new ArrayList<>(lines.list).stream().map(ILoggingEvent::getFormattedMessage).toList();
    }

    @Override
    public void close() {
        logger.detachAppender(lines);
        logger.setLevel(null);
    }
}
