package dev.corral.proxy;

import dev.corral.cache.Entry;
import dev.corral.cache.FailedFill;
import dev.corral.cache.HitForMiss;
import dev.corral.cache.Reuse;
import dev.corral.cache.StaleOnError;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.Vary;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.FillRequest;
import dev.corral.coalesce.FillResult;
import dev.corral.coalesce.FlightResult;
import dev.corral.coalesce.FlightResult.Source;
import dev.corral.coalesce.TierKey;
import dev.corral.http.CacheStatus;
import dev.corral.http.Problem;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.ProxyMetrics;
import dev.corral.proxy.observe.RequestTracing;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * One GET or HEAD on its way through the cache: from the near cache or a flight to a result. Serves one request, and is the
 * flight's {@link FillRequest} if that request opens it.
 *
 * <p>Judges every value it gets by the rules of {@code http} for its own request, whoever fetched it; what does not serve it
 * leads to another round, and after the last round to a fetch of its own.
 */
final class CacheHandler implements FillRequest<TierKey, Entry> {

    /** Enough for a pointer, its variant, and a value that is purged or superseded in between. */
    private static final int MAX_ATTEMPTS = 4;

    private final ProxyContext context;
    private final ClientRequest request;
    private final OriginFetcher fetcher;
    private final boolean isRefresh;
    private final Scheduler eventLoop;
    private final Instant startTime;
    /** Where this visit looks now: the resource, or the variant a pointer led to. Changes only between flights. */
    private volatile TierKey currentKey;
    /** A variant that is preferred to the response without {@code Vary} that was found in memory. */
    private volatile Optional<TierKey> preferredVariant = Optional.empty();
    private volatile boolean hasLookedUpVariant;
    private volatile CacheStatus.ForwardReason forwardReason = CacheStatus.ForwardReason.URI_MISS;

    private CacheHandler(ProxyContext edge, ClientRequest request, TierKey at, boolean refresh, Scheduler loop) {
        this.context = edge;
        this.eventLoop = loop;
        this.request = request;
        this.fetcher = new OriginFetcher(edge, request);
        this.currentKey = at;
        this.isRefresh = refresh;
        this.startTime = edge.clock().instant();
    }

    /** @param loop the event loop of the client's connection */
    static CacheHandler of(ProxyContext edge, ClientRequest request, Scheduler loop) {
        return new CacheHandler(edge, request, request.keys().resourceKey(), false, loop);
    }

    /** Emits exactly one result. */
    Mono<ProxyResponse> handle() {
        return lookupNear().map(Mono::just).orElseGet(this::lookupShared);
    }

    /** To be called when the request has ended, however: what was fetched for it alone and not written is dropped. */
    void release() {
        fetcher.release();
    }

    // ---- looking

    /** The hit path: no network, no flight, nothing that could have been done when the answer was stored. */
    private Optional<ProxyResponse> lookupNear() {
        Optional<Entry> entry = context.near().apply(currentKey).flatMap(this::validEntry);
        if (entry.isPresent() && entry.get() instanceof VaryMarker pointer && pointsToVariant(pointer)) {
            currentKey = variantKey(pointer);
            forwardReason = CacheStatus.ForwardReason.VARY_MISS;
            entry = context.near().apply(currentKey).flatMap(this::validEntry);
        }
        preferredVariant = entry.flatMap(this::earlierVariantKey);
        return preferredVariant.isPresent()
                // Not here, it may still be in the shared tier.
                ? context.near().apply(preferredVariant.get()).flatMap(this::cachedVariant)
                : entry.flatMap(this::cachedResult);
    }

    /**
     * Where a variant may be that this request prefers to a response without {@code Vary}: RFC 9111 section 4.1 wants the most recent
     * one with a {@code Vary} that matches. Empty when the request has none of the fields that selected it.
     */
    private Optional<TierKey> earlierVariantKey(Entry entry) {
        if (!(entry instanceof StoredResponse stored) || stored.earlierVaryNames().isEmpty() || hasLookedUpVariant
                || !currentKey.equals(request.keys().resourceKey())) {
            return Optional.empty();
        }
        fetcher.setEarlierVaryNames(stored.earlierVaryNames());
        return stored.earlierVaryNames().stream().anyMatch(request.head().fields()::has)
                ? Optional.of(variantKey(stored.earlierVaryNames()))
                : Optional.empty();
    }

