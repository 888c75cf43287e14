package dev.corral.proxy;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.corral.CorralApplication;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.proxy.observe.Slf4jAccessLog;
import dev.corral.purge.PurgeRegistry;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;
import org.springframework.boot.builder.SpringApplicationBuilder;

import static org.assertj.core.api.Assertions.assertThat;

/** What the access log says of a request, and what it never says. */
@Timeout(60)
class AccessLogTest {

    /** A list that threads share. */
    private static final class RecordedLines extends ListAppender<ILoggingEvent> {

        @Override
        protected synchronized void append(ILoggingEvent event) {
            super.append(event);
        }

        synchronized List<ILoggingEvent> all() {
            return List.copyOf(list);
        }

        synchronized void clear() {
            list.clear();
        }
    }

    private static final OriginStub origin = new OriginStub();
    private static final EmbeddedRedis redis = RedisServer.embedded();
    private static final RecordedLines lines = new RecordedLines();
    private static ReplicaUnderTest replica;

    @BeforeAll
    static void start() {
        var arguments = new ArrayList<String>();
        redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.access-log=true",
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s",
                "--logging.level.corral.access=info",
                "--corral.routes[0].id=t", "--corral.routes[0].path=/t/**", "--corral.routes[0].max-body=1KB",
                "--corral.routes[0].origin=" + origin.url()));
        var run = new SpringApplicationBuilder(CorralApplication.class).run(arguments.toArray(String[]::new));
        ReplicaUnderTest.eventually(() -> run.getBean(PurgeRegistry.class).isUpToDate());
        replica = new ReplicaUnderTest(run,
                run.getEnvironment().getRequiredProperty("local.server.port", Integer.class));
        Logger logger = (Logger) LoggerFactory.getLogger(Slf4jAccessLog.LOGGER_NAME);
        lines.setContext(logger.getLoggerContext());
        lines.start();
        logger.detachAndStopAllAppenders();
        logger.addAppender(lines);
    }

    @AfterAll
    static void stop() {
        Logger logger = (Logger) LoggerFactory.getLogger(Slf4jAccessLog.LOGGER_NAME);
        logger.detachAndStopAllAppenders();
        logger.setAdditive(true);
        logger.setLevel(null);
        replica.close();
        redis.close();
        origin.close();
    }

    @BeforeEach
    void clearLines() {
        lines.clear();
    }

    @Test
    void accessLogLineDescribesTheRequest() throws IOException {
        origin.on("/t/page", 200, "0123456789", "Cache-Control", "max-age=60");
        replica.getAndStore("/t/page");
        clearLines();

        replica.get("/t/page");

        Map<String, Object> line = singleLine();
        assertThat(line).containsEntry("method", "GET")
                .containsEntry("path", "/t/page")
                .containsEntry("status", 200)
                .containsEntry("bytes", 10L)
                .containsEntry("route", "t")
                .containsEntry("outcome", "hit")
                .containsEntry("peer", "127.0.0.1");
        assertThat(line.get("cache-status")).asString().startsWith("Corral; hit; ttl=");
        assertThat(line.get("milliseconds")).asInstanceOf(InstanceOfAssertFactories.DOUBLE).isBetween(0.0, 15_000.0);
        assertThat(lines.all().getFirst().getFormattedMessage()).matches(
                "127\\.0\\.0\\.1 GET /t/page 200 10 B [0-9.E-]+ ms t hit \\[Corral; hit; ttl=\\d+]");
    }

    @Test
    void queryAndCredentialsAreNotLogged() throws IOException {
        origin.on("/t/secret", 200, "page", "Cache-Control", "max-age=60");

        replica.get("/t/secret?token=hush", "Authorization", "Bearer hush", "Cookie", "session=hush");

        singleLine();
        ILoggingEvent event = lines.all().getFirst();
        assertThat(event.getFormattedMessage() + event.getKeyValuePairs() + event.getMDCPropertyMap())
                .contains("/t/secret")
                .doesNotContain("hush");
    }

    @Test
    void streamedBodyBytesAreLogged() throws IOException {
        origin.on("/t/large", 200, "x".repeat(200_000), "Cache-Control", "max-age=60");

        replica.get("/t/large");

        assertThat(singleLine()).containsEntry("bytes", 200_000L).containsEntry("outcome", "bypass");
    }

    @Test
    void rejectedRequestIsLogged() throws IOException {
        replica.get("/nowhere");

        assertThat(singleLine()).containsEntry("status", 404)
                .containsEntry("route", "none")
                .containsEntry("outcome", "rejected");
    }

    @Test
    void disconnectedClientIsLogged() throws Exception {
        var asked = new CountDownLatch(1);
        var gate = new CountDownLatch(1);
        origin.on("/t/slow", exchange -> {
            asked.countDown();
            gate.await();
            exchange.respond(200, "late");
        });
        try (HttpProbe client = replica.connect()) {
            client.request("GET", "/t/slow");
            asked.await();
        }

        assertThat(singleLine()).containsEntry("outcome", "client_closed")
                .containsEntry("status", 0)
                .containsEntry("bytes", 0L);
        gate.countDown();
        replica.awaitNoFlights();
    }

    /** Percent-encoded it stays; raw, a server that took it would have it written out. */
    @ParameterizedTest
    @ValueSource(strings = {"/t/a%0d%0aINFO%20forged", "/t/a%1b[31mred", "/t/\u001b[31mred", "/t/a\u0085forged"})
    void requestCannotForgeALogLine(String target) throws IOException {
        try (HttpProbe client = replica.connect()) {
            client.send("GET " + target + " HTTP/1.1\r\nHost: client.example\r\nConnection: close\r\n\r\n");
            client.readUntilClosed();
        }

        // What is no URI is answered by the server, before there is a request.
        replica.get("/nowhere");
        ReplicaUnderTest.eventually(
                () -> lines.all().stream().anyMatch(event -> event.getFormattedMessage().contains("/nowhere")));
        assertThat(lines.all()).hasSizeLessThanOrEqualTo(2)
                .allSatisfy(event -> assertThat(
                        event.getFormattedMessage() + event.getKeyValuePairs())
                        .doesNotContainPattern("\\p{Cntrl}|\u0085"));
    }

    @Test
    void controlCharactersAreEscaped() {
        assertThat(Slf4jAccessLog.escapeControls("/a b\u00e9\"")).isEqualTo("/a b\u00e9\"");
        assertThat(Slf4jAccessLog.escapeControls("a\r\nb\tc\u0000")).isEqualTo("a\\u000d\\u000ab\\u0009c\\u0000");
        assertThat(Slf4jAccessLog.escapeControls("\u001b[31m\u007f\u0085")).isEqualTo("\\u001b[31m\\u007f\\u0085");
        assertThat(Slf4jAccessLog.escapeControls("\u2028\u2029\u202e")).isEqualTo("\\u2028\\u2029\\u202e");
    }

    private static Map<String, Object> singleLine() {
        ReplicaUnderTest.eventually(() -> !lines.all().isEmpty());
        assertThat(lines.all()).hasSize(1);
        var values = new TreeMap<String, Object>();
        lines.all().getFirst().getKeyValuePairs().forEach(pair -> values.put(pair.key, pair.value));
        return values;
    }
}
