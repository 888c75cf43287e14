package dev.corral.proxy;

import dev.corral.cache.CacheLookup;
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
import dev.corral.coalesce.FillRequest;
import dev.corral.coalesce.FillResult;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.TierKey;
import dev.corral.http.HeaderFields;
import dev.corral.http.Problem;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import dev.corral.origin.BodyMode;
import dev.corral.origin.OriginFailedException;
import dev.corral.origin.OriginResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Mono;

/**
 * One request's part in one flight: whether a value serves it, and the fetch for everybody who waits if it opens the flight and leads.
 * The key does not change. A response that may not be shared goes to {@link UnsharedResponse}, and nowhere else.
 */
final class FillFetch implements FillRequest<TierKey, Entry> {

    private final ProxyContext context;
    private final ClientRequest request;
    private final LookupTarget target;
    private final TierKey flightKey;
    private final EntryRules rules;
    private final UnsharedResponse unshared;
    private final OriginFetcher origin;
    private final TierWrites writes;
    private final boolean isRefresh;
    private final ResponseMemory.FetchMemory memory;
    /** The last value that was judged, so that the request does not judge it again. */
    private volatile @Nullable Judged lastJudged;
    private volatile boolean validatedStale;

    private record Judged(Entry value, CacheLookup lookup) {}

    FillFetch(ProxyContext context, ClientRequest request, LookupTarget target, EntryRules rules,
            UnsharedResponse unshared, boolean isRefresh) {
        this.context = context;
        this.request = request;
        this.target = target;
        this.flightKey = flightKey(request, target.key(), rules.isStoringForbidden());
        this.rules = rules;
        this.unshared = unshared;
        this.origin = new OriginFetcher(context, request);
        this.writes = new TierWrites(context, request);
        this.isRefresh = isRefresh;
        this.memory = context.memory().newFetchMemory();
    }

    private static TierKey flightKey(ClientRequest request, TierKey key, boolean storingForbidden) {
        // A response to an authenticated request must not mark the resource as uncacheable for others.
        TierKey keyed = request.head().hasAuthorization() ? key.withSubkey(key.subkey() + ":a") : key;
        // A response that must not be stored neither replaces the stored one nor keeps others from storing theirs.
        return storingForbidden ? keyed.withSubkey(keyed.subkey() + ":n") : keyed;
    }

    // ---- for the request that waits

    /** Whether this request's own fetch has begun: the flight's response is its own, not another request's. */
    boolean hasFetched() {
        return origin.hasFetched();
    }

    /** The status of the response to this request's fetch; 0 when there is none. */
    int originStatus() {
        return origin.status();
    }

    /** This request's fetch, as in {@link Entry#traceparent()}; empty when there is none or it is not traced. */
    String traceparent() {
        return origin.traceparent();
    }

    /** Whether this request's fetch began with a stale response in the cache. */
    boolean hadStaleResponse() {
        return validatedStale;
    }

    /** What a valid entry that has not been waited for means for the request. Judged once for each entry. */
    @SuppressWarnings("ReferenceEquality") // the entry itself, not one that is equal
    CacheLookup lookup(Entry valid) {
        Judged judged = lastJudged;
        if (judged != null && judged.value == valid) {
            return judged.lookup;
        }
        CacheLookup lookup = rules.lookup(valid);
        lastJudged = new Judged(valid, lookup);
        return lookup;
    }

    // ---- for the flight

    @Override
    public TierKey key() {
        return flightKey;
    }

    @Override
    public String displayName() {
        return request.keys().purgeNames().url();
    }

    @Override
    public boolean isUsable(Entry value, boolean awaited) {
        return rules.valid(value).filter(valid -> awaited ? endsWait(valid) : isUsable(lookup(valid))).isPresent();
    }

    private boolean isUsable(CacheLookup lookup) {
        return switch (lookup) {
            case CacheLookup.Hit hit -> !(hit.startsRefresh() && isRefresh);
            case CacheLookup.OtherVariant other -> target.isResource();
            case CacheLookup.Bypass bypass -> true;
            case CacheLookup.Miss miss -> false;
        };
    }