    private Optional<ProxyResponse> cachedVariant(Entry entry) {
        return validEntry(entry).filter(StoredResponse.class::isInstance)
                .map(StoredResponse.class::cast)
                .filter(stored -> matchesVariant(stored) && stored.freshness().isFresh(now())
                        && isWithinIsolationLimit(stored)
                        && mayServe(stored, false))
                .map(stored -> cachedResponse(stored, false));
    }

    /** A variant of the shared tier that is preferred to what was found for the whole resource; looked for once. */
    private Mono<ProxyResponse> lookupPreferredVariant(Optional<TierKey> variant) {
        hasLookedUpVariant |= variant.isPresent();
        return Mono.justOrEmpty(variant)
                .flatMap(key -> context.coalescer().find(key, maxWait()))
                .mapNotNull(found -> cachedVariant(found).orElse(null));
    }

    /** A hit on what was found for the whole resource, unless a variant is preferred to it. */
    private Mono<ProxyResponse> cachedResultOrVariant(StoredResponse stored) {
        return lookupPreferredVariant(earlierVariantKey(stored))
                .switchIfEmpty(Mono.fromSupplier(() -> cachedResult(stored).orElse(null)));
    }

    private Optional<ProxyResponse> cachedResult(Entry entry) {
        return switch (entry) {
            case StoredResponse stored -> cachedResult(stored);
            case StaleOnError ailing -> backedOffResult(ailing);
            case VaryMarker pointer -> Optional.empty();
            case HitForMiss marker -> Optional.empty();
            case FailedFill failure -> Optional.empty();
        };
    }

    /** What the shared tier has for this request, without a flight. */
    private Mono<ProxyResponse> lookupSharedOnly() {
        return context.coalescer()
                .find(currentKey, maxWait())
                .mapNotNull(found -> validEntry(found).orElse(null))
                .flatMap(entry -> switch (entry) {
                    case VaryMarker pointer -> {
                        boolean on = pointsToVariant(pointer);
                        currentKey = variantKey(pointer);
                        yield on ? lookupSharedOnly() : Mono.empty();
                    }
                    case StoredResponse stored -> cachedResultOrVariant(stored);
                    case StaleOnError ailing -> Mono.justOrEmpty(backedOffResult(ailing));
                    case HitForMiss marker -> Mono.empty();
                    case FailedFill failure -> Mono.empty();
                });
    }

    private Optional<ProxyResponse> cachedResult(StoredResponse stored) {
        if (!matchesVariant(stored)) {
            return Optional.empty();
        }
        if (!isWithinIsolationLimit(stored)) {
            forwardReason = CacheStatus.ForwardReason.STALE;
            return Optional.empty();
        }
        return switch (decideReuse(stored)) {
            case Reuse.Serve(Duration age, boolean stale) -> Optional.of(cachedResponse(stored, stale));
            case Reuse.ServeAndRefresh(Duration age, boolean stale) -> {
                startRefresh();
                yield Optional.of(cachedResponse(stored, stale));
            }
            case Reuse.Validate validate -> {
                forwardReason = stored.freshness().isFresh(now())
                        ? CacheStatus.ForwardReason.REQUEST
                        : CacheStatus.ForwardReason.STALE;
                yield Optional.empty();
            }
            case Reuse.Unsatisfiable refuse -> Optional.empty();
        };
    }

    /** The origin has failed a moment ago and is left alone: stale, where that is allowed. */
    private Optional<ProxyResponse> backedOffResult(StaleOnError ailing) {
        forwardReason = CacheStatus.ForwardReason.STALE;
        return Optional.of(ailing)
                .filter(it -> matchesVariant(it.staleResponse()) && it.isBackedOff(now()) && mayServeOnFailure(it))
                .map(it -> new ProxyResponse.Cached(it.staleResponse(),
                        CacheStatus.hit().withTtl(it.staleResponse().freshness().ttl(now())).withDetail(it.reason()),
                        ProxyMetrics.RequestOutcome.STALE));
    }

    private ProxyResponse cachedResponse(StoredResponse stored, boolean stale) {
        if (!stored.selectingFields().lines().isEmpty()) {
            TierKey resource = request.keys().resourceKey();
            context.variantLimiter()
                    .recordUse(resource,
                            currentKey.equals(resource)
                                    ? request.keys().variantKey(stored.selectingFields())
                                    : currentKey);
        }
        return new ProxyResponse.Cached(stored, CacheStatus.hit().withTtl(stored.freshness().ttl(now())),
                stale ? ProxyMetrics.RequestOutcome.STALE : ProxyMetrics.RequestOutcome.HIT);
    }

