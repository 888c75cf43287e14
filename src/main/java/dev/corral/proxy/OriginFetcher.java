package dev.corral.proxy;

import dev.corral.cache.CachePolicy;
import dev.corral.cache.Entry;
import dev.corral.cache.FailedFill;
import dev.corral.cache.HitForMiss;
import dev.corral.cache.Reuse;
import dev.corral.cache.Revalidation;
import dev.corral.cache.StaleOnError;
import dev.corral.cache.Storability;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.StreamDetection;
import dev.corral.cache.Vary;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.FillResult;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.http.Body;
import dev.corral.http.HeaderFields;
import dev.corral.http.Problem;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import dev.corral.origin.BodyMode;
import dev.corral.origin.BufferMemoryExhaustedException;
import dev.corral.origin.OriginCircuitOpenException;
import dev.corral.origin.OriginConcurrencyExceededException;
import dev.corral.origin.OriginFailedException;
import dev.corral.origin.OriginRequest;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.RequestTracing;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import org.jspecify.annotations.Nullable;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * The fetches of one request: asks the origin, decides by the rules of {@code http} who may have the answer, and names what is
 * to be written where. Holds the answer that is for this request alone until it is written or the request has ended.
 */
final class OriginFetcher {

    /** How long those who wait find a pointer in the lane they wait in: longer than the poll of a second. */
    private static final Duration WAITER_ENTRY_TTL = Duration.ofSeconds(3);

    /** What a fetch for one request came to. */
    sealed interface PassResult {

        /**
         * An answer for this request.
         *
         * @param stored whether it was offered to the others as well
         */
        record ReceivedResponse(OriginResponse response, boolean stored) implements PassResult {}

        /** No answer. */
        record FetchFailed(FailedFill failure) implements PassResult {}
    }

    private final ProxyContext context;
    private final ClientRequest request;
    private final AtomicReference<@Nullable OriginResponse> unsharedResponse = new AtomicReference<>();
    /** The request fields that select among the variants that are stored of the resource, as far as this request has seen. */
    private volatile List<String> earlierVaryNames = List.of();
    /** What fetches for everybody have collected, by their flights. */
    private final Map<TierKey, ResponseMemory.FetchMemory> fillMemory = new ConcurrentHashMap<>();
    private volatile boolean hasFetched;
    private volatile int originStatus;
    private volatile boolean requestEnded;
    /** What the resource's responses are known to vary by. */
    private volatile List<String> varyNames = List.of();
    /** The last fetch that others may profit from; empty when it is not traced. */
    private volatile String sharedTraceparent = "";

    OriginFetcher(ProxyContext edge, ClientRequest request) {
        this.context = edge;
        this.request = request;
    }

    /** There are variants of the resource, selected by these fields: a response without {@code Vary} does not hide them. */
    void setEarlierVaryNames(List<String> names) {
        earlierVaryNames = names;
    }

    /** Whether this request's own fetch has begun. */
    boolean hasFetched() {
        return hasFetched;
    }

    /** The origin's last answer to this request's own fetches, by its status. */
    int originStatus() {
        return originStatus;
    }

    /** This request's last fetch in words that are not its client's own, as in {@link Entry#traceparent()}. */
    String sharedTraceparent() {
        return sharedTraceparent;
    }

    /** The answer that is for this request alone; empty when there is none. */
    Optional<OriginResponse> unsharedResponse() {
        return Optional.ofNullable(unsharedResponse.get());
    }

    /** What the resource's responses are known to vary by. */
    List<String> varyNames() {
        return varyNames;
    }

    /** From now on shared fetches carry these fields, whatever the route's allow-list says. */
    void setVaryNames(List<String> names) {
        varyNames = names;
    }

    /** Closes the connection of an answer for this request alone whose body has not been read; whether there was one. */
    boolean discardStreaming() {
        if (unsharedResponse.get() instanceof OriginResponse.Streaming streaming
                && unsharedResponse.compareAndSet(streaming, null)) {
            streaming.discard();
            return true;
        }
        return false;
    }

