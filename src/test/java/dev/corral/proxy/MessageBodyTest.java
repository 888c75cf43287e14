package dev.corral.proxy;

import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.ByteBufAllocatorMetricProvider;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Bodies: long ones, slow ones, and those that do not come to their end. The route {@code small} stores up to 1 KB. */
@ProxyTest
class MessageBodyTest {

    private static final int MEGABYTE = 1024 * 1024;

    private final FleetUnderTest fleet;

    MessageBodyTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    private static long directMemoryUsed() {
        return ((ByteBufAllocatorMetricProvider) ByteBufAllocator.DEFAULT).metric().usedDirectMemory();
    }

    /** The origin is slower than the client: what is under way between them stays small, and arrives whole. */
    @Test
    void uploadIsStreamedWithBackpressure() throws Exception {
        String path = fleet.uniquePath("upload");
        var hold = new CountDownLatch(1);
        var arrived = new AtomicLong();
        fleet.origin.on(path, exchange -> {
            hold.await();
            byte[] buffer = new byte[64 * 1024];
            for (int count = exchange.body().read(buffer); count >= 0; count = exchange.body().read(buffer)) {
                arrived.addAndGet(count);
            }
            exchange.respond(200, "got " + arrived);
        });
        long before = directMemoryUsed();
        var sent = new AtomicLong();

        for (String framing : List.of("Content-Length: " + 40 * MEGABYTE, "Transfer-Encoding: chunked")) {
            try (HttpProbe client = fleet.a.connect()) {
                client.request("PUT", path, framing.split(": "));
                boolean chunked = framing.startsWith("T");
                Future<HttpProbe.ProbeResponse> answer = HttpProbe.async(() -> {
                    byte[] mega = new byte[MEGABYTE];
                    for (int i = 0; i < 40; i++) {
                        client.send(chunked ? "100000\r\n" : "").send(mega).send(chunked ? "\r\n" : "");
                        sent.incrementAndGet();
                    }
                    return client.send(chunked ? "0\r\n\r\n" : "").read();
                });
                if (hold.getCount() > 0) {
                    ReplicaUnderTest.eventually(() -> fleet.origin.requestCount(path) == 1 && isSteady(sent));
                    assertThat(sent.get()).as("megabytes the kernels took").isLessThan(40);
                    assertThat(directMemoryUsed() - before).isLessThan(4 * MEGABYTE);
                    hold.countDown();
                }
                assertThat(answer.get().text()).isEqualTo("got " + arrived.getAndSet(0))
                        .isEqualTo("got " + 40 * MEGABYTE);
            }
        }
    }

    /** Whether nothing moves any more. */
    private static boolean isSteady(AtomicLong counter) throws InterruptedException {
        long before = counter.get();
        new CountDownLatch(1).await(300, java.util.concurrent.TimeUnit.MILLISECONDS);
        return counter.get() == before;
    }

