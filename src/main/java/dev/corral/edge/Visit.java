package dev.corral.edge;

import dev.corral.coalesce.Ask;
import dev.corral.coalesce.Filled;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Outcome;
import dev.corral.coalesce.Outcome.Role;
import dev.corral.http.Ailing;
import dev.corral.http.CacheStatus;
import dev.corral.http.Entry;
import dev.corral.http.Failure;
import dev.corral.http.HitForMiss;
import dev.corral.http.Reuse;
import dev.corral.http.Stored;
import dev.corral.http.Variant;
import dev.corral.http.Varies;
import dev.corral.origin.Answer;
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
 * flight's {@link Ask} if that request opens it.
 *
 * <p>Judges every value it gets by the rules of {@code http} for its own request, whoever fetched it; what does not serve it
 * leads to another round, and after the last round to a fetch of its own.
 */
final class Visit implements Ask<Key, Entry> {

    /** Enough for a pointer, its variant, and a value that is purged or superseded in between. */
    private static final int ROUNDS = 4;

    private final Edge edge;
    private final Request request;
    private final Fetch fetch;
    private final boolean refresh;
    private final Scheduler loop;
    private final Instant since;
    /** Where this visit looks now: the resource, or the variant a pointer led to. Changes only between flights. */
    private volatile Key at;
    /** A variant that is preferred to the response without {@code Vary} that was found in memory. */
    private volatile Optional<Key> preferred = Optional.empty();
    private volatile boolean lookedBeside;
    private volatile CacheStatus.Forward forward = CacheStatus.Forward.URI_MISS;

    private Visit(Edge edge, Request request, Key at, boolean refresh, Scheduler loop) {
        this.edge = edge;
        this.loop = loop;
        this.request = request;
        this.fetch = new Fetch(edge, request);
        this.at = at;
        this.refresh = refresh;
        this.since = edge.clock().instant();
    }

    /** @param loop the event loop of the client's connection */
    static Visit of(Edge edge, Request request, Scheduler loop) {
        return new Visit(edge, request, request.address().resource(), false, loop);
    }

    /** Emits exactly one result. */
    Mono<Result> result() {
        return near().map(Mono::just).orElseGet(this::beyond);
    }

    /** To be called when the request has ended, however: what was fetched for it alone and not written is dropped. */
    void leave() {
        fetch.leave();
    }

    // ---- looking

    /** The hit path: no network, no flight, nothing that could have been done when the answer was stored. */
    private Optional<Result> near() {
        Optional<Entry> entry = edge.near().apply(at).flatMap(this::ours);
        if (entry.isPresent() && entry.get() instanceof Varies pointer && leadsOn(pointer)) {
            at = variant(pointer);
            forward = CacheStatus.Forward.VARY_MISS;
            entry = edge.near().apply(at).flatMap(this::ours);
        }
        preferred = entry.flatMap(this::earlierVariant);
        return preferred.isPresent()
                // Not here, it may still be in the shared tier.
                ? edge.near().apply(preferred.get()).flatMap(this::freshVariant)
                : entry.flatMap(this::hit);
    }

    /**
     * Where a variant may be that this request prefers to a response without {@code Vary}: RFC 9111 section 4.1 wants the most recent
     * one with a {@code Vary} that matches. Empty when the request has none of the fields that selected it.
     */
    private Optional<Key> earlierVariant(Entry entry) {
        if (!(entry instanceof Stored stored) || stored.earlierVary().isEmpty() || lookedBeside
                || !at.equals(request.address().resource())) {
            return Optional.empty();
        }
        fetch.besides(stored.earlierVary());
        return stored.earlierVary().stream().anyMatch(request.asked().fields()::has)
                ? Optional.of(variant(stored.earlierVary()))
                : Optional.empty();
    }

    private Optional<Result> freshVariant(Entry entry) {
        return ours(entry).filter(Stored.class::isInstance)
                .map(Stored.class::cast)
                .filter(stored -> matches(stored) && stored.terms().fresh(now()) && allowed(stored)
                        && serves(stored, false))
                .map(stored -> hit(stored, false));
    }

    /** A variant of the shared tier that is preferred to what was found for the whole resource; looked for once. */
    private Mono<Result> preferred(Optional<Key> variant) {
        lookedBeside |= variant.isPresent();
        return Mono.justOrEmpty(variant)
                .flatMap(key -> edge.coalescer().find(key, patience()))
                .mapNotNull(found -> freshVariant(found).orElse(null));
    }

