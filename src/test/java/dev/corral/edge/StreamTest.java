package dev.corral.edge;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Responses that may have no end: nobody waits for it. Safety rule 4. */
@EdgeTest
class StreamTest {

    private static final String CHUNKED = "\r\nTransfer-Encoding: chunked\r\n\r\n";

    private final Fleet fleet;

    StreamTest(Fleet fleet) {
        this.fleet = fleet;
    }

    /** The first event reaches its client while the second is not even there; so it is for those who waited, and for who comes later. */
    @ParameterizedTest
    @ValueSource(strings = {"Content-Type: text/event-stream\r\nCache-Control: no-cache",
            "Content-Type: text/event-stream",
            "Content-Type: Text/Event-Stream; charset=utf-8\r\nCache-Control: max-age=60",
            "Content-Type: multipart/x-mixed-replace; boundary=f", "Content-Type: application/x-ndjson\r\nETag: \"1\"",
            "Content-Type: application/stream+json\r\nCache-Control: no-cache, no-transform",
            "Content-Type: application/json-seq", "Content-Type: application/grpc-web+proto\r\nCache-Control: public",
            "Content-Type: text/html\r\nCache-Control: max-age=60\r\nX-Accel-Buffering: no",
            "Content-Type: application/json", "Cache-Control: no-cache", "ETag: \"1\"", "Cache-Control: public"})
    void theFirstEventReachesEachClientAtOnce(String fields) throws Exception {
        String path = fleet.path("events");
        var first = new CountDownLatch(1);
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            first.await();
            exchange.raw("HTTP/1.1 200 OK\r\n" + fields + CHUNKED);
            exchange.chunk("data: 1\n\n");
            end.await();
            exchange.chunk("data: 2\n\n");
            exchange.raw("0\r\n\r\n");
        });

        List<Future<String>> near = Client.crowd(3, () -> firstEvent(fleet.a, path));
        fleet.a.awaitWaiting(3);
        List<Future<String>> far = Client.crowd(3, () -> firstEvent(fleet.b, path));
        fleet.b.awaitWaiting(3);
        fleet.awaitFollower();
        first.countDown();

        assertThat(Client.join(near)).allMatch(head -> head.startsWith("HTTP/1.1 200 OK"));
        assertThat(Client.join(far)).allMatch(head -> head.startsWith("HTTP/1.1 200 OK"));
        fleet.a.awaitLanded();
        assertThat(firstEvent(fleet.b, path)).contains("Corral; fwd=bypass").contains("detail=stream");
        assertThat(fleet.origin.count(path)).isEqualTo(7);
        end.countDown();
    }

    private static String firstEvent(Replica replica, String path) throws Exception {
        try (Client client = replica.connect()) {
            return client.request("GET", path).until("data: 1\n\n");
        }
    }

    /** A page without length or freshness that is there at once is no stream: it still serves all who wait for it. */
    @Test
    void aPageThatIsThereAtOnceServesThoseWhoWait() throws Exception {
        String path = fleet.path("page");
        var first = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            first.await();
            exchange.raw("HTTP/1.1 200 OK\r\nContent-Type: text/html" + CHUNKED + "4\r\npage\r\n0\r\n\r\n");
        });

        List<Future<Client.Answer>> near = Client.crowd(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiting(5);
        List<Future<Client.Answer>> far = Client.crowd(5, () -> fleet.b.get(path));
        fleet.b.awaitWaiting(5);
        fleet.awaitFollower();
        first.countDown();

        assertThat(Client.join(near)).extracting(Client.Answer::text).containsOnly("page");
        assertThat(Client.join(far)).extracting(Client.Answer::text).containsOnly("page");
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    /** Longer than the route's timeout of 400 ms, from the first byte to the last, and always alive. */
    @ParameterizedTest
    @ValueSource(strings = {"Cache-Control: max-age=600", "Cache-Control: no-cache", "ETag: \"1\""})
    void aLongResponseThatIsAliveIsNoFailure(String fields) throws Exception {
        String path = fleet.path("hasty", "long");
        var never = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.raw("HTTP/1.1 200 OK\r\n" + fields + CHUNKED);
            for (int i = 0; i < 40; i++) {
                exchange.chunk("0123456789");
                never.await(25, java.util.concurrent.TimeUnit.MILLISECONDS);
            }
            exchange.raw("0\r\n\r\n");
        });

        Client.Answer leader = fleet.a.get(path);

        assertThat(leader.status()).isEqualTo(200);
        assertThat(leader.whole()).isTrue();
        assertThat(leader.text()).isEqualTo("0123456789".repeat(40));
        assertThat(fleet.b.get(path).text()).isEqualTo("0123456789".repeat(40));
    }

    /** An event stream may be silent for longer than the route's timeout of 400 ms. */
    @Test
    void aPauseOfAStreamIsNoFailure() throws Exception {
        String path = fleet.path("hasty", "pause");
        var never = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream" + CHUNKED);
            exchange.chunk("data: 1\n\n");
            never.await(1, java.util.concurrent.TimeUnit.SECONDS);
            exchange.chunk("data: 2\n\n");
            exchange.raw("0\r\n\r\n");
        });

        for (String method : List.of("GET", "POST")) {
            Client.Answer answer = fleet.a.ask(method, path);
            assertThat(answer.whole()).isTrue();
            assertThat(answer.text()).isEqualTo("data: 1\n\ndata: 2\n\n");
        }
    }

    /** What falls silent after its head is late, as before: the client is told so. */
    @Test
    void whatFallsSilentAfterItsHeadIsLate() throws Exception {
        String path = fleet.path("hasty", "silent");
        fleet.origin.on(path, exchange -> {
            exchange.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=600" + CHUNKED + "1\r\nx\r\n");
            exchange.untilClosed();
        });

        assertThat(fleet.a.get(path).reason()).isEqualTo("origin-timed-out");
    }

    /** A HEAD of a stream has a head, and holds no connection to the origin. */
    @Test
    void aHeadOfAStreamEndsIt() throws Exception {
        String path = fleet.path("head-of-stream");
        var closed = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream" + CHUNKED);
            exchange.chunk("data: 1\n\n");
            exchange.untilClosed();
            closed.countDown();
        });

        assertThat(fleet.a.ask("HEAD", path).status()).isEqualTo(200);

        assertThat(closed.await(10, java.util.concurrent.TimeUnit.SECONDS)).isTrue();
    }
}