    // ---- asking

    private Mono<ProxyResponse> lookupShared() {
        if (request.head().cacheControl().onlyIfCached()) {
            return lookupSharedOnly()
                    .switchIfEmpty(Mono.fromSupplier(() -> problemResponse(Problem.NO_USABLE_RESPONSE)));
        }
        if (isStoringForbidden()) {
            forwardReason = CacheStatus.ForwardReason.REQUEST;
        }
        if (!context.coalescingEnabled()) {
            return lookupSharedOnly().switchIfEmpty(Mono.defer(() -> pass("coalescing-off", Optional.of(""))));
        }
        return lookupPreferredVariant(preferredVariant).switchIfEmpty(Mono.defer(() -> attempt(1)));
    }

    private Mono<ProxyResponse> attempt(int n) {
        if (n > MAX_ATTEMPTS) {
            return pass("unsettled", Optional.empty());
        }
        // Each waiter goes on in its own event loop: hundreds of them must not hold up the one that ended the flight.
        Mono<FlightResult<Entry>> flight = Mono.defer(() -> context.coalescer().join(this)).publishOn(eventLoop);
        // Where the flight is not in the place of the resource, what is for everybody is not there.
        Mono<FlightResult<Entry>> outcome = key().equals(currentKey) ? flight : findUsable().switchIfEmpty(flight);
        RequestTracing.WaitSpan wait = request.span().startWait();
        return outcome.doOnNext(end -> endWaitSpan(wait, end)).flatMap(end -> resultOf(n, end));
    }

    /** What was there already was not waited for. */
    private void endWaitSpan(RequestTracing.WaitSpan wait, FlightResult<Entry> end) {
        switch (end) {
            case FlightResult.Value<Entry>(Entry value, String version, Source role, boolean stored) -> {
                if (role != Source.FOUND) {
                    wait.end(role.name().toLowerCase(Locale.ROOT), value.traceparent());
                }
            }
            case FlightResult.Uncoalesced<Entry>(Optional<Entry> marker) ->
                wait.end("released", marker.map(Entry::traceparent).orElseGet(fetcher::sharedTraceparent));
            case FlightResult.FlightFailed<Entry>(Entry failure, Optional<Entry> seen) ->
                wait.end("failed", failure.traceparent());
            case FlightResult.Rejected<Entry> crowded -> {
                // Refused without a wait.
            }
        }
    }

    private Mono<FlightResult<Entry>> findUsable() {
        return context.coalescer()
                .find(currentKey, maxWait())
                .filter(entry -> isUsable(entry, false) && !(entry instanceof HitForMiss))
                .map(entry -> new FlightResult.Value<>(entry, "", Source.FOUND, true));
    }

    private Mono<ProxyResponse> resultOf(int n, FlightResult<Entry> end) {
        Optional<OriginResponse> own = fetcher.unsharedResponse();
        if (own.isPresent() && !(end instanceof FlightResult.FlightFailed<Entry>)) {
            // What is not collected has no parts to be cut from: the client's own words get the part, not all of it.
            return request.head().hasRange() && own.get().head().status() == 200 && fetcher.discardStreaming()
                    ? pass("range", Optional.empty())
                    : Mono.just(passedResponse(own.get(), false, ""));
        }
        return switch (end) {
            case FlightResult.Value<Entry>(Entry value, String version, Source role, boolean stored) ->
                resultForValue(n, value, version, role, stored);
            case FlightResult.Uncoalesced<Entry> released -> pass("released", Optional.empty());
            case FlightResult.FlightFailed<Entry>(Entry failure, Optional<Entry> seen) ->
                Mono.just(failedResponse(failure, seen));
            case FlightResult.Rejected<Entry> crowded -> Mono.just(problemResponse(Problem.TOO_MANY_WAITERS));
        };
    }

    private Mono<ProxyResponse> resultForValue(int n, Entry value, String version, Source role, boolean kept) {
        return validEntry(value).map(mine -> resultForEntry(n, mine, version, role, kept))
                .orElseGet(() -> attempt(n + 1));
    }

