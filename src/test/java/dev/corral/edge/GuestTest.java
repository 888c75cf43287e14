package dev.corral.edge;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A replica whose settings are not those of its fleet. */
@EdgeTest
class GuestTest {

    private final Fleet fleet;

    GuestTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** Public behaviour 1, the control: without coalescing each asks for himself, and what came first is kept. */
    @Test
    void withoutCoalescingEveryMissIsAFetch() throws Exception {
        String path = fleet.path("uncoalesced");
        var all = new CountDownLatch(6);
        fleet.origin.on(path, exchange -> {
            all.countDown();
            all.await();
            exchange.answer(200, "own", "Cache-Control", "max-age=600");
        });
        try (Replica guest = fleet.guest("uncoalesced", "corral.coalesce=false")) {
            List<Client.Answer> answers = Client.join(Client.crowd(6, () -> guest.get(path)));

            assertThat(answers).allMatch(answer -> answer.text().equals("own"))
                    .allMatch(answer -> answer.cacheStatus().contains("detail=coalescing-off"))
                    .noneMatch(Client.Answer::collapsed);
            assertThat(fleet.origin.count(path)).isEqualTo(6);
            assertThat(guest.get(path).hit()).isTrue();
            assertThat(fleet.a.get(path).hit()).isTrue();
            assertThat(fleet.origin.count(path)).isEqualTo(6);
        }
    }

    /**
     * Public behaviours 2 and 4: whoever has waited long enough goes to the origin himself; what he gets is for him, and what the
     * others wait for is theirs.
     */
    @Test
    void whoeverLosesPatienceGetsAnAnswerOfHisOwnThatIsNotStored() throws Exception {
        String path = fleet.path("impatient");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.count(path) == 1) {
                hold.await();
                exchange.answer(200, "the leader's", "Cache-Control", "max-age=600");
            } else {
                exchange.answer(200, "his own", "Cache-Control", "max-age=600");
            }
        });
        // Twice the timeout and a lease is its patience: 2.4 s, less than the others' timeout.
        try (Replica guest = fleet.guest("impatient", "corral.routes[0].timeout=200ms")) {
            Future<Client.Answer> leader = Client.meanwhile(() -> fleet.a.get(path));
            Replica.until(() -> fleet.origin.count(path) == 1);

            Client.Answer own = guest.get(path);
            Future<Client.Answer> other = Client.meanwhile(() -> fleet.b.get(path));
            fleet.b.awaitWaiting(1);
            hold.countDown();

            assertThat(own.text()).isEqualTo("his own");
            assertThat(leader.get().text()).isEqualTo("the leader's");
            assertThat(other.get().text()).isEqualTo("the leader's");
            fleet.a.awaitLanded();
            assertThat(fleet.b.get(path).text()).isEqualTo("the leader's");
            Replica.until(() -> guest.get(path).text().equals("the leader's"));
            assertThat(fleet.origin.count(path)).isEqualTo(2);
        }
    }

    /** Public behaviour 16 (s00002): stale stands in for an origin that is left alone; without it, that is said at once. */
    @Test
    void anOriginThatIsLeftAloneIsStoodInFor() throws IOException {
        String path = fleet.path("sick");
        fleet.origin.on(path, 200, "good", "Cache-Control", "max-age=60", "Age", "100");
        String breaker = "resilience4j.circuitbreaker.instances.t.";
        try (Replica guest = fleet.guest("sick", breaker + "slidingWindowSize=4", breaker + "minimumNumberOfCalls=4",
                breaker + "waitDurationInOpenState=60s")) {
            guest.store(path);
            for (int i = 0; i < 4; i++) {
                String broken = fleet.path("broken");
                fleet.origin.on(broken, StubOrigin.Exchange::close);
                assertThat(guest.get(broken).status()).isIn(502, 503);
            }
            int count = fleet.origin.received().size();

            Client.Answer stale = guest.get(path);
            Client.Answer none = guest.get(fleet.path("nothing"));

            assertThat(stale.text()).isEqualTo("good");
            assertThat(stale.cacheStatus()).contains("detail=origin-shut");
            assertThat(none.status()).isEqualTo(503);
            assertThat(none.reason()).isEqualTo("origin-shut");
            assertThat(none.field("Retry-After")).isNotEmpty();
            assertThat(fleet.origin.received()).hasSize(count);
        }
        // That the breaker has opened is a warning.
        Quiet.take("shop");
        Quiet.take("sick");
    }

    /**
     * One endpoint that is silent is left alone by itself, after a few calls, and everybody is told the true Retry-After; streams and what is
     * merely long are no failures at all.
     */
    @Test
    void oneEndpointDoesNotShutItsRoute() throws Exception {
        String slow = fleet.path("slow");
        String events = fleet.path("events");
        String page = fleet.path("page");
        fleet.origin.on(slow, StubOrigin.Exchange::untilClosed);
        fleet.origin.on(events, exchange -> {
            exchange.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
            exchange.chunk("data: 1\n\n");
            exchange.untilClosed();
        });
        fleet.origin.on(page, 200, "page");
        String breaker = "resilience4j.circuitbreaker.instances.t.";
        try (Replica guest = fleet.guest("patchy", "corral.routes[0].timeout=500ms", breaker + "slidingWindowSize=10",
                breaker + "slidingWindowType=TIME_BASED", breaker + "minimumNumberOfCalls=5",
                breaker + "waitDurationInOpenState=20s")) {
            var user = new AtomicInteger();
            assertThat(Client.join(Client.crowd(12, () -> {
                try (Client client = guest.connect()) {
                    return client.request("GET", events + "?user=" + user.incrementAndGet()).until("data: 1\n\n");
                }
            }))).hasSize(12);
            assertThat(guest.get(events.replace("events", "other")).status()).isEqualTo(404);

            Client.join(Client.crowd(8, () -> guest.get(slow + "?user=" + user.incrementAndGet())))
                    .forEach(answer -> assertThat(answer.reason()).isEqualTo("origin-timed-out"));
            List<Client.Answer> shut = Client.join(Client.crowd(8, () -> guest.get(slow)));

            assertThat(shut).extracting(Client.Answer::reason).containsOnly("origin-shut");
            assertThat(shut).extracting(answer -> Integer.parseInt(answer.field("Retry-After")))
                    .allMatch(wait -> wait > 10 && wait <= 20);
            assertThat(guest.ask("POST", slow).field("Retry-After")).isGreaterThan("10");
            assertThat(guest.get(page).text()).isEqualTo("page");
        }
        // That the breaker of the endpoint has opened is a warning.
        Quiet.take("its circuit breaker");
        Quiet.take("patchy");
    }
}
