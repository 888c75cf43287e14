package dev.corral.config;

import io.netty.handler.codec.http.HttpHeaderNames;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.reactivestreams.Publisher;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;
import reactor.netty.http.server.HttpServerRequest;
import reactor.netty.http.server.HttpServerResponse;

/**
 * The origin of the warm-up: an HTTP server on a free port of the loopback interface for the duration of the warm-up. It serves only
 * paths below a secret prefix, and its responses contain no information.
 */
final class WarmUpOrigin implements AutoCloseable {

    /** A larger body is streamed and not stored. */
    static final int MAX_BODY_KILOBYTES = 64;

    /** One or two Redis round trips: long enough for the other pipeline to fail to get the lock and follow. */
    private static final Duration RESPONSE_DELAY = Duration.ofMillis(5);

    private static final String KILOBYTE_BODY = "0123456789abcdef".repeat(64);

    private final String prefix;
    private final AtomicLong notModifiedCount = new AtomicLong();
    private final DisposableServer server;

    /** Starts to listen. */
    WarmUpOrigin(String prefix) {
        this.prefix = prefix;
        this.server = HttpServer.create().host("127.0.0.1").port(0).handle(this::respond).bindNow();
    }

    /** Number of 304 responses so far. */
    long notModifiedCount() {
        return notModifiedCount.get();
    }

    String url() {
        return "http://127.0.0.1:" + server.port();
    }

    private Publisher<Void> respond(HttpServerRequest request, HttpServerResponse response) {
        if (!request.uri().startsWith(prefix)) {
            return response.status(404).send();
        }
        String kind = request.uri().substring(prefix.length());
        response.header(HttpHeaderNames.CONTENT_TYPE, "text/plain");
        if (kind.startsWith("fresh/")) {
            response.header(HttpHeaderNames.CACHE_CONTROL, "max-age=5");
            return response.sendString(Mono.delay(RESPONSE_DELAY).thenReturn(KILOBYTE_BODY));
        }
        if (kind.startsWith("validated/")) {
            response.header(HttpHeaderNames.CACHE_CONTROL, "no-cache").header(HttpHeaderNames.ETAG, "\"1\"");
            if (request.requestHeaders().contains(HttpHeaderNames.IF_NONE_MATCH)) {
                notModifiedCount.incrementAndGet();
                return response.status(304).send();
            }
            return response.sendString(Mono.just(KILOBYTE_BODY));
        }
        if (kind.startsWith("private/")) {
            response.header(HttpHeaderNames.CACHE_CONTROL, "private");
            return response.sendString(Mono.just(KILOBYTE_BODY));
        }
        if (kind.startsWith("large/")) {
            return response.sendString(Flux.just(KILOBYTE_BODY).repeat(2 * MAX_BODY_KILOBYTES));
        }
        return response.status(kind.startsWith("error/") ? 500 : 404).sendString(Mono.just(KILOBYTE_BODY));
    }

    @Override
    public void close() {
        server.dispose();
    }
}