    /** A flight that this request has opened has ended. */
    void releaseFillMemory(TierKey flight) {
        ResponseMemory.FetchMemory taken = fillMemory.remove(flight);
        if (taken != null) {
            taken.close();
        }
    }

    /** The request has ended: what nobody will read is dropped. */
    void release() {
        requestEnded = true;
        unsharedResponse().ifPresent(OriginFetcher::discard);
    }

    /**
     * One fetch for everybody who waits in the flight of this key.
     *
     * @param stale    what is there and could be validated, or stand in if the fetch fails
     * @param judged   whether it was judged by every purge up to {@code position}
     * @param failures how often in a row the origin has failed before
     */
    Mono<FillResult<TierKey, Entry>> fill(TierKey flight, Optional<StoredResponse> stale, boolean judged, int failures,
            long position) {
        hasFetched = true;
        var memory = context.memory().newFetchMemory();
        ResponseMemory.FetchMemory before = fillMemory.put(flight, memory);
        if (before != null) {
            // Of an earlier flight of this request for the same key, whose write may not have ended.
            before.close();
        }
        var fill = new FillFetch(flight, stale, judged, failures, position, memory);
        return Mono.defer(() -> fill.run(stale.filter(Revalidation::isPossible)))
                .onErrorResume(OriginFailedException.class,
                        failed -> Mono
                                .just(fill.failOrServeStale(toFailedFill(failed, position), false, Optional.empty())))
                .onErrorResume(OriginFetcher::isExpected,
                        error -> Mono.just(new FillResult.FillFailed<>(toFailedFill(error, position))))
                .map(this::withTraceparent);
    }

    /** With the fetch in every entry of it, for those who wait to link to. */
    private FillResult<TierKey, Entry> withTraceparent(FillResult<TierKey, Entry> filled) {
        if (sharedTraceparent.isEmpty()) {
            return filled;
        }
        return switch (filled) {
            case FillResult.Shared<TierKey, Entry>(Entry value, List<Write<TierKey, Entry>> writes, boolean lasting) ->
                new FillResult.Shared<>(value.withTraceparent(sharedTraceparent), withTraceparent(writes), lasting);
            case FillResult.NotShareable<TierKey, Entry>(List<Write<TierKey, Entry>> writes) ->
                new FillResult.NotShareable<>(withTraceparent(writes));
            case FillResult.FillFailed<TierKey, Entry>(Entry failure) ->
                new FillResult.FillFailed<>(failure.withTraceparent(sharedTraceparent));
        };
    }

    private List<Write<TierKey, Entry>> withTraceparent(List<Write<TierKey, Entry>> writes) {
        return writes.stream()
                .map(write -> new Write<>(write.key(), write.value().withTraceparent(sharedTraceparent), write.ttl()))
                .toList();
    }

    /** One fetch for this request alone, in the client's own words. */
    Mono<PassResult> pass(Optional<Flux<DataBuffer>> body) {
        return runPass(
                position -> fetchFromOrigin(request.toPassRequest(body), true, bytes -> true, OriginFetcher::streamMode)
                        .map(answer -> {
                            holdUnsharedResponse(answer);
                            return new PassResult.ReceivedResponse(answer, false);
                        }));
    }

    /**
     * One fetch for this request alone; if its answer turns out to be for everybody, it is offered to the others. What might be
     * theirs is asked for in words that have nothing of this client's own: else one client could have stored what he likes.
     *
     * @param at        where the others look
     * @param inPlaceOf the version of what is stored there
     */
    Mono<PassResult> fetchAndOffer(TierKey at, String inPlaceOf) {
        if (!request.isUnconditionalGet() || request.isFilteredWhenShared(varyNames)) {
            return pass(Optional.empty());
        }
        return runPass(position -> {
            var decision = new StorabilityMemo(request.head());
            var memory = context.memory().newFetchMemory();
            return fetchFromOrigin(request.toSharedRequest(HeaderFields.EMPTY, varyNames), false, memory,
                    head -> decision.decide(head) instanceof Storability.Store share
                            ? bufferMode(head, share)
                            : streamMode(head))
                    .flatMap(answer -> storeIfShareable(at, inPlaceOf, decision, answer, position))
                    .doFinally(end -> memory.close());
        });
    }