    /** A hit on what was found for the whole resource, unless a variant is preferred to it. */
    private Mono<Result> found(Stored stored) {
        return preferred(earlierVariant(stored)).switchIfEmpty(Mono.fromSupplier(() -> hit(stored).orElse(null)));
    }

    private Optional<Result> hit(Entry entry) {
        return switch (entry) {
            case Stored stored -> hit(stored);
            case Ailing ailing -> resting(ailing);
            case Varies pointer -> Optional.empty();
            case HitForMiss marker -> Optional.empty();
            case Failure failure -> Optional.empty();
        };
    }

    /** What the shared tier has for this request, without a flight. */
    private Mono<Result> stored() {
        return edge.coalescer()
                .find(at, patience())
                .mapNotNull(found -> ours(found).orElse(null))
                .flatMap(entry -> switch (entry) {
                    case Varies pointer -> {
                        boolean on = leadsOn(pointer);
                        at = variant(pointer);
                        yield on ? stored() : Mono.empty();
                    }
                    case Stored stored -> found(stored);
                    case Ailing ailing -> Mono.justOrEmpty(resting(ailing));
                    case HitForMiss marker -> Mono.empty();
                    case Failure failure -> Mono.empty();
                });
    }

    private Optional<Result> hit(Stored stored) {
        if (!matches(stored)) {
            return Optional.empty();
        }
        if (!allowed(stored)) {
            forward = CacheStatus.Forward.STALE;
            return Optional.empty();
        }
        return switch (reuse(stored)) {
            case Reuse.Serve(Duration age, boolean stale) -> Optional.of(hit(stored, stale));
            case Reuse.ServeAndRefresh(Duration age, boolean stale) -> {
                refresh();
                yield Optional.of(hit(stored, stale));
            }
            case Reuse.Validate validate -> {
                forward = stored.terms().fresh(now()) ? CacheStatus.Forward.REQUEST : CacheStatus.Forward.STALE;
                yield Optional.empty();
            }
            case Reuse.Refuse refuse -> Optional.empty();
        };
    }

    /** The origin has failed a moment ago and is left alone: stale, where that is allowed. */
    private Optional<Result> resting(Ailing ailing) {
        forward = CacheStatus.Forward.STALE;
        return Optional.of(ailing)
                .filter(it -> matches(it.stored()) && it.resting(now()) && standsIn(it))
                .map(it -> new Result.FromStore(it.stored(),
                        CacheStatus.hit().ttl(it.stored().terms().ttl(now())).detail(it.reason()),
                        Traffic.Outcome.STALE));
    }

    private Result hit(Stored stored, boolean stale) {
        if (!stored.selecting().lines().isEmpty()) {
            Key resource = request.address().resource();
            edge.variants().used(resource, at.equals(resource) ? request.address().variant(stored.selecting()) : at);
        }
        return new Result.FromStore(stored, CacheStatus.hit().ttl(stored.terms().ttl(now())),
                stale ? Traffic.Outcome.STALE : Traffic.Outcome.HIT);
    }

    // ---- asking

    private Mono<Result> beyond() {
        if (request.asked().cacheControl().onlyIfCached()) {
            return stored().switchIfEmpty(Mono.fromSupplier(() -> refused(Problem.NOT_STORED)));
        }
        if (unstored()) {
            forward = CacheStatus.Forward.REQUEST;
        }
        if (!edge.coalesces()) {
            return stored().switchIfEmpty(Mono.defer(() -> own("coalescing-off", Optional.of(""))));
        }
        return preferred(preferred).switchIfEmpty(Mono.defer(() -> round(1)));
    }

    private Mono<Result> round(int n) {
        if (n > ROUNDS) {
            return own("unsettled", Optional.empty());
        }
        // Each waiter goes on in its own event loop: hundreds of them must not hold up the one that ended the flight.
        Mono<Outcome<Entry>> flight = Mono.defer(() -> edge.coalescer().join(this)).publishOn(loop);
        // Where the flight is not in the place of the resource, what is for everybody is not there.
        Mono<Outcome<Entry>> outcome = key().equals(at) ? flight : found().switchIfEmpty(flight);
        Tracing.Wait wait = request.trace().waits();
        return outcome.doOnNext(end -> waited(wait, end)).flatMap(end -> settle(n, end));
    }

