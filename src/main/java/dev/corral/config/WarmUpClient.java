package dev.corral.config;

import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.net.InetSocketAddress;
import java.util.concurrent.atomic.AtomicLong;
import javax.net.ssl.SSLException;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.netty.http.HttpProtocol;
import reactor.netty.http.client.HttpClient;
import reactor.netty.resources.ConnectionProvider;

/** The clients of the warm-up: send rounds of requests to the data port of this process over keep-alive connections. */
final class WarmUpClient implements AutoCloseable {

    /** Simultaneous requests of a stampede: many clients share one flight and every connection is in use. */
    private static final int STAMPEDE_REQUESTS = 100;

    /** Simultaneous requests for keys whose flight is not shared. */
    private static final int SMALL_BURST_REQUESTS = 20;

    private final ConnectionProvider connections = ConnectionProvider.builder("corral-warm-up")
            .maxConnections(STAMPEDE_REQUESTS)
            .pendingAcquireMaxCount(2 * STAMPEDE_REQUESTS)
            .build();
    private final AtomicLong responseCount = new AtomicLong();
    private final String prefix;
    private final HttpClient http;

    /**
     * @param prefix start of all paths
     * @param server address of the data port
     * @param tls    whether the port expects TLS; its certificate need not be valid for this address
     */
    WarmUpClient(String prefix, InetSocketAddress server, boolean tls) {
        this.prefix = prefix;
        HttpClient client = HttpClient.create(connections)
                .remoteAddress(() -> server)
                .protocol(HttpProtocol.HTTP11)
                .disableRetry(true);
        this.http = tls ? client.secure(ssl -> ssl.sslContext(trustAllContext())) : client;
    }

    /** Responses so far. */
    long responseCount() {
        return responseCount.get();
    }

    /**
     * Requests all paths once: a leader with a follower, the near cache, Redis, validation, an error, a private response, a streamed
     * response, and methods that are not cached.
     *
     * @param number makes the keys of this round new
     */
    Mono<Void> runRound(long number) {
        return Flux.concat(
                // A cold key in both pipelines at once, then the same key from their near caches.
                sendBurst(STAMPEDE_REQUESTS, "fresh/" + number), sendBurst(STAMPEDE_REQUESTS, "fresh/" + number),
                // A key that the first pipeline has stored and the second finds in Redis.
                get("fresh/only-first-" + number), sendBurst(SMALL_BURST_REQUESTS, "fresh/only-first-" + number),
                get("validated/" + number), sendBurst(SMALL_BURST_REQUESTS, "validated/" + number),
                sendBurst(SMALL_BURST_REQUESTS, "private/" + number),
                sendBurst(2, "large/" + number), sendBurst(2, "error/" + number),
                send(HttpMethod.HEAD, "fresh/" + number), send(HttpMethod.OPTIONS, "options"),
                // Gets 404: a successful unsafe request would be written to the fleet's purge log.
                send(HttpMethod.POST, "none")).then();
    }

    private Mono<Void> sendBurst(int clients, String path) {
        return Flux.range(0, clients)
                .flatMap(client -> send(HttpMethod.GET, client % 2 == 0 ? path : path + "?second"), clients)
                .then();
    }

    private Mono<Void> get(String path) {
        return send(HttpMethod.GET, path);
    }

    private Mono<Void> send(HttpMethod method, String path) {
        return http.request(method)
                .uri(prefix + path)
                .responseSingle((head, body) -> body.then())
                .doOnSuccess(done -> responseCount.incrementAndGet());
    }

    private static SslContext trustAllContext() {
        try {
            return SslContextBuilder.forClient().trustManager(InsecureTrustManagerFactory.INSTANCE).build();
        } catch (SSLException e) {
            throw new IllegalStateException("a TLS client without a certificate needs no configuration", e);
        }
    }

    @Override
    public void close() {
        connections.dispose();
    }
}