    private Mono<PassResult> runPass(LongFunction<Mono<PassResult>> fetch) {
        hasFetched = true;
        // Older than what the leader of a flight would read, and so on the safe side.
        long position = context.purges().latestPosition();
        return Mono.defer(() -> fetch.apply(position))
                .onErrorResume(OriginFetcher::isExpected,
                        error -> Mono.just(new PassResult.FetchFailed(toFailedFill(error, position))));
    }

    private Mono<PassResult> storeIfShareable(TierKey at, String inPlaceOf, StorabilityMemo decision,
            OriginResponse answer, long position) {
        holdUnsharedResponse(answer);
        if (answer instanceof OriginResponse.Buffered whole
                && decision.decide(answer.head()) instanceof Storability.Store share) {
            return context.coalescer()
                    .tryPublish(at, inPlaceOf,
                            withTraceparent(tierWrites(at, toStoredResponse(share, whole.body(), position))))
                    .map(stored -> new PassResult.ReceivedResponse(answer, stored));
        }
        return Mono.just(new PassResult.ReceivedResponse(answer, false));
    }

    private void holdUnsharedResponse(OriginResponse answer) {
        unsharedResponse.set(answer);
        if (requestEnded) {
            discard(answer);
        }
    }

    private static void discard(OriginResponse answer) {
        if (answer instanceof OriginResponse.Streaming streaming) {
            streaming.discard();
        }
    }

    private Mono<OriginResponse> fetchFromOrigin(OriginRequest outgoing, boolean mine, LongPredicate memory,
            Function<ResponseHead, BodyMode> intake) {
        return Mono.defer(() -> {
            long start = System.nanoTime();
            RequestTracing.FetchSpan leg = request.span().startFetch(outgoing, mine);
            sharedTraceparent = mine ? "" : leg.traceparent();
            return request.route()
                    .originClient()
                    .fetch(leg.request(), intake, request.interimResponses(), memory)
                    .doOnNext(answer -> {
                        originStatus = answer.head().status();
                        recordFetch("answered", start);
                        leg.responseReceived(originStatus);
                    })
                    .doOnError(leg::failed)
                    .doOnError(OriginFailedException.class, failed -> recordFetch(metricToken(failed.reason()), start))
                    .doOnCancel(() -> {
                        recordFetch("cancelled", start);
                        leg.cancelled();
                    });
        });
    }

    private static BodyMode streamMode(ResponseHead head) {
        return StreamDetection.isDeclaredStream(head) ? BodyMode.STREAM_WITH_PAUSES : BodyMode.STREAM;
    }

    private static BodyMode bufferMode(ResponseHead head, Storability.Store share) {
        return StreamDetection.mayBeStream(head, share) ? BodyMode.BUFFER_BRIEFLY : BodyMode.BUFFER;
    }

    private void recordFetch(String result, long start) {
        context.metrics().recordFetch(request.route().id(), result, Duration.ofNanos(System.nanoTime() - start));
    }

    private StoredResponse toStoredResponse(Storability.Store share, Body body, long position) {
        StoredResponse stored = StoredResponse.of(request.keys().cacheKey(), request.sharedRequestHead(varyNames),
                share, policy(), position,
                body);
        return Vary.fieldNames(stored.head()).isEmpty() ? stored.withEarlierVaryNames(earlierVaryNames) : stored;
    }