    private Mono<ProxyResponse> resultForEntry(int n, Entry value, String version, Source role, boolean kept) {
        return switch (value) {
            case StoredResponse stored -> resultForResponse(n, stored, role, kept);
            case StaleOnError ailing -> resultForStaleOnError(n, ailing, role);
            case VaryMarker pointer -> {
                currentKey = variantKey(pointer);
                yield retryWithVariant(n);
            }
            case HitForMiss marker -> {
                forwardReason = CacheStatus.ForwardReason.BYPASS;
                yield pass(marker.reason(), Optional.of(version));
            }
            case FailedFill failure -> Mono.just(failedResponse(failure, Optional.empty()));
        };
    }

    /** @param kept whether it is stored for more than those who wait */
    private Mono<ProxyResponse> resultForResponse(int n, StoredResponse stored, Source role, boolean kept) {
        if (!matchesVariant(stored)) {
            // Its flight was on the whole resource and its answer is another variant's: on to our own.
            currentKey = variantKey(Vary.fieldNames(stored.head()));
            return retryWithVariant(n);
        }
        return switch (role) {
            case FOUND -> cachedResultOrVariant(stored).switchIfEmpty(Mono.defer(() -> attempt(n + 1)));
            case LEADER, FOLLOWER, WITHOUT_LEASE -> {
                if (fetcher.hasFetched() || mayServe(stored, true)) {
                    yield Mono.just(forwardedResponse(stored, kept));
                }
                yield Reuse.receivedBefore(stored, startTime)
                        ? attempt(n + 1)
                        // Fetched just now, and still not for this request: waiting for another one would be in vain.
                        : pass("not-shared", Optional.empty());
            }
        };
    }

    private Mono<ProxyResponse> resultForStaleOnError(int n, StaleOnError ailing, Source role) {
        if (!matchesVariant(ailing.staleResponse())) {
            currentKey = variantKey(Vary.fieldNames(ailing.staleResponse().head()));
            return retryWithVariant(n);
        }
        if (role == Source.FOUND) {
            return Mono.justOrEmpty(backedOffResult(ailing)).switchIfEmpty(Mono.defer(() -> attempt(n + 1)));
        }
        var failure = new FailedFill(ailing.cacheKey(), ailing.reason(), ailing.status(), Optional.empty(),
                Optional.empty(),
                ailing.purgePosition());
        return Mono.just(failedResponse(failure, Optional.of(ailing)));
    }

    private Mono<ProxyResponse> retryWithVariant(int n) {
        forwardReason = CacheStatus.ForwardReason.VARY_MISS;
        return lookupNear().map(Mono::just).orElseGet(() -> attempt(n + 1));
    }

    /** A fetch for this request alone. */
    private Mono<ProxyResponse> pass(String why, Optional<String> inPlaceOf) {
        Mono<OriginFetcher.PassResult> alone = inPlaceOf.map(version -> fetcher.fetchAndOffer(currentKey, version))
                .orElseGet(() -> fetcher.pass(Optional.empty()));
        RequestTracing.WaitSpan wait = request.span().startWait();
        return alone.doOnNext(end -> {
            // One in the client's own words is part of his trace already.
            if (!fetcher.sharedTraceparent().isEmpty()) {
                wait.end("alone", fetcher.sharedTraceparent());
            }
        }).map(end -> switch (end) {
            case OriginFetcher.PassResult.ReceivedResponse(OriginResponse answer, boolean stored) ->
                passedResponse(answer, stored, why);
            case OriginFetcher.PassResult.FetchFailed(FailedFill failure) -> failedResponse(failure, Optional.empty());
        });
    }

    /** One refresh for the fleet, behind the back of the request that was answered at once. */
    private void startRefresh() {
        var visit = new CacheHandler(context, request.withoutClient(), currentKey, true, Schedulers.immediate());
        visit.fetcher.setVaryNames(fetcher.varyNames());
        if (!context.coalescer().isInFlight(visit.key())) {
            context.coalescer().join(visit).doFinally(end -> visit.release()).subscribe(outcome -> {}, cause -> {});
        }
    }

    // ---- the flight's view

    @Override
    public TierKey key() {
        // What an origin says to somebody it knows must not decide for everybody, not even that it is not to be shared.
        TierKey known = request.head().hasAuthorization()
                ? currentKey.withSubkey(currentKey.subkey() + ":a")
                : currentKey;
        // What must not be stored neither takes the place of what is, nor keeps others from storing theirs.
        return isStoringForbidden() ? known.withSubkey(known.subkey() + ":n") : known;
    }

