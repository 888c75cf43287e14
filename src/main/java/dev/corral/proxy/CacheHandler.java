package dev.corral.proxy;

import dev.corral.cache.CacheLookup;
import dev.corral.cache.Entry;
import dev.corral.cache.FailedFill;
import dev.corral.cache.HitForMiss;
import dev.corral.cache.StaleOnError;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.Vary;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.FlightResult;
import dev.corral.coalesce.FlightResult.Source;
import dev.corral.coalesce.TierKey;
import dev.corral.http.CacheStatus;
import dev.corral.http.CacheStatus.ForwardReason;
import dev.corral.http.Problem;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.ProxyMetrics.RequestOutcome;
import dev.corral.proxy.observe.RequestTracing;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/**
 * The way of one GET or HEAD through the cache.
 *
 * <ol>
 * <li>{@link #handle} looks in the near cache. {@link CacheLookup} decides what an entry means for the request.
 * <li>A hit is served; a {@code Vary} marker leads to the request's variant.
 * <li>Otherwise {@link #join} looks in the shared tier and joins the flight of the key: one request in the fleet fetches
 * ({@link FillFetch}), the others wait.
 * <li>{@link #finish} judges what came of it for this request: serve it, go on to the variant, try again, or {@link #pass} the request
 * to the origin alone.
 * </ol>
 *
 * <p>Every value is judged by this request's own rules, whoever fetched it. Used for one request; signals come one by one.
 */
final class CacheHandler {

    /** Enough for a marker, its variant, and a value that is purged or replaced in between. */
    private static final int MAX_ATTEMPTS = 4;

    private final ProxyContext context;
    private final ClientRequest request;
    private final Scheduler eventLoop;
    private final EntryRules rules;
    private final UnsharedResponse unshared = new UnsharedResponse();

    /** @param eventLoop the event loop of the client's connection */
    CacheHandler(ProxyContext context, ClientRequest request, Scheduler eventLoop) {
        this.context = context;
        this.request = request;
        this.eventLoop = eventLoop;
        this.rules = new EntryRules(context, request);
    }

    /** Emits exactly one response. */
    Mono<ProxyResponse> handle() {
        return handle(LookupTarget.ofResource(request), 1);
    }

    /** To be called when the request has ended, however it ended. */
    void release() {
        unshared.release();
    }

    private Mono<ProxyResponse> handle(LookupTarget target, int attempt) {
        Optional<Entry> entry = context.near().apply(target.key()).flatMap(rules::valid);
        if (entry.isEmpty()) {
            return join(target, attempt);
        }
        if (prefersVariant(target, entry.get())) {
            return variantOr(target, (StoredResponse) entry.get(), known -> handle(known, attempt));
        }
        return switch (rules.lookup(entry.get())) {
            case CacheLookup.Hit hit -> Mono.just(served(target, hit));
            case CacheLookup.OtherVariant other when target.isResource() ->
                handle(variant(target, other.fieldNames()), attempt);
            case CacheLookup.OtherVariant other -> join(target, attempt);
            // The shared tier has the marker's version, which replaces it.
            case CacheLookup.Bypass bypass -> join(target, attempt);
            case CacheLookup.Miss miss -> join(target.withReason(miss.reason()), attempt);
        };
    }

    // ---- the shared tier and the flight

    private Mono<ProxyResponse> join(LookupTarget target, int attempt) {
        if (request.head().cacheControl().onlyIfCached()) {
            return lookupShared(target)
                    .switchIfEmpty(Mono.fromSupplier(() -> problem(target, Problem.NO_USABLE_RESPONSE)));
        }
        if (attempt > MAX_ATTEMPTS) {
            return pass(target, "unsettled", Optional.empty());
        }
        if (!context.coalescingEnabled()) {
            return lookupShared(target)
                    .switchIfEmpty(Mono.defer(() -> pass(target, "coalescing-off", Optional.of(""))));
        }
        LookupTarget lookupTarget = rules.isStoringForbidden() && attempt == 1
                ? target.withReason(Optional.of(ForwardReason.REQUEST))
                : target;
        var fill = new FillFetch(context, request, lookupTarget, rules, unshared, false);
        // Each waiter goes on in its own event loop: hundreds of them must not hold up the one that ended the flight.
        Mono<FlightResult<Entry>> flight = Mono.defer(() -> context.coalescer().join(fill)).publishOn(eventLoop);
        // A flight under a key of its own does not see what is stored for everybody.
        Mono<FlightResult<Entry>> result = fill.key().equals(lookupTarget.key())
                ? flight
                : findUsable(lookupTarget, fill).switchIfEmpty(flight);
        RequestTracing.WaitSpan wait = request.span().startWait();
        return result.doOnNext(end -> endWaitSpan(wait, fill, end))
                .flatMap(end -> finish(lookupTarget, fill, end, attempt));
    }

