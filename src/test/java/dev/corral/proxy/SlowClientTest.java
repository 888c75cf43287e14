package dev.corral.proxy;

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
@ProxyTest
class SlowClientTest {

    private static final int MEGABYTE = 1024 * 1024;

    /** More than the kernel keeps for a client that does not read. */
    private static final int LONG_BODY_MEGABYTES = 40;

    private final FleetUnderTest fleet;

    SlowClientTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** A client with next to no buffer, which reads when it is told. */
    private HttpProbe connectSlowly() throws IOException {
        return new HttpProbe(fleet.a.port(), 1024);
    }

    private static long directMemoryUsed() {
        return ((ByteBufAllocatorMetricProvider) ByteBufAllocator.DEFAULT).metric().usedDirectMemory();
    }

    /** Streams megabytes that may not be stored; counts down when the other side has closed the connection. */
    private static OriginStub.ResponseScript largeUnstorableResponse(CountDownLatch closed) {
        return exchange -> {
            try {
                exchange.writeRaw(OriginStub.StubExchange.formatHead(200, "Cache-Control", "no-store", "Content-Length",
                        Integer.toString(LONG_BODY_MEGABYTES * MEGABYTE)) + "\r\n");
                for (int i = 0; i < LONG_BODY_MEGABYTES; i++) {
                    exchange.writeRaw(new byte[MEGABYTE]);
                }
            } catch (IOException broken) {
                closed.countDown();
                throw broken;
            }
        };
    }

    /** Public behavior 19: neither the fill nor those who wait for it go at the pace of the one who began it. */
    @Test
    void stalledLeaderClientDoesNotDelayWaiters() throws Exception {
        String path = fleet.uniquePath("stalls");
        String text = "0123456789".repeat(150_000);
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, text, "Cache-Control", "max-age=600");
        });

        try (HttpProbe slow = connectSlowly()) {
            slow.request("GET", path);
            ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1);
            List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(4, () -> fleet.a.get(path));
            fleet.a.awaitWaiters(5);
            List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(4, () -> fleet.b.get(path));
            fleet.b.awaitWaiters(4);
            hold.countDown();

            assertThat(HttpProbe.joinAll(near)).allMatch(answer -> answer.text().equals(text));
            assertThat(HttpProbe.joinAll(far)).allMatch(answer -> answer.text().equals(text));
            fleet.a.awaitNoFlights();
            assertThat(fleet.b.get(path).isHit()).isTrue();
            assertThat(slow.read().text()).isEqualTo(text);
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** Public behavior 5: whoever reads the stale body waits for no refresh, and no refresh for him. */
    @Test
    void slowReaderOfStaleBodyDoesNotDelayTheRefresh() throws Exception {
        String path = fleet.uniquePath("stale");
        String old = "0123456789".repeat(150_000);
        fleet.origin.on(path, 200, old, "Cache-Control", "max-age=60, stale-while-revalidate=600", "Age", "100");
        fleet.a.getAndStore(path);
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(200, "new", "Cache-Control", "max-age=600");
        });

        try (HttpProbe reading = connectSlowly(); HttpProbe stalled = connectSlowly()) {
            stalled.request("GET", path);
            ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 2);
            assertThat(reading.request("GET", path).read().text()).as("while the refresh goes on").isEqualTo(old);
            hold.countDown();
            fleet.a.awaitNoFlights();
            ReplicaUnderTest.eventually(() -> fleet.a.get(path).text().equals("new"));
            assertThat(stalled.read().text()).as("after it").isEqualTo(old);
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(2);
    }

    /** What is not stored goes at its reader's pace, in bounded memory; others have theirs meanwhile. */
    @Test
    void stalledReaderDelaysNoOtherAndEndsItsFetchOnDisconnect() throws Exception {
        String path = fleet.uniquePath("streamed");
        var closed = new CountDownLatch(1);
        fleet.origin.on(path, largeUnstorableResponse(closed));
        long before = directMemoryUsed();

        try (HttpProbe slow = connectSlowly()) {
            slow.request("GET", path);
            slow.readUntil("\r\n\r\n");
            fleet.a.awaitNoFlights();
            for (ReplicaUnderTest replica : fleet.replicas()) {
                assertThat(replica.get(path).body()).hasSize(LONG_BODY_MEGABYTES * MEGABYTE);
            }
            // See Application: 4 pieces of 64 KB, and what the connections have under way, in whole chunks of the allocator.
            assertThat(directMemoryUsed() - before).isLessThan(16 * MEGABYTE);
            assertThat(closed.getCount()).isEqualTo(1);
        }

        assertThat(closed.await(10, TimeUnit.SECONDS)).as("the origin is let go").isTrue();
    }

    /** The route {@code hasty} waits 400 ms for the next piece. */
    @Test
    void stalledRequestBodyReleasesTheOriginAtTheTimeout() throws Exception {
        String path = fleet.uniquePath("hasty", "sent");
        for (String framing : List.of("Content-Length: 1000", "Transfer-Encoding: chunked")) {
            var closed = new CountDownLatch(1);
            fleet.origin.on(path, exchange -> {
                exchange.awaitClosed();
                closed.countDown();
            });

            try (HttpProbe slow = fleet.a.connect()) {
                HttpProbe.ProbeResponse answer = slow.request("POST", path, framing.split(": ")).send("1\r\na").read();

                assertThat(answer.status()).isEqualTo(408);
                assertThat(answer.reason()).isEqualTo("request-body-timeout");
            }
            assertThat(closed.await(10, TimeUnit.SECONDS)).as("the origin is let go").isTrue();
        }
    }

    /** Nothing begins before a request is there. */
    @Test
    void unfinishedRequestHeadHoldsNoFlight() throws Exception {
        String path = fleet.uniquePath("half");
        fleet.origin.on(path, 200, "whole", "Cache-Control", "max-age=600");

        try (HttpProbe slow = fleet.a.connect()) {
            slow.send("GET " + path + " HTTP/1.1\r\nHost: a\r\nX-Slow");

            assertThat(fleet.a.getAndStore(path).text()).isEqualTo("whole");
            fleet.a.awaitWaiters(0);
            assertThat(slow.send(": 1\r\n\r\n").read().isHit()).isTrue();
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** Souin's traps: what a client has left unread is never another's, and its leaving ends nobody else's answer. */
    @Test
    void disconnectMidBodyMixesNoResponses() throws Exception {
        String path = fleet.uniquePath("small", "left");
        fleet.origin.on(path, exchange -> {
            int size = Integer.parseInt(exchange.request.target().replaceAll(".*\\?", ""));
            exchange.respond(200, Character.toString('a' + size % 26).repeat(size), "Cache-Control",
                    size % 2 == 0 ? "no-store" : "max-age=600");
        });
        var turn = new AtomicInteger();

        HttpProbe.joinAll(HttpProbe.concurrently(8, () -> {
            for (int i = 0; i < 30; i++) {
                int number = turn.incrementAndGet();
                // Of each size several ask, so that some share a flight.
                int size = number / 4 * 7919 % 200_000 + 1;
                ReplicaUnderTest replica = number % 3 == 0 ? fleet.b : fleet.a;
                try (HttpProbe client = new HttpProbe(replica.port(), 1024)) {
                    client.request("GET", path + "?" + size);
                    if (number % 2 == 0) {
                        client.readUntil("\r\n\r\n");
                        continue;
                    }
                    assertThat(client.read().text()).isEqualTo(Character.toString('a' + size % 26).repeat(size));
                }
            }
            return true;
        }));
    }
}