    /** What was there already was not waited for. */
    private void waited(Tracing.Wait wait, Outcome<Entry> end) {
        switch (end) {
            case Outcome.Landed<Entry>(Entry value, String version, Role role, boolean stored) -> {
                if (role != Role.LOOKED) {
                    wait.over(role.name().toLowerCase(Locale.ROOT), value.trace());
                }
            }
            case Outcome.Released<Entry>(Optional<Entry> marker) ->
                wait.over("released", marker.map(Entry::trace).orElseGet(fetch::trace));
            case Outcome.Failed<Entry>(Entry failure, Optional<Entry> seen) -> wait.over("failed", failure.trace());
            case Outcome.Crowded<Entry> crowded -> {
                // Refused without a wait.
            }
        }
    }

    private Mono<Outcome<Entry>> found() {
        return edge.coalescer()
                .find(at, patience())
                .filter(entry -> accepts(entry, false) && !(entry instanceof HitForMiss))
                .map(entry -> new Outcome.Landed<>(entry, "", Role.LOOKED, true));
    }

    private Mono<Result> settle(int n, Outcome<Entry> end) {
        Optional<Answer> own = fetch.own();
        if (own.isPresent() && !(end instanceof Outcome.Failed<Entry>)) {
            // What is not collected has no parts to be cut from: the client's own words get the part, not all of it.
            return request.asked().ranged() && own.get().head().status() == 200 && fetch.drop()
                    ? own("range", Optional.empty())
                    : Mono.just(fromOrigin(own.get(), false, ""));
        }
        return switch (end) {
            case Outcome.Landed<Entry>(Entry value, String version, Role role, boolean stored) ->
                landed(n, value, version, role, stored);
            case Outcome.Released<Entry> released -> own("released", Optional.empty());
            case Outcome.Failed<Entry>(Entry failure, Optional<Entry> seen) -> Mono.just(failed(failure, seen));
            case Outcome.Crowded<Entry> crowded -> Mono.just(refused(Problem.CROWDED));
        };
    }

    private Mono<Result> landed(int n, Entry value, String version, Role role, boolean kept) {
        return ours(value).map(mine -> judged(n, mine, version, role, kept)).orElseGet(() -> round(n + 1));
    }

    private Mono<Result> judged(int n, Entry value, String version, Role role, boolean kept) {
        return switch (value) {
            case Stored stored -> landed(n, stored, role, kept);
            case Ailing ailing -> landed(n, ailing, role);
            case Varies pointer -> {
                at = variant(pointer);
                yield onward(n);
            }
            case HitForMiss marker -> {
                forward = CacheStatus.Forward.BYPASS;
                yield own(marker.reason(), Optional.of(version));
            }
            case Failure failure -> Mono.just(failed(failure, Optional.empty()));
        };
    }

    /** @param kept whether it is stored for more than those who wait */
    private Mono<Result> landed(int n, Stored stored, Role role, boolean kept) {
        if (!matches(stored)) {
            // Its flight was on the whole resource and its answer is another variant's: on to our own.
            at = variant(Variant.names(stored.head()));
            return onward(n);
        }
        return switch (role) {
            case LOOKED -> found(stored).switchIfEmpty(Mono.defer(() -> round(n + 1)));
            case LED, FOLLOWED, ALONE -> {
                if (fetch.begun() || serves(stored, true)) {
                    yield Mono.just(forwarded(stored, kept));
                }
                yield Reuse.late(stored, since)
                        ? round(n + 1)
                        // Fetched just now, and still not for this request: waiting for another one would be in vain.
                        : own("not-shared", Optional.empty());
            }
        };
    }

    private Mono<Result> landed(int n, Ailing ailing, Role role) {
        if (!matches(ailing.stored())) {
            at = variant(Variant.names(ailing.stored().head()));
            return onward(n);
        }
        if (role == Role.LOOKED) {
            return Mono.justOrEmpty(resting(ailing)).switchIfEmpty(Mono.defer(() -> round(n + 1)));
        }
        var failure = new Failure(ailing.key(), ailing.reason(), ailing.status(), Optional.empty(), Optional.empty(),
                ailing.position());
        return Mono.just(failed(failure, Optional.of(ailing)));
    }

    private Mono<Result> onward(int n) {
        forward = CacheStatus.Forward.VARY_MISS;
        return near().map(Mono::just).orElseGet(() -> round(n + 1));
    }

