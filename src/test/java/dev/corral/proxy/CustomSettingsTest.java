package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A replica whose settings are not those of its fleet. */
@ProxyTest
class CustomSettingsTest {

    private final FleetUnderTest fleet;

    CustomSettingsTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** Public behavior 1, the control: without coalescing each asks for himself, and what came first is kept. */
    @Test
    void everyMissIsFetchedWhenCoalescingIsDisabled() throws Exception {
        String path = fleet.uniquePath("uncoalesced");
        var all = new CountDownLatch(6);
        fleet.origin.on(path, exchange -> {
            all.countDown();
            all.await();
            exchange.respond(200, "own", "Cache-Control", "max-age=600");
        });
        try (ReplicaUnderTest guest = fleet.startExtra("uncoalesced", "corral.coalesce=false")) {
            List<HttpProbe.ProbeResponse> answers = HttpProbe.joinAll(HttpProbe.concurrently(6, () -> guest.get(path)));

            assertThat(answers).allMatch(answer -> answer.text().equals("own"))
                    .allMatch(answer -> answer.cacheStatus().contains("detail=coalescing-off"))
                    .noneMatch(HttpProbe.ProbeResponse::isCollapsed);
            assertThat(fleet.origin.requestCount(path)).isEqualTo(6);
            assertThat(guest.get(path).isHit()).isTrue();
            assertThat(fleet.a.get(path).isHit()).isTrue();
            assertThat(fleet.origin.requestCount(path)).isEqualTo(6);
        }
    }

    /**
     * Public behaviors 2 and 4: whoever has waited long enough goes to the origin himself; what he gets is for him, and what the
     * others wait for is theirs.
     */
    @Test
    void followerPastMaxWaitFetchesAloneAndDoesNotStore() throws Exception {
        String path = fleet.uniquePath("impatient");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.requestCount(path) == 1) {
                hold.await();
                exchange.respond(200, "the leader's", "Cache-Control", "max-age=600");
            } else {
                exchange.respond(200, "his own", "Cache-Control", "max-age=600");
            }
        });
        // Twice the timeout and a lease is its patience: 4.5 s. The others have minutes.
        try (ReplicaUnderTest guest = fleet.startExtra("impatient", "corral.routes[0].timeout=2s",
                "corral.lease.ttl=500ms")) {
            Future<HttpProbe.ProbeResponse> leader = HttpProbe.async(() -> fleet.a.get(path));
            ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1);

            HttpProbe.ProbeResponse own = guest.get(path);
            Future<HttpProbe.ProbeResponse> other = HttpProbe.async(() -> fleet.b.get(path));
            fleet.b.awaitWaiters(1);
            hold.countDown();

            assertThat(own.text()).isEqualTo("his own");
            assertThat(leader.get().text()).isEqualTo("the leader's");
            assertThat(other.get().text()).isEqualTo("the leader's");
            fleet.a.awaitNoFlights();
            assertThat(fleet.b.get(path).text()).isEqualTo("the leader's");
            ReplicaUnderTest.eventually(() -> guest.get(path).text().equals("the leader's"));
            assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
        }
    }

    /** Public behavior 16 (s00002): stale stands in for an origin that is left alone; without it, that is said at once. */
    @Test
    void staleIsServedWhileTheCircuitIsOpen() throws IOException {
        String path = fleet.uniquePath("sick");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        String breaker = "resilience4j.circuitbreaker.instances.t.";
        try (ReplicaUnderTest guest = fleet.startExtra("sick", breaker + "slidingWindowSize=4",
                breaker + "minimumNumberOfCalls=4",
                breaker + "waitDurationInOpenState=60s")) {
            guest.getAndStore(path);
            for (int i = 0; i < 4; i++) {
                String broken = fleet.uniquePath("broken");
                fleet.origin.on(broken, OriginStub.StubExchange::close);
                assertThat(guest.get(broken).status()).isIn(502, 503);
            }
            int count = fleet.origin.receivedRequests().size();

            HttpProbe.ProbeResponse stale = guest.get(path);
            HttpProbe.ProbeResponse none = guest.get(fleet.uniquePath("nothing"));

            assertThat(stale.text()).isEqualTo("good");
            assertThat(stale.cacheStatus()).contains("detail=circuit-open");
            assertThat(none.status()).isEqualTo(503);
            assertThat(none.reason()).isEqualTo("circuit-open");
            assertThat(none.field("Retry-After")).isNotEmpty();
            assertThat(fleet.origin.receivedRequests()).hasSize(count);
        }
        // That the breaker has opened is a warning.
        LogAndLeakGuard.takeLogged("shop");
        LogAndLeakGuard.takeLogged("sick");
    }

    /**
     * One endpoint that is silent is left alone by itself, after a few calls, and everybody is told the true Retry-After; streams and what is
     * merely long are no failures at all.
     */
    @Test
    void failingEndpointDoesNotOpenTheCircuitOfItsRoute() throws Exception {
        String slow = fleet.uniquePath("slow");
        String events = fleet.uniquePath("events");
        String page = fleet.uniquePath("page");
        fleet.origin.on(slow, OriginStub.StubExchange::awaitClosed);
        fleet.origin.on(events, exchange -> {
            exchange.writeRaw(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
            exchange.writeChunk("data: 1\n\n");
            exchange.awaitClosed();
        });
        fleet.origin.on(page, 200, "page");
        String breaker = "resilience4j.circuitbreaker.instances.t.";
        try (ReplicaUnderTest guest = fleet.startExtra("patchy", "corral.routes[0].timeout=500ms",
                breaker + "slidingWindowSize=10",
                breaker + "slidingWindowType=TIME_BASED", breaker + "minimumNumberOfCalls=5",
                breaker + "waitDurationInOpenState=20s")) {
            var user = new AtomicInteger();
            assertThat(HttpProbe.joinAll(HttpProbe.concurrently(12, () -> {
                try (HttpProbe client = guest.connect()) {
                    return client.request("GET", events + "?user=" + user.incrementAndGet()).readUntil("data: 1\n\n");
                }
            }))).hasSize(12);
            assertThat(guest.get(events.replace("events", "other")).status()).isEqualTo(404);

            HttpProbe.joinAll(HttpProbe.concurrently(8, () -> guest.get(slow + "?user=" + user.incrementAndGet())))
                    .forEach(answer -> assertThat(answer.reason()).isEqualTo("origin-timed-out"));
            List<HttpProbe.ProbeResponse> shut = HttpProbe.joinAll(HttpProbe.concurrently(8, () -> guest.get(slow)));

            assertThat(shut).extracting(HttpProbe.ProbeResponse::reason).containsOnly("circuit-open");
            assertThat(shut).extracting(answer -> Integer.parseInt(answer.field("Retry-After")))
                    .allMatch(wait -> wait > 10 && wait <= 20);
            assertThat(guest.request("POST", slow).field("Retry-After")).isGreaterThan("10");
            assertThat(guest.get(page).text()).isEqualTo("page");
        }
        // That the breaker of the endpoint has opened is a warning.
        LogAndLeakGuard.takeLogged("its circuit breaker");
        LogAndLeakGuard.takeLogged("patchy");
    }
}
