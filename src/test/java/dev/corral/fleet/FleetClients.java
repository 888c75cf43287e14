package dev.corral.fleet;

import dev.corral.http.HeaderFields;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import reactor.core.publisher.Mono;
import reactor.netty.http.client.HttpClient;
import reactor.netty.http.client.HttpClientResponse;
import reactor.netty.resources.ConnectionProvider;

/** Makes clients. They never ask twice by themselves: a retry would be counted at the origin. */
final class FleetClients {

    private final HttpClient http = HttpClient.create(ConnectionProvider.newConnection()).disableRetry(true);

    /** That many clients ask for the target at once, taking turns among the replicas. */
    PendingResponses request(List<JarReplica> replicas, int clients, String target, String... namesAndValues) {
        return requestEach(replicas, clients, target, client -> namesAndValues);
    }

    /** Likewise, each with fields of its own. */
    PendingResponses requestEach(List<JarReplica> replicas, int clients, String target,
            IntFunction<String[]> namesAndValues) {
        return new PendingResponses(IntStream.range(0, clients)
                .mapToObj(i -> request(replicas.get(i % replicas.size()), target, namesAndValues.apply(i)))
                .toList());
    }

    /** One client. */
    CompletableFuture<FleetResponse> request(JarReplica replica, String target, String... namesAndValues) {
        return Mono.defer(() -> {
            long start = System.nanoTime();
            return http.headers(headers -> {
                for (int i = 0; i < namesAndValues.length; i += 2) {
                    headers.add(namesAndValues[i], namesAndValues[i + 1]);
                }
            })
                    .get()
                    .uri(replica.url() + target)
                    .responseSingle((head, body) -> body.asString()
                            .defaultIfEmpty("")
                            .map(text -> toResponse(head, text, Duration.ofNanos(System.nanoTime() - start))));
        }).toFuture();
    }

    private static FleetResponse toResponse(HttpClientResponse head, String body, Duration time) {
        var lines = new ArrayList<HeaderFields.FieldLine>();
        head.responseHeaders().forEach(line -> lines.add(new HeaderFields.FieldLine(line.getKey(), line.getValue())));
        return new FleetResponse(head.status().code(), HeaderFields.of(lines), body, time);
    }
}