    /** A fetch for this request alone. */
    private Mono<Result> own(String why, Optional<String> inPlaceOf) {
        Mono<Fetch.Alone> alone = inPlaceOf.map(version -> fetch.alone(at, version))
                .orElseGet(() -> fetch.alone(Optional.empty()));
        Tracing.Wait wait = request.trace().waits();
        return alone.doOnNext(end -> {
            // One in the client's own words is part of his trace already.
            if (!fetch.trace().isEmpty()) {
                wait.over("alone", fetch.trace());
            }
        }).map(end -> switch (end) {
            case Fetch.Alone.Own(Answer answer, boolean stored) -> fromOrigin(answer, stored, why);
            case Fetch.Alone.Lost(Failure failure) -> failed(failure, Optional.empty());
        });
    }

    /** One refresh for the fleet, behind the back of the request that was answered at once. */
    private void refresh() {
        var visit = new Visit(edge, request.ofOurOwn(), at, true, Schedulers.immediate());
        visit.fetch.varied(fetch.varied());
        if (!edge.coalescer().flies(visit.key())) {
            edge.coalescer().join(visit).doFinally(end -> visit.leave()).subscribe(outcome -> {}, cause -> {});
        }
    }

    // ---- the flight's view

    @Override
    public Key key() {
        // What an origin says to somebody it knows must not decide for everybody, not even that it is not to be shared.
        Key known = request.asked().authorized() ? at.lane(at.lane() + ":a") : at;
        // What must not be stored neither takes the place of what is, nor keeps others from storing theirs.
        return unstored() ? known.lane(known.lane() + ":n") : known;
    }

    /** Nothing that is fetched for this request may be stored: it is for those who wait with it. */
    private boolean unstored() {
        return request.route().policy().forbidsStoring(request.asked());
    }

    @Override
    public String name() {
        return request.address().place().url();
    }

    @Override
    public boolean accepts(Entry value, boolean awaited) {
        return ours(value).filter(mine -> fits(mine, awaited)).isPresent();
    }

    private boolean fits(Entry value, boolean awaited) {
        return switch (value) {
            case Stored stored -> !matches(stored) ? awaited : serves(stored, awaited);
            // Awaited, it is the failure of the fetch that was waited for.
            case Ailing ailing -> awaited || (matches(ailing.stored()) && ailing.resting(now()) && standsIn(ailing));
            case Varies pointer -> awaited || leadsOn(pointer);
            case HitForMiss marker -> true;
            case Failure failure -> false;
        };
    }

    @Override
    public Mono<Filled<Key, Entry>> fill(Optional<Entry> seen, long position) {
        // Before it is judged: by all purges up to that position, or perhaps not.
        boolean judged = edge.purges().complete() >= position;
        Optional<Stored> stale = unstored() ? Optional.empty() : old(seen);
        stale.ifPresent(this::earlierVariant);
        stale.filter(old -> !old.terms().fresh(now())).ifPresent(old -> forward = CacheStatus.Forward.STALE);
        int failures = seen.filter(Ailing.class::isInstance).map(Ailing.class::cast).map(Ailing::failures).orElse(0);
        return fetch.fill(key(), stale, judged, failures, position);
    }

    @Override
    public void ended(Key flight) {
        fetch.ended(flight);
    }

    @Override
    public Duration patience() {
        return request.route().patience();
    }

    // ---- judging

    /** The stored answer that was there before, if it is this request's. */
    private Optional<Stored> old(Optional<Entry> seen) {
        return seen.flatMap(this::ours).flatMap(entry -> switch (entry) {
            case Stored stored -> Optional.of(stored);
            case Ailing ailing -> Optional.of(ailing.stored());
            case Varies pointer -> Optional.<Stored>empty();
            case HitForMiss marker -> Optional.<Stored>empty();
            case Failure failure -> Optional.<Stored>empty();
        }).filter(this::matches);
    }

    private boolean standsIn(Ailing ailing) {
        return standsIn(ailing.stored(), ailing.answered(), ailing.status());
    }

    private boolean standsIn(Stored stored, boolean answered, int status) {
        return allowed(stored)
                && Reuse.standsIn(request.asked(), stored, request.route().policy(), answered, status, now());
    }