    private boolean endsWait(Entry valid) {
        return switch (valid) {
            // Another variant's response ends the wait too: the request goes on to its own variant.
            case StoredResponse stored -> !rules.matchesVariant(stored) || isUsable(lookup(stored))
                    || rules.maySatisfyWaiter(stored);
            // The failure of the fetch that was waited for.
            case StaleOnError stale -> true;
            case VaryMarker marker -> true;
            case HitForMiss marker -> true;
            case FailedFill failure -> false;
        };
    }

    @Override
    public Duration maxWait() {
        return request.route().maxWait();
    }

    @Override
    public void onFlightEnd(TierKey key) {
        memory.close();
    }

    @Override
    public Mono<FillResult<TierKey, Entry>> fill(Optional<Entry> seen, long purgePosition) {
        origin.begin();
        // Read before the stale response is judged: whether that was by all purges up to the position.
        boolean purgesComplete = context.purges().syncedPosition() >= purgePosition;
        Optional<StoredResponse> stale = rules.isStoringForbidden() ? Optional.empty() : rules.previousResponse(seen);
        validatedStale = stale.filter(stored -> !stored.freshness().isFresh(rules.now())).isPresent();
        int failures = seen.filter(StaleOnError.class::isInstance)
                .map(StaleOnError.class::cast)
                .map(StaleOnError::failureCount)
                .orElse(0);
        var fill = new Fill(stale, purgesComplete, failures, purgePosition);
        return Mono.defer(() -> fill.run(stale.filter(Revalidation::isPossible)))
                .onErrorResume(OriginFailedException.class,
                        failed -> Mono.just(fill.failOrServeStale(origin.failure(failed, purgePosition), false,
                                Optional.empty())))
                .onErrorResume(OriginFetcher::isExpected,
                        error -> Mono.just(new FillResult.FillFailed<>(origin.failure(error, purgePosition))))
                .map(this::withTraceparent);
    }

    private FillResult<TierKey, Entry> withTraceparent(FillResult<TierKey, Entry> result) {
        String traceparent = origin.traceparent();
        if (traceparent.isEmpty()) {
            return result;
        }
        return switch (result) {
            case FillResult.Shared<TierKey, Entry>(Entry value, List<Write<TierKey, Entry>> all, boolean lasting) ->
                new FillResult.Shared<>(value.withTraceparent(traceparent),
                        TierWrites.withTraceparent(all, traceparent), lasting);
            case FillResult.NotShareable<TierKey, Entry>(List<Write<TierKey, Entry>> all) ->
                new FillResult.NotShareable<>(TierWrites.withTraceparent(all, traceparent));
            case FillResult.FillFailed<TierKey, Entry>(Entry failure) ->
                new FillResult.FillFailed<>(failure.withTraceparent(traceparent));
        };
    }

    private CachePolicy policy() {
        return request.route().cachePolicy();
    }

    /** One fetch for everybody who waits, and what becomes of its response. */
    private final class Fill {

        private final Optional<StoredResponse> stale;
        private final boolean purgesComplete;
        private final int failuresBefore;
        private final long purgePosition;
        private final List<String> varyNames;
        private final List<String> earlierVaryNames;

        /**
         * @param stale          what can be validated, or served if the fetch fails
         * @param purgesComplete whether it was judged by every purge up to {@code purgePosition}
         * @param failuresBefore how often in a row the origin has failed before
         */
        Fill(Optional<StoredResponse> stale, boolean purgesComplete, int failuresBefore, long purgePosition) {
            this.stale = stale;
            this.purgesComplete = purgesComplete;
            this.failuresBefore = failuresBefore;
            this.purgePosition = purgePosition;
            // The response that is replaced may know of variants that the request has not met.
            List<String> known = target.isResource() && !target.variantLookedUp()
                    ? stale.map(StoredResponse::earlierVaryNames).orElse(List.of())
                    : List.of();
            this.earlierVaryNames = known.isEmpty() ? target.earlierVaryNames() : known;
            this.varyNames = known.stream().anyMatch(request.head().fields()::has) ? known : target.varyNames();
        }