    /** Nothing that is fetched for this request may be stored: it is for those who wait with it. */
    private boolean isStoringForbidden() {
        return request.route().cachePolicy().forbidsStoring(request.head());
    }

    @Override
    public String displayName() {
        return request.keys().purgeNames().url();
    }

    @Override
    public boolean isUsable(Entry value, boolean awaited) {
        return validEntry(value).filter(mine -> isUsableByFlight(mine, awaited)).isPresent();
    }

    private boolean isUsableByFlight(Entry value, boolean awaited) {
        return switch (value) {
            case StoredResponse stored -> !matchesVariant(stored) ? awaited : mayServe(stored, awaited);
            // Awaited, it is the failure of the fetch that was waited for.
            case StaleOnError ailing -> awaited || (matchesVariant(ailing.staleResponse()) && ailing.isBackedOff(now())
                    && mayServeOnFailure(ailing));
            case VaryMarker pointer -> awaited || pointsToVariant(pointer);
            case HitForMiss marker -> true;
            case FailedFill failure -> false;
        };
    }

    @Override
    public Mono<FillResult<TierKey, Entry>> fill(Optional<Entry> seen, long position) {
        // Before it is judged: by all purges up to that position, or perhaps not.
        boolean judged = context.purges().syncedPosition() >= position;
        Optional<StoredResponse> stale = isStoringForbidden() ? Optional.empty() : previousResponse(seen);
        stale.ifPresent(this::earlierVariantKey);
        stale.filter(old -> !old.freshness().isFresh(now()))
                .ifPresent(old -> forwardReason = CacheStatus.ForwardReason.STALE);
        int failures = seen.filter(StaleOnError.class::isInstance)
                .map(StaleOnError.class::cast)
                .map(StaleOnError::failureCount)
                .orElse(0);
        return fetcher.fill(key(), stale, judged, failures, position);
    }

    @Override
    public void onFlightEnd(TierKey flight) {
        fetcher.releaseFillMemory(flight);
    }

    @Override
    public Duration maxWait() {
        return request.route().maxWait();
    }

    // ---- judging

    /** The stored answer that was there before, if it is this request's. */
    private Optional<StoredResponse> previousResponse(Optional<Entry> seen) {
        return seen.flatMap(this::validEntry).flatMap(entry -> switch (entry) {
            case StoredResponse stored -> Optional.of(stored);
            case StaleOnError ailing -> Optional.of(ailing.staleResponse());
            case VaryMarker pointer -> Optional.<StoredResponse>empty();
            case HitForMiss marker -> Optional.<StoredResponse>empty();
            case FailedFill failure -> Optional.<StoredResponse>empty();
        }).filter(this::matchesVariant);
    }

    private boolean mayServeOnFailure(StaleOnError ailing) {
        return mayServeOnFailure(ailing.staleResponse(), ailing.originResponded(), ailing.status());
    }

    private boolean mayServeOnFailure(StoredResponse stored, boolean answered, int status) {
        return isWithinIsolationLimit(stored)
                && Reuse.mayServeOnFailure(request.head(), stored, request.route().cachePolicy(), answered, status,
                        now());
    }

    /** The entry as purges have left it, if it is of this request's resource. */
    private Optional<Entry> validEntry(Entry entry) {
        return request.keys().validEntry(entry, context.purges(), now());
    }

    private boolean matchesVariant(StoredResponse stored) {
        return Vary.matches(stored, request.head(), request.route().cachePolicy());
    }

    private Reuse decideReuse(StoredResponse stored) {
        // nextDouble is in [0, 1); the rule wants (0, 1].
        return Reuse.decide(request.head(), stored, request.route().cachePolicy(), now(),
                1 - ThreadLocalRandom.current().nextDouble());
    }

    /** Not without asking the origin, if this replica has been cut off from the fleet's purges for too long. */
    private boolean isWithinIsolationLimit(StoredResponse stored) {
        return context.isolation().mayServe(stored, now());
    }

