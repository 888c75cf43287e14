package dev.corral.edge;

import dev.corral.http.CacheStatus;
import dev.corral.http.Failure;
import dev.corral.origin.Answer;
import java.util.List;
import java.util.Optional;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** One request that is not the cache's to answer: its method is not cached, or only the origin can judge it. */
final class Passage {

    private final Edge edge;
    private final Request request;
    private final Fetch fetch;

    Passage(Edge edge, Request request) {
        this.edge = edge;
        this.request = request;
        this.fetch = new Fetch(edge, request);
    }

    /** Emits exactly one result; both bodies are streamed. */
    Mono<Result> result(Flux<DataBuffer> body) {
        Optional<Flux<DataBuffer>> sent = request.asked().bodied() ? Optional.of(body) : Optional.empty();
        return fetch.alone(sent).flatMap(end -> switch (end) {
            case Fetch.Alone.Own(Answer answer, boolean stored) -> invalidate(answer).thenReturn(passed(answer));
            case Fetch.Alone.Lost(Failure failure) -> Mono.just(lost(failure));
        });
    }

    /** To be called when the request has ended, however. */
    void leave() {
        fetch.leave();
    }

    /**
     * What the origin has changed is not served any more (RFC 9111 section 4.4), before the client hears that it has. Without
     * Redis the other replicas do not hear of it; the response is not withheld for it, nor for a replica that is slow.
     */
    private Mono<Void> invalidate(Answer answer) {
        List<String> names = request.changed(answer.head());
        return names.isEmpty()
                ? Mono.empty()
                : edge.invalidation().invalidate(names);
    }

    private Result passed(Answer answer) {
        return new Result.FromOrigin(answer, status().status(answer.head().status()), Traffic.Outcome.METHOD);
    }

    private Result lost(Failure failure) {
        return new Result.Refused(Problem.of(failure), status().detail(failure.reason()),
                Traffic.Outcome.FAILED);
    }

    private CacheStatus status() {
        return CacheStatus.forwarded(request.asked().bypass().filter("method"::equals).isPresent()
                ? CacheStatus.Forward.METHOD
                : CacheStatus.Forward.BYPASS);
    }
}