    /**
     * Where everything goes: the object under its variant, the pointer to it, and a way on for those who wait elsewhere. Of too many
     * variants the least used one gives way.
     */
    private List<Write<TierKey, Entry>> tierWrites(TierKey flight, StoredResponse stored) {
        TierKey resource = request.keys().resourceKey();
        TierKey object = request.keys().variantKey(stored.selectingFields());
        var pointer = new VaryMarker(stored.cacheKey(), Vary.fieldNames(stored.head()), stored.purgePosition());
        var writes = new ArrayList<Write<TierKey, Entry>>();
        writes.add(new Write<>(object, stored, stored.freshness().retention()));
        if (!object.equals(resource)) {
            // A pointer in the place of a variant is nothing that a request could use, and soon gone.
            context.variantLimiter()
                    .admit(resource, object, policy().maxVariants())
                    .filter(removed -> !removed.equals(flight))
                    .ifPresent(removed -> writes.add(new Write<>(removed, pointer, WAITER_ENTRY_TTL)));
            // As long as any variant may live: without it the next request would lead for the whole resource again.
            writes.add(new Write<>(resource, pointer, policy().maxTtl()));
        }
        if (!flight.equals(object) && !flight.equals(resource)) {
            writes.add(new Write<>(flight, pointer, WAITER_ENTRY_TTL));
        }
        return writes;
    }

    private CachePolicy policy() {
        return request.route().cachePolicy();
    }

    private static boolean isExpected(Throwable error) {
        return error instanceof OriginFailedException || error instanceof OriginCircuitOpenException
                || error instanceof OriginConcurrencyExceededException
                || error instanceof BufferMemoryExhaustedException;
    }

    private FailedFill toFailedFill(Throwable error, long position) {
        Problem problem = switch (error) {
            case OriginFailedException failed -> switch (failed.reason()) {
                case UNREACHABLE -> Problem.ORIGIN_UNREACHABLE;
                case TIMED_OUT -> Problem.ORIGIN_TIMED_OUT;
                case TRUNCATED -> Problem.ORIGIN_TRUNCATED;
                case MALFORMED -> Problem.ORIGIN_MALFORMED;
            };
            case OriginCircuitOpenException shut -> Problem.CIRCUIT_OPEN;
            case OriginConcurrencyExceededException full -> Problem.CONCURRENCY_LIMIT;
            case BufferMemoryExhaustedException full -> Problem.MEMORY_FULL;
            default -> Problem.INTERNAL_ERROR;
        };
        Optional<Duration> wait = error instanceof OriginCircuitOpenException shut
                ? Optional.of(shut.retryAfter())
                : Optional.empty();
        return new FailedFill(request.keys().cacheKey(), problem.reason(), problem.status(), Optional.empty(), wait,
                position);
    }

