package dev.corral.dev;

import java.time.Duration;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.core.env.SimpleCommandLinePropertySource;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.client.HttpClient;
import reactor.netty.http.server.HttpServer;
import reactor.netty.resources.ConnectionProvider;

/**
 * Replaces a replica in tests of the stampede itself. It coalesces within its own process only, so a fleet of two sends the origin two
 * requests per key.
 */
final class StubReplica {

    private StubReplica() {}

    /** Understands those settings of Corral's that the stampede gives. */
    public static void main(String[] args) {
        var settings = new SimpleCommandLinePropertySource(args);
        boolean coalesce = Boolean.parseBoolean(settings.getProperty("corral.coalesce"));
        HttpClient origin = HttpClient.create(ConnectionProvider.create("origin", 1_000))
                .baseUrl(String.valueOf(settings.getProperty("corral.routes[0].origin")));
        var shared = new ConcurrentHashMap<String, Mono<String>>();
        DisposableServer clients = listen(settings, "server.port").handle((request, response) -> {
            Mono<String> own = origin.get().uri(request.uri()).responseContent().aggregate().asString();
            boolean share = coalesce && request.uri().startsWith("/products/");
            return response.sendString(share ? shared.computeIfAbsent(request.uri(), key -> own.cache()) : own);
        }).bindNow();
        listen(settings, "management.server.port").handle((request, response) -> response.send()).bindNow();
        clients.onDispose().block(Duration.ofMinutes(5));
    }

    private static HttpServer listen(SimpleCommandLinePropertySource settings, String name) {
        return HttpServer.create().host("127.0.0.1").port(Integer.parseInt(String.valueOf(settings.getProperty(name))));
    }
}