        /** Asks the origin, with a condition if there is something to validate. */
        Mono<FillResult<TierKey, Entry>> run(Optional<StoredResponse> base) {
            // A response that may not be stored may still be shared by those who wait.
            var decision = new StorabilityMemo(request.head().withoutCacheDirectives(), policy(), context.clock());
            HeaderFields conditions = base.map(Revalidation::conditionalFields).orElse(HeaderFields.EMPTY);
            return origin
                    .fetchShared(request.toSharedRequest(conditions, varyNames), memory,
                            head -> bodyMode(base, decision, head))
                    .flatMap(response -> base.isPresent() && response.head().status() == 304
                            ? revalidated(base.get(), decision, response)
                            : Mono.just(result(decision, response)));
        }

        private BodyMode bodyMode(Optional<StoredResponse> base, StorabilityMemo decision, ResponseHead head) {
            if (base.isPresent() && head.status() == 304) {
                return BodyMode.BUFFER;
            }
            return switch (decision.decide(head)) {
                case Storability.Store store -> OriginFetcher.buffered(head, store);
                case Storability.FailFill fail -> StreamDetection.isDeclaredStream(head)
                        ? OriginFetcher.streamed(head)
                        : BodyMode.BUFFER;
                case Storability.DoNotStore unstored -> OriginFetcher.streamed(head);
            };
        }

        /**
         * A 304 never revives a purged entry: the body it confirms keeps its purge position, unless no purge up to this fill's position
         * has removed it. A soft purge that led to this validation is then done with.
         */
        private Mono<FillResult<TierKey, Entry>> revalidated(StoredResponse base, StorabilityMemo decision,
                OriginResponse response) {
            Optional<StoredResponse> freshened = Revalidation.freshen(base, response.head(),
                    request.sharedRequestHead(varyNames), policy(), decision.requestTime(), rules.now(),
                    purgesComplete ? purgePosition : base.purgePosition());
            return freshened.isPresent()
                    ? Mono.just(shared(freshened.get()))
                    : Mono.defer(() -> run(Optional.empty()));
        }

        private FillResult<TierKey, Entry> result(StorabilityMemo decision, OriginResponse response) {
            return switch (response) {
                case OriginResponse.Buffered buffered -> buffered(decision.decide(buffered.head()), buffered);
                case OriginResponse.Streaming streaming -> streaming(decision.decide(streaming.head()), streaming);
            };
        }

        private FillResult<TierKey, Entry> buffered(Storability storability, OriginResponse.Buffered response) {
            return switch (storability) {
                case Storability.Store store -> staleOnFailure(true, response.head().status()).isPresent()
                        // It may be stored, but not in place of a good response that may still be served.
                        ? failOrServeStale(originError(response.head(), Optional.empty()), true, Optional.empty())
                        : shared(writes.toStoredResponse(store, response.body(), purgePosition, varyNames,
                                earlierVaryNames));
                case Storability.DoNotStore unstored -> notShareable(unstored, response);
                case Storability.FailFill fail -> failed(fail, response);
            };
        }

        private FillResult<TierKey, Entry> streaming(Storability storability, OriginResponse.Streaming response) {
            return switch (storability) {
                case Storability.Store store -> {
                    holdUnlessFiltered(response);
                    yield new FillResult.NotShareable<>(
                            List.of(hitForMiss(notBufferedReason(store, response), policy().hitForMissTtl())));
                }
                case Storability.DoNotStore unstored -> notShareable(unstored, response);
                case Storability.FailFill fail ->
                    failOrServeStale(originError(response.head(), Optional.empty()), true, Optional.of(response));
            };
        }

        /** Why a response that may be shared was not buffered. */
        private String notBufferedReason(Storability.Store store, OriginResponse.Streaming response) {
            if (StreamDetection.mayBeStream(response.head(), store)) {
                return "stream";
            }
            Duration time = Duration.between(response.requestTime(), rules.now());
            return time.compareTo(request.route().originConfig().timeout()) >= 0 ? "too-slow" : "too-large";
        }

        private FillResult<TierKey, Entry> shared(StoredResponse stored) {
            if (rules.isStoringForbidden()) {
                StoredResponse forWaiters = stored.withFreshness(stored.freshness().forWaitersOnly());
                return new FillResult.Shared<>(forWaiters,
                        List.of(new Write<>(flightKey, forWaiters, TierWrites.WAITER_ENTRY_TTL)), false);
            }
            // Whether the same request would be served by it if it came again.
            boolean lasting = switch (Reuse.decide(request.head(), stored, policy(), rules.now())) {
                case Reuse.Serve serve -> true;
                case Reuse.ServeAndRefresh serve -> true;
                case Reuse.Validate validate -> false;
                case Reuse.Unsatisfiable unsatisfiable -> false;
            };
            return new FillResult.Shared<>(stored, writes.of(flightKey, stored), lasting);
        }

