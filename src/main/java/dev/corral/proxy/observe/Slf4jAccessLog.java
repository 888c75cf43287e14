package dev.corral.proxy.observe;

import dev.corral.proxy.netty.ReceivedHeaders;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.reactivestreams.Publisher;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.http.server.reactive.ServerHttpResponseDecorator;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * Writes the access log to the logger {@code corral.access}: a readable message, and the same values as key-value pairs for
 * structured formats. It contains neither the query nor any header field of the request, and no character can begin another line.
 * Thread-safe.
 */
public final class Slf4jAccessLog implements AccessLog {

    /** The logger's name. */
    public static final String LOGGER_NAME = "corral.access";

    private static final Logger log = LoggerFactory.getLogger(LOGGER_NAME);

    @Override
    public ServerWebExchange requestStarted(ServerWebExchange exchange) {
        return exchange.mutate().response(new ByteCountingResponse(exchange.getResponse())).build();
    }

    @Override
    public void requestCompleted(ServerWebExchange exchange, String route, ProxyMetrics.RequestOutcome outcome,
            Duration time) {
        ServerHttpRequest request = exchange.getRequest();
        ServerHttpResponse response = exchange.getResponse();
        HttpStatusCode statusCode = response.getStatusCode();
        String method = escapeControls(request.getMethod().name());
        String path = escapeControls(ReceivedHeaders.path(request));
        // Before the response is committed, this is only the server's default status.
        int status = statusCode == null || !response.isCommitted() ? 0 : statusCode.value();
        long bytes = response instanceof ByteCountingResponse counted ? counted.bytes.get() : 0;
        // Microseconds are precise enough to distinguish hits.
        double milliseconds = TimeUnit.NANOSECONDS.toMicros(time.toNanos()) / 1_000d;
        List<String> members = response.getHeaders().getOrEmpty("Cache-Status");
        String cache = members.isEmpty() ? "" : escapeControls(members.getLast());
        String peer = peerAddress(request);
        log.atInfo()
                .addKeyValue("method", method)
                .addKeyValue("path", path)
                .addKeyValue("status", status)
                .addKeyValue("bytes", bytes)
                .addKeyValue("milliseconds", milliseconds)
                .addKeyValue("route", route)
                .addKeyValue("outcome", outcome.tag())
                .addKeyValue("cache-status", cache)
                .addKeyValue("peer", peer)
                .log("{} {} {} {} {} B {} ms {} {} [{}]", peer, method, path, status, bytes, milliseconds, route,
                        outcome.tag(), cache);
    }

    private static String peerAddress(ServerHttpRequest request) {
        InetSocketAddress peer = request.getRemoteAddress();
        return peer == null || peer.getAddress() == null ? "unknown" : peer.getAddress().getHostAddress();
    }

    /** Escapes the characters that could begin a line or control a terminal. */
    public static String escapeControls(String text) {
        if (text.chars().noneMatch(Slf4jAccessLog::isUnsafe)) {
            return text;
        }
        var escaped = new StringBuilder();
        text.chars().forEach(c -> {
            if (isUnsafe(c)) {
                escaped.append(String.format("\\u%04x", c));
            } else {
                escaped.append((char) c);
            }
        });
        return escaped.toString();
    }

    /** Control characters, and the Unicode characters for the end of a line or for a change of direction. */
    private static boolean isUnsafe(int c) {
        return Character.isISOControl(c) || switch (Character.getType(c)) {
            case Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.FORMAT, Character.SURROGATE -> true;
            default -> false;
        };
    }

    /** Counts the bytes of the body that it forwards. The client may receive fewer of them. */
    private static final class ByteCountingResponse extends ServerHttpResponseDecorator {

        private final AtomicLong bytes = new AtomicLong();

        ByteCountingResponse(ServerHttpResponse response) {
            super(response);
        }

        // A Mono must stay a Mono, because Spring sends a body of one buffer together with the head.
        @Override
        public Mono<Void> writeWith(Publisher<? extends DataBuffer> body) {
            return getDelegate().writeWith(body instanceof Mono<? extends DataBuffer> single
                    ? single.doOnNext(this::count)
                    : Flux.from(body).doOnNext(this::count));
        }

        private void count(DataBuffer buffer) {
            bytes.addAndGet(buffer.readableByteCount());
        }
    }
}