    private Mono<FlightResult<Entry>> findUsable(LookupTarget target, FillFetch fill) {
        return context.coalescer()
                .find(target.key(), fill.maxWait())
                .filter(entry -> fill.isUsable(entry, false) && !(entry instanceof HitForMiss))
                .map(entry -> new FlightResult.Value<>(entry, "", Source.FOUND, true));
    }

    /** What the shared tier has for this request, without a flight; empty when the origin would have to be contacted. */
    private Mono<ProxyResponse> lookupShared(LookupTarget target) {
        return context.coalescer()
                .find(target.key(), request.route().maxWait())
                .mapNotNull(found -> rules.valid(found).orElse(null))
                .flatMap(entry -> {
                    if (prefersVariant(target, entry)) {
                        return variantOr(target, (StoredResponse) entry,
                                known -> Mono.justOrEmpty(servedIfHit(known, rules.lookup(entry))));
                    }
                    CacheLookup lookup = rules.lookup(entry);
                    return lookup instanceof CacheLookup.OtherVariant other && target.isResource()
                            ? lookupShared(variant(target, other.fieldNames()))
                            : Mono.justOrEmpty(servedIfHit(target, lookup));
                });
    }

    /** What the end of the flight means for this request. */
    private Mono<ProxyResponse> finish(LookupTarget before, FillFetch fill, FlightResult<Entry> end, int attempt) {
        LookupTarget target = fill.hadStaleResponse()
                ? before.withReason(Optional.of(ForwardReason.STALE))
                : before;
        Optional<OriginResponse> own = unshared.get();
        if (own.isPresent() && !(end instanceof FlightResult.FlightFailed<Entry>)) {
            // A response that was not buffered has no ranges to be cut from: the range is requested from the origin instead.
            return request.head().hasRange() && own.get().head().status() == 200 && unshared.discardStreaming()
                    ? pass(target, "range", Optional.empty())
                    : Mono.just(passed(target, own.get(), false, ""));
        }
        return switch (end) {
            case FlightResult.Value<Entry> value -> rules.valid(value.value())
                    .map(valid -> finish(target, fill, value, valid, attempt))
                    .orElseGet(() -> handle(target, attempt + 1));
            case FlightResult.Uncoalesced<Entry> uncoalesced -> pass(target, "uncoalesced", Optional.empty());
            case FlightResult.FlightFailed<Entry>(Entry failure, Optional<Entry> seen) ->
                Mono.just(failed(target, fill.hasFetched(), failure, seen));
            case FlightResult.Rejected<Entry> rejected -> Mono.just(problem(target, Problem.TOO_MANY_WAITERS));
        };
    }

    private Mono<ProxyResponse> finish(LookupTarget target, FillFetch fill, FlightResult.Value<Entry> end, Entry valid,
            int attempt) {
        return switch (valid) {
            // The flight was for the whole resource, and its response is another variant.
            case StoredResponse stored when !rules.matchesVariant(stored) ->
                handle(variant(target, Vary.fieldNames(stored.head())), attempt + 1);
            case StaleOnError stale when !rules.matchesVariant(stale.staleResponse()) ->
                handle(variant(target, Vary.fieldNames(stale.staleResponse().head())), attempt + 1);
            case VaryMarker marker -> handle(variant(target, marker.fieldNames()), attempt + 1);
            case HitForMiss marker -> pass(target.withReason(Optional.of(ForwardReason.BYPASS)), marker.reason(),
                    Optional.of(end.version()));
            case FailedFill failure -> Mono.just(failed(target, fill.hasFetched(), failure, Optional.empty()));
            case StoredResponse stored when end.source() == Source.FOUND && prefersVariant(target, stored) ->
                variantOr(target, stored, known -> found(known, fill, stored, attempt));
            case StoredResponse stored when end.source() == Source.FOUND -> found(target, fill, stored, attempt);
            case StaleOnError stale when end.source() == Source.FOUND -> found(target, fill, stale, attempt);
            case StoredResponse stored -> awaited(target, fill, stored, end.isStored(), attempt);
            case StaleOnError stale -> Mono.just(failed(target, fill.hasFetched(),
                    new FailedFill(stale.cacheKey(), stale.reason(), stale.status(), Optional.empty(), Optional.empty(),
                            stale.purgePosition()),
                    Optional.of(stale)));
        };
    }

