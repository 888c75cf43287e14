package dev.corral.proxy;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

/** Time on a client's connection is bounded; the limits are set small here. Whoever keeps within them is left alone. */
@ProxyTest
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ConnectionLimitsTest {

    private static final int MEGABYTE = 1024 * 1024;

    /** Where clients keep within their limits they do so many times over: a busy machine stops now and then, too. */
    private static final Duration WIDE = Duration.ofSeconds(2);

    private final FleetUnderTest fleet;
    private final ReplicaUnderTest replica;
    private final ReplicaUnderTest wide;

    ConnectionLimitsTest(FleetUnderTest fleet) {
        this.fleet = fleet;
        this.replica = limited("limits", Duration.ofMillis(600));
        this.wide = limited("wide-limits", WIDE);
    }

    private ReplicaUnderTest limited(String id, Duration limit) {
        return fleet.startExtra(id, "corral.server.head-timeout=" + limit, "corral.server.body-timeout=" + limit,
                "corral.server.write-timeout=" + limit, "server.netty.idle-timeout=" + limit,
                // None of the route's own limits is to be what ends something here.
                "corral.routes[0].timeout=60s", "corral.routes[0].max-body=20MB");
    }

    @BeforeAll
    void warmUp() throws IOException {
        fleet.origin.on("/t/warm", 200, "warm", "Cache-Control", "max-age=600");
        assertThat(replica.get("/t/warm").status()).isEqualTo(200);
        assertThat(wide.get("/t/warm").status()).isEqualTo(200);
    }

    @AfterAll
    void stop() {
        replica.close();
        wide.close();
    }

    private static Duration durationOf(Runnable action) {
        long start = System.nanoTime();
        action.run();
        return Duration.ofNanos(System.nanoTime() - start);
    }

    /** And not by one of the defaults, which are a minute and more. */
    private static void assertClosed(HttpProbe client) {
        assertThat(durationOf(
                () -> assertThatCode(() -> assertThat(client.isClosed()).isTrue()).doesNotThrowAnyException()))
                .isLessThan(Duration.ofSeconds(30));
    }

    /** Bytes that come now and then do not keep it alive: it is the whole head that counts. */
    @Test
    void slowRequestHeadIsClosed() throws Exception {
        try (HttpProbe client = replica.connect()) {
            client.send("GET /t/x HTTP/1.1\r\nHost: a\r\n");
            boolean open = true;
            for (int i = 0; open && i < 100; i++) {
                TimeUnit.MILLISECONDS.sleep(100);
                try {
                    client.send("X-A: b\r\n");
                } catch (IOException closed) {
                    open = false;
                }
            }
            assertThat(open).as("still open after 10 s").isFalse();
        }
    }

    @Test
    void slowSecondRequestHeadIsClosed() throws Exception {
        try (HttpProbe client = replica.connect()) {
            assertThat(client.request("GET", "/t/warm").read().status()).isEqualTo(200);
            client.send("GET /t/x HTTP/1.1\r\nHost");
            assertClosed(client);
        }
    }

    @Test
    void idleConnectionIsClosed() throws Exception {
        try (HttpProbe never = replica.connect(); HttpProbe idle = replica.connect()) {
            assertThat(idle.request("GET", "/t/warm").read().status()).isEqualTo(200);
            assertClosed(idle);
            assertClosed(never);
        }
    }

    /** Neither idle nor late: the origin takes its time. */
    @Test
    void clientAwaitingASlowOriginIsNotClosed() throws Exception {
        String path = fleet.uniquePath("waits");
        fleet.origin.on(path, exchange -> {
            TimeUnit.MILLISECONDS.sleep(WIDE.multipliedBy(2).toMillis());
            exchange.respond(200, "late", "Cache-Control", "max-age=600");
        });
        try (HttpProbe client = wide.connect()) {
            assertThat(client.request("GET", path).read().text()).isEqualTo("late");
            assertThat(client.request("GET", path).read().isHit()).isTrue();
        }
    }

    /** A byte now and then is no body. */
    @Test
    void tricklingRequestBodyIsClosedAndReleasesTheOrigin() throws Exception {
        String path = fleet.uniquePath("trickles");
        var gone = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.awaitClosed();
            gone.countDown();
        });
        try (HttpProbe client = replica.connect()) {
            client.send("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
            for (int i = 0; i < 100 && gone.getCount() > 0; i++) {
                TimeUnit.MILLISECONDS.sleep(100);
                try {
                    client.send("x");
                } catch (IOException closed) {
                    break;
                }
            }
            // The client is still there.
            assertThat(gone.await(15, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void slowButSteadyRequestBodyIsAccepted() throws Exception {
        String path = fleet.uniquePath("slow");
        fleet.origin.on(path, exchange -> exchange.respond(200, Integer.toString(exchange.bodyText().length())));
        try (HttpProbe client = wide.connect()) {
            client.send("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
            for (int i = 0; i < 20; i++) {
                TimeUnit.MILLISECONDS.sleep(200);
                client.send("x".repeat(3_000));
            }
            assertThat(client.read().text()).isEqualTo("60000");
        }
    }

    /** Streamed, and so with a place at the origin, which is given back. */
    @Test
    void clientThatReadsNothingIsClosedAndReleasesTheOrigin() throws Exception {
        String path = fleet.uniquePath("unread");
        var gone = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            try {
                exchange.writeRaw(OriginStub.StubExchange.formatHead(200, "Cache-Control", "no-store", "Content-Length",
                        Integer.toString(40 * MEGABYTE)) + "\r\n");
                for (int i = 0; i < 40; i++) {
                    exchange.writeRaw(new byte[MEGABYTE]);
                }
            } catch (IOException closed) {
                gone.countDown();
            }
        });
        try (var client = new HttpProbe(replica.port(), 1024)) {
            client.request("GET", path).readUntil("\r\n\r\n");
            assertThat(gone.await(15, TimeUnit.SECONDS)).isTrue();
        }
    }

    /** Of a stored response nobody but this client could notice. What it holds of the memory is given back. */
    @Test
    void clientThatReadsNothingOfAHitIsClosed() throws Exception {
        String path = fleet.uniquePath("unread-hit");
        fleet.origin.on(path, 200, "0123456789".repeat(MEGABYTE), "Cache-Control", "max-age=600");
        replica.getAndStore(path);
        ResponseMemory memory = replica.context().getBean(ResponseMemory.class);
        ReplicaUnderTest.eventually(() -> memory.usedBytes() == 0);
        try (var client = new HttpProbe(replica.port(), 1024)) {
            client.request("GET", path).readUntil("\r\n\r\n");
            assertThat(memory.usedBytes()).isPositive();

            ReplicaUnderTest.eventually(() -> memory.usedBytes() == 0);
        }
    }

    /** Of a request that is refused for its head alone, the body is taken in to its end: the client may be sending it. */
    @Test
    void bodyOfRejectedRequestIsReadToItsEnd() throws Exception {
        try (HttpProbe client = replica.connect()) {
            client.send("PURGE /t/warm HTTP/1.1\r\nHost: a\r\nContent-Length: " + 40 * MEGABYTE + "\r\n\r\n");
            assertThat(client.read().status()).isEqualTo(501);
            for (int i = 0; i < 40; i++) {
                client.send("x".repeat(MEGABYTE));
            }
            assertThat(client.request("GET", "/t/warm").read().status()).isEqualTo(200);
        }
    }

    @Test
    void slowlyReadingClientGetsTheFullBody() throws Exception {
        String path = fleet.uniquePath("read");
        String text = "0123456789".repeat(100_000);
        fleet.origin.on(path, 200, text, "Cache-Control", "max-age=600");
        try (var client = new HttpProbe(wide.port(), 16 * 1024)) {
            client.request("GET", path);
            assertThat(client.readUntil("\r\n\r\n")).contains(" 200 ");
            var all = new StringBuilder();
            while (all.length() < text.length()) {
                all.append(client.readUntil("0123456789".repeat(5_000)));
                TimeUnit.MILLISECONDS.sleep(150);
            }
            assertThat(all.toString()).isEqualTo(text);
        }
    }
}
