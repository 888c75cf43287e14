package dev.corral.edge;

import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.ByteBufAllocatorMetricProvider;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** Clients that read or send slowly, or leave: they keep no flight, no lease, no connection of the origin, and nobody else. */
@EdgeTest
class SlowClientTest {

    private static final int MEGA = 1024 * 1024;

    /** More than the kernel keeps for a client that does not read. */
    private static final int LONG = 40;

    private final Fleet fleet;

    SlowClientTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** A client with next to no buffer, which reads when it is told. */
    private Client slow() throws IOException {
        return new Client(fleet.a.port(), 1024);
    }

    private static long directMemory() {
        return ((ByteBufAllocatorMetricProvider) ByteBufAllocator.DEFAULT).metric().usedDirectMemory();
    }

    /** Streams megabytes that may not be stored; counts down when the other side has closed the connection. */
    private static StubOrigin.Script endless(CountDownLatch closed) {
        return exchange -> {
            try {
                exchange.raw(StubOrigin.Exchange.head(200, "Cache-Control", "no-store", "Content-Length",
                        Integer.toString(LONG * MEGA)) + "\r\n");
                for (int i = 0; i < LONG; i++) {
                    exchange.raw(new byte[MEGA]);
                }
            } catch (IOException broken) {
                closed.countDown();
                throw broken;
            }
        };
    }

    /** Public behaviour 19: neither the fill nor those who wait for it go at the pace of the one who began it. */
    @Test
    void aLeadersClientThatDoesNotReadHoldsUpNobody() throws Exception {
        String path = fleet.path("stalls");
        String text = "0123456789".repeat(150_000);
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, text, "Cache-Control", "max-age=600");
        });

        try (Client slow = slow()) {
            slow.request("GET", path);
            Replica.until(() -> fleet.origin.count(path) == 1);
            List<Future<Client.Answer>> near = Client.crowd(4, () -> fleet.a.get(path));
            fleet.a.awaitWaiting(5);
            List<Future<Client.Answer>> far = Client.crowd(4, () -> fleet.b.get(path));
            fleet.b.awaitWaiting(4);
            hold.countDown();

            assertThat(Client.join(near)).allMatch(answer -> answer.text().equals(text));
            assertThat(Client.join(far)).allMatch(answer -> answer.text().equals(text));
            fleet.a.awaitLanded();
            assertThat(fleet.b.get(path).hit()).isTrue();
            assertThat(slow.read().text()).isEqualTo(text);
        }
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** Public behaviour 5: whoever reads the stale body waits for no refresh, and no refresh for him. */
    @Test
    void aSlowReaderOfAStaleBodyAndItsRefreshDoNotWaitForEachOther() throws Exception {
        String path = fleet.path("stale");
        String old = "0123456789".repeat(150_000);
        fleet.origin.on(path, 200, old, "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.store(path);
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.answer(200, "new", "Cache-Control", "max-age=600");
        });

        try (Client reading = slow(); Client stalled = slow()) {
            stalled.request("GET", path);
            Replica.until(() -> fleet.origin.count(path) == 2);
            assertThat(reading.request("GET", path).read().text()).as("while the refresh goes on").isEqualTo(old);
            hold.countDown();
            fleet.a.awaitLanded();
            Replica.until(() -> fleet.a.get(path).text().equals("new"));
            assertThat(stalled.read().text()).as("after it").isEqualTo(old);
        }
        assertThat(fleet.origin.count(path)).isEqualTo(2);
    }

    /** What is not stored goes at its reader's pace, in bounded memory; others have theirs meanwhile. */
    @Test
    void aReaderThatStopsHoldsUpNobodyElseAndIsDroppedWithItsFetchWhenItLeaves() throws Exception {
        String path = fleet.path("streamed");
        var closed = new CountDownLatch(1);
        fleet.origin.on(path, endless(closed));
        long before = directMemory();

        try (Client slow = slow()) {
            slow.request("GET", path);
            slow.until("\r\n\r\n");
            fleet.a.awaitLanded();
            for (Replica replica : fleet.replicas()) {
                assertThat(replica.get(path).body()).hasSize(LONG * MEGA);
            }
            // See Application: 4 pieces of 64 KB, and what the connections have under way, in whole chunks of the allocator.
            assertThat(directMemory() - before).isLessThan(16 * MEGA);
            assertThat(closed.getCount()).isEqualTo(1);
        }

        assertThat(closed.await(10, TimeUnit.SECONDS)).as("the origin is let go").isTrue();
    }

    /** The route {@code hasty} waits 400 ms for the next piece. */
    @Test
    void aSenderThatStopsCostsTheOriginNoMoreThanTheTimeout() throws Exception {
        String path = fleet.path("hasty", "sent");
        for (String framing : List.of("Content-Length: 1000", "Transfer-Encoding: chunked")) {
            var closed = new CountDownLatch(1);
            fleet.origin.on(path, exchange -> {
                exchange.untilClosed();
                closed.countDown();
            });

            try (Client slow = fleet.a.connect()) {
                Client.Answer answer = slow.request("POST", path, framing.split(": ")).send("1\r\na").read();

                assertThat(answer.status()).isEqualTo(408);
                assertThat(answer.reason()).isEqualTo("body-late");
            }
            assertThat(closed.await(10, TimeUnit.SECONDS)).as("the origin is let go").isTrue();
        }
    }

    /** Nothing begins before a request is there. */
    @Test
    void whoNeverEndsItsHeadHoldsNothing() throws Exception {
        String path = fleet.path("half");
        fleet.origin.on(path, 200, "whole", "Cache-Control", "max-age=600");

        try (Client slow = fleet.a.connect()) {
            slow.send("GET " + path + " HTTP/1.1\r\nHost: a\r\nX-Slow");

            assertThat(fleet.a.store(path).text()).isEqualTo("whole");
            fleet.a.awaitWaiting(0);
            assertThat(slow.send(": 1\r\n\r\n").read().hit()).isTrue();
        }
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** Souin's traps: what a client has left unread is never another's, and its leaving ends nobody else's answer. */
    @Test
    void whoLeavesInTheMiddleMixesNothing() throws Exception {
        String path = fleet.path("small", "left");
        fleet.origin.on(path, exchange -> {
            int size = Integer.parseInt(exchange.request.target().replaceAll(".*\\?", ""));
            exchange.answer(200, Character.toString('a' + size % 26).repeat(size), "Cache-Control",
                    size % 2 == 0 ? "no-store" : "max-age=600");
        });
        var turn = new AtomicInteger();

        Client.join(Client.crowd(8, () -> {
            for (int i = 0; i < 30; i++) {
                int number = turn.incrementAndGet();
                // Of each size several ask, so that some share a flight.
                int size = number / 4 * 7919 % 200_000 + 1;
                Replica replica = number % 3 == 0 ? fleet.b : fleet.a;
                try (Client client = new Client(replica.port(), 1024)) {
                    client.request("GET", path + "?" + size);
                    if (number % 2 == 0) {
                        client.until("\r\n\r\n");
                        continue;
                    }
                    assertThat(client.read().text()).isEqualTo(Character.toString('a' + size % 26).repeat(size));
                }
            }
            return true;
        }));
    }
}