        private FillResult<TierKey, Entry> notShareable(Storability.DoNotStore unstored, OriginResponse response) {
            if (response.head().status() >= 500) {
                // Waiting requests do not ask a failing origin again: they get its status, and no more.
                return failOrServeStale(originError(response.head(), Optional.empty()), true, Optional.of(response));
            }
            holdUnlessFiltered(response);
            return new FillResult.NotShareable<>(unstored.markHitForMiss()
                    ? List.of(hitForMiss(unstored.reason(), policy().hitForMissTtl()))
                    : List.of());
        }

        /** The response is this request's, unless the fetch left out fields of the client: then the request asks again. */
        private void holdUnlessFiltered(OriginResponse response) {
            if (request.isFilteredWhenShared(varyNames)) {
                UnsharedResponse.discard(response);
            } else {
                unshared.hold(response);
            }
        }

        private FillResult<TierKey, Entry> failed(Storability.FailFill fail, OriginResponse.Buffered response) {
            if (!fail.shareable() || identifiesClient()) {
                return failOrServeStale(originError(response.head(), Optional.empty()), true, Optional.of(response));
            }
            RequestHead sent = request.sharedRequestHead(varyNames);
            HeaderFields selecting = Vary.selectingFields(Vary.fieldNames(response.head()), sent.fields(), policy());
            var error = new FailedFill.OriginErrorResponse(response.head(), selecting, response.body());
            return failOrServeStale(originError(response.head(), Optional.of(error)), true, Optional.empty());
        }

        /** Error pages are often personalized without Cache-Control: private. */
        private boolean identifiesClient() {
            RequestHead head = request.head();
            return head.hasAuthorization() || (head.hasCookieOrCredential() && !policy().coalesceWithCookies());
        }

        /**
         * The fetch has failed. If a stale response may be served, it is, and the fleet does not ask the origin again for a while; else
         * every request that waits gets the failure.
         *
         * @param originResponded whether the origin sent a response
         * @param unsharedError   the origin's response, if only this request may see it
         */
        FillResult<TierKey, Entry> failOrServeStale(FailedFill failure, boolean originResponded,
                Optional<OriginResponse> unsharedError) {
            Optional<StoredResponse> served = staleOnFailure(originResponded, failure.status());
            if (served.isEmpty()) {
                unsharedError.ifPresent(unshared::hold);
                return new FillResult.FillFailed<>(failure);
            }
            unsharedError.ifPresent(UnsharedResponse::discard);
            Instant now = rules.now();
            var backedOff = StaleOnError.afterFailure(served.get(), failuresBefore, failure, originResponded, now);
            Duration retention = served.get().remainingRetention(now);
            Duration ttl = retention.compareTo(TierWrites.WAITER_ENTRY_TTL) > 0
                    ? retention
                    : TierWrites.WAITER_ENTRY_TTL;
            return new FillResult.Shared<>(backedOff, List.of(new Write<>(flightKey, backedOff, ttl)), true);
        }

        private Optional<StoredResponse> staleOnFailure(boolean originResponded, int status) {
            // Only where the flight is under the stored response's own key can the back-off be written there.
            return stale.filter(stored -> flightKey.equals(request.keys().variantKey(stored.selectingFields()))
                    && (!originResponded || Reuse.isStaleIfErrorStatus(status))
                    && rules.mayServeOnFailure(stored, originResponded, status));
        }

        private FailedFill originError(ResponseHead head, Optional<FailedFill.OriginErrorResponse> response) {
            return new FailedFill(request.keys().cacheKey(), Problem.ORIGIN_FAILED_REASON, head.status(), response,
                    FailedFill.parseRetryAfter(head, rules.now()), purgePosition);
        }

        private Write<TierKey, Entry> hitForMiss(String reason, Duration ttl) {
            return new Write<>(flightKey, new HitForMiss(request.keys().cacheKey(), reason, purgePosition), ttl);
        }
    }
}
