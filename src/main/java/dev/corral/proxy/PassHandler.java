package dev.corral.proxy;

import dev.corral.cache.CachePolicy;
import dev.corral.cache.FailedFill;
import dev.corral.cache.Storability;
import dev.corral.coalesce.TierKey;
import dev.corral.http.CacheStatus;
import dev.corral.http.HeaderFields;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.ProxyMetrics;
import java.util.List;
import java.util.Optional;
import java.util.function.LongFunction;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * A fetch for one request alone: its method is not cached, only the origin can judge it, or what it asks for cannot be shared.
 */
final class PassHandler {

    /** What a fetch for one request came to. */
    sealed interface PassResult {

        /**
         * A response for this request.
         *
         * @param stored whether it is stored for others as well
         */
        record ReceivedResponse(OriginResponse response, boolean stored) implements PassResult {}

        /** No response. */
        record FetchFailed(FailedFill failure) implements PassResult {}
    }

    private final ProxyContext context;
    private final ClientRequest request;
    private final UnsharedResponse unshared;
    private final OriginFetcher origin;

    PassHandler(ProxyContext context, ClientRequest request, UnsharedResponse unshared) {
        this.context = context;
        this.request = request;
        this.unshared = unshared;
        this.origin = new OriginFetcher(context, request);
    }

    /** A request that the cache does not serve. Emits exactly one response; both bodies are streamed. */
    Mono<ProxyResponse> handle(Flux<DataBuffer> body) {
        return fetch(request.head().hasBody() ? Optional.of(body) : Optional.empty())
                .flatMap(result -> switch (result) {
                    case PassResult.ReceivedResponse(OriginResponse response, boolean stored) ->
                        invalidate(response).thenReturn(passed(response));
                    case PassResult.FetchFailed(FailedFill failure) -> Mono.just(failed(failure));
                });
    }

    /** One fetch with the client's own request fields. */
    Mono<PassResult> fetch(Optional<Flux<DataBuffer>> body) {
        return run(purgePosition -> origin.fetchUnshared(request.toPassRequest(body)).map(response -> {
            unshared.hold(response);
            return new PassResult.ReceivedResponse(response, false);
        }));
    }

    /**
     * One fetch for this request alone; a response that turns out to be shareable is stored for others. The request is sent without
     * fields of this client, so that no client can influence what is stored.
     *
     * @param key       where others look
     * @param inPlaceOf the version of what is stored there; empty when nothing is
     */
    Mono<PassResult> fetchAndStore(LookupTarget target, TierKey key, String inPlaceOf) {
        if (!request.isUnconditionalGet() || request.isFilteredWhenShared(target.varyNames())) {
            return fetch(Optional.empty());
        }
        return run(purgePosition -> {
            var decision = new StorabilityMemo(request.head(), policy(), context.clock());
            var memory = context.memory().newFetchMemory();
            return origin
                    .fetchShared(request.toSharedRequest(HeaderFields.EMPTY, target.varyNames()), memory,
                            head -> decision.decide(head) instanceof Storability.Store store
                                    ? OriginFetcher.buffered(head, store)
                                    : OriginFetcher.streamed(head))
                    .flatMap(response -> storeIfShareable(target, key, inPlaceOf, decision, response, purgePosition))
                    .doFinally(end -> memory.close());
        });
    }

    /** The last fetch, if others may profit from it, as a {@code traceparent}; empty when it is not traced. */
    String traceparent() {
        return origin.traceparent();
    }

    private Mono<PassResult> run(LongFunction<Mono<PassResult>> fetch) {
        origin.begin();
        // Older than what the leader of a flight would read, which is safe.
        long purgePosition = context.purges().latestPosition();
        return Mono.defer(() -> fetch.apply(purgePosition))
                .onErrorResume(OriginFetcher::isExpected,
                        e -> Mono.just(new PassResult.FetchFailed(origin.failure(e, purgePosition))));
    }

    private Mono<PassResult> storeIfShareable(LookupTarget target, TierKey key, String inPlaceOf,
            StorabilityMemo decision, OriginResponse response, long purgePosition) {
        unshared.hold(response);
        if (response instanceof OriginResponse.Buffered buffered
                && decision.decide(response.head()) instanceof Storability.Store store) {
            var writes = new TierWrites(context, request);
            var stored = writes.toStoredResponse(store, buffered.body(), purgePosition, target.varyNames(),
                    target.earlierVaryNames());
            return context.coalescer()
                    .tryPublish(key, inPlaceOf,
                            TierWrites.withTraceparent(writes.of(key, stored), origin.traceparent()))
                    .map(published -> new PassResult.ReceivedResponse(response, published));
        }
        return Mono.just(new PassResult.ReceivedResponse(response, false));
    }

    /**
     * What the origin has changed is no longer served (RFC 9111 section 4.4), before the client gets the response. Without Redis the
     * other replicas do not hear of it; the response is not withheld for that, nor for a replica that is slow.
     */
    private Mono<Void> invalidate(OriginResponse response) {
        List<String> names = request.invalidatedBy(response.head());
        return names.isEmpty() ? Mono.empty() : context.invalidation().invalidate(names);
    }

    private ProxyResponse passed(OriginResponse response) {
        return new ProxyResponse.Passed(response, cacheStatus().withForwardStatus(response.head().status()),
                ProxyMetrics.RequestOutcome.PASS);
    }

    private ProxyResponse failed(FailedFill failure) {
        return new ProxyResponse.ProblemResponse(failure.toProblem(), cacheStatus().withDetail(failure.reason()),
                ProxyMetrics.RequestOutcome.FAILED);
    }

    private CacheStatus cacheStatus() {
        return CacheStatus.forwarded(request.head().bypassReason().filter("method"::equals).isPresent()
                ? CacheStatus.ForwardReason.METHOD
                : CacheStatus.ForwardReason.BYPASS);
    }

    private CachePolicy policy() {
        return request.route().cachePolicy();
    }
}