    /** An entry that the shared tier had already. */
    private Mono<ProxyResponse> found(LookupTarget target, FillFetch fill, Entry valid, int attempt) {
        CacheLookup lookup = fill.lookup(valid);
        return Mono.justOrEmpty(servedIfHit(target, lookup)).switchIfEmpty(Mono.defer(() -> {
            LookupTarget known = lookup instanceof CacheLookup.Miss miss ? target.withReason(miss.reason()) : target;
            return join(known, attempt + 1);
        }));
    }

    /** A response that was fetched while this request waited. */
    private Mono<ProxyResponse> awaited(LookupTarget target, FillFetch fill, StoredResponse stored, boolean isStored,
            int attempt) {
        if (fill.hasFetched() || fill.isUsable(stored, true)) {
            return Mono.just(forwarded(target, fill, stored, isStored));
        }
        return rules.receivedBeforeRequest(stored)
                ? handle(target, attempt + 1)
                // Fetched just now, and still not for this request: to wait for another one would be in vain.
                : pass(target, "not-shared", Optional.empty());
    }

    /**
     * A fetch for this request alone.
     *
     * @param replacedVersion of the marker that a shareable response replaces; empty when it is not to be stored
     */
    private Mono<ProxyResponse> pass(LookupTarget target, String detail, Optional<String> replacedVersion) {
        var pass = new PassHandler(context, request, unshared);
        RequestTracing.WaitSpan wait = request.span().startWait();
        return replacedVersion.map(version -> pass.fetchAndStore(target, target.key(), version))
                .orElseGet(() -> pass.fetch(Optional.empty()))
                .doOnNext(end -> {
                    // A fetch with the client's own fields is part of the client's trace already.
                    if (!pass.traceparent().isEmpty()) {
                        wait.end("without_lease", pass.traceparent());
                    }
                })
                .map(end -> switch (end) {
                    case PassHandler.PassResult.ReceivedResponse(OriginResponse response, boolean stored) ->
                        passed(target, response, stored, detail);
                    case PassHandler.PassResult.FetchFailed(FailedFill failure) ->
                        failed(target, true, failure, Optional.empty());
                });
    }

    /** A value that was there already was not waited for. */
    private static void endWaitSpan(RequestTracing.WaitSpan wait, FillFetch fill, FlightResult<Entry> end) {
        switch (end) {
            case FlightResult.Value<Entry>(Entry value, String version, Source source, boolean stored) -> {
                if (source != Source.FOUND) {
                    wait.end(source.name().toLowerCase(Locale.ROOT), value.traceparent());
                }
            }
            case FlightResult.Uncoalesced<Entry>(Optional<Entry> marker) ->
                wait.end("uncoalesced", marker.map(Entry::traceparent).orElseGet(fill::traceparent));
            case FlightResult.FlightFailed<Entry>(Entry failure, Optional<Entry> seen) ->
                wait.end("failed", failure.traceparent());
            case FlightResult.Rejected<Entry> rejected -> {
                // Refused without a wait.
            }
        }
    }

    // ---- variants

    private LookupTarget variant(LookupTarget target, List<String> fieldNames) {
        return target.ofVariant(rules.variantKey(fieldNames), fieldNames);
    }

    /**
     * Whether a stored variant, if it is fresh, is preferred to this response without {@code Vary}: RFC 9111 section 4.1 wants the most
     * recent response whose {@code Vary} matches.
     */
    private boolean prefersVariant(LookupTarget target, Entry entry) {
        return entry instanceof StoredResponse stored && target.isResource() && !target.variantLookedUp()
                && stored.earlierVaryNames().stream().anyMatch(request.head().fields()::has);
    }

    private Mono<ProxyResponse> variantOr(LookupTarget target, StoredResponse stored,
            Function<LookupTarget, Mono<ProxyResponse>> otherwise) {
        List<String> names = stored.earlierVaryNames();
        LookupTarget variant = variant(target, names);
        Optional<ProxyResponse> near = context.near().apply(variant.key()).flatMap(found -> fresh(variant, found));
        return near.map(Mono::just)
                .orElseGet(() -> context.coalescer()
                        .find(variant.key(), request.route().maxWait())
                        .mapNotNull(found -> fresh(variant, found).orElse(null)))
                .switchIfEmpty(Mono.defer(() -> otherwise.apply(target.withVariantLookedUp(names))));
    }

