package dev.corral.proxy;

import dev.corral.cache.FailedFill;
import dev.corral.http.CacheStatus;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.ProxyMetrics;
import java.util.List;
import java.util.Optional;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** One request that is not the cache's to answer: its method is not cached, or only the origin can judge it. */
final class PassHandler {

    private final ProxyContext context;
    private final ClientRequest request;
    private final OriginFetcher fetcher;

    PassHandler(ProxyContext edge, ClientRequest request) {
        this.context = edge;
        this.request = request;
        this.fetcher = new OriginFetcher(edge, request);
    }

    /** Emits exactly one result; both bodies are streamed. */
    Mono<ProxyResponse> handle(Flux<DataBuffer> body) {
        Optional<Flux<DataBuffer>> sent = request.head().hasBody() ? Optional.of(body) : Optional.empty();
        return fetcher.pass(sent).flatMap(end -> switch (end) {
            case OriginFetcher.PassResult.ReceivedResponse(OriginResponse answer, boolean stored) ->
                invalidate(answer).thenReturn(passedResponse(answer));
            case OriginFetcher.PassResult.FetchFailed(FailedFill failure) -> Mono.just(failedResponse(failure));
        });
    }

    /** To be called when the request has ended, however. */
    void release() {
        fetcher.release();
    }

    /**
     * What the origin has changed is not served any more (RFC 9111 section 4.4), before the client hears that it has. Without
     * Redis the other replicas do not hear of it; the response is not withheld for it, nor for a replica that is slow.
     */
    private Mono<Void> invalidate(OriginResponse answer) {
        List<String> names = request.invalidatedBy(answer.head());
        return names.isEmpty()
                ? Mono.empty()
                : context.invalidation().invalidate(names);
    }

    private ProxyResponse passedResponse(OriginResponse answer) {
        return new ProxyResponse.Passed(answer, cacheStatus().withForwardStatus(answer.head().status()),
                ProxyMetrics.RequestOutcome.PASS);
    }

    private ProxyResponse failedResponse(FailedFill failure) {
        return new ProxyResponse.ProblemResponse(failure.toProblem(), cacheStatus().withDetail(failure.reason()),
                ProxyMetrics.RequestOutcome.FAILED);
    }

    private CacheStatus cacheStatus() {
        return CacheStatus.forwarded(request.head().bypassReason().filter("method"::equals).isPresent()
                ? CacheStatus.ForwardReason.METHOD
                : CacheStatus.ForwardReason.BYPASS);
    }
}
