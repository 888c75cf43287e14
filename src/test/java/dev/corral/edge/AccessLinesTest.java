package dev.corral.edge;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.corral.Application;
import dev.corral.coalesce.Purges;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
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
class AccessLinesTest {

    /** A list that threads share. */
    private static final class Lines extends ListAppender<ILoggingEvent> {

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

    private static final StubOrigin origin = new StubOrigin();
    private static final EmbeddedRedis redis = RedisServer.embedded();
    private static final Lines lines = new Lines();
    private static Replica replica;

    @BeforeAll
    static void start() {
        var arguments = new ArrayList<String>();
        redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.access-log=true",
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s",
                "--logging.level.corral.access=info",
                "--corral.routes[0].id=t", "--corral.routes[0].path=/t/**", "--corral.routes[0].max-body=1KB",
                "--corral.routes[0].origin=" + origin.url()));
        var run = new SpringApplicationBuilder(Application.class).run(arguments.toArray(String[]::new));
        Replica.until(() -> run.getBean(Purges.class).current());
        replica = new Replica(run, run.getEnvironment().getRequiredProperty("local.server.port", Integer.class));
        Logger logger = (Logger) LoggerFactory.getLogger(AccessLines.NAME);
        lines.setContext(logger.getLoggerContext());
        lines.start();
        logger.detachAndStopAllAppenders();
        logger.addAppender(lines);
    }

    @AfterAll
    static void stop() {
        Logger logger = (Logger) LoggerFactory.getLogger(AccessLines.NAME);
        logger.detachAndStopAllAppenders();
        logger.setAdditive(true);
        logger.setLevel(null);
        replica.close();
        redis.close();
        origin.close();
    }

    @BeforeEach
    void forget() {
        lines.clear();
    }

    @Test
    void aLineSaysWhatBecameOfARequest() throws IOException {
        origin.on("/t/page", 200, "0123456789", "Cache-Control", "max-age=60");
        replica.store("/t/page");
        forget();

        replica.get("/t/page");

        Map<String, Object> line = theOnly();
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
    void queriesAndCredentialsAreNotInIt() throws IOException {
        origin.on("/t/secret", 200, "page", "Cache-Control", "max-age=60");

        replica.get("/t/secret?token=hush", "Authorization", "Bearer hush", "Cookie", "session=hush");

        theOnly();
        ILoggingEvent event = lines.all().getFirst();
        assertThat(event.getFormattedMessage() + event.getKeyValuePairs() + event.getMDCPropertyMap())
                .contains("/t/secret")
                .doesNotContain("hush");
    }

    @Test
    void aStreamedBodyIsCounted() throws IOException {
        origin.on("/t/large", 200, "x".repeat(200_000), "Cache-Control", "max-age=60");

        replica.get("/t/large");

        assertThat(theOnly()).containsEntry("bytes", 200_000L).containsEntry("outcome", "bypass");
    }

    @Test
    void aRefusalIsALine() throws IOException {
        replica.get("/nowhere");

        assertThat(theOnly()).containsEntry("status", 404)
                .containsEntry("route", "none")
                .containsEntry("outcome", "refused");
    }

    @Test
    void aClientThatLeavesIsALine() throws Exception {
        var asked = new CountDownLatch(1);
        var gate = new CountDownLatch(1);
        origin.on("/t/slow", exchange -> {
            asked.countDown();
            gate.await();
            exchange.answer(200, "late");
        });
        try (Client client = replica.connect()) {
            client.request("GET", "/t/slow");
            asked.await();
        }

        assertThat(theOnly()).containsEntry("outcome", "left").containsEntry("status", 0).containsEntry("bytes", 0L);
        gate.countDown();
        replica.awaitLanded();
    }

    /** Percent-encoded it stays; raw, a server that took it would have it written out. */
    @ParameterizedTest
    @ValueSource(strings = {"/t/a%0d%0aINFO%20forged", "/t/a%1b[31mred", "/t/\u001b[31mred", "/t/a\u0085forged"})
    void noRequestWritesALineOfItsOwn(String target) throws IOException {
        try (Client client = replica.connect()) {
            client.send("GET " + target + " HTTP/1.1\r\nHost: client.example\r\nConnection: close\r\n\r\n");
            client.untilClosed();
        }

        // What is no URI is answered by the server, before there is a request.
        replica.get("/nowhere");
        Replica.until(() -> lines.all().stream().anyMatch(event -> event.getFormattedMessage().contains("/nowhere")));
        assertThat(lines.all()).hasSizeLessThanOrEqualTo(2)
                .allSatisfy(event -> assertThat(
                        event.getFormattedMessage() + event.getKeyValuePairs())
                        .doesNotContainPattern("\\p{Cntrl}|\u0085"));
    }

    @Test
    void whatCouldForgeALineIsWrittenOut() {
        assertThat(AccessLines.plain("/a b\u00e9\"")).isEqualTo("/a b\u00e9\"");
        assertThat(AccessLines.plain("a\r\nb\tc\u0000")).isEqualTo("a\\u000d\\u000ab\\u0009c\\u0000");
        assertThat(AccessLines.plain("\u001b[31m\u007f\u0085")).isEqualTo("\\u001b[31m\\u007f\\u0085");
        assertThat(AccessLines.plain("\u2028\u2029\u202e")).isEqualTo("\\u2028\\u2029\\u202e");
    }

    private static Map<String, Object> theOnly() {
        Replica.until(() -> !lines.all().isEmpty());
        assertThat(lines.all()).hasSize(1);
        var values = new TreeMap<String, Object>();
        lines.all().getFirst().getKeyValuePairs().forEach(pair -> values.put(pair.key, pair.value));
        return values;
    }
}
