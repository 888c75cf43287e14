package dev.corral.edge;

import dev.corral.coalesce.Coalescer;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.Callable;
import org.springframework.context.ConfigurableApplicationContext;

import static org.awaitility.Awaitility.await;

/** One replica of Corral in this JVM. */
record Replica(ConfigurableApplicationContext context, int port) implements AutoCloseable {

    Client.Answer get(String target, String... fields) throws IOException {
        return ask("GET", target, fields);
    }

    /** Likewise; returns when what was fetched is stored. */
    Client.Answer store(String target, String... fields) throws IOException {
        Client.Answer answer = get(target, fields);
        awaitLanded();
        return answer;
    }

    Client.Answer ask(String method, String target, String... fields) throws IOException {
        return Client.ask(port, method, target, fields);
    }

    Client connect() throws IOException {
        return new Client(port);
    }

    /** Returns when that many requests wait for flights here. */
    void awaitWaiting(int count) {
        until(() -> context.getBean(Coalescer.class).waiting() == count);
    }

    /** Returns when no flight is in the air here: what was fetched is stored. */
    void awaitLanded() {
        until(() -> context.getBean(Coalescer.class).inFlight() == 0);
    }

    /** How many requests this replica has answered in that way. */
    long answered(String route, String outcome) {
        Timer timer = context.getBean(MeterRegistry.class)
                .find("corral.requests")
                .tag("route", route)
                .tag("outcome", outcome)
                .timer();
        return timer == null ? 0 : timer.count();
    }

    static void until(Callable<Boolean> so) {
        await().atMost(Duration.ofSeconds(15)).pollInterval(Duration.ofMillis(5)).until(so);
    }

    @Override
    public void close() {
        context.close();
    }
}