    private Optional<ProxyResponse> fresh(LookupTarget variant, Entry entry) {
        return rules.valid(entry)
                .map(rules::lookup)
                .filter(lookup -> lookup instanceof CacheLookup.Hit hit && hit.detail().isEmpty() && !hit.isStale())
                .flatMap(lookup -> servedIfHit(variant, lookup));
    }

    // ---- responses

    private Optional<ProxyResponse> servedIfHit(LookupTarget target, CacheLookup lookup) {
        return lookup instanceof CacheLookup.Hit hit ? Optional.of(served(target, hit)) : Optional.empty();
    }

    /** A hit. Starts the background refresh that is due. */
    private ProxyResponse served(LookupTarget target, CacheLookup.Hit hit) {
        if (hit.startsRefresh()) {
            BackgroundRefresh.start(context, request, target);
        }
        StoredResponse stored = hit.response();
        if (hit.detail().isEmpty() && !stored.selectingFields().lines().isEmpty()) {
            TierKey resource = request.keys().resourceKey();
            context.variantLimiter()
                    .recordUse(resource,
                            target.isResource() ? request.keys().variantKey(stored.selectingFields()) : target.key());
        }
        CacheStatus status = CacheStatus.hit().withTtl(stored.freshness().ttl(rules.now()));
        return new ProxyResponse.Cached(stored, hit.detail().map(status::withDetail).orElse(status),
                hit.isStale() ? RequestOutcome.STALE : RequestOutcome.HIT);
    }

    private ProxyResponse forwarded(LookupTarget target, FillFetch fill, StoredResponse stored, boolean isStored) {
        boolean own = fill.hasFetched();
        CacheStatus sent = CacheStatus.forwarded(target.reason())
                // After a validation the origin's status is not the response's.
                .withForwardStatus(own ? fill.originStatus() : stored.head().status());
        CacheStatus status = rules.isStoringForbidden()
                ? sent.withDetail("no-store")
                : (isStored ? sent.withStored() : sent).withTtl(stored.freshness().ttl(rules.now()));
        return own
                ? new ProxyResponse.Cached(stored, status, RequestOutcome.MISS)
                : new ProxyResponse.Cached(stored, status.withCollapsed(), RequestOutcome.COLLAPSED);
    }

    private ProxyResponse passed(LookupTarget target, OriginResponse response, boolean isStored, String detail) {
        CacheStatus sent = CacheStatus.forwarded(target.reason()).withForwardStatus(response.head().status());
        CacheStatus status = isStored ? sent.withStored() : sent;
        return new ProxyResponse.Passed(response, detail.isEmpty() ? status : status.withDetail(detail),
                RequestOutcome.BYPASS);
    }

    /** Stale, if that is allowed; else this request's own error response, the shared one, or a problem. */
    private ProxyResponse failed(LookupTarget target, boolean ownFetch, Entry entry, Optional<Entry> seen) {
        if (!(entry instanceof FailedFill failure)) {
            return problem(target, Problem.INTERNAL_ERROR);
        }
        boolean originResponded = failure.reason().equals(Problem.ORIGIN_FAILED_REASON);
        CacheStatus sent = CacheStatus.forwarded(target.reason());
        CacheStatus forwarded = originResponded ? sent.withForwardStatus(failure.status()) : sent;
        CacheStatus status = (ownFetch ? forwarded : forwarded.withCollapsed()).withDetail(failure.reason());
        Optional<StoredResponse> stale = rules.previousResponse(seen)
                .filter(stored -> rules.mayServeOnFailure(stored, originResponded, failure.status()));
        if (stale.isPresent()) {
            return new ProxyResponse.Cached(stale.get(), status.withTtl(stale.get().freshness().ttl(rules.now())),
                    RequestOutcome.STALE);
        }
        Optional<OriginResponse> own = unshared.get();
        if (own.isPresent()) {
            return new ProxyResponse.Passed(own.get(), status, RequestOutcome.FAILED);
        }
        return failure.errorResponseFor(request.head(), request.route().cachePolicy())
                .<ProxyResponse>map(error -> new ProxyResponse.SharedError(error.head(), error.body(), status,
                        RequestOutcome.FAILED))
                .orElseGet(() -> new ProxyResponse.ProblemResponse(failure.toProblem(), status,
                        RequestOutcome.FAILED));
    }

    private ProxyResponse problem(LookupTarget target, Problem problem) {
        return new ProxyResponse.ProblemResponse(problem,
                CacheStatus.forwarded(target.reason()).withDetail(problem.reason()), RequestOutcome.REJECTED);
    }
}