    /** The entry as purges have left it, if it is of this request's resource. */
    private Optional<Entry> ours(Entry entry) {
        return request.address().valid(entry, edge.purges(), now());
    }

    private boolean matches(Stored stored) {
        return Variant.matches(stored, request.asked(), request.route().policy());
    }

    private Reuse reuse(Stored stored) {
        // nextDouble is in [0, 1); the rule wants (0, 1].
        return Reuse.decide(request.asked(), stored, request.route().policy(), now(),
                1 - ThreadLocalRandom.current().nextDouble());
    }

    /** Not without asking the origin, if this replica has been cut off from the fleet's purges for too long. */
    private boolean allowed(Stored stored) {
        return edge.isolation().allows(stored, now());
    }

    private boolean serves(Stored stored, boolean awaited) {
        if (!allowed(stored)) {
            return false;
        }
        boolean usable = switch (reuse(stored)) {
            case Reuse.Serve serve -> true;
            case Reuse.ServeAndRefresh(Duration age, boolean stale) -> !refresh;
            case Reuse.Validate validate -> false;
            case Reuse.Refuse refuse -> false;
        };
        return usable
                || (awaited
                        && Reuse.sharedWhileWaiting(request.asked(), stored, request.route().policy(), since, now()));
    }

    /** A pointer in the lane of a flight is only for those who wait there. */
    private boolean leadsOn(Varies pointer) {
        return at.equals(request.address().resource()) && !pointer.names().isEmpty();
    }

    private Key variant(Varies pointer) {
        if (leadsOn(pointer)) {
            fetch.besides(pointer.names());
        }
        return variant(pointer.names());
    }

    /** Where the request's own variant lives; fetches from now on are for that. */
    private Key variant(List<String> names) {
        fetch.varied(names);
        return request.address().variant(Variant.selecting(names, request.asked().fields(), request.route().policy()));
    }

    private Instant now() {
        return edge.clock().instant();
    }

    // ---- results

    private Result forwarded(Stored stored, boolean kept) {
        boolean mine = fetch.begun();
        CacheStatus sent = CacheStatus.forwarded(forward)
                // After a validation the origin's status is not the response's.
                .status(mine ? fetch.status() : stored.head().status());
        CacheStatus status = unstored()
                ? sent.detail("no-store")
                : (kept ? sent.stored() : sent).ttl(stored.terms().ttl(now()));
        return mine
                ? new Result.FromStore(stored, status, Traffic.Outcome.FILLED)
                : new Result.FromStore(stored, status.collapsed(), Traffic.Outcome.COLLAPSED);
    }

    private Result fromOrigin(Answer answer, boolean stored, String detail) {
        CacheStatus status = CacheStatus.forwarded(forward).status(answer.head().status());
        status = stored ? status.stored() : status;
        return new Result.FromOrigin(answer, detail.isEmpty() ? status : status.detail(detail), Traffic.Outcome.BYPASS);
    }

    private Result failed(Entry entry, Optional<Entry> seen) {
        if (!(entry instanceof Failure failure)) {
            return refused(Problem.INTERNAL);
        }
        boolean answered = failure.reason().equals(Problem.ORIGIN_FAILED);
        CacheStatus status = CacheStatus.forwarded(forward);
        status = answered ? status.status(failure.status()) : status;
        status = fetch.begun() ? status : status.collapsed();
        CacheStatus told = status.detail(failure.reason());
        Optional<Stored> standIn = old(seen).filter(stored -> standsIn(stored, answered, failure.status()));
        if (standIn.isPresent()) {
            return new Result.FromStore(standIn.get(), told.ttl(standIn.get().terms().ttl(now())),
                    Traffic.Outcome.STALE);
        }
        Optional<Answer> own = fetch.own();
        if (own.isPresent()) {
            // The origin's own words, which are for nobody else.
            return new Result.FromOrigin(own.get(), told, Traffic.Outcome.FAILED);
        }
        return failure.answerFor(request.asked(), request.route().policy())
                .<Result>map(answer -> new Result.Shared(answer.head(), answer.body(), told, Traffic.Outcome.FAILED))
                .orElseGet(() -> new Result.Refused(Problem.of(failure), told,
                        Traffic.Outcome.FAILED));
    }

    private Result refused(Problem problem) {
        return new Result.Refused(problem, CacheStatus.forwarded(forward).detail(problem.reason()),
                Traffic.Outcome.REFUSED);
    }
}