    private boolean mayServe(StoredResponse stored, boolean awaited) {
        if (!isWithinIsolationLimit(stored)) {
            return false;
        }
        boolean usable = switch (decideReuse(stored)) {
            case Reuse.Serve serve -> true;
            case Reuse.ServeAndRefresh(Duration age, boolean stale) -> !isRefresh;
            case Reuse.Validate validate -> false;
            case Reuse.Unsatisfiable refuse -> false;
        };
        return usable
                || (awaited
                        && Reuse.maySatisfyWaiter(request.head(), stored, request.route().cachePolicy(), startTime,
                                now()));
    }

    /** A pointer in the lane of a flight is only for those who wait there. */
    private boolean pointsToVariant(VaryMarker pointer) {
        return currentKey.equals(request.keys().resourceKey()) && !pointer.fieldNames().isEmpty();
    }

    private TierKey variantKey(VaryMarker pointer) {
        if (pointsToVariant(pointer)) {
            fetcher.setEarlierVaryNames(pointer.fieldNames());
        }
        return variantKey(pointer.fieldNames());
    }

    /** Where the request's own variant lives; fetches from now on are for that. */
    private TierKey variantKey(List<String> names) {
        fetcher.setVaryNames(names);
        return request.keys()
                .variantKey(Vary.selectingFields(names, request.head().fields(), request.route().cachePolicy()));
    }

    private Instant now() {
        return context.clock().instant();
    }

    // ---- results

    private ProxyResponse forwardedResponse(StoredResponse stored, boolean kept) {
        boolean mine = fetcher.hasFetched();
        CacheStatus sent = CacheStatus.forwarded(forwardReason)
                // After a validation the origin's status is not the response's.
                .withForwardStatus(mine ? fetcher.originStatus() : stored.head().status());
        CacheStatus status = isStoringForbidden()
                ? sent.withDetail("no-store")
                : (kept ? sent.withStored() : sent).withTtl(stored.freshness().ttl(now()));
        return mine
                ? new ProxyResponse.Cached(stored, status, ProxyMetrics.RequestOutcome.MISS)
                : new ProxyResponse.Cached(stored, status.withCollapsed(), ProxyMetrics.RequestOutcome.COLLAPSED);
    }

    private ProxyResponse passedResponse(OriginResponse answer, boolean stored, String detail) {
        CacheStatus status = CacheStatus.forwarded(forwardReason).withForwardStatus(answer.head().status());
        status = stored ? status.withStored() : status;
        return new ProxyResponse.Passed(answer, detail.isEmpty() ? status : status.withDetail(detail),
                ProxyMetrics.RequestOutcome.BYPASS);
    }

    private ProxyResponse failedResponse(Entry entry, Optional<Entry> seen) {
        if (!(entry instanceof FailedFill failure)) {
            return problemResponse(Problem.INTERNAL_ERROR);
        }
        boolean answered = failure.reason().equals(Problem.ORIGIN_FAILED_REASON);
        CacheStatus status = CacheStatus.forwarded(forwardReason);
        status = answered ? status.withForwardStatus(failure.status()) : status;
        status = fetcher.hasFetched() ? status : status.withCollapsed();
        CacheStatus told = status.withDetail(failure.reason());
        Optional<StoredResponse> standIn = previousResponse(seen)
                .filter(stored -> mayServeOnFailure(stored, answered, failure.status()));
        if (standIn.isPresent()) {
            return new ProxyResponse.Cached(standIn.get(), told.withTtl(standIn.get().freshness().ttl(now())),
                    ProxyMetrics.RequestOutcome.STALE);
        }
        Optional<OriginResponse> own = fetcher.unsharedResponse();
        if (own.isPresent()) {
            // The origin's own words, which are for nobody else.
            return new ProxyResponse.Passed(own.get(), told, ProxyMetrics.RequestOutcome.FAILED);
        }
        return failure.errorResponseFor(request.head(), request.route().cachePolicy())
                .<ProxyResponse>map(answer -> new ProxyResponse.SharedError(answer.head(), answer.body(), told,
                        ProxyMetrics.RequestOutcome.FAILED))
                .orElseGet(() -> new ProxyResponse.ProblemResponse(failure.toProblem(), told,
                        ProxyMetrics.RequestOutcome.FAILED));
    }

    private ProxyResponse problemResponse(Problem problem) {
        return new ProxyResponse.ProblemResponse(problem,
                CacheStatus.forwarded(forwardReason).withDetail(problem.reason()),
                ProxyMetrics.RequestOutcome.REJECTED);
    }
}