    private static String metricToken(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** What the rules say of an answer, decided once, when its head is there. Not thread-safe: signals come one by one. */
    private final class StorabilityMemo {

        private final RequestHead requestHead;
        private final Instant requestTime = context.clock().instant();
        private @Nullable Storability storability;

        StorabilityMemo(RequestHead asked) {
            this.requestHead = asked;
        }

        Storability decide(ResponseHead head) {
            Storability decided = storability;
            if (decided == null) {
                decided = Storability.decide(requestHead, head, policy(), requestTime, context.clock().instant());
                storability = decided;
            }
            return decided;
        }
    }

    /** One fetch for everybody who waits. */
    private final class FillFetch {

        private final TierKey flightKey;
        private final LongPredicate memory;
        private final Optional<StoredResponse> staleResponse;
        private final boolean purgesComplete;
        private final int failureCount;
        private final long purgePosition;

        FillFetch(TierKey flight, Optional<StoredResponse> stale, boolean judged, int failures, long position,
                LongPredicate memory) {
            this.memory = memory;
            this.flightKey = flight;
            this.staleResponse = stale;
            this.purgesComplete = judged;
            this.failureCount = failures;
            this.purgePosition = position;
        }

        /** Asks, on condition if there is something to validate. */
        Mono<FillResult<TierKey, Entry>> run(Optional<StoredResponse> base) {
            // That nothing is to be stored does not keep those who wait from sharing it.
            var decision = new StorabilityMemo(request.head().withoutCacheDirectives());
            HeaderFields conditions = base.map(Revalidation::conditionalFields).orElse(HeaderFields.EMPTY);
            return fetchFromOrigin(request.toSharedRequest(conditions, varyNames), false, memory,
                    head -> bodyMode(base, decision, head))
                    .flatMap(answer -> base.isPresent() && answer.head().status() == 304
                            ? revalidatedResult(base.get(), decision, answer)
                            : Mono.just(fillResult(decision, answer)));
        }

        private BodyMode bodyMode(Optional<StoredResponse> base, StorabilityMemo decision, ResponseHead head) {
            if (base.isPresent() && head.status() == 304) {
                return BodyMode.BUFFER;
            }
            return switch (decision.decide(head)) {
                case Storability.Store share -> bufferMode(head, share);
                case Storability.FailFill fail ->
                    StreamDetection.isDeclaredStream(head) ? streamMode(head) : BodyMode.BUFFER;
                case Storability.DoNotStore withhold -> streamMode(head);
            };
        }

        /**
         * A 304 never revives what a purge removed: the body it confirms keeps its position, unless no purge up to this fill's had
         * removed it. A soft purge that led to this validation is then done with.
         */
        private Mono<FillResult<TierKey, Entry>> revalidatedResult(StoredResponse base, StorabilityMemo decision,
                OriginResponse answer) {
            Optional<StoredResponse> freshened = Revalidation.freshen(base, answer.head(),
                    request.sharedRequestHead(varyNames), policy(),
                    decision.requestTime, context.clock().instant(),
                    purgesComplete ? purgePosition : base.purgePosition());
            return freshened.isPresent()
                    ? Mono.just(sharedResult(freshened.get()))
                    : Mono.defer(() -> run(Optional.empty()));
        }

        private FillResult<TierKey, Entry> fillResult(StorabilityMemo decision, OriginResponse answer) {
            return switch (answer) {
                case OriginResponse.Buffered whole -> bufferedResult(decision.decide(whole.head()), whole);
                case OriginResponse.Streaming streaming ->
                    streamingResult(decision.decide(streaming.head()), streaming);
            };
        }

        private FillResult<TierKey, Entry> bufferedResult(Storability storing, OriginResponse.Buffered whole) {
            return switch (storing) {
                case Storability.Store share -> staleOnFailure(true, whole.head().status()).isPresent()
                        // It may be stored, but not in place of a good answer that may still be served.
                        ? failOrServeStale(originErrorFailure(whole.head(), Optional.empty()), true, Optional.empty())
                        : sharedResult(toStoredResponse(share, whole.body(), purgePosition));
                case Storability.DoNotStore withhold -> notShareableResult(withhold, whole);
                case Storability.FailFill fail -> failedResult(fail, whole);
            };
        }

        private FillResult<TierKey, Entry> streamingResult(Storability storing, OriginResponse.Streaming streaming) {
            return switch (storing) {
                case Storability.Store share -> {
                    holdUnlessFiltered(streaming);
                    yield new FillResult.NotShareable<>(
                            List.of(hitForMissWrite(notBufferedReason(share, streaming), policy().hitForMissTtl())));
                }
                case Storability.DoNotStore withhold -> notShareableResult(withhold, streaming);
                case Storability.FailFill fail ->
                    failOrServeStale(originErrorFailure(streaming.head(), Optional.empty()), true,
                            Optional.of(streaming));
            };
        }

        /** Why a response that may be shared was not collected. */
        private String notBufferedReason(Storability.Store share, OriginResponse.Streaming streaming) {
            if (StreamDetection.mayBeStream(streaming.head(), share)) {
                return "stream";
            }
            Duration time = Duration.between(streaming.requestTime(), context.clock().instant());
            return time.compareTo(request.route().originConfig().timeout()) >= 0 ? "too-slow" : "too-large";
        }

        private FillResult<TierKey, Entry> sharedResult(StoredResponse stored) {
            if (policy().forbidsStoring(request.head())) {
                StoredResponse passing = stored.withFreshness(stored.freshness().forWaitersOnly());
                return new FillResult.Shared<>(passing, List.of(new Write<>(flightKey, passing, WAITER_ENTRY_TTL)),
                        false);
            }
            // Whether the same request would be served by it if it came again.
            boolean lasting = switch (Reuse.decide(request.head(), stored, policy(), context.clock().instant())) {
                case Reuse.Serve serve -> true;
                case Reuse.ServeAndRefresh again -> true;
                case Reuse.Validate validate -> false;
                case Reuse.Unsatisfiable refuse -> false;
            };
            return new FillResult.Shared<>(stored, tierWrites(flightKey, stored), lasting);
        }

        private FillResult<TierKey, Entry> notShareableResult(Storability.DoNotStore withhold, OriginResponse answer) {
            if (answer.head().status() >= 500) {
                // A failing origin is not asked again by everybody who waits: they are told its status, and no more.
                return failOrServeStale(originErrorFailure(answer.head(), Optional.empty()), true, Optional.of(answer));
            }
            holdUnlessFiltered(answer);
            return new FillResult.NotShareable<>(withhold.markHitForMiss()
                    ? List.of(hitForMissWrite(withhold.reason(), policy().hitForMissTtl()))
                    : List.of());
        }

        /** The response for one request is this one's, unless that was asked in other words than its own: then it asks again. */
        private void holdUnlessFiltered(OriginResponse answer) {
            if (request.isFilteredWhenShared(varyNames)) {
                discard(answer);
            } else {
                holdUnsharedResponse(answer);
            }
        }

        private FillResult<TierKey, Entry> failedResult(Storability.FailFill fail, OriginResponse.Buffered whole) {
            if (!fail.shareable() || identifiesClient()) {
                return failOrServeStale(originErrorFailure(whole.head(), Optional.empty()), true, Optional.of(whole));
            }
            RequestHead asked = request.sharedRequestHead(varyNames);
            HeaderFields selecting = Vary.selectingFields(Vary.fieldNames(whole.head()), asked.fields(), policy());
            var said = new FailedFill.OriginErrorResponse(whole.head(), selecting, whole.body());
            return failOrServeStale(originErrorFailure(whole.head(), Optional.of(said)), true, Optional.empty());
        }

        /** An error page often tells whoever is logged in about himself, without saying so. */
        private boolean identifiesClient() {
            RequestHead asked = request.head();
            return asked.hasAuthorization() || (asked.hasCookieOrCredential() && !policy().coalesceWithCookies());
        }

        /**
         * The fetch has failed: stale, where that is allowed, and then nobody of the fleet asks again for a while; else the
         * failure, for everybody who waits.
         *
         * @param mine what the origin said to this request alone
         */
        FillResult<TierKey, Entry> failOrServeStale(FailedFill failure, boolean answered,
                Optional<OriginResponse> mine) {
            Optional<StoredResponse> standIn = staleOnFailure(answered, failure.status());
            if (standIn.isPresent()) {
                mine.ifPresent(OriginFetcher::discard);
                Instant now = context.clock().instant();
                var ailing = StaleOnError.afterFailure(standIn.get(), failureCount, failure, answered, now);
                Duration left = standIn.get().remainingRetention(now);
                return new FillResult.Shared<>(ailing,
                        List.of(new Write<>(flightKey, ailing,
                                left.compareTo(WAITER_ENTRY_TTL) > 0 ? left : WAITER_ENTRY_TTL)),
                        true);
            }
            mine.ifPresent(OriginFetcher.this::holdUnsharedResponse);
            return new FillResult.FillFailed<>(failure);
        }

        private Optional<StoredResponse> staleOnFailure(boolean answered, int status) {
            // Only where the flight is in the stored answer's own place is there room to say that it is ailing.
            return staleResponse.filter(old -> flightKey.equals(request.keys().variantKey(old.selectingFields()))
                    && (!answered || Reuse.isStaleIfErrorStatus(status))
                    && context.isolation().mayServe(old, context.clock().instant())
                    && Reuse.mayServeOnFailure(request.head(), old, policy(), answered, status,
                            context.clock().instant()));
        }

        private FailedFill originErrorFailure(ResponseHead head, Optional<FailedFill.OriginErrorResponse> answer) {
            return new FailedFill(request.keys().cacheKey(), Problem.ORIGIN_FAILED_REASON, head.status(), answer,
                    FailedFill.parseRetryAfter(head, context.clock().instant()), purgePosition);
        }

        private Write<TierKey, Entry> hitForMissWrite(String reason, Duration life) {
            return new Write<>(flightKey, new HitForMiss(request.keys().cacheKey(), reason, purgePosition), life);
        }
    }
}
