package dev.corral.proxy;

import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.FlightInfo;
import dev.corral.coalesce.TierKey;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.springframework.context.ConfigurableApplicationContext;

import static org.awaitility.Awaitility.await;

/** One replica of Corral in this JVM. */
record ReplicaUnderTest(ConfigurableApplicationContext context, int port) implements AutoCloseable {

    HttpProbe.ProbeResponse get(String target, String... fields) throws IOException {
        return request("GET", target, fields);
    }

    /** Likewise; returns when what was fetched is stored. */
    HttpProbe.ProbeResponse getAndStore(String target, String... fields) throws IOException {
        HttpProbe.ProbeResponse answer = get(target, fields);
        awaitNoFlights();
        return answer;
    }

    HttpProbe.ProbeResponse request(String method, String target, String... fields) throws IOException {
        return HttpProbe.requestOnce(port, method, target, fields);
    }

    HttpProbe connect() throws IOException {
        return new HttpProbe(port);
    }

    /** Returns when that many requests wait for flights here. */
    void awaitWaiters(int count) {
        eventually(() -> coalescer().waiterCount() == count);
    }

    /** The keys for which this replica waits for another one. */
    Stream<TierKey> followed() {
        List<FlightInfo<TierKey>> flights = coalescer().flights();
        return flights.stream().filter(flight -> flight.role() == FlightInfo.FlightRole.FOLLOWER).map(FlightInfo::key);
    }

    @SuppressWarnings("unchecked")
    private Coalescer<TierKey, ?> coalescer() {
        return context.getBean(Coalescer.class);
    }

    /** Returns when no flight is in the air here: what was fetched is stored. */
    void awaitNoFlights() {
        eventually(() -> coalescer().flightCount() == 0);
    }

    /** How many requests this replica has answered in that way. */
    long requestCount(String route, String outcome) {
        Timer timer = context.getBean(MeterRegistry.class)
                .find("corral.requests")
                .tag("route", route)
                .tag("outcome", outcome)
                .timer();
        return timer == null ? 0 : timer.count();
    }

    static void eventually(Callable<Boolean> so) {
        await().pollInterval(Duration.ofMillis(5)).until(so);
    }

    @Override
    public void close() {
        context.close();
        // On a busy machine Redisson's event loops end before the last of its connections has told that it is closed.
        LogAndLeakGuard.takeLogged("rejectedExecution");
    }
}
