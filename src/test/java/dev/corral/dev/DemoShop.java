package dev.corral.dev;

import dev.corral.http.HeaderFields;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.reactivestreams.Publisher;
import org.springframework.boot.json.JsonWriter;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;
import reactor.netty.http.server.HttpServerRequest;
import reactor.netty.http.server.HttpServerResponse;
import reactor.netty.resources.LoopResources;

/**
 * An origin that counts: the demo shop's own answers, or, in tests, what a test says for a path. It listens on 127.0.0.1,
 * unless its own process is told otherwise, and never blocks a thread of its event loop. Thread-safe.
 */
public final class DemoShop implements AutoCloseable {

    /** The default response time of the shop. */
    public static final Duration LATENCY = Duration.ofMillis(120);

    private final RequestCounter counts = new RequestCounter();
    private final ConcurrentHashMap<String, Function<StubRequest, Mono<StubResponse>>> scripted = new ConcurrentHashMap<>();
    private final DemoShopCatalog shelves;
    private final LoopResources loops;
    private final DisposableServer server;

    private DemoShop(String host, int port, Duration latency) {
        shelves = new DemoShopCatalog(latency);
        loops = LoopResources.create("shop", 1, true);
        server = HttpServer.create().host(host).port(port).runOn(loops).handle(this::handle).bindNow();
    }

    /** Opens a shop on a free port. */
    public static DemoShop start(Duration latency) {
        return start(0, latency);
    }

    /** Opens a shop on this port. */
    public static DemoShop start(int port, Duration latency) {
        return new DemoShop("127.0.0.1", port, latency);
    }

    /**
     * Opens a shop as a process of its own, with the port, the latency in ms and the address to listen on as arguments (a
     * container's shop must be reached from outside: 0.0.0.0), until it is killed. Prints its URL when it is open.
     */
    public static void main(String[] args) {
        int port = args.length > 0 ? Integer.parseInt(args[0]) : 8090;
        Duration latency = args.length > 1 ? Duration.ofMillis(Long.parseLong(args[1])) : LATENCY;
        String host = args.length > 2 ? args[2] : "127.0.0.1";
        try (DemoShop shop = new DemoShop(host, port, latency)) {
            System.out.println(shop.url());
            shop.server.onDispose().block();
        }
    }

    /** The port the shop listens on. */
    public int port() {
        return server.port();
    }

    /** The shop's base URL, without a slash at the end. */
    public String url() {
        return "http://127.0.0.1:" + port();
    }

    /** Sets the response for the path, whatever its query. */
    public DemoShop respondWith(String path, StubResponse answer) {
        return script(path, asked -> Mono.just(answer));
    }

    /**
     * From now on that path is answered by what this function gives for each request. It runs on the event loop: it must not
     * block. {@code Mono.never()} leaves the client waiting; an error closes the connection without an answer.
     */
    public DemoShop script(String path, Function<StubRequest, Mono<StubResponse>> answers) {
        scripted.put(path, answers);
        return this;
    }

    /** The number of requests since the start or the last reset. */
    public long count() {
        return counts.total();
    }

    /** The number of requests for the target, including its query, since the start or the last reset. */
    public long count(String target) {
        return counts.countOf(target);
    }

    /** The number of requests for each target. */
    public Map<String, Long> counts() {
        return counts.byTarget();
    }

    /** Resets the counts; scripted responses stay. */
    public void reset() {
        counts.reset();
    }

    @Override
    public void close() {
        server.disposeNow(Duration.ofSeconds(1));
        loops.disposeLater(Duration.ZERO, Duration.ofSeconds(1)).block();
    }

    private Publisher<Void> handle(HttpServerRequest request, HttpServerResponse response) {
        return switch (request.uri()) {
            case "/count" -> send(request, response, countResponse());
            case "/reset" -> {
                reset();
                yield send(request, response, StubResponse.of(204, "", "Cache-Control", "no-store"));
            }
            default -> count(request).flatMap(this::responseTo)
                    .delayUntil(answer -> answer.latency().isZero() ? Mono.empty() : Mono.delay(answer.latency()))
                    .flatMap(answer -> Mono.from(send(request, response, answer)))
                    .onErrorResume(scripted -> closeConnection(response));
        };
    }

    /** Reads the body to its end before responding, so that the connection can be reused. */
    private Mono<StubRequest> count(HttpServerRequest request) {
        long number = counts.count(request.uri());
        var lines = new ArrayList<HeaderFields.FieldLine>();
        request.requestHeaders().forEach(line -> lines.add(new HeaderFields.FieldLine(line.getKey(), line.getValue())));
        return request.receive()
                .map(ByteBuf::readableBytes)
                .reduce(0L, Long::sum)
                .map(bytes -> new StubRequest(
                        request.method().name(), request.uri(), HeaderFields.of(lines), bytes, number));
    }

    private Mono<StubResponse> responseTo(StubRequest asked) {
        Function<StubRequest, Mono<StubResponse>> script = scripted.get(asked.path());
        return script == null ? Mono.fromSupplier(() -> shelves.responseTo(asked)) : script.apply(asked);
    }

    private StubResponse countResponse() {
        var json = new LinkedHashMap<String, Object>();
        json.put("total", count());
        json.put("paths", counts());
        return StubResponse.of(200, JsonWriter.standard().writeToString(json) + "\n", "Content-Type",
                "application/json",
                "Cache-Control", "no-store");
    }

    private static Publisher<Void> send(HttpServerRequest request, HttpServerResponse response, StubResponse answer) {
        response.status(HttpResponseStatus.valueOf(answer.status()));
        answer.fields().forEach(field -> response.addHeader(field.name(), field.value()));
        if (answer.status() != 304 && answer.status() != 204) {
            answer.length().ifPresent(length -> response.header("Content-Length", Long.toString(length)));
        }
        if (request.method().equals(HttpMethod.HEAD) || answer.status() == 304 || answer.status() == 204) {
            return response.send();
        }
        Flux<ByteBuf> body = answer.body().map(Unpooled::wrappedBuffer);
        return response.send(body.onErrorResume(scripted -> closeConnection(response)));
    }

    /** Closes the connection in the middle of the response; the bytes sent so far arrive. */
    private static <T> Mono<T> closeConnection(HttpServerResponse response) {
        response.withConnection(connection -> {
            connection.channel().flush();
            connection.dispose();
        });
        return Mono.never();
    }
}
