package dev.corral.proxy;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Responses that may have no end: nobody waits for it. Safety rule 4. */
@ProxyTest
class StreamingResponseTest {

    private static final String CHUNKED = "\r\nTransfer-Encoding: chunked\r\n\r\n";

    private final FleetUnderTest fleet;

    StreamingResponseTest(FleetUnderTest fleet) {
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
    void firstEventReachesEveryClientAtOnce(String fields) throws Exception {
        String path = fleet.uniquePath("events");
        var first = new CountDownLatch(1);
        var end = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            first.await();
            exchange.writeRaw("HTTP/1.1 200 OK\r\n" + fields + CHUNKED);
            exchange.writeChunk("data: 1\n\n");
            end.await();
            exchange.writeChunk("data: 2\n\n");
            exchange.writeRaw("0\r\n\r\n");
        });

        List<Future<String>> near = HttpProbe.concurrently(3, () -> readFirstEvent(fleet.a, path));
        fleet.a.awaitWaiters(3);
        List<Future<String>> far = HttpProbe.concurrently(3, () -> readFirstEvent(fleet.b, path));
        fleet.b.awaitWaiters(3);
        fleet.awaitFollower();
        first.countDown();

        assertThat(HttpProbe.joinAll(near)).allMatch(head -> head.startsWith("HTTP/1.1 200 OK"));
        assertThat(HttpProbe.joinAll(far)).allMatch(head -> head.startsWith("HTTP/1.1 200 OK"));
        fleet.a.awaitNoFlights();
        assertThat(readFirstEvent(fleet.b, path)).contains("Corral; fwd=bypass").contains("detail=stream");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(7);
        end.countDown();
    }

    private static String readFirstEvent(ReplicaUnderTest replica, String path) throws Exception {
        try (HttpProbe client = replica.connect()) {
            return client.request("GET", path).readUntil("data: 1\n\n");
        }
    }

    /** A page without length or freshness that is there at once is no stream: it still serves all who wait for it. */
    @Test
    void pageWithoutLengthThatIsCompleteAtOnceServesWaiters() throws Exception {
        String path = fleet.uniquePath("page");
        var first = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            first.await();
            exchange.writeRaw("HTTP/1.1 200 OK\r\nContent-Type: text/html" + CHUNKED + "4\r\npage\r\n0\r\n\r\n");
        });

        List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(5, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(5);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(5, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(5);
        fleet.awaitFollower();
        first.countDown();

        assertThat(HttpProbe.joinAll(near)).extracting(HttpProbe.ProbeResponse::text).containsOnly("page");
        assertThat(HttpProbe.joinAll(far)).extracting(HttpProbe.ProbeResponse::text).containsOnly("page");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    /** Longer than the route's timeout of 2 s, from the first byte to the last, and always alive: eighty times as often as it must. */
    @Test
    void longResponseThatKeepsSendingDoesNotTimeOut() throws Exception {
        var never = new CountDownLatch(1);
        List<String> all = List.of("Cache-Control: max-age=600", "Cache-Control: no-cache", "ETag: \"1\"");
        var paths = new ArrayList<String>();
        for (String fields : all) {
            String path = fleet.uniquePath("alive", "long");
            paths.add(path);
            fleet.origin.on(path, exchange -> {
                exchange.writeRaw("HTTP/1.1 200 OK\r\n" + fields + CHUNKED);
                for (int i = 0; i < 120; i++) {
                    exchange.writeChunk("0123456789");
                    never.await(25, TimeUnit.MILLISECONDS);
                }
                exchange.writeRaw("0\r\n\r\n");
            });
        }

        for (ReplicaUnderTest replica : fleet.replicas()) {
            List<Future<HttpProbe.ProbeResponse>> answers = paths.stream()
                    .map(path -> HttpProbe.async(() -> replica.get(path)))
                    .toList();
            for (int i = 0; i < paths.size(); i++) {
                HttpProbe.ProbeResponse answer = answers.get(i).get();
                assertThat(answer.status()).as(all.get(i)).isEqualTo(200);
                assertThat(answer.complete()).as(all.get(i)).isTrue();
                assertThat(answer.text()).as(all.get(i)).isEqualTo("0123456789".repeat(120));
            }
        }
    }

    /** An event stream may be silent for longer than the route's timeout of 2 s. */
    @Test
    void pausedEventStreamDoesNotTimeOut() throws Exception {
        String path = fleet.uniquePath("alive", "pause");
        var never = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream" + CHUNKED);
            exchange.writeChunk("data: 1\n\n");
            never.await(3, TimeUnit.SECONDS);
            exchange.writeChunk("data: 2\n\n");
            exchange.writeRaw("0\r\n\r\n");
        });

        List<Future<HttpProbe.ProbeResponse>> answers = Stream.of("GET", "POST")
                .map(method -> HttpProbe.async(() -> fleet.a.request(method, path)))
                .toList();
        assertThat(HttpProbe.joinAll(answers)).allSatisfy(answer -> {
            assertThat(answer.complete()).isTrue();
            assertThat(answer.text()).isEqualTo("data: 1\n\ndata: 2\n\n");
        });
    }

    /** What falls silent after its head is late, as before: the client is told so. */
    @Test
    void responseSilentAfterItsHeadTimesOut() throws Exception {
        String path = fleet.uniquePath("hasty", "silent");
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw("HTTP/1.1 200 OK\r\nCache-Control: max-age=600" + CHUNKED + "1\r\nx\r\n");
            exchange.awaitClosed();
        });

        assertThat(fleet.a.get(path).reason()).isEqualTo("origin-timed-out");
    }

    /** A HEAD of a stream has a head, and holds no connection to the origin. */
    @Test
    void headOfAStreamClosesTheOriginConnection() throws Exception {
        String path = fleet.uniquePath("head-of-stream");
        var closed = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream" + CHUNKED);
            exchange.writeChunk("data: 1\n\n");
            exchange.awaitClosed();
            closed.countDown();
        });

        assertThat(fleet.a.request("HEAD", path).status()).isEqualTo(200);

        assertThat(closed.await(10, TimeUnit.SECONDS)).isTrue();
    }
}
