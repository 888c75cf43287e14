package dev.corral.dev;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;
import reactor.netty.http.server.HttpServerRequest;
import reactor.netty.http.server.HttpServerResponse;
import reactor.netty.resources.LoopResources;

/**
 * The origin of a soak. {@code /keys/<n>} is shared, each time in another version, fresh for {@link #FRESH}; any other path is private to
 * the client whose cookie it contains. The first line of every response identifies it.
 */
final class SoakOrigin implements AutoCloseable {

    /** How long a response for everybody is fresh. */
    static final Duration FRESH = Duration.ofSeconds(10);

    /** How long the origin takes. */
    private static final Duration LATENCY = Duration.ofMillis(20);

    /** How many tags there are: a key has the one of its number. */
    static final int TAGS = 1_000;

    private static final Pattern KEY = Pattern.compile("/keys/(\\d+)");
    private static final String PADDING = "What a page has besides. ".repeat(40) + "\n";
    // One key in a hundred is a large one.
    private static final int LARGE_EVERY = 100;
    private static final String LARGE = PADDING.repeat(100);

    private final SoakRules rules;
    private final LoopResources loops = LoopResources.create("soak-origin", 1, true);
    private final DisposableServer server;

    SoakOrigin(SoakRules rules) {
        this.rules = rules;
        server = HttpServer.create().host("127.0.0.1").port(0).runOn(loops).handle(this::handle).bindNow();
    }

    String url() {
        return "http://127.0.0.1:" + server.port();
    }

    @Override
    public void close() {
        server.disposeNow(Duration.ofSeconds(1));
        loops.disposeLater(Duration.ZERO, Duration.ofSeconds(1)).block();
    }

    private Mono<Void> handle(HttpServerRequest request, HttpServerResponse response) {
        Matcher key = KEY.matcher(request.uri());
        if (!key.matches()) {
            String cookie = request.requestHeaders().get("Cookie");
            return send(
                    response.header("Cache-Control", request.uri().startsWith("/session") ? "max-age=60" : "private")
                            .header("Set-Cookie", "seen=1"),
                    "private " + cookie + "\n");
        }
        int number = Integer.parseInt(key.group(1));
        if (!request.method().name().equals("GET")) {
            return request.receive().then(send(response, "changed " + number + "\n"));
        }
        int version = rules.fetched(number, System.nanoTime());
        return send(response.header("Cache-Control", "max-age=" + FRESH.toSeconds())
                .header("Cache-Tag", "tag-" + number % TAGS),
                "key " + number + " version " + version + "\n" + (number % LARGE_EVERY == 0 ? LARGE : PADDING));
    }

    private static Mono<Void> send(HttpServerResponse response, @Nullable String body) {
        return Mono.delay(LATENCY).then(Mono.defer(() -> response.sendString(Mono.justOrEmpty(body)).then()));
    }
}