    /** Public behavior 19. More than may be stored: whole to its client, not stored, and whoever comes next does not wait for it. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void oversizedResponseIsStreamedWithoutSerializingRequests(boolean declared) throws Exception {
        String path = fleet.uniquePath("small", "large");
        String text = "0123456789".repeat(100_000);
        var all = new CountDownLatch(7);
        var first = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            if (fleet.origin.requestCount(path) == 1) {
                first.await();
            } else {
                all.countDown();
                all.await();
            }
            if (declared) {
                exchange.respond(200, text, "Cache-Control", "max-age=600");
            } else {
                exchange.writeRaw(
                        OriginStub.StubExchange.formatHead(200, "Cache-Control", "max-age=600", "Transfer-Encoding",
                                "chunked")
                                + "\r\n");
                for (int i = 0; i < text.length(); i += 10_000) {
                    exchange.writeChunk(text.substring(i, i + 10_000));
                }
                exchange.writeRaw("0\r\nX-Trailer: dropped\r\n\r\n");
            }
        });

        List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(4, () -> fleet.a.get(path));
        fleet.a.awaitWaiters(4);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(4, () -> fleet.b.get(path));
        fleet.b.awaitWaiters(4);
        fleet.awaitFollower();
        first.countDown();

        List<HttpProbe.ProbeResponse> answers = HttpProbe.joinAll(near);
        answers.addAll(HttpProbe.joinAll(far));
        assertThat(answers).allMatch(answer -> answer.text().equals(text) && answer.complete() && !answer.isHit());
        assertThat(fleet.origin.requestCount(path)).isEqualTo(8);
        fleet.a.awaitNoFlights();
        fleet.origin.on(path, 200, text, "Cache-Control", "max-age=600");
        assertThat(fleet.b.get(path).cacheStatus()).isEqualTo("Corral; fwd=bypass; fwd-status=200; detail=too-large");
    }

    @Test
    void rangeOfOversizedResponseIsForwardedToTheOrigin() throws IOException {
        String path = fleet.uniquePath("small", "range");
        fleet.origin.on(path, exchange -> {
            if (exchange.request.fields().has("Range")) {
                exchange.respond(206, "01", "Content-Range", "bytes 0-1/5000", "Cache-Control", "max-age=600");
            } else {
                exchange.respond(200, "01234".repeat(1000), "Cache-Control", "max-age=600");
            }
        });
        fleet.a.getAndStore(path);

        HttpProbe.ProbeResponse part = fleet.a.getAndStore(path, "Range", "bytes=0-1");

        assertThat(part.status()).isEqualTo(206);
        assertThat(part.field("Content-Range")).isEqualTo("bytes 0-1/5000");
        assertThat(fleet.a.get(path).text()).hasSize(5000);
    }

    @Test
    void responseOfMaxObjectSizeIsStored() throws IOException {
        String path = fleet.uniquePath("small", "edge");
        fleet.origin.on(path, 200, "x".repeat(1024), "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path);
        assertThat(fleet.a.get(path).isHit()).isTrue();

        fleet.origin.on(path + "1", 200, "x".repeat(1025), "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path + "1");
        assertThat(fleet.a.get(path + "1").isHit()).isFalse();
    }

    /** What an origin sends slowly, such as events, is not held back. */
    @Test
    void eventStreamIsPassedOnWithoutBuffering() throws Exception {
        String path = fleet.uniquePath("events");
        var more = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw(OriginStub.StubExchange.formatHead(200, "Content-Type", "text/event-stream",
                    "Cache-Control", "no-store",
                    "Transfer-Encoding", "chunked") + "\r\n");
            exchange.writeChunk("data: 1\n\n");
            more.await();
            exchange.writeChunk("data: 2\n\n");
            exchange.writeRaw("0\r\n\r\n");
        });

        try (HttpProbe client = fleet.a.connect()) {
            client.request("GET", path);
            assertThat(client.readUntil("data: 1\n\n")).startsWith("HTTP/1.1 200 OK");
            more.countDown();
            client.readUntil("data: 2\n\n");
        }
    }

    /** Public behaviors 8, 16 and 19. An incomplete answer is never stored, and never passed off as complete. */
    @ParameterizedTest
    @ValueSource(strings = {"Cache-Control: max-age=600\r\nContent-Length: 10\r\n\r\nhalf",
            "Cache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "Cache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf",
            "Cache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n0\r\n\r\n",
            "Cache-Control: max-age=600\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhalf",
            "Cache-Control: max-age=600\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n",
            "Cache-Control: max-age=600\r\nTransfer-Encoding: gzip\r\n\r\nhalf", "Cache-Control: max-a"})
    void truncatedStorableResponseIsBadGateway(String rest) throws IOException {
        String path = fleet.uniquePath("hostile", "collected");
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw("HTTP/1.1 200 OK\r\n" + rest);
            exchange.close();
        });

        HttpProbe.ProbeResponse broken = fleet.a.get(path);
        fleet.origin.on(path, 200, "whole", "Cache-Control", "max-age=600");

        assertThat(broken.status()).isEqualTo(502);
        assertThat(broken.reason()).isIn("origin-cut-short", "origin-malformed");
        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("whole");
        assertThat(fleet.b.get(path).text()).isEqualTo("whole");
    }

    /** Public behavior 8: once it has begun, the client's connection is closed; there is no second answer. */
    @ParameterizedTest
    @ValueSource(strings = {"no-store", "private", "max-age=600"})
    void truncatedStreamedResponseClosesTheConnection(String cacheControl) throws Exception {
        String path = fleet.uniquePath("small", "streamed");
        for (String framing : List.of("Content-Length: 100000", "Transfer-Encoding: chunked")) {
            for (String method : List.of("GET", "POST")) {
                fleet.origin.on(path, exchange -> {
                    exchange.writeRaw(
                            "HTTP/1.1 200 OK\r\nCache-Control: " + cacheControl + "\r\n" + framing + "\r\n\r\n");
                    exchange.writeRaw((framing.startsWith("T") ? "5000\r\n" : "") + "x".repeat(0x5000)
                            + (framing.startsWith("T") ? "\r\n" : ""));
                    exchange.close();
                });

                try (HttpProbe client = fleet.a.connect()) {
                    HttpProbe.ProbeResponse answer = client.request(method, path).read();
                    assertThat(answer.complete()).isFalse();
                    assertThat(answer.status()).isIn(200, 502);
                    assertThat(client.isClosed()).isTrue();
                }
            }
        }
    }

    @Test
    void closeDelimitedBodyIsComplete() throws IOException {
        String path = fleet.uniquePath("until-close");
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw("HTTP/1.0 200 OK\r\nCache-Control: max-age=600\r\n\r\nall of it");
            exchange.close();
        });

        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("all of it");
        assertThat(fleet.b.get(path).isHit()).isTrue();
    }

    @Test
    void interimResponseIsNeitherStoredNorTakenAsFinal() throws IOException {
        String path = fleet.uniquePath("interim");
        fleet.origin.on(path, exchange -> {
            exchange.writeRaw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
            exchange.respond(200, "final", "Cache-Control", "max-age=600");
        });

        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("final");
        HttpProbe.ProbeResponse hit = fleet.a.get(path);
        assertThat(hit.text()).isEqualTo("final");
        assertThat(hit.fields().has("Link")).isFalse();
    }

    /** RFC 9110 section 10.1.1. */
    @Test
    void expectContinueGets100Continue() throws IOException {
        String path = fleet.uniquePath("continue");
        fleet.origin.on(path, exchange -> exchange.respond(200, "got " + exchange.bodyText()));

        try (HttpProbe client = fleet.a.connect()) {
            client.request("POST", path, "Expect", "100-continue", "Content-Length", "5");
            assertThat(client.readUntil("\r\n\r\n")).startsWith("HTTP/1.1 100 Continue");
            assertThat(client.send("hello").read().text()).isEqualTo("got hello");
        }
    }

    /** Public behavior 19. Bodies of all sizes at once, over and over, on connections that are used again: never another's bytes. */
    @Test
    void bodiesOfConcurrentRequestsAreNeverMixed() throws Exception {
        String path = fleet.uniquePath("small", "mixed");
        fleet.origin.on(path, exchange -> {
            int size = Integer.parseInt(exchange.request.target().replaceAll(".*\\?", ""));
            exchange.respond(200, Character.toString('a' + size % 26).repeat(size), "Cache-Control",
                    size % 3 == 0 ? "no-store" : "max-age=600");
        });
        var turn = new AtomicInteger();

        HttpProbe.joinAll(HttpProbe.concurrently(8, () -> {
            try (HttpProbe client = new HttpProbe((turn.incrementAndGet() % 2 == 0 ? fleet.a : fleet.b).port())) {
                for (int i = 0; i < 40; i++) {
                    int size = (turn.incrementAndGet() * 7919) % 3000 + 1;
                    byte[] expected = new byte[size];
                    Arrays.fill(expected, (byte) ('a' + size % 26));
                    HttpProbe.ProbeResponse answer = client.request("GET", path + "?" + size).read();
                    assertThat(answer.body()).isEqualTo(expected);
                }
            }
            return true;
        }));
    }
}
